"""Measures of the full pass: what it gains over the textbook's, and what numba, where it is installed, would gain over it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keeper.bench.bed import Bed
from keeper.bench.measure import Measure, Trial
from keeper.bench.paths import walk
from keeper.bench.rows import values
from keeper.types import RowBlock

Floats = NDArray[np.float64]
TICKS = 64


def ticks(bed: Bed) -> Floats:
    """Values of all factors, one row a tick, for passes that should not see the same values twice in a row."""
    return values(walk(bed.rng(), TICKS))


async def _full_pass(bed: Bed) -> Trial:
    fast, slow, path = bed.full_pass, textbook(bed.rows), ticks(bed)
    return Trial(lambda round_: fast(path[round_ % TICKS]), lambda round_: slow(path[round_ % TICKS]))


async def _with_numba(bed: Bed) -> Trial:
    compiled, fast, path = numba_pass(bed.rows), bed.full_pass, ticks(bed)
    return Trial(lambda round_: compiled(path[round_ % TICKS]), lambda round_: fast(path[round_ % TICKS]), named=fast.name)


def textbook(block: RowBlock) -> Callable[[Floats], NDArray[np.bool_]]:
    """As one would write it first."""

    def look(at: Floats) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = block.constant + (block.weight * at[block.column]).sum(axis=1) < 0.0
        return found

    return look


def numba_pass(block: RowBlock) -> Callable[[Floats], NDArray[np.bool_]]:
    """One compiled loop over the rows, one thread. Needs numba, which the keeper does not."""
    numba: Any = importlib.import_module("numba")
    column, weight, constant = block.column.astype(np.int32), block.weight, block.constant
    below = np.zeros(len(constant), np.bool_)

    @numba.njit(fastmath=False)  # type: ignore[untyped-decorator]
    def loop(at: Any, column: Any, weight: Any, constant: Any, below: Any) -> None:
        for row in range(len(constant)):
            surplus = constant[row]
            for place in range(weight.shape[1]):
                surplus += weight[row, place] * at[column[row, place]]
            below[row] = surplus < 0.0

    def look(at: Floats) -> NDArray[np.bool_]:
        loop(at, column, weight, constant, below)
        return below

    return look


MEASURES = (
    Measure("full-pass", "the sign of every row's surplus, the fastest way we found in numpy", "textbook numpy", _full_pass),
    *(
        (Measure("full-pass-numba", "the same, compiled by numba", "numpy full pass", _with_numba),)
        if find_spec("numba") is not None
        else ()
    ),
)
