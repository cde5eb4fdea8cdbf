"""Other people's transactions: without them every block is nearly empty and the base fee falls to nothing within minutes."""

from __future__ import annotations

from keeper.devnet.build.builder import transaction
from keeper.devnet.build.chain import BASE_FEE_WEI, GAS_LIMIT, SINK, STRANGER

TARGET_GAS = GAS_LIMIT // 2  # EIP-1559: at this use the base fee stays
SWING_PERCENT = 10


def traffic(base_fee_wei: int) -> list[dict[str, str]]:
    """Transactions that burn a little more than half a block when the base fee is under its usual level, a little less when over."""
    percent = 100 + SWING_PERCENT if base_fee_wei < BASE_FEE_WEI else 100 - SWING_PERCENT
    return [transaction(STRANGER, SINK, b"", 0, TARGET_GAS * percent // 200) for _ in range(2)]
