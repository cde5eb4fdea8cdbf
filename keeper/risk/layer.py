"""Certificates as sorted lists: a tick looks at the beginning of the lists of what moved, and at nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keeper.risk.factors import Floats
from keeper.risk.yardstick import Yardstick

Rows = NDArray[np.int32]

TOWARDS_LOOK = 1.0 - 1e-6
"""Distances are kept in single precision, after this."""

FARTHEST = 1e30
"""Fits single precision."""


class Layer:
    """Certificates of one kind: for each list the rows by distance, and how far it has been looked through."""

    def __init__(self, yardstick: Yardstick, lists: NDArray[np.int32], distance: Floats, row: Rows) -> None:
        count = yardstick.lists
        self._yardstick = yardstick
        self.row, self.distance, starts = _sorted(lists, distance, row, count)
        self._at: list[int] = starts[:-1].tolist()
        self._end: list[int] = starts[1:].tolist()
        self._left = starts[:-1] < starts[1:]
        self._next = np.full(count, np.inf)
        self._next[self._left] = self.distance[starts[:-1][self._left]]

    def __len__(self) -> int:
        return len(self.row)

    def sweep(self, value: Floats, width: Floats) -> list[Rows]:
        """The rows whose certificates these factor values have used up since the last look. A move that is not a number uses up all."""
        moves = self._yardstick.moves(value, width)
        return [self._advance(int(found), moves[found]) for found in np.flatnonzero(~(moves < self._next) & self._left)]

    def _advance(self, found: int, move: np.float64) -> Rows:
        at, end = self._at[found], self._end[found]
        reached = np.searchsorted(self.distance[at:end], np.float32(np.minimum(move, FARTHEST)), side="right")
        stop = max(at + int(reached), at + 1)  # it is here because of the first
        self._at[found] = stop
        self._left[found] = stop < end
        self._next[found] = self.distance[stop] if stop < end else np.inf
        return self.row[at:stop]


def _sorted(lists: NDArray[np.int32], distance: Floats, row: Rows, count: int) -> tuple[Rows, NDArray[np.float32], NDArray[np.intp]]:
    """Entries by list and distance: by distance first, for the second sort is stable and, on 16 bits, linear."""
    near = np.minimum(distance * TOWARDS_LOOK, FARTHEST).astype(np.float32)
    order = np.argsort(near)
    narrow = lists.astype(np.int16) if count < 2**15 else lists
    order = order[np.argsort(narrow[order], kind="stable")]
    starts = np.zeros(count + 1, np.intp)
    np.cumsum(np.bincount(lists, minlength=count), out=starts[1:])
    return row[order], near[order], starts
