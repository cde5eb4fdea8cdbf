"""The next block's base fee and the block a transaction sent now would land in. Pure. Source: EIP-1559."""

from __future__ import annotations

from keeper.types import Head, Landing

ELASTICITY = 2
MAX_CHANGE_DENOMINATOR = 8


def next_base_fee(head: Head) -> int:
    """Base fee of the block after `head`, in wei per gas; exact."""
    target = head.gas_limit // ELASTICITY
    if target in {head.gas_used, 0}:
        return head.base_fee_wei
    step = head.base_fee_wei * abs(head.gas_used - target) // target // MAX_CHANGE_DENOMINATOR
    return head.base_fee_wei + max(step, 1) if head.gas_used > target else head.base_fee_wei - step


def landing(head: Head, block_time_s: float) -> Landing:
    """The block after `head`, on time. A part of a second is dropped: blocks closer than that share a timestamp."""
    return Landing(head.number + 1, head.timestamp_s + int(block_time_s), next_base_fee(head))
