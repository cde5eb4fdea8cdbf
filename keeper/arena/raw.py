"""Transactions from the wire: raw bytes that were signed, or what the market's own senders left in the node's pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keeper.arena.mempool import Refused, Tx
from keeper.types import Address, Hash


def from_raw(raw: str, owner: str, private: bool, arrived_ms: int) -> Tx:
    """Raises Refused for what is no signed transaction."""
    from eth_account import Account
    from eth_account.typed_transactions import TypedTransaction
    from eth_utils.crypto import keccak

    try:
        data = bytes.fromhex(raw.removeprefix("0x"))
        fields = TypedTransaction.from_bytes(data).as_dict()  # type: ignore[arg-type]
        sender = Address(Account.recover_transaction(data).lower())
        name = Hash("0x" + keccak(data).hex())
        return Tx(
            name,
            sender,
            fields["nonce"],
            fields["maxFeePerGas"],
            fields["maxPriorityFeePerGas"],
            fields["gas"],
            "0x" + bytes(fields["to"]).hex(),
            bytes(fields["data"]),
            owner,
            private,
            arrived_ms,
            ("eth_sendRawTransaction", raw),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"invalid transaction: {type(error).__name__}") from None


def from_pool(raw: Mapping[str, Any], arrived_ms: int) -> Tx:
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
        arrived_ms=arrived_ms,
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
