"""Rows of one width and what is known of them: which are liquidatable, which are certified to stay as they are, which are watched.

Every row is watched, or some layer holds a certificate that was made after its last edit and is not used up. So a tick evaluates the
watched rows and those whose certificates it uses up, and the set is what a look at every row would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keeper.risk.block import Block, Decide
from keeper.risk.certificate import Certified, Exposure, certify
from keeper.risk.factors import Factors, Floats
from keeper.risk.layer import Layer, Rows
from keeper.risk.yardstick import Reference

PART = 1 << 16
"""Rows certified at a time: bounds how long one call into numpy can hold what a tick waits for."""

FLOOD = 48
"""When a tick uses up the certificates of more than one in so many rows, looking at everything is faster than picking."""

FULL = 3
"""So it is when more than one in so many would be watched."""

FEW = 4096

Tags = NDArray[np.int64]

Scope = Literal["watched", "young", "all"]
"""Which rows get new certificates: those watched, also those certified since all were, or all."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a tick changed: rows that became worth liquidating, and rows that stopped being so."""

    entered: Rows
    left: Rows


_NOTHING = Change(np.zeros(0, np.int32), np.zeros(0, np.int32))


class Shelf:
    """`width`: the most factors a row may have here."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._all = Block(width)
        self._free: list[int] = []
        self.tag: Tags = np.zeros(0, np.int64)
        """Whose row it is, in the owner's own numbers."""
        self._inside: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._place: NDArray[np.int32] = np.zeros(0, np.int32)
        """Where a row is among the watched, plus 1; 0: it is not."""
        self._boxes: dict[int, tuple[NDArray[np.intp], Floats, Floats]] = {}
        self._watched = Block(width)
        self._layers: list[Layer] = []
        self._old: list[Layer] = []
        """Those of the last re-centring of everything."""
        self._flood: list[Rows] = []
        """Rows without certificate that are not watched yet: until they are, every tick looks at all."""
        self._put: list[int] = []
        """Rows put since the last look: not among the watched yet, or as they were."""
        self._edited: list[int] | None = None

    def __len__(self) -> int:
        return self.used - len(self._free)

    @property
    def used(self) -> int:
        return self._all.count

    @property
    def watched(self) -> int:
        self.watch_put()
        return self._watched.count

    @property
    def layers(self) -> int:
        return len(self._layers)

    @property
    def young(self) -> int:
        """Entries in the layers made since all rows were certified."""
        return sum(len(layer) for layer in self._layers if layer not in self._old)

    @property
    def flooded(self) -> bool:
        """Every tick looks at everything."""
        return bool(self._flood)

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
        self._all.set(row, columns, weights, constant, slack, floor)
        self.tag[row] = tag
        if self._boxes:
            self._boxes.pop(row, None)
        if box:
            names, least, most = zip(*box, strict=True)
            self._boxes[row] = np.array(names), np.array(least), np.array(most)
        self._put.append(row)
        return row

    def put_many(
        self, row: Rows, column: NDArray[np.intp], weight: Floats, constant: Floats, slack: Floats, floor: np.int32, tag: Tags
    ) -> Rows:
        """Set rows, new ones where -1 is given; [n, W] columns and weights, of rows without boxes. They are watched from now on."""
        rows = [self._new() if at < 0 else at for at in row.tolist()]
        for boxed in self._boxes.keys() & set(rows) if self._boxes else ():
            del self._boxes[boxed]
        row = np.array(rows, np.int32)
        self._all.replace(row, Exposure(row, *self._wide(column, weight), constant, slack, np.full(len(row), floor)))
        self.tag[row] = tag
        self._put += rows
        return row

    def drop(self, row: int) -> None:
        """Forget a row: it counts as safe for ever, until its number is given to another."""
        self.put(row, (), (), 1.0, 0.0, -1)
        self._free.append(row)

    def fill(self, column: NDArray[np.intp], weight: Floats, constant: Floats, slack: Floats, floor: NDArray[np.int32], tag: Tags) -> Rows:
        """Add many rows at once, [n, W] columns and weights. They are flooded: certificates should be made next."""
        first, count = self.used, len(constant)
        new = np.arange(first, first + count, dtype=np.int32)
        self._reserve(first + count)
        self._all.append(Exposure(new, *self._wide(column, weight), constant, slack, floor))
        self.tag[new] = tag
        self._flood.append(new)
        return new

    def _wide(self, column: NDArray[np.intp], weight: Floats) -> tuple[NDArray[np.intp], Floats]:
        """As rows lie here: [W, n], unused places added."""
        count, used = column.shape
        columns, weights = np.zeros((self.width, count), np.intp), np.zeros((self.width, count))
        columns[:used], weights[:used] = column.T, weight.T
        return columns, weights

    def _new(self) -> int:
        if self._free:
            return self._free.pop()
        row = self.used
        if row == len(self._place):
            self._reserve(max(64, row + row // 2))
        self._all.row[row] = row
        self._all.count += 1
        return row

    def _reserve(self, size: int) -> None:
        self._all.reserve(size)
        for name in ("tag", "_inside", "_place"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate((old, np.zeros(max(size - len(old), 0), old.dtype))))

    def watch_put(self) -> None:
        """Watch the rows put since the last look, all at once."""
        if not self._put:
            return
        if self._edited is not None:
            self._edited += self._put
        rows = np.array(self._put, np.int32)
        self._put = []
        place = self._place.take(rows)
        known = np.flatnonzero(place)
        if len(known):
            self._watched.replace(place.take(known) - 1, self._all.take(rows.take(known)))
        self._watch(rows)

    def _watch(self, rows: Rows) -> None:
        """Watch those that are not yet; they may come several times."""
        new = rows[self._place.take(rows) == 0]
        if not len(new):
            return
        last = np.arange(1, len(new) + 1, dtype=np.int32)
        self._place[new] = last
        new = new[self._place.take(new) == last]
        start = self._watched.append(self._all.take(new))
        self._place[new] = np.arange(start + 1, start + 1 + len(new))

    # --- ticks

    def tick(self, value: Floats, width: Floats, decide: Decide) -> Change:
        """Look at what these factor values may have changed."""
        self.watch_put()
        self._sweep(value, width)
        block = self._all if self._flood else self._watched
        changes = [self._look(block, start, stop, value, width, decide) for start, stop in block.runs()]
        found = [change for change in changes if change is not _NOTHING] or [_NOTHING]
        return Change(*(np.concatenate([getattr(change, name) for change in found]) for name in ("entered", "left")))

    def _sweep(self, value: Floats, width: Floats) -> None:
        swept = [rows for layer in self._layers for rows in layer.sweep(value, width)]
        if self._flood or sum(map(len, swept)) > max(FEW, self.used // FLOOD):
            self._flood += swept
        elif swept:
            self._watch(np.concatenate(swept))

    def settle(self) -> bool:
        """End a flood by watching what it left, if that is not too much; tells whether there is none any more."""
        if self._flood and sum(map(len, self._flood)) + self._watched.count <= max(FEW, self.used // FULL):
            self._watch(np.concatenate(self._flood))
            self._flood = []
        return not self._flood

    def _look(self, block: Block, start: int, stop: int, value: Floats, width: Floats, decide: Decide) -> Change:
        """Only below zero can it be liquidatable; below zero with all that rounding may add it is; in between the integers say. A row that
        owes less than what pays counts as outside."""
        rows, safe = block.row[start:stop], (low := block.bounds(start, stop, value)) >= 0.0
        inside = self._inside[start:stop] if block is self._all else self._inside.take(rows)
        known = np.flatnonzero(inside)
        if not len(known) and safe.all():
            return _NOTHING
        doubtful = np.flatnonzero(~safe)
        suspects, was = rows.take(doubtful), inside.take(doubtful)
        now = block.matters(doubtful + start, low.take(doubtful), value, width, decide)
        recovered = rows.take(known[safe.take(known)])
        change = Change(suspects[now & ~was], np.concatenate((suspects[was & ~now], recovered)))
        self._inside[change.entered] = True
        self._inside[change.left] = False
        return change

    # --- questions

    def inside(self) -> Rows:
        """Every row that is liquidatable and pays, as of the last tick."""
        return np.flatnonzero(self._inside[: self.used]).astype(np.int32)

    def outdated(self, value: Floats) -> list[int]:
        """Rows whose factors have left the box in which they hold."""
        return [row for row, (names, least, most) in self._boxes.items() if not ((value[names] >= least) & (value[names] <= most)).all()]

    def nearest(self, value: Floats, scale: Floats, count: int) -> tuple[Rows, Floats]:
        """The rows that owe what pays and are least far, in scales of their factors, from being liquidatable. And how far."""
        far = np.concatenate([self._all.distances(start, stop, value, scale) for start, stop in self._all.runs()])
        near = np.argpartition(far, min(count, len(far) - 1))[:count]
        near = near[np.isfinite(far[near])]
        return near.astype(np.int32), far[near]

    # --- certificates

    def recentring(self, factors: Factors, scope: Scope) -> Recentring:
        """The work of making certificates at the current factors; to be run anywhere, then adopted. One at a time."""
        self.watch_put()
        boxed = np.fromiter(self._boxes, np.int32, len(self._boxes))
        replaced = {"watched": [], "young": [layer for layer in self._layers if layer not in self._old], "all": self._layers}[scope]
        rows = [] if scope == "all" else [self._watched.rows.copy(), *(layer.rest() for layer in replaced)]
        self._edited = []
        return Recentring(self._all, self.used, rows, boxed, Reference.of(factors), tuple(replaced))

    def adopt(self, done: Recentring, factors: Factors) -> None:
        """Trust the new certificates, except of rows edited since the work began, and of those that the last look saw otherwise: what was
        edited since has to enter or leave first."""
        if done.certified is None:
            raise RuntimeError("a re-centring must be run before it is adopted")
        self.watch_put()
        edited, self._edited = np.array(self._edited or (), np.int32), None
        self._layers = [layer for layer in self._layers if layer not in done.replaced] + list(done.certified.layers)
        if done.everything:
            self._old, self._flood = self._layers, []
            edited = np.concatenate((edited, np.arange(done.used, self.used, dtype=np.int32)))
        edited = np.concatenate((edited, np.flatnonzero(done.trusted & (done.inside != self._inside[: done.used])).astype(np.int32)))
        trusted = np.concatenate((done.trusted, np.zeros(self.used - done.used, np.bool_)))
        trusted[edited] = False
        self._release(trusted)
        self._watch(np.concatenate((done.certified.open, edited)))
        self._sweep(factors.value, factors.width)

    def _release(self, trusted: NDArray[np.bool_]) -> None:
        """Watch these rows no longer."""
        rows = self._watched.rows
        kept = np.flatnonzero(~trusted.take(rows))
        self._place[rows] = 0
        self._watched.keep(kept)
        self._place[self._watched.rows] = np.arange(1, len(kept) + 1)


class Recentring:
    """Certificates in the making. Reads rows that may be edited meanwhile: those are not trusted."""

    def __init__(self, rows: Block, used: int, chosen: Sequence[Rows], boxed: Rows, at: Reference, replaced: tuple[Layer, ...]) -> None:
        self._rows = copy(rows)  # its arrays as they are now: growing makes new ones
        self.used, self.everything, self.replaced = used, not chosen, replaced
        self._chosen, self._boxed, self._at = chosen, boxed, at
        self.certified: Certified | None = None
        self.trusted: NDArray[np.bool_] = np.zeros(0, np.bool_)
        """By row: has a certificate."""
        self.inside: NDArray[np.bool_] = np.zeros(0, np.bool_)
        """By row: the certificate says that it is in the set."""

    def run(self) -> Recentring:
        self.trusted, self.inside = np.zeros(self.used, np.bool_), np.zeros(self.used, np.bool_)
        for rows in self._chosen:
            self.trusted[rows] = True
        if self.everything:
            self.trusted[:] = True
        all_ = np.flatnonzero(self.trusted)
        parts = (all_[start : start + PART] for start in range(0, len(all_), PART))
        found = certify(map(self._take, parts), self._at)
        self.inside[found.doomed] = True
        open_: Rows = np.concatenate((found.open, self._boxed))
        self.trusted[open_] = False
        self.certified = Certified(found.layers, found.doomed, open_)
        return self

    def _take(self, part: NDArray[np.intp]) -> Exposure:
        """Rows edited meanwhile may hold factors that came after the reference: any will do, for they are not trusted."""
        rows, last = self._rows.take(part), len(self._at.value) - 1
        np.minimum(rows.column, last, out=rows.column)
        np.minimum(rows.floor, last, out=rows.floor)
        return rows


__all__ = ["Change", "Decide", "Recentring", "Shelf"]
