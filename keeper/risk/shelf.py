"""Rows of one width and what is known of them: which are liquidatable, which are certified to stay as they are, which are watched.

Every row is watched, or some layer holds a certificate that was made after its last edit and is not used up. So a tick evaluates the
watched rows and those whose certificates it uses up, and the set is what a look at every row would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keeper.risk.certificate import Certified, Exposure, certify, owed, weighted
from keeper.risk.factors import Factors, Floats
from keeper.risk.layer import Layer, Rows
from keeper.risk.yardstick import Reference

Decide = Callable[[Rows], NDArray[np.bool_]]
"""The contract's own integers: which of these rows are liquidatable."""

PART = 1 << 16
"""Rows certified at a time: bounds how long one call into numpy can hold what a tick waits for."""

CACHED = 1 << 15
"""Rows evaluated at a time when all are."""

FLOOD = 16
"""When a tick uses up more than one in so many certificates, looking at everything is cheaper than picking."""

FEW = 4096

Tags = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Change:
    """What a tick changed: rows that became worth liquidating, and rows that stopped being so."""

    entered: Rows
    left: Rows


class Shelf:
    """`width`: the most factors a row may have here."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.used = 0
        self._free: list[int] = []
        self._column: NDArray[np.intp] = np.zeros((width, 0), np.intp)
        self._weight: Floats = np.zeros((width, 0))
        self._constant: Floats = np.zeros(0)
        self._slack: Floats = np.zeros(0)
        self._floor: NDArray[np.int32] = np.zeros(0, np.int32)
        self.tag: NDArray[np.int64] = np.zeros(0, np.int64)
        """Whose row it is, in the owner's own numbers."""
        self._inside: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._place: NDArray[np.int32] = np.zeros(0, np.int32)
        """Where a row is among the watched; -1: it is not."""
        self._boxes: dict[int, tuple[NDArray[np.intp], Floats, Floats]] = {}
        self._watched = _Watched(width)
        self._layers: list[Layer] = []
        self._flooded = False
        self._edited: list[int] | None = None

    def __len__(self) -> int:
        return self.used - len(self._free)

    @property
    def watched(self) -> int:
        return self._watched.count

    @property
    def layers(self) -> int:
        return len(self._layers)

    @property
    def flooded(self) -> bool:
        """Every tick looks at everything until certificates are made anew."""
        return self._flooded

    # --- edits

    def put(
        self,
        row: int | None,
        columns: Sequence[int],
        weights: Sequence[float],
        constant: float,
        slack: float,
        floor: int,
        box: Sequence[tuple[int, float, float]] = (),
        tag: int = -1,
    ) -> int:
        """Set a row, a new one if none is given. It is watched from now on."""
        row = self._new() if row is None else row
        self._weight[:, row] = 0.0
        self._column[:, row] = 0
        self._column[: len(columns), row] = columns
        self._weight[: len(weights), row] = weights
        self._constant[row] = constant
        self._slack[row] = slack
        self._floor[row] = floor
        self.tag[row] = tag
        self._boxes.pop(row, None)
        if box:
            names, least, most = zip(*box, strict=True)
            self._boxes[row] = np.array(names), np.array(least), np.array(most)
        self._watch_edited(row)
        return row

    def drop(self, row: int) -> None:
        """Forget a row: it counts as safe for ever, until its number is given to another."""
        self.put(row, (), (), 1.0, 0.0, -1)
        self._free.append(row)

    def fill(
        self, column: NDArray[np.intp], weight: Floats, constant: Floats, slack: Floats, floor: NDArray[np.int32], tag: NDArray[np.int64]
    ) -> Rows:
        """Add many rows at once. They are flooded: certificates should be made next."""
        first, count = self.used, len(constant)
        self._grow(first + count)
        self.used = first + count
        new = slice(first, self.used)
        self._column[:, new], self._weight[:, new] = 0, 0.0
        self._column[: column.shape[1], new] = column.T
        self._weight[: column.shape[1], new] = weight.T
        self._constant[new], self._slack[new], self._floor[new], self.tag[new] = constant, slack, floor, tag
        self._flooded = True
        return np.arange(first, self.used, dtype=np.int32)

    def _new(self) -> int:
        if self._free:
            return self._free.pop()
        if self.used == len(self._constant):
            self._grow(max(64, self.used + self.used // 2))
        self.used += 1
        return self.used - 1

    def _grow(self, size: int) -> None:
        more = size - len(self._constant)
        if more <= 0:
            return
        for name in ("_column", "_weight", "_constant", "_slack", "_floor", "tag", "_inside", "_place"):
            old = getattr(self, name)
            filler = np.full((*old.shape[:-1], more), -1 if name in ("_place", "_floor") else 0, old.dtype)
            setattr(self, name, np.concatenate((old, filler), axis=-1))

    def _watch_edited(self, row: int) -> None:
        if self._edited is not None:
            self._edited.append(row)
        place = int(self._place[row])
        if place < 0:
            self._watch(np.array([row], np.int32))
        else:
            self._watched.set(place, self._column[:, row], self._weight[:, row], self._constant[row])

    def _watch(self, rows: Rows) -> None:
        """Watch those that are not yet."""
        new = rows[self._place.take(rows) < 0]
        if len(new):
            start = self._watched.add(new, self._column.take(new, 1), self._weight.take(new, 1), self._constant.take(new))
            self._place[new] = np.arange(start, start + len(new))

    # --- ticks

    def tick(self, value: Floats, width: Floats, decide: Decide) -> Change:
        """Look at what these factor values may have changed."""
        if not self._flooded:
            self._sweep(value, width)
        if not self._flooded:
            return self._decide(self._watched.rows, self._watched.surplus(value), value, width, decide)
        parts = [self._decide(rows, self._bounds(rows, value), value, width, decide) for rows in self._parts()]
        return Change(*(np.concatenate(found) for found in zip(*((part.entered, part.left) for part in parts), strict=True)))

    def _sweep(self, value: Floats, width: Floats) -> None:
        swept = [rows for layer in self._layers for rows in layer.sweep(value, width)]
        self._flooded = self._watched.count + sum(map(len, swept)) > max(FEW, self.used // FLOOD)
        if not self._flooded:
            for rows in swept:
                self._watch(rows)

    def _parts(self) -> Iterator[Rows]:
        """All rows, in parts that stay in the cache."""
        for start in range(0, self.used, CACHED):
            yield np.arange(start, min(start + CACHED, self.used), dtype=np.int32)

    def _bounds(self, rows: Rows, value: Floats) -> Floats:
        """The lower bounds of a run of rows."""
        run = slice(int(rows[0]), int(rows[-1]) + 1)
        return weighted(self._weight[:, run], value, self._column[:, run]) + self._constant[run]

    def _decide(self, rows: Rows, low: Floats, value: Floats, width: Floats, decide: Decide) -> Change:
        """Only below zero can it be liquidatable; below zero with all that rounding may add it is; in between the integers say. A row that
        owes less than what pays counts as outside."""
        inside = self._inside.take(rows)
        doubtful = np.flatnonzero(~(low >= 0.0))
        suspects, was = rows.take(doubtful), inside.take(doubtful)
        now = self._matters(suspects, low.take(doubtful), value, width, decide)
        inside[doubtful] = False
        change = Change(suspects[now & ~was], np.concatenate((suspects[was & ~now], rows[inside])))
        self._inside[change.entered] = True
        self._inside[change.left] = False
        return change

    def _matters(self, rows: Rows, low: Floats, value: Floats, width: Floats, decide: Decide) -> NDArray[np.bool_]:
        """Liquidatable and owing enough to pay."""
        weight, column = self._weight.take(rows, 1), self._column.take(rows, 1)
        pays = ~(owed(weight, value, column) < np.append(value, -np.inf).take(self._floor.take(rows)))
        below: NDArray[np.bool_] = low + self._slack.take(rows) + weighted(np.abs(weight), width, column) < 0.0
        open_ = np.flatnonzero(pays & ~below)
        if len(open_):
            below[open_] = decide(rows[open_])
        return below & pays

    # --- questions

    def inside(self) -> Rows:
        """Every row that is liquidatable and pays, as of the last tick."""
        return np.flatnonzero(self._inside[: self.used]).astype(np.int32)

    def outdated(self, value: Floats) -> list[int]:
        """Rows whose factors have left the box in which they hold."""
        return [row for row, (names, least, most) in self._boxes.items() if not ((value[names] >= least) & (value[names] <= most)).all()]

    def surplus(self, rows: Rows, value: Floats) -> Floats:
        return self._constant.take(rows) + weighted(self._weight.take(rows, 1), value, self._column.take(rows, 1))

    def nearest(self, value: Floats, scale: Floats, count: int) -> tuple[Rows, Floats]:
        """The rows that owe what pays and are least far, in scales of their factors, from being liquidatable; nearest last. And how far."""
        parts = [self._distances(rows, value, scale, count) for rows in self._parts()]
        rows, distances = (np.concatenate(found) for found in zip(*parts, strict=True))
        order = np.argsort(-distances, kind="stable")[-count:]
        return rows[order], distances[order]

    def _distances(self, rows: Rows, value: Floats, scale: Floats, count: int) -> tuple[Rows, Floats]:
        """The `count` nearest of a part."""
        low = self._bounds(rows, value)
        run = slice(int(rows[0]), int(rows[-1]) + 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            far = low / weighted(np.abs(self._weight[:, run]), scale, self._column[:, run])
        floor = np.append(value, -np.inf).take(self._floor[run])
        out = ~(low > 0.0) | ~np.isfinite(far) | (owed(self._weight[:, run], value, self._column[:, run]) < floor)
        far[out] = np.inf
        near = np.argpartition(far, min(count, len(far) - 1))[:count]
        near = near[np.isfinite(far[near])]
        return rows[near], far[near]

    # --- certificates

    def recentring(self, factors: Factors, everything: bool) -> Recentring:
        """The work of making certificates at the current factors, for all rows or for the watched ones; to be run anywhere, then adopted.
        One at a time."""
        boxed = np.fromiter(self._boxes, np.int32, len(self._boxes))
        rows = None if everything else self._watched.rows.copy()
        self._edited = []
        arrays = self._column, self._weight, self._constant, self._slack, self._floor
        return Recentring(arrays, self.used, rows, boxed, Reference.of(factors))

    def adopt(self, done: Recentring, factors: Factors) -> None:
        """Trust the new certificates, except of rows edited since the work began."""
        if done.certified is None:
            raise RuntimeError("a re-centring must be run before it is adopted")
        edited, self._edited = np.unique(np.array(self._edited or (), np.int32)), None
        keep = np.union1d(done.certified.open, edited)
        if done.rows is None:
            self._layers = list(done.certified.layers)
            keep = np.union1d(keep, np.arange(done.used, self.used, dtype=np.int32))
            self._flooded = False
        else:
            certified = np.setdiff1d(done.rows, keep, assume_unique=True)
            keep = np.setdiff1d(self._watched.rows, certified, assume_unique=True)
            self._layers += done.certified.layers
        self._rewatch(keep.astype(np.int32))
        self._sweep(factors.value, factors.width)

    def abandon(self) -> None:
        """Forget a re-centring that was begun."""
        self._edited = None

    def _rewatch(self, rows: Rows) -> None:
        self._place[self._watched.rows] = -1
        self._watched = _Watched(self.width)
        self._watch(rows)


class Recentring:
    """Certificates in the making. Reads rows that may be edited meanwhile: those are not adopted."""

    def __init__(
        self,
        arrays: tuple[NDArray[np.intp], Floats, Floats, Floats, NDArray[np.int32]],
        used: int,
        rows: Rows | None,
        boxed: Rows,
        at: Reference,
    ) -> None:
        self._arrays, self.used, self.rows, self._boxed, self._at = arrays, used, rows, boxed, at
        self.certified: Certified | None = None

    def run(self) -> Recentring:
        found = certify(map(self._exposure, self._parts()), self._at)
        open_ = np.union1d(found.open, self._boxed).astype(np.int32)
        self.certified = Certified(found.layers, open_)
        return self

    def _parts(self) -> list[Rows]:
        rows = np.arange(self.used, dtype=np.int32) if self.rows is None else self.rows
        return [rows[start : start + PART] for start in range(0, len(rows), PART)]

    def _exposure(self, rows: Rows) -> Exposure:
        return Exposure(rows, *(array.take(rows, -1) for array in self._arrays))  # type: ignore[arg-type]  # as they stand


class _Watched:
    """The watched rows, packed: evaluating them is one gather and one sum."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self._row: Rows = np.zeros(64, np.int32)
        self._column: NDArray[np.intp] = np.zeros((width, 64), np.intp)
        self._weight: Floats = np.zeros((width, 64))
        self._constant: Floats = np.zeros(64)

    @property
    def rows(self) -> Rows:
        return self._row[: self.count]

    def surplus(self, value: Floats) -> Floats:
        n = self.count
        return weighted(self._weight[:, :n], value, self._column[:, :n]) + self._constant[:n]

    def set(self, place: int, column: NDArray[np.intp], weight: Floats, constant: float) -> None:
        self._column[:, place], self._weight[:, place], self._constant[place] = column, weight, constant

    def add(self, rows: Rows, column: NDArray[np.intp], weight: Floats, constant: Floats) -> int:
        """Returns the place of the first."""
        start, stop = self.count, self.count + len(rows)
        if stop > len(self._row):
            self._grow(stop + stop // 2)
        new = slice(start, stop)
        self._row[new], self._column[:, new], self._weight[:, new], self._constant[new] = rows, column, weight, constant
        self.count = stop
        return start

    def _grow(self, size: int) -> None:
        for name in ("_row", "_column", "_weight", "_constant"):
            old = getattr(self, name)
            more = np.zeros((*old.shape[:-1], size - old.shape[-1]), old.dtype)
            setattr(self, name, np.concatenate((old, more), axis=-1))


__all__ = ["Change", "Decide", "Recentring", "Shelf"]
