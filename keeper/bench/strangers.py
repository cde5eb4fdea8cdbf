"""Measures of a place where anyone may open markets: what ten thousand hostile ones, each refused by rule, cost the keeper.

They were opened and used before; in every round their oracles say something else, and nobody asks them. What is timed is the work on a head
that needs no node and looks for no deal: what to read there, the prices that moved, the rows, and the tick.
"""

from __future__ import annotations

import numpy as np

from keeper.bench.bed import Bed
from keeper.bench.cells import asset
from keeper.bench.events import Events
from keeper.bench.market import CELLS, LANDING, MARKET, TIP_WEI, fill, head
from keeper.bench.measure import WARM_UP, Measure, Trial
from keeper.bench.paths import walk
from keeper.bench.population import Population
from keeper.bench.reserves import BASE_UNIT, RESERVES
from keeper.book.book import Book, followed, unfollowed
from keeper.risk.watch import Watch
from keeper.testing.strangers import anyones, looked_at, opened, used
from keeper.types import Block, Head, Log, Write

HOSTILE = 10_000
OPENED_AT_ONCE = 400
"""As many as one block has gas for."""

ROUNDS, EVENT_ROUNDS = 1000, 300
PER_BLOCK = 64
START = np.array([reserve.price_usd for reserve in RESERVES]) * BASE_UNIT


class Beside:
    """A book of everybody, and a place where anyone may open markets; `hostile` of them have been."""

    def __init__(self, population: Population, hostile: int) -> None:
        self.anyones = anyones()
        self.book = Book([MARKET, self.anyones])
        fill(population)(self.book.tables)
        self.book.start(head(0), (), followed(unfollowed(self.book.sources, self.book.tables)))
        for _ in ("who speaks for a feed", "what it says"):
            looked_at(self.book, self.anyones)
        for first in range(0, hostile, OPENED_AT_ONCE):
            self.meet(first, min(OPENED_AT_ONCE, hostile - first))
        self.watch = Watch([MARKET, self.anyones], asset(0), TIP_WEI)
        self.watch.rebuild(self.book.tables)
        self.rest()

    def meet(self, first: int, count: int) -> None:
        """A block in which so many are opened and used, and what is done about it."""
        at = self._next()
        new = range(first, first + count)
        self.take([*(opened(number, at) for number in new), *(log for number in new for log in used(number, at))])
        looked_at(self.book, self.anyones)

    def take(self, logs: list[Log]) -> list[Write]:
        return self.book.commit(self.book.stage(Block(self._next(), tuple(logs))))

    def forget(self) -> None:
        """Undo the newest block."""
        self.book.undo(self.book.journal[-1].head)

    def rest(self) -> None:
        """As between two heads."""
        self.watch.tick(self.book.tables, LANDING)
        while work := self.watch.work():
            self.watch.adopt(work.run())

    def head(self, prices: list[int]) -> None:
        """All about a head whose oracles say these prices."""
        tables = self.book.tables
        self.take([])
        looked_at(self.book, self.anyones)
        said: list[Write] = [(CELLS.asset, (asset(number), "price"), price) for number, price in enumerate(prices)]
        self.watch.update(self.book.amend(said), tables)
        self.watch.tick(tables, LANDING)

    def _next(self) -> Head:
        newest = self.book.head
        return head(newest.number + 1 if newest else 0)


async def _tick(bed: Bed) -> Trial:
    bed.tell(f"{HOSTILE:,} hostile markets, opened and used")
    alone, beside = (Beside(bed.population, hostile) for hostile in (0, HOSTILE))
    path = np.rint(walk(bed.rng(), ROUNDS + WARM_UP) * START).astype(np.int64).tolist()

    def rest(round_: int) -> None:
        alone.rest()
        beside.rest()

    return Trial(lambda round_: beside.head(path[round_]), lambda round_: alone.head(path[round_]), before=rest)


async def _event(bed: Bed) -> Trial:
    """Blocks of events in hostile markets, beside blocks of as many in accounts that are followed."""
    beside, events, rng = Beside(bed.population, HOSTILE), Events(bed.population, bed.rng()), bed.rng()
    theirs: list[Log] = []
    ours: list[Log] = []

    def draw(round_: int) -> None:
        markets = rng.integers(HOSTILE, size=PER_BLOCK).tolist()
        theirs[:] = [log for number in markets for log in used(number, head(0), owner=number)][:PER_BLOCK]
        ours[:] = events.block().logs
        beside.rest()

    def follow(logs: list[Log]) -> None:
        beside.watch.update(beside.take(logs), beside.book.tables)
        beside.book.undo(beside.book.journal[-1].head)

    return Trial(lambda round_: follow(theirs), lambda round_: follow(ours), units=PER_BLOCK, before=draw)


async def _opening(bed: Bed) -> Trial:
    """The ten thousand and first is refused as fast as the first."""
    first, later = Beside(bed.population, 0), Beside(bed.population, HOSTILE)

    def meet(beside: Beside, behind: int) -> None:
        beside.meet(behind, PER_BLOCK)
        beside.forget()

    return Trial(lambda round_: meet(later, HOSTILE), lambda round_: meet(first, 0), units=PER_BLOCK)


MEASURES = (
    Measure("tick-strangers", "all about a head beside 10,000 hostile markets that the rule refused", "without them", _tick, ROUNDS, 20.0),
    Measure("event-strangers", "one event of a hostile market that was refused", "one event of an account", _event, EVENT_ROUNDS, 10.0),
    Measure(
        "refuse-stranger",
        "one hostile market from its opening, asked and forgotten, after 10,000",
        "the first",
        _opening,
        EVENT_ROUNDS,
        10.0,
    ),
)
