"""Measures of memory: what a process of its own holds after it made something, less what it held before.

What can be held is named in `HOLDERS`: a function from the size and the seed to whatever is to stay. It runs as
`python -m keeper.bench.memory NAME ACCOUNTS SEED`, which prints the bytes before and after.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keeper.bench import rows
from keeper.bench.bed import Bed
from keeper.bench.cells import account_cells
from keeper.bench.market import CELLS, MARKET, certified, fill, reserves, watched
from keeper.bench.measure import Measure, Weighed
from keeper.bench.population import Spec, populate
from keeper.book.state import Tables
from keeper.errors import Halt
from keeper.types import Row

MB = 1e6
REPEATS = 3
SAMPLE = 20_000
"""Accounts as Python objects are made for so many at most, and counted for all."""

RESIDENT = Path("/proc/self/statm")
NO_HOARDING = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "PYTHONMALLOC": "pymalloc"}
"""Memory given back by Python goes back to the system, so that what is counted is what is held."""


def _rows(accounts: int, seed: int) -> object:
    return rows.block(populate(Spec(accounts, seed)))


def _objects(accounts: int, seed: int) -> object:
    """What one would write first: an object for each account, a dictionary of its weights."""
    block = rows.block(populate(Spec(accounts, seed)))
    return [
        Row({block.factors[column]: weight for column, weight in zip(columns, weights, strict=True) if weight}, constant)
        for columns, weights, constant in zip(block.column.tolist(), block.weight.tolist(), block.constant.tolist(), strict=True)
    ]


def _book(accounts: int, seed: int) -> object:
    """All that follows the accounts: cells as columns, compiled rows, certificates."""
    tables = Tables({MARKET.name: MARKET.columns})
    fill(populate(Spec(accounts, seed)))(tables)
    return tables, certified(watched(tables), tables)


def _plain(accounts: int, seed: int) -> object:
    """The same as one would write it first: dictionaries of integers, and row objects."""
    population = populate(Spec(accounts, seed))
    tables = Tables()
    tables.write((*reserves(), *account_cells(population, CELLS)))
    return tables, {account: MARKET.rows(tables, account) for account in MARKET.accounts(tables)}


HOLDERS: dict[str, Callable[[int, int], object]] = {"rows": _rows, "objects": _objects, "book": _book, "plain": _plain}


async def held_mb(holder: str, accounts: int, seed: int) -> float:
    """Megabytes that a fresh process holds for it."""
    before, after = await process_mb(holder, accounts, seed)
    return after - before


async def process_mb(holder: str, accounts: int, seed: int) -> tuple[float, float]:
    """Megabytes of a fresh process: before it made it, and while it holds it."""
    command = (sys.executable, "-m", "keeper.bench.memory", holder, str(accounts), str(seed))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env={**os.environ, **NO_HOARDING})
    output, _ = await process.communicate()
    if process.returncode:
        raise Halt(f"the process that was to hold {holder} of {accounts} accounts ended with status {process.returncode}")
    before, after = (int(figure) / MB for figure in output.split())
    return before, after


async def _resident(bed: Bed) -> Weighed:
    sample = min(bed.accounts, SAMPLE)
    ours = [await held_mb("rows", bed.accounts, bed.seed) for _ in range(REPEATS)]
    theirs = [await held_mb("objects", sample, bed.seed) * bed.accounts / sample for _ in range(REPEATS)]
    return Weighed(np.array(ours), np.array(theirs))


async def _process(bed: Bed) -> Weighed:
    """Ours with Python and its libraries; the baseline is what so many more accounts would add to a small process."""
    sample = min(bed.accounts, SAMPLE)
    ours = [(await process_mb("book", bed.accounts, bed.seed))[1] for _ in range(REPEATS)]
    theirs = [await held_mb("plain", sample, bed.seed) * bed.accounts / sample for _ in range(REPEATS)]
    return Weighed(np.array(ours), np.array(theirs))


def resident_bytes() -> int:
    """What this process has in memory; where the system does not say, the most it ever had."""
    if RESIDENT.exists():
        return int(RESIDENT.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(holder: str, accounts: int, seed: int) -> None:
    HOLDERS[holder](1000, seed)  # whatever is made once
    gc.collect()
    before = resident_bytes()
    held = HOLDERS[holder](accounts, seed)
    gc.collect()
    print(before, resident_bytes())
    del held


MEASURES = (
    Measure("resident-rows", "memory of the rows alone", "Python objects", _resident, least=10_000),
    Measure(
        "resident-book",
        "a whole process with the accounts' cells, rows and certificates",
        "dicts and Row objects alone",
        _process,
        least=10_000,
    ),
)

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
