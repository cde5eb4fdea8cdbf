"""Rows of one width as arrays: all of a shelf's, and a packed copy of those that every tick evaluates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keeper.risk.certificate import Exposure, owed, spread, weighted
from keeper.risk.factors import Factors, Floats
from keeper.risk.layer import Rows

Bools = NDArray[np.bool_]
Places = NDArray[np.intp]
Decide = Callable[[Rows], Bools]
"""The contract's own integers: which of these rows are liquidatable."""

CACHED = 1 << 19
"""Places evaluated at a time."""

GROWTH = 16
"""Room for one in so many more rows."""

ROOM = 1 << 14
"""Places there is room for from the start."""

_ARRAYS = ("row", "column", "weight", "constant", "slack", "floor")


class Block:
    """`count` rows: int32 numbers, intp[W, n] columns, float64[W, n] weights, float64 constants and slacks, int32 columns of floors.

    Places along the first axis: sums run over whole arrays."""

    def __init__(self, width: int) -> None:
        self.width, self.count = width, 0
        self.row: Rows = np.zeros(0, np.int32)
        self.column: NDArray[np.intp] = np.zeros((width, 0), np.intp)
        self.weight: Floats = np.zeros((width, 0))
        self.constant: Floats = np.zeros(0)
        self.slack: Floats = np.zeros(0)
        self.floor: NDArray[np.int32] = np.zeros(0, np.int32)
        self._gathered, self._low = np.zeros(0), np.zeros(0)
        self.reserve(max(ROOM // width, 64))

    @property
    def rows(self) -> Rows:
        return self.row[: self.count]

    # --- changes

    def reserve(self, size: int) -> None:
        """Room for so many rows."""
        more = size - len(self.row)
        if more > 0:
            for name in _ARRAYS:
                old = getattr(self, name)
                setattr(self, name, np.concatenate((old, np.zeros((*old.shape[:-1], more), old.dtype)), axis=-1))
            self._single = self._one_by_one()

    def _one_by_one(self) -> tuple[Any, ...]:
        """The arrays but the first, for single numbers: numpy takes three times as long to set one."""
        return tuple(getattr(self, name).data for name in _ARRAYS[1:])

    def set(self, at: int, columns: Sequence[int], weights: Sequence[float], constant: float, slack: float, floor: int) -> None:
        """One row, in its place."""
        column, weight, constants, slacks, floors = self._single
        place = 0
        for name, amount in zip(columns, weights, strict=True):
            column[place, at], weight[place, at] = name, amount
            place += 1
        for unused in range(place, self.width):
            column[unused, at], weight[unused, at] = 0, 0.0
        constants[at], slacks[at], floors[at] = constant, slack, floor

    def replace(self, at: NDArray[np.int32] | Places, rows: Exposure) -> None:
        """These rows in these places."""
        for name in _ARRAYS:
            getattr(self, name)[..., at] = getattr(rows, name)

    def append(self, rows: Exposure) -> int:
        """Add rows at the end; returns the place of the first."""
        start, stop = self.count, self.count + len(rows)
        if stop > len(self.row):
            self.reserve(stop + stop // 2)
        for name in _ARRAYS:
            getattr(self, name)[..., start:stop] = getattr(rows, name)
        self.count = stop
        return start

    def keep(self, at: Places) -> None:
        """Only the rows in these places, ascending."""
        for name in _ARRAYS:
            array = getattr(self, name)
            array[..., : len(at)] = array.take(at, -1)
        self.count = len(at)

    def snapshot(self) -> Block:
        """The same rows, as many as there are now, in the same memory: growing makes new arrays."""
        found = copy(self)
        found._gathered, found._low = np.zeros(0), np.zeros(0)
        return found

    def sorted(self, order: Places) -> Block:
        """A copy in which the rows of these places lie in this order."""
        found = Block(self.width)
        found.reserve(len(order) + len(order) // GROWTH)
        for start in range(0, len(order), CACHED):
            found.append(self.take(order[start : start + CACHED]))
        return found

    def take(self, at: NDArray[np.int32] | Places) -> Exposure:
        """A copy of the rows in these places."""
        return Exposure(*(getattr(self, name).take(at, -1) for name in _ARRAYS))

    # --- looking

    def runs(self) -> Iterator[tuple[int, int]]:
        """All rows, in parts that stay in the cache."""
        step = max(CACHED // self.width, 1)
        return ((start, min(start + step, self.count)) for start in range(0, self.count, step))

    def bounds(self, start: int, stop: int, value: Floats) -> Floats:
        """The lower bounds of a run of rows; gone at the next call."""
        size = self.width * (stop - start)
        if len(self._gathered) < size:  # kept: new memory costs more than the sums
            self._gathered, self._low = np.empty(size), np.empty(stop - start)
        gathered, low = self._gathered[:size].reshape(self.width, -1), self._low[: stop - start]
        value.take(self.column[:, start:stop], out=gathered, mode="clip")
        np.einsum("ji,ji->i", self.weight[:, start:stop], gathered, out=low)
        np.add(low, self.constant[start:stop], out=low)
        return low

    def matters(self, at: Places, low: Floats, now: Factors, decide: Decide) -> Bools:
        """Of the rows in these places, which have lower bounds below zero: are they liquidatable, and do they owe enough to pay?"""
        weight, column = self.weight.take(at, 1), self.column.take(at, 1)
        found: Bools = ~(owed(weight, now.value, column) < now.value.take(self.floor.take(at)))
        paying = np.flatnonzero(found)
        if len(paying) < len(at):
            at, low, weight, column = at.take(paying), low.take(paying), weight.take(paying, 1), column.take(paying, 1)
        below = low + self.slack.take(at) + spread(weight, now, column) < 0.0
        open_ = np.flatnonzero(~below)
        if len(open_):
            below[open_] = decide(self.row.take(at.take(open_)))
        found[paying] = below
        return found

    def nearest(self, value: Floats, scale: Floats, count: int) -> tuple[Rows, Floats]:
        """The rows that owe what pays and are least far, in scales of their factors, from being liquidatable. And how far."""
        far = np.concatenate([np.zeros(0), *(self.distances(start, stop, value, scale) for start, stop in self.runs())])
        near = np.argpartition(far, min(count, len(far) - 1))[:count]
        near = near[np.isfinite(far[near])]
        return self.row.take(near), far[near]

    def due(self, now: Floats, then: Floats) -> Rows:
        """The rows that may be liquidatable at other values of the factors, though they are not now, and owe what pays."""
        return np.concatenate([np.zeros(0, np.int32), *(self._due(start, stop, now, then) for start, stop in self.runs())])

    def _due(self, start: int, stop: int, now: Floats, then: Floats) -> Rows:
        found = self.bounds(start, stop, now) > 0.0
        found &= self.bounds(start, stop, then) < 0.0
        weight, column, floor = self.weight[:, start:stop], self.column[:, start:stop], self.floor[start:stop]
        found &= ~(owed(weight, then, column) < then.take(floor, mode="clip"))
        return self.row[start:stop][found]

    def distances(self, start: int, stop: int, value: Floats, scale: Floats) -> Floats:
        """How many scales of their factors a run of rows is from being liquidatable; infinite for those that are, or do not pay."""
        low = self.bounds(start, stop, value)
        weight, column = self.weight[:, start:stop], self.column[:, start:stop]
        with np.errstate(divide="ignore", invalid="ignore"):
            far: Floats = low / weighted(np.abs(weight), scale, column)
        floor = value.take(self.floor[start:stop], mode="clip")
        far[~(low > 0.0) | ~np.isfinite(far) | (owed(weight, value, column) < floor)] = np.inf
        return far
