"""Transactions from the wire: raw bytes that were signed, or what the market's own senders left in the node's pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rlp  # type: ignore[import-untyped]
from coincurve import PublicKey
from eth_hash.auto import keccak

from keeper.arena.mempool import Refused, Tx
from keeper.execution.signer import decode
from keeper.types import Address, Hash


def from_raw(raw: str, owner: str, private: bool, arrived_ms: int) -> Tx:
    """Raises Refused for what is no signed transaction."""
    try:
        data = bytes.fromhex(raw.removeprefix("0x"))
        said, sender = decode(data), _sender(data)
    except (ValueError, IndexError, TypeError, rlp.exceptions.DecodingError) as error:
        raise Refused(f"invalid transaction: {type(error).__name__}") from None
    fees = said.max_fee_wei, said.priority_fee_wei
    if fees[1] > fees[0]:
        raise Refused("max priority fee per gas higher than max fee per gas")
    name, request = Hash("0x" + keccak(data).hex()), ("eth_sendRawTransaction", raw)
    return Tx(name, sender, said.nonce, *fees, said.gas_limit, said.to, said.data, owner, private, arrived_ms, request)


def _sender(raw: bytes) -> Address:
    """Who signed it (EIP-1559)."""
    fields: list[bytes] = rlp.decode(raw[1:])
    signature = fields[10].rjust(32, b"\0") + fields[11].rjust(32, b"\0") + fields[9].rjust(1, b"\0")
    key = PublicKey.from_signature_and_message(signature, keccak(raw[:1] + rlp.encode(fields[:9])), hasher=None)
    return Address("0x" + keccak(key.format(compressed=False)[1:])[-20:].hex())


def from_pool(raw: Mapping[str, Any]) -> Tx:
    """A transaction that the node signs for the market itself."""
    fees = {key: raw[key] for key in ("maxFeePerGas", "maxPriorityFeePerGas")}
    request = {"from": raw["from"], "to": raw["to"], "data": raw["input"], "value": raw["value"], "gas": raw["gas"], "nonce": raw["nonce"]}
    return Tx(
        Hash(raw["hash"].lower()),
        Address(raw["from"].lower()),
        int(raw["nonce"], 16),
        int(fees["maxFeePerGas"], 16),
        int(fees["maxPriorityFeePerGas"], 16),
        int(raw["gas"], 16),
        raw["to"].lower(),
        bytes.fromhex(raw["input"][2:]),
        request=("eth_sendTransaction", request | fees),
    )


def shown(tx: Tx) -> dict[str, Any]:
    """As a node shows a transaction that waits."""
    return {
        "hash": tx.hash,
        "from": tx.sender,
        "to": tx.to,
        "nonce": hex(tx.nonce),
        "input": "0x" + tx.data.hex(),
        "gas": hex(tx.gas_limit),
        "value": "0x0",
        "type": "0x2",
        "maxFeePerGas": hex(tx.max_fee_wei),
        "maxPriorityFeePerGas": hex(tx.max_tip_wei),
        "blockNumber": None,
        "blockHash": None,
        "transactionIndex": None,
    }
