"""The base fee, and the foreign transactions that keep it alive: in nearly empty blocks it falls to nothing within minutes."""

from __future__ import annotations

from keeper.devnet.genesis.builder import transaction
from keeper.devnet.genesis.chain import BASE_FEE_WEI, GAS_LIMIT, SINK, STRANGER

TARGET_GAS = GAS_LIMIT // 2  # EIP-1559: at this use the base fee stays
SWING_PERCENT = 10


def next_base_fee(base_fee_wei: int, gas_used: int, gas_limit: int) -> int:
    """The base fee of the block after one like this (EIP-1559)."""
    target = gas_limit // 2
    if gas_used > target:
        return base_fee_wei + max(base_fee_wei * (gas_used - target) // target // 8, 1)
    return base_fee_wei - base_fee_wei * (target - gas_used) // target // 8


def traffic(base_fee_wei: int) -> list[dict[str, str]]:
    """Transactions that burn a little more than half a block when the base fee is under its usual level, a little less when over."""
    percent = 100 + SWING_PERCENT if base_fee_wei < BASE_FEE_WEI else 100 - SWING_PERCENT
    return [transaction(STRANGER, SINK, b"", 0, TARGET_GAS * percent // 200) for _ in range(2)]
