"""The fastest look at every row that we can write in numpy: what the engine's ticks are compared with, so it had better be good.

What it answers is the sign of every row's surplus, as one array of booleans in its own order. What makes it fast: places along the first
axis, so that the sum runs over whole arrays; `take` into a buffer, unchecked (`clip`); rows in parts that stay in the cache; and rows by
the number of their places, so that nothing unused is looked at. Which of these pays depends on the size and the machine: they are tried.
Single precision is not among them: it could not tell which rows are safe.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keeper.types import RowBlock

Floats = NDArray[np.float64]
Part = tuple[NDArray[Any], Floats, Floats, Floats, Floats, NDArray[np.bool_]]
"""(columns [k, n], weights [k, n], constants [n]; buffers [k, n] and [n]; where its answers go)"""

WHOLE = 1 << 30
PARTS = (1 << 14, 1 << 16, WHOLE)
TRIES = 7


class FullPass:
    """Rows laid out for one way of looking at all of them. `order`: the row behind each answer."""

    def __init__(self, block: RowBlock, part: int, by_width: bool, index: type[np.signedinteger[Any]] = np.intp) -> None:
        size = f"parts of {part:,} rows" if part < WHOLE else "whole"
        self.name = f"numpy full pass ({size}{', by width' if by_width else ''}, {np.dtype(index).name} columns)"
        groups = list(_groups(block, by_width, part))
        self.order: NDArray[np.intp] = np.concatenate([rows for _, rows in groups]) if groups else np.zeros(0, np.intp)
        self.below: NDArray[np.bool_] = np.zeros(len(self.order), np.bool_)
        self._parts = _laid_out(block, groups, self.below, index)

    def __call__(self, values: Floats) -> NDArray[np.bool_]:
        """Which rows, in `order`, may have a surplus below zero at these values of all factors."""
        for column, weight, constant, gathered, surplus, below in self._parts:
            np.take(values, column, out=gathered, mode="clip")
            np.einsum("ji,ji->i", weight, gathered, out=surplus)
            np.add(surplus, constant, out=surplus)
            np.less(surplus, 0.0, out=below)
        return self.below

    def negative(self, values: Floats) -> NDArray[np.intp]:
        """The rows themselves, ascending."""
        return np.sort(self.order[self(values)])


def _groups(block: RowBlock, by_width: bool, part: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """(places to look at, rows): those used come first in every row."""
    used = np.max(np.where(block.weight != 0.0, np.arange(1, block.weight.shape[1] + 1), 0), axis=1, initial=0)
    width = used if by_width else np.full(len(used), block.weight.shape[1])
    for places in np.unique(width):
        rows = np.flatnonzero(width == places)
        for start in range(0, len(rows), part):
            yield int(places), rows[start : start + part]


def _laid_out(
    block: RowBlock, groups: list[tuple[int, NDArray[np.intp]]], below: NDArray[np.bool_], index: type[np.signedinteger[Any]]
) -> list[Part]:
    """Parts of one shape share their buffers, which so stay in the cache."""
    buffers: dict[tuple[int, int], tuple[Floats, Floats]] = {}
    parts: list[Part] = []
    done = 0
    for places, rows in groups:
        column = np.ascontiguousarray(block.column[rows, :places].T.astype(index))
        weight = np.ascontiguousarray(block.weight[rows, :places].T)
        gathered, surplus = buffers.setdefault(weight.shape, (np.empty(weight.shape), np.empty(len(rows))))
        parts.append((column, weight, block.constant[rows], gathered, surplus, below[done : done + len(rows)]))
        done += len(rows)
    return parts


def candidates(block: RowBlock) -> Iterator[FullPass]:
    """All ways worth trying at this size."""
    sizes = [part for part in PARTS if part == WHOLE or part < len(block.slot)]
    for part in sizes:
        for by_width in (True, False):
            yield FullPass(block, part, by_width)
    yield FullPass(block, sizes[0], True, np.int32)


def fastest(block: RowBlock, values: Floats) -> FullPass:
    """The best by its median. One that is not the best so far is let go before the next is laid out."""
    best, least_ns = None, float("inf")
    for candidate in candidates(block):
        taken_ns = _median_ns(candidate, values)
        if best is None or taken_ns < least_ns:
            best, least_ns = candidate, taken_ns
    if best is None:
        raise ValueError("there must be a way to look at rows, was none")
    return best


def _median_ns(candidate: FullPass, values: Floats) -> float:
    spent = []
    for _ in range(TRIES):
        start = perf_counter_ns()
        candidate(values)
        spent.append(perf_counter_ns() - start)
    return float(np.median(spent))
