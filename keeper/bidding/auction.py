"""When to take a lot whose price falls by the clock: the buyer's timing problem. Pure.

Waiting a block makes a lot cheaper and may lose it. So the first block is right where what it leaves after price and costs reaches the
margin at which rivals, as far as they were seen, would not yet have taken it: the margin times the chance to still be there is greatest.
Amounts are in wei; a margin is a share of the price in basis points.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from keeper.fixedpoint import BPS

PRIOR_BPS = (20, 50, 100, 200)
"""What rivals are believed to wait for before any was seen; each counts as one purchase seen."""

REMEMBERED = 200
ABOVE_BPS = 10_000
"""A purchase at more than this tells of a buyer who came late, not of one who waited."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A lot in the block a purchase would land in. `auction`: market and account; `lot`: collateral, in its smallest unit; `price_wei`:
    asked for it; `value_wei`: what it sells for; `cost_wei`: gas and fees."""

    auction: str
    timestamp_s: int
    lot: int
    price_wei: int
    value_wei: int
    cost_wei: int

    @property
    def margin_bps(self) -> int:
        """What is left after price and costs, rounded down."""
        return (self.value_wei - self.price_wei - self.cost_wei) * BPS // self.price_wei if self.price_wei else 0


@dataclass(frozen=True, slots=True)
class Decision:
    """`most_wei`: the highest price at which to take the lot; `by`: whose word that is."""

    take: bool
    most_wei: int
    by: str


class AuctionModel(Protocol):
    def decide(self, standing: Standing) -> Decision: ...


class RivalMargins:
    """The in-process model: learns at which margins others buy. Newer purchases push out older ones."""

    def __init__(self, seen_bps: Iterable[int] = ()) -> None:
        self._seen: deque[int] = deque(maxlen=REMEMBERED)
        for margin_bps in seen_bps:
            self.observe(margin_bps)

    def observe(self, margin_bps: int) -> None:
        """A rival bought at this margin: by our own reckoning of its exit, so it may be negative."""
        if margin_bps <= ABOVE_BPS:
            self._seen.append(max(margin_bps, 0))

    @property
    def seen_bps(self) -> tuple[int, ...]:
        """The oldest first."""
        return tuple(self._seen)

    def least_margin_bps(self) -> int:
        """The margin that is worth the most: a basis point before some rival, weighed by how many wait at least as long."""
        seen = sorted((*self._seen, *PRIOR_BPS))
        asked = sorted({max(margin_bps - 1, 0) for margin_bps in seen})
        return max(asked, key=lambda margin_bps: margin_bps * (len(seen) - bisect_left(seen, margin_bps + 1)))

    def decide(self, standing: Standing) -> Decision:
        most_wei = most_for(standing, self.least_margin_bps())
        return Decision(standing.price_wei <= most_wei, most_wei, "margin of rivals")


def most_for(standing: Standing, margin_bps: int) -> int:
    """The highest price that leaves this margin, rounded down; 0 where nothing does."""
    return max((standing.value_wei - standing.cost_wei) * BPS // (BPS + margin_bps), 0)
