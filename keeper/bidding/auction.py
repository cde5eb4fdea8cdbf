"""When to take a lot whose price falls by the clock: the buyer's timing problem. Pure.

Waiting a block makes a lot cheaper and may lose it. Blocks are steps: from one to the next its margin, what it leaves after price and
costs, grows by so much, and a rival who waits for one in between takes the lot in the block that reaches it. So the first block is right
that promises more than any later one: its margin times the chance that no rival, as far as they were seen, was content with less. Who is
content just now comes in the same block as we do, and wins half of the time.

Rivals come and go: each later purchase takes some of the weight of what was seen, whoever made it. Where only we buy, who was there once
is forgotten.

Amounts are in wei; a margin is a share of the price in basis points.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from keeper.fixedpoint import BPS

PRIOR_BPS = (20, 50, 100, 200)
"""What rivals are believed to wait for; each counts as one purchase just seen,"""

ENOUGH = 20
"""while those that were do not weigh as much as so many."""

HALF_LIFE = 50
"""After so many purchases one weighs half."""

REMEMBERED = 8 * HALF_LIFE
ABOVE_BPS = 10_000
"""A purchase at more than this tells of a buyer who came late, not of one who waited."""

LOTS_REMEMBERED = 4096

ONE = 2**20
WEIGHTS = tuple(round(ONE * 0.5 ** (age / HALF_LIFE)) for age in range(REMEMBERED))
"""By how many purchases there were since."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A lot in the block a purchase would land in. `lot`: collateral, in its smallest unit; `price_wei`: asked for it; `value_wei`: what it
    sells for; `cost_wei`: gas and fees; `gain_wei`: how much more a purchase leaves a block later."""

    market: str
    account: str
    timestamp_s: int
    lot: int
    price_wei: int
    value_wei: int
    cost_wei: int
    gain_wei: int

    @property
    def margin_bps(self) -> int:
        """What is left after price and costs, rounded down."""
        return self._bps(self.value_wei - self.price_wei - self.cost_wei)

    @property
    def step_bps(self) -> int:
        """What a block adds to the margin, and at least one while it adds anything: how many blocks it takes does not matter. 0: waiting
        gains nothing."""
        return max(self._bps(self.gain_wei), 1) if self.gain_wei > 0 else 0

    def _bps(self, amount_wei: int) -> int:
        return amount_wei * BPS // max(self.price_wei, 1)


@dataclass(frozen=True, slots=True)
class Decision:
    """`most_wei`: the highest price at which to take the lot; `by`: whose word that is."""

    take: bool
    most_wei: int
    by: str


class AuctionModel(Protocol):
    def decide(self, standing: Standing) -> Decision: ...


class RivalMargins:
    """At which margins others buy in one market. Newer purchases outweigh older ones."""

    def __init__(self, seen_bps: Iterable[int | None] = ()) -> None:
        self._seen: deque[int | None] = deque(maxlen=REMEMBERED)
        for margin_bps in seen_bps:
            self.pass_by() if margin_bps is None else self.observe(int(margin_bps))

    def observe(self, margin_bps: int) -> None:
        """A rival bought at this margin: by our own reckoning of its exit, so it may be negative."""
        if margin_bps <= ABOVE_BPS:
            self._seen.append(max(margin_bps, 0))

    def pass_by(self) -> None:
        """A lot that no rival bought."""
        if self._seen:
            self._seen.append(None)
        if not any(margin_bps is not None for margin_bps in self._seen):
            self._seen.clear()

    @property
    def seen_bps(self) -> tuple[int | None, ...]:
        """The oldest first; None for one of ours."""
        return tuple(self._seen)

    @property
    def believed(self) -> list[tuple[int, int]]:
        """(what rivals wait for, its weight), ascending."""
        found = [(bps, weight) for bps, weight in zip(reversed(self._seen), WEIGHTS, strict=False) if bps is not None]
        few = sum(weight for _, weight in found) < ENOUGH * ONE
        return sorted([*found, *((bps, ONE) for bps in PRIOR_BPS)] if few else found)

    def aim_bps(self, before_bps: int, now_bps: int, step_bps: int) -> int:
        """The margin of the block that promises most: this one's, or that of a later one, as far as one can see. `before_bps`: the last
        margin at which nobody took the lot: who would have is not here."""
        believed = [(rival_bps, weight) for rival_bps, weight in self.believed if rival_bps > before_bps]
        rivals, weights = [rival_bps for rival_bps, _ in believed], [0, *accumulate(weight for _, weight in believed)]
        beyond = {-((now_bps - rival_bps) // step_bps) for rival_bps in rivals if rival_bps > now_bps} if step_bps else set()
        blocks = sorted({around for block in beyond for around in (block - 1, block) if around > 0})

        def promise(margin_bps: int, passed_bps: int) -> int:
            """Twice the margin times the weight of the rivals who leave the lot to us. They have had their chance at `passed_bps`."""
            content, gone = (weights[bisect_right(rivals, bps)] for bps in (margin_bps, passed_bps))
            return max(margin_bps, 0) * (2 * weights[-1] - content - gone)

        here = promise(now_bps, before_bps)
        later = [now_bps + step_bps * block for block in blocks]
        best_bps = max(later, key=lambda margin_bps: promise(margin_bps, margin_bps - step_bps), default=now_bps)
        return best_bps if promise(best_bps, best_bps - step_bps) > here else max(now_bps, 0)


class Rivals:
    """The in-process model: the rivals of every market. It remembers of each lot how far it had come when nobody took it."""

    def __init__(self) -> None:
        self._margins: dict[str, RivalMargins] = {}
        self._lots: dict[tuple[str, str], tuple[int, int, int]] = {}
        """(time, margin then, margin before)"""

    def of(self, market: str) -> RivalMargins:
        return self._margins.setdefault(market, RivalMargins())

    def saw(self, standing: Standing) -> None:
        """Somebody bought this lot: he waits for a margin between those of this block and the one before."""
        self.of(standing.market).observe(standing.margin_bps - standing.step_bps // 2)

    def passed_by(self, market: str) -> None:
        """We bought a lot ourselves."""
        self.of(market).pass_by()

    def state(self) -> dict[str, list[int | None]]:
        """What was seen, for `restore`."""
        return {market: list(margins.seen_bps) for market, margins in self._margins.items() if margins.seen_bps}

    def restore(self, state: Mapping[str, Iterable[int | None]]) -> None:
        """Raises TypeError, ValueError or AttributeError, and changes nothing, for anything that `state` has not made."""
        self._margins = {str(market): RivalMargins(seen) for market, seen in state.items()}

    def decide(self, standing: Standing) -> Decision:
        """Where waiting gains nothing, any profit will do."""
        aim_bps = self.of(standing.market).aim_bps(self._before(standing), standing.margin_bps, standing.step_bps)
        most_wei = most_for(standing, aim_bps)
        return Decision(standing.price_wei <= most_wei, most_wei, "margin of rivals")

    def _before(self, standing: Standing) -> int:
        """The margin it was left at last; of one that is new everybody may be about to take it."""
        lot = standing.market, standing.account
        at_s, margin_bps, before_bps = self._lots.pop(lot, (standing.timestamp_s, 0, -ABOVE_BPS))
        before_bps = before_bps if at_s == standing.timestamp_s else margin_bps
        if len(self._lots) >= LOTS_REMEMBERED:
            self._lots.pop(next(iter(self._lots)))
        self._lots[lot] = standing.timestamp_s, standing.margin_bps, before_bps
        return before_bps


def most_for(standing: Standing, margin_bps: int) -> int:
    """The highest price that leaves this margin, rounded down; 0 where nothing does."""
    return max((standing.value_wei - standing.cost_wei) * BPS // (BPS + margin_bps), 0)
