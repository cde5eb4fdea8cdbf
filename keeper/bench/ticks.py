"""Measures of the tick: new factor values in, the exact change of the set of accounts worth liquidating out, against the fastest full pass.

A full pass answers less: the signs of the lower bounds. A tick says who entered and who left. Where re-centring is on, it runs as in the
daemon: in a thread beside the ticks, and taking over what it made is part of the tick that does it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from time import sleep

import numpy as np
from numpy.typing import NDArray

from keeper.bench import rows
from keeper.bench.bed import Bed
from keeper.bench.measure import WARM_UP, Measure, Trial
from keeper.bench.paths import crash, hostile, jump, walk
from keeper.bench.reserves import BASE_UNIT
from keeper.risk.engine import Engine, Recentring
from keeper.risk.factors import Floats
from keeper.types import Factor, Quote

FLOOR: Factor = (rows.NAME, "least debt")
LEAST_DEBT = 20.0 * BASE_UNIT
"""Twenty dollars: what could just earn its gas."""

WALK, CRASH, FEW = 2000, 500, 12
PACE_S = 0.05
"""Between the ticks of a crash: five for each of the quarters of a second in which the fastest chains make a block."""

WAIT_S = 1e-4


class Loaded:
    """An engine with the bed's rows, certified."""

    def __init__(self, bed: Bed) -> None:
        self.engine = Engine(lambda factor: None if factor == FLOOR else rows.family(factor))
        self.engine.fill(bed.rows, FLOOR)
        factors = self.engine.factors
        self._columns = np.array([factors.column(name) for name in rows.FACTORS])
        factors.scale[self._columns] = rows.scales()
        self.engine.set([(FLOOR, Quote(LEAST_DEBT))])
        self.at(bed.values)
        self.engine.tick(certain)
        self.engine.recentre()

    def at(self, values: Floats) -> None:
        self.engine.factors.value[self._columns] = values
        self.engine.factors.width[self._columns] = values * rows.WIDTH
        self.engine.factors.slack[self._columns] = values * rows.UNITS

    def tick(self, values: Floats) -> None:
        self.at(values)
        self.engine.tick(certain)


def certain(found: NDArray[np.int32]) -> NDArray[np.bool_]:
    """The integers of a synthetic book: whom the bounds leave open counts as liquidatable."""
    return np.ones(len(found), np.bool_)


class Beside:
    """Certificates in a thread, ordered between ticks and taken over by the tick after they are done."""

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor) -> None:
        self._engine, self._pool = engine, pool
        self._making: Future[Recentring] | None = None

    def take_over(self) -> None:
        if self._making is not None and self._making.done():
            self._engine.adopt(self._making.result())
            self._making = None

    def _give_way(self) -> None:
        while self._engine.ticking:
            sleep(WAIT_S)

    def order(self) -> None:
        if self._making is None and (work := self._engine.work()):
            self._making = self._pool.submit(work.run, self._give_way)


async def _beside(bed: Bed, path: Floats, pace_s: float) -> Trial:
    """Ticks along a path, one after another, re-centring on."""
    pool = await bed.enter(_thread())
    loaded, full = Loaded(bed), bed.full_pass
    recentring = Beside(loaded.engine, pool)

    def tick(round_: int) -> None:
        recentring.take_over()
        loaded.tick(path[round_])

    def between(round_: int) -> None:
        recentring.order()
        if pace_s:
            sleep(pace_s)

    return Trial(tick, lambda round_: full(path[round_]), before=between, every=20, named=full.name)


@asynccontextmanager
async def _thread() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def _alone(bed: Bed, path: Floats) -> Trial:
    """The second tick of each pair, from certificates made at the first; which is looked at once more, as ticks do all the time."""
    loaded, full = Loaded(bed), bed.full_pass

    def start(round_: int) -> None:
        loaded.tick(path[0])
        loaded.engine.recentre()
        loaded.tick(path[0])

    return Trial(lambda round_: loaded.tick(path[1]), lambda round_: full(path[1]), before=start, named=full.name)


async def _walk(bed: Bed) -> Trial:
    return await _beside(bed, rows.values(walk(bed.rng(), WALK + WARM_UP)), 0.0)


async def _crash(bed: Bed) -> Trial:
    path = rows.values(crash(bed.rng(), CRASH))
    return await _beside(bed, np.concatenate((np.repeat(path[:1], WARM_UP, axis=0), path)), PACE_S)


async def _jump(bed: Bed) -> Trial:
    return await _alone(bed, rows.values(jump(bed.rng(), 2, at=1)))


async def _hostile(bed: Bed) -> Trial:
    return await _alone(bed, rows.values(hostile(bed.rng(), 2)))


MEASURES = (
    Measure("tick-walk", "a tick within ±1 %, one upon the other, re-centring on", "full pass", _walk, rounds=WALK, budget_s=60.0),
    Measure("tick-crash", "a tick of a crash of 40 % in 500, twenty a second, re-centring on", "full pass", _crash, CRASH, 60.0),
    Measure("tick-jump", "the tick that takes 10 % off the most held price", "full pass", _jump, FEW, 30.0),
    Measure("tick-hostile", "the tick that multiplies a price hardly anybody holds by 1000", "full pass", _hostile, FEW, 30.0),
)
