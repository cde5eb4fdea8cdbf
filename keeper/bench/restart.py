"""Measures of a restart: from the files of a book that was left to everybody's rows certified, ready for the first tick.

The files are real and were read before: what is timed is the keeper, not the disk. Each restart runs in a thread with a loop of its own, as
a measure's calls are plain calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from keeper.bench.bed import Bed
from keeper.bench.market import MARKET, certified, fill, head, watched
from keeper.bench.measure import LEAST_ROUNDS, Measure, Trial
from keeper.bench.population import Population
from keeper.book.state import Tables
from keeper.book.store import BookStore
from keeper.risk.watch import Watch
from keeper.types import Address, Row

CHAIN_ID = 31_337
PLAIN_MOST = 100_000
"""Accounts up to which the baseline is waited for."""


class Restart:
    """A book's file. `columned`: kept and read as columns; otherwise a row in the database a cell."""

    def __init__(self, path: Path, columned: bool) -> None:
        self._path, self._columned = path, columned

    def tables(self) -> Tables:
        return Tables({MARKET.name: MARKET.columns} if self._columned else {})

    async def save(self, population: Population) -> None:
        store = await BookStore.open(self._path, CHAIN_ID)
        tables = self.tables()
        await store.load(tables)
        filled = tables if self._columned else Tables({MARKET.name: MARKET.columns})
        fill(population)(filled)
        cells = filled.cells_apart() if self._columned else filled.cells()
        await store.save_backfill(cells, {MARKET.name: (0, head(0).hash)}, head(0), whole=self._columned)
        await store.close()

    async def load(self) -> Tables:
        tables = self.tables()
        store = await BookStore.open(self._path, CHAIN_ID)
        await store.load(tables)
        await store.close()
        return tables

    def ready(self, round_: int = 0) -> Watch:
        """The restart itself."""
        tables = asyncio.run(self.load())
        return certified(watched(tables), tables)

    def ready_plainly(self, round_: int = 0) -> dict[Address, Sequence[Row]]:
        """Every cell by itself, and every row."""
        tables = asyncio.run(self.load())
        return {account: MARKET.rows(tables, account) for account in MARKET.accounts(tables)}


async def _restart(bed: Bed) -> Trial:
    pool, folder = await bed.enter(_thread()), await bed.enter(_folder())
    ours, theirs = Restart(folder / "book.sqlite", columned=True), Restart(folder / "plain.sqlite", columned=False)
    await ours.save(bed.population)
    compared = bed.accounts <= PLAIN_MOST
    if compared:
        await theirs.save(bed.population)
    return Trial(
        lambda round_: pool.submit(ours.ready).result(),
        (lambda round_: pool.submit(theirs.ready_plainly).result()) if compared else None,
        every=LEAST_ROUNDS,
    )


@asynccontextmanager
async def _thread() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@asynccontextmanager
async def _folder() -> AsyncIterator[Path]:
    with TemporaryDirectory(prefix="keeper-bench-") as name:
        yield Path(name)


MEASURES = (
    Measure(
        "restart",
        "from the book's files to certified rows, ready for a tick",
        "a database row for each cell, a Row object for each account",
        _restart,
        rounds=LEAST_ROUNDS,
        budget_s=20.0,
    ),
)
