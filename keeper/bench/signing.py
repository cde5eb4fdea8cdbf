"""Measures of signing: our own transaction encoder against the library that everybody uses."""

from __future__ import annotations

from typing import Any

from eth_account import Account

from keeper.bench.bed import Bed
from keeper.bench.measure import Measure, Trial
from keeper.execution.signer import Signer, Tx1559
from keeper.secret import Secret
from keeper.types import Address

KEY = "01" * 32
"""Nobody's: every figure is made with it in the open."""

CALLDATA_BYTES = 420
TO = Address("0x" + "22" * 20)


def transaction(round_: int) -> Tx1559:
    """As a liquidation's: some hundred bytes of calldata, another nonce every time."""
    return Tx1559(1, round_, 10**9, 3 * 10**10, 900_000, TO, 0, round_.to_bytes(4, "big") + bytes(range(1, 209)) * 2)


def as_library(tx: Tx1559) -> dict[str, Any]:
    return {
        "type": 2,
        "chainId": tx.chain_id,
        "nonce": tx.nonce,
        "maxPriorityFeePerGas": tx.priority_fee_wei,
        "maxFeePerGas": tx.max_fee_wei,
        "gas": tx.gas_limit,
        "to": bytes.fromhex(tx.to[2:]),
        "value": tx.value_wei,
        "data": tx.data,
        "accessList": [],
    }


async def _signing(bed: Bed) -> Trial:
    ours, theirs = Signer(Secret(KEY)), Account.from_key(KEY)
    return Trial(lambda round_: ours.sign(transaction(round_)), lambda round_: theirs.sign_transaction(as_library(transaction(round_))))


MEASURES = (Measure("sign", f"an EIP-1559 transaction with {CALLDATA_BYTES} bytes of calldata", "eth_account", _signing, 1000, at=(0,)),)
