"""Rows of one width: which are liquidatable, which are watched, and where each lies.

Every row is watched, or some layer of certificates vouches for it. So a look at the watched rows, and at those that lie where certificates
were used up by the thousand, finds what a look at every row would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from keeper.risk.block import CACHED, Block, Bools, Decide, Places
from keeper.risk.certificate import Exposure
from keeper.risk.factors import ANY_DEBT, Factors, Floats
from keeper.risk.layer import Rows

FLOOD = 48
"""When a tick uses up the certificates of more than one in so many rows, looking where they lie is faster than picking them."""

FULL = 3
"""So it is when more than one in so many would be watched."""

FEW = 4096

PAGE = 12
"""Bits of a place that are within its page: what lies together is looked at together."""

_BY_ROW = ("tag", "_at", "_inside", "_voucher", "_place")

Tags = NDArray[np.int64]


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
        self._at: Rows = np.zeros(0, np.int32)
        """Where a row lies."""
        self._free: list[int] = []
        self.tag: Tags = np.zeros(0, np.int64)
        """Whose row it is, in the owner's own numbers."""
        self._inside: Bools = np.zeros(0, np.bool_)
        """By where they lie: which rows are in the set."""
        self._voucher: Rows = np.zeros(0, np.int32)
        """The number of the layer that holds a row's certificate; 0: it has none, and is watched or in a flood."""
        self._place: NDArray[np.int32] = np.zeros(0, np.int32)
        """Where a row is among the watched, plus 1; 0: it is not."""
        self._boxes: dict[int, tuple[Places, Floats, Floats]] = {}
        self._watched = Block(width)
        self._flood: list[tuple[int, Rows]] = []
        """(layer, rows): those among them whose certificates were in that layer have none now, and are not watched. Until they are, every
        tick looks at the pages where they lie."""
        self._pages: Bools = np.zeros(0, np.bool_)
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
        """Rows that every tick looks at for want of a certificate."""
        self.watch_put()
        return self._watched.count + sum(len(rows) for _, rows in self._flood)

    @property
    def flooded(self) -> bool:
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
        self._all.set(self._at.item(row), columns, weights, constant, slack, floor)
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
        self._all.replace(self._at.take(row), Exposure(row, *self._wide(column, weight), constant, slack, np.full(len(row), floor)))
        self.tag[row] = tag
        self._put += rows
        return row

    def drop(self, row: int) -> None:
        """Forget a row: it counts as safe for ever, until its number is given to another."""
        self.put(row, (), (), 1.0, 0.0, ANY_DEBT)
        self._free.append(row)

    def fill(self, column: NDArray[np.intp], weight: Floats, constant: Floats, slack: Floats, floor: NDArray[np.int32], tag: Tags) -> Rows:
        """Add many rows at once, [n, W] columns and weights. They are flooded: certificates should be made next."""
        new = np.arange(self.used, self.used + len(constant), dtype=np.int32)
        self._reserve(self.used + len(new))
        self._all.append(Exposure(new, *self._wide(column, weight), constant, slack, floor))
        self.tag[new], self._at[new] = tag, new
        self._drown([(0, new)])
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
        self._all.row[row] = self._at[row] = row
        self._all.count += 1
        return row

    def _reserve(self, size: int) -> None:
        self._all.reserve(size)
        for name, entries in (*((name, size) for name in _BY_ROW), ("_pages", (size >> PAGE) + 1)):
            old = getattr(self, name)
            setattr(self, name, np.concatenate((old, np.zeros(max(entries - len(old), 0), old.dtype))))

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
            self._watched.replace(place.take(known) - 1, self._all.take(self._at.take(rows.take(known))))
        self._watch(rows)

    def _watch(self, rows: Rows) -> None:
        """Watch those that are not yet, for they have no certificate; they may come several times."""
        self._voucher[rows] = 0
        new = rows[self._place.take(rows) == 0]
        if not len(new):
            return
        last = np.arange(1, len(new) + 1, dtype=np.int32)
        self._place[new] = last
        new = new[self._place.take(new) == last]
        start = self._watched.append(self._all.take(self._at.take(new)))
        self._place[new] = np.arange(start + 1, start + 1 + len(new))

    def observe(self, used_up: Sequence[tuple[int, Rows]]) -> None:
        """(layer, rows): look from now on at those rows whose certificates are in that layer; others have better ones."""
        if self._flood or sum(len(rows) for _, rows in used_up) > max(FEW, self.used // FLOOD):
            self._drown(used_up)
        else:
            self._watch(self._uncertified(used_up))

    def _uncertified(self, used_up: Sequence[tuple[int, Rows]]) -> Rows:
        rows = np.concatenate([rows for _, rows in used_up])
        layers = np.repeat(np.array([layer for layer, _ in used_up], np.int32), [len(rows) for _, rows in used_up])
        return rows.take(np.flatnonzero(self._voucher.take(rows) == layers))

    def _drown(self, used_up: Sequence[tuple[int, Rows]]) -> None:
        self._flood += used_up
        for _, rows in used_up:
            self._pages[self._at.take(rows) >> PAGE] = True

    def settle(self) -> None:
        """End a flood by watching what it left, if that is not too much."""
        if not self._flood:
            return
        rows = self._uncertified(self._flood)
        if len(rows) + self._watched.count <= max(FEW, self.used // FULL):
            self._flood = []
            self._pages[:] = False
            self._watch(rows)

    # --- looking

    def look(self, now: Factors, decide: Decide) -> Change:
        """What the factors have changed of the rows to be looked at."""
        self.watch_put()
        changes = [self._look(self._watched, start, stop, now, decide) for start, stop in self._watched.runs()]
        if self._flood:
            changes += [self._look(self._all, start, stop, now, decide) for start, stop in self._flooded()]
        found = [change for change in changes if change is not _NOTHING]
        if len(found) < 2:
            return found[0] if found else _NOTHING
        return Change(*(np.concatenate([getattr(change, name) for change in found]) for name in ("entered", "left")))

    def _flooded(self) -> Iterator[tuple[int, int]]:
        """The flooded pages, those that lie side by side in one."""
        turns = np.flatnonzero(np.diff(self._pages, prepend=False, append=False)).tolist()
        for first, last in zip(turns[::2], turns[1::2], strict=True):
            stop = min(last << PAGE, self.used)
            yield from pairwise([*range(first << PAGE, stop, max(CACHED // self.width, 1)), stop])

    def _look(self, block: Block, start: int, stop: int, now: Factors, decide: Decide) -> Change:
        """Only below zero can it be liquidatable; below zero with all that rounding may add it is; in between the integers say. A row that
        owes less than what pays counts as outside."""
        rows, safe = block.row[start:stop], (low := block.bounds(start, stop, now.value)) >= 0.0
        inside = self._inside[start:stop] if block is self._all else self._inside.take(self._at.take(rows))
        known = np.flatnonzero(inside)
        if not len(known) and safe.all():
            return _NOTHING
        doubtful = np.flatnonzero(~safe)
        suspects, was = rows.take(doubtful), inside.take(doubtful)
        due = block.matters(doubtful + start, low.take(doubtful), now, decide)
        recovered = rows.take(known[safe.take(known)])
        change = Change(suspects[due & ~was], np.concatenate((suspects[was & ~due], recovered)))
        self._inside[self._at.take(change.entered)] = True
        self._inside[self._at.take(change.left)] = False
        return change

    # --- questions

    def inside(self) -> Rows:
        """Every row that is liquidatable and pays, as of the last tick."""
        return self._all.row.take(np.flatnonzero(self._inside[: self.used]))

    def outdated(self, value: Floats) -> list[int]:
        """Rows whose factors have left the box in which they hold."""
        return [row for row, (names, least, most) in self._boxes.items() if not ((value[names] >= least) & (value[names] <= most)).all()]

    def snapshot(self) -> Block:
        """The rows, to be looked at from any thread: some may change while they are."""
        return self._all.snapshot()

    # --- certificates

    def observed(self) -> Rows:
        """The watched."""
        self.watch_put()
        found: Rows = np.concatenate((self._watched.rows, *(rows for _, rows in self._flood)))
        return found

    def begin(self) -> Snapshot:
        """The rows as they are, of which certificates are to be made: edits are noted from now on."""
        self.watch_put()
        self._edited = []
        lying = Lying(self.snapshot(), self._at[: self.used])
        return Snapshot(lying, self._voucher, np.fromiter(self._boxes, np.int32, len(self._boxes)))

    def trust(self, verdict: Verdict, layer: int) -> None:
        """Rely on the certificates in this layer, except those of rows edited since they were begun, and of those that the last look saw
        otherwise: what was edited since has to enter or leave first."""
        self.watch_put()
        edited, self._edited = np.array(self._edited or (), np.int32), None
        if verdict.lying is not None:
            edited = np.concatenate((edited, np.arange(verdict.lying.rows.count, self.used, dtype=np.int32)))
            self._lay_out(verdict.lying, edited)
        self._voucher[verdict.rows] = layer
        wrong = verdict.rows[verdict.inside != self._inside.take(self._at.take(verdict.rows))]
        without = np.concatenate((verdict.open, edited, wrong))
        self._voucher[without] = 0
        self._release()
        self._watch(without)

    def _lay_out(self, lying: Lying, edited: Rows) -> None:
        """Let the rows lie as in this copy of them, made before these were edited or came. Ends a flood."""
        count, inside = lying.rows.count, self.inside()
        known = edited[edited < count]
        lying.rows.append(self._all.take(np.arange(count, self.used)))
        lying.rows.replace(lying.at.take(known), self._all.take(self._at.take(known)))
        self._all, self._at = lying.rows, np.concatenate((lying.at, self._at[count:]))
        self._inside = np.zeros_like(self._inside)
        self._inside[self._at.take(inside)] = True
        self._flood, self._pages = [], np.zeros_like(self._pages)

    def _release(self) -> None:
        """Watch no longer what has a certificate."""
        rows = self._watched.rows
        kept = np.flatnonzero(self._voucher.take(rows) == 0)
        self._place[rows] = 0
        self._watched.keep(kept)
        self._place[self._watched.rows] = np.arange(1, len(kept) + 1)


@dataclass(frozen=True, slots=True)
class Lying:
    """Rows, and where each lies. They may be edited while they are looked at, but do not move."""

    rows: Block
    at: Rows


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`voucher`: by row, the number of the layer that holds its certificate; `boxed`: rows that may not be relied on."""

    lying: Lying
    voucher: Rows
    boxed: Rows


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a re-centring says of a shelf's `rows`: whether their certificates put them `inside`. `open` are those that have none. `lying`:
    how all should lie from now on, None: as they do."""

    rows: Rows
    inside: Bools
    open: Rows
    lying: Lying | None


__all__ = ["Change", "Decide", "Lying", "Shelf", "Snapshot", "Verdict"]
