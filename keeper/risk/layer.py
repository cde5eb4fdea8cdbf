"""Certificates as sorted lists: a tick looks at the beginning of the lists of what moved, and at nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keeper.risk.factors import Factors, Floats
from keeper.risk.yardstick import Yardstick

Rows = NDArray[np.int32]

TOWARDS_LOOK = 1.0 - 1e-6
"""Distances are kept after this: far more than measuring a move loses of it."""

FARTHEST = 1e5
"""In scales. Whatever moves further counts as having moved without end."""

APART = 1e6
"""From a list's keys to the next one's."""

SHIFT = 28
"""Bits of a handle that are the row's number; the others are its shelf's."""

ROW = (1 << SHIFT) - 1


class Layer:
    """Certificates of one reference: for each shelf and list the rows by distance, and how far it has been looked through.

    A list's number and a distance make one key, so that one search finds the ends of any number of lists."""

    def __init__(self, yardstick: Yardstick, lists: NDArray[np.int32], distance: Floats, handle: Rows) -> None:
        shelf = handle >> SHIFT
        self._lists, self._shelves = yardstick.lists, int(shelf.max(initial=-1)) + 1
        count = self._lists * self._shelves
        self._yardstick = yardstick
        self.number = 0
        """By which its rows know it; 0: none rely on it."""
        start = (shelf * self._lists + lists) * APART
        key = np.maximum(np.nextafter(start + np.minimum(distance * TOWARDS_LOOK, FARTHEST), 0.0), start)  # never past the distance itself
        order = np.argsort(key)
        self._row, self._key = handle[order] & np.int32(ROW), key[order]
        self._starts = np.arange(count) * APART
        ends = np.searchsorted(self._key, np.arange(count + 1) * APART)
        self._at, self._end = ends[:-1].copy(), ends[1:]
        self._left, self._next = np.zeros(count, np.bool_), np.zeros(count)
        self._grid = self._left.reshape(self._shelves, self._lists), self._next.reshape(self._shelves, self._lists)
        self._stand(np.arange(count))

    def __len__(self) -> int:
        return len(self._row)

    def rest(self, shelf: int) -> Rows:
        """The rows of a shelf whose certificates are not used up; some of them several times."""
        of = slice(shelf * self._lists, (shelf + 1) * self._lists)
        ends = zip(self._at[of].tolist(), self._end[of].tolist(), strict=True)
        return np.concatenate([np.zeros(0, np.int32), *(self._row[at:end] for at, end in ends if at < end)])

    def sweep(self, now: Factors) -> list[tuple[int, Rows]]:
        """(shelf, rows) whose certificates the factors have used up since the last look. A move that is not a number uses up all."""
        moves = self._yardstick.moves(now)
        left, next_ = self._grid
        found = np.flatnonzero(~(moves < next_) & left)  # the same moves for every shelf
        if not len(found):
            return []
        shelf, lists = np.divmod(found, self._lists)
        return self._advance(found, shelf, moves.take(lists))

    def _advance(self, found: NDArray[np.intp], shelf: NDArray[np.intp], moves: Floats) -> list[tuple[int, Rows]]:
        """Look on in these lists."""
        reach = np.where(moves < FARTHEST, moves, FARTHEST)
        ends = np.searchsorted(self._key, self._starts.take(found) + reach, side="right")
        starts = self._at.take(found)
        ends = np.clip(ends, starts + 1, self._end.take(found))  # at least the first: it is why we are here
        self._at[found] = ends
        self._stand(found)
        return [(number, self._row[start:end]) for number, start, end in zip(shelf.tolist(), starts.tolist(), ends.tolist(), strict=True)]

    def _stand(self, lists: NDArray[np.intp]) -> None:
        """Note what these lists come to next."""
        at = self._at.take(lists)
        left = self._left[lists] = at < self._end.take(lists)
        key = self._key.take(at, mode="clip") if len(self._key) else np.zeros(len(at))
        self._next[lists] = np.where(left, key - self._starts.take(lists), np.inf)
