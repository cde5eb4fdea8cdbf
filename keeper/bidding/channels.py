"""Where a bid is made, what it buys there, and what losing costs. Pure."""

from __future__ import annotations

from enum import StrEnum

LOST_GAS = 70_000
"""A run of the executor that comes too late leaves at its guard: intrinsic cost, calldata and one question."""


class Channel(StrEnum):
    TIP = "tip"  # the public pool: the highest tip goes first, and who comes too late pays for the gas of finding out
    BUILDER = "builder"  # bundles: the highest payment goes first, and who loses pays nothing
    REFUND = "refund"  # an auction for the place right behind a transaction: the largest refund wins, and who loses pays nothing
    FIRST_COME = "first_come"  # what arrives first goes first, whatever it pays

    @property
    def pays(self) -> bool:
        """Whether more money buys a better place."""
        return self is not Channel.FIRST_COME

    @property
    def lost_gas(self) -> int:
        """Gas that a lost race is charged for, at the price that was bid."""
        return 0 if self in {Channel.BUILDER, Channel.REFUND} else LOST_GAS
