"""What to do about what we hold, block by block: trade it away, whole or in the slices that cost least; hold another market
against it; and undo that once it is gone. Pure: quotes are functions of size, and every decision says what it is worth.

Money has 18 decimals of the quote token. What holding costs is an estimate, so it is a float until it is money: `caution`
times the deviation of the value by the time it must be gone. Trading away at once costs more than in slices, as far as the
pool recovers in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from keeper.fixedpoint import BPS
from keeper.types import CLOSE, OPEN, Holding

SLICES = 8
"""A position is traded away whole or in so many eighths: more would save little, and every quote is a swap."""


class Mode(StrEnum):
    UNWIND = "unwind"
    HOLD = "hold"
    HEDGE = "hedge"


Cost = Callable[[int], int | None]
"""What trading that much (unsigned, of the base) loses against the mark, fee included; None: it cannot be done now."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`deadline_blocks`: what was taken is traded away or hedged by then; hedged, it is traded away by `hold_blocks`. Costs are
    shares of the value traded: up to `cost_cap_bps` for a hedge that is not urgent, `hard_cap_bps` in any case.

    The net of a position and its hedges may be anything up to `band_bps` of the position; beyond, it is brought back to
    `inner_bps`. A hedged position moves by `basis_bps` of what it would move alone. `recovers_bps`: of a pool's price impact,
    until the next block. `volatility`: of prices, a year."""

    mode: Mode = Mode.HOLD
    deadline_blocks: int = 3
    hold_blocks: int = 300
    caution: float = 1.0
    cost_cap_bps: int = 50
    hard_cap_bps: int = 300
    band_bps: int = 1500
    inner_bps: int = 500
    basis_bps: int = 5000
    recovers_bps: int = 5000
    volatility: float = 0.8

    def left(self, age_blocks: int, hedged: bool) -> int:
        """Blocks for which it may still be held; 0: now or never. So is the last block but one, for a transaction may fail."""
        most = self.hold_blocks if hedged else self.deadline_blocks if self.mode is not Mode.UNWIND else 0
        return max(most - 1 - age_blocks, 0)


@dataclass(frozen=True, slots=True)
class Position:
    """What is held of a market, with what there is to know of it. `deviation`: of its price in a block, relative;
    `age_blocks`: since it was taken; `unsafe`: a shock would leave too little margin."""

    held: Holding
    cost: Cost
    deviation: float
    age_blocks: int
    unsafe: bool = False


@dataclass(frozen=True, slots=True)
class Hedge:
    """Another market that moves along: `beta_bps` of the first per unit of its own. `cost`: of a signed size (negative: sold)."""

    held: Holding
    price_wad: int
    beta_bps: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class Decision:
    """`size`: as the `cover` of such a deal. `cost` is what it loses against the mark, `worth` what it is worth to have it done,
    beyond that cost. `urgent`: it is told of even when nothing can be done."""

    kind: str
    target: str
    size: int
    reason: str
    cost: int
    worth: int
    urgent: bool = False


# --- trading away -------------------------------------------------------------------------------------------------


def closing(policy: Policy, position: Position, hedged: bool) -> Decision | None:
    """The slice that, with what is left for later, costs least; when it is due or unsafe, as much as the hard cap allows. None: wait."""
    plan = _Closing(policy, position, hedged)
    best = plan.urgent() if plan.due else min(plan.slices(), key=plan.total, default=0)
    if not best:
        return None
    saved = plan.total(0) - plan.total(best)
    cap = _share(plan.value(best), policy.hard_cap_bps) - plan.impact(best)
    worth = max(saved, cap) if plan.due else saved
    return Decision(CLOSE, position.held.target, best, plan.reason, plan.impact(best), worth, plan.due) if worth > 0 else None


def stuck(policy: Policy, position: Position, hedged: bool) -> bool:
    """It is due, and nothing of it can be traded away within the hard cap."""
    plan = _Closing(policy, position, hedged)
    return plan.due and not plan.urgent()


class _Closing:
    """Of one position: what each slice comes to."""

    def __init__(self, policy: Policy, position: Position, hedged: bool) -> None:
        self._policy, self._position = policy, position
        self._size = abs(position.held.size)
        self._left = policy.left(position.age_blocks, hedged)
        self._moves = position.deviation * (policy.basis_bps / BPS if hedged else 1.0)
        self._costs: dict[int, int | None] = {0: 0}
        self.due = position.unsafe or not self._left
        self.reason = "stress" if position.unsafe else "deadline" if self.due else "risk"

    def slices(self) -> list[int]:
        """All sizes that can be traded now, nothing among them."""
        sizes = dict.fromkeys(self._size * part // SLICES for part in range(SLICES + 1))
        return [size for size in sizes if self._cost(size) is not None]

    def urgent(self) -> int:
        """The largest within the hard cap; 0 if none is."""
        allowed = (size for size in self.slices() if self.impact(size) <= _share(self.value(size), self._policy.hard_cap_bps))
        return max(allowed, default=0)

    def total(self, size: int) -> int:
        """Of trading `size` now and the rest later: both costs, and the risk until then."""
        rest, recovers = self._size - size, self._policy.recovers_bps
        flat = self.impact(self._size) - self.impact(size)
        later = (flat * (BPS - recovers) + self.impact(rest) * recovers) // BPS
        return self.impact(size) + later + self.risk(rest)

    def risk(self, size: int) -> int:
        return int(self._policy.caution * self._moves * math.sqrt(max(self._left, 1)) * self.value(size))

    def value(self, size: int) -> int:
        return abs(self._position.held.value) * size // self._size if self._size else 0

    def impact(self, size: int) -> int:
        """What it costs, or would if it could be done now."""
        cost = self._cost(size)
        return cost if cost is not None else max(self._position.held.gap, 0) * size // self._size

    def _cost(self, size: int) -> int | None:
        if size not in self._costs:
            self._costs[size] = self._position.cost(size)
        return self._costs[size]


# --- hedging ------------------------------------------------------------------------------------------------------


def net(value: int, hedges: Iterable[Hedge]) -> int:
    """A position's value with what its hedges move along, signed."""
    return value + sum(hedge.held.value * hedge.beta_bps // BPS for hedge in hedges)


def hedged(policy: Policy, held: Holding, hedges: Iterable[Hedge]) -> bool:
    """Something is held against it, and within the band."""
    against = list(hedges)
    inside = abs(net(held.value, against)) <= _share(abs(held.value), policy.band_bps)
    return inside and any(hedge.held.size for hedge in against)


def hedging(policy: Policy, position: Position, hedges: Iterable[Hedge]) -> Decision | None:
    """Back to the inner edge of the band, by the cheapest market within the cap. None: inside, or too dear."""
    against, value = list(hedges), position.held.value
    if abs(net(value, against)) <= _share(abs(value), policy.band_bps):
        return None
    due = not policy.left(position.age_blocks, hedged=False)
    found = (_towards(policy, position, against, hedge, due) for hedge in against)
    return max((made for made in found if made), key=lambda made: made.worth, default=None)


def _towards(policy: Policy, position: Position, against: list[Hedge], hedge: Hedge, due: bool) -> Decision | None:
    away = net(position.held.value, against)
    inner = _share(abs(position.held.value), policy.inner_bps)
    change = (abs(away) - inner) * BPS // hedge.beta_bps  # of the hedge's value
    size = change * 10**18 // hedge.price_wad * (-1 if away > 0 else 1)
    if not size:
        return None
    cost, cap = hedge.cost(size), _share(change, policy.hard_cap_bps if due else policy.cost_cap_bps)
    if cost is None or cost > cap:
        return None
    avoided = int(policy.caution * position.deviation * math.sqrt(policy.hold_blocks) * (abs(away) - inner))
    worth = (max(avoided, cap) if due else avoided) - cost
    kind, reason = _naming(hedge.held.size, size)
    return Decision(kind, hedge.held.target, abs(size) if kind == CLOSE else size, reason, cost, worth, due) if worth > 0 else None


def _naming(held: int, size: int) -> tuple[str, str]:
    """What only takes back is a close: all of it needs no margin of its own."""
    back = held * size < 0 and abs(size) <= abs(held)
    return (CLOSE, "unhedge") if back else (OPEN, "hedge")


def _share(value: int, bps: int) -> int:
    return value * bps // BPS
