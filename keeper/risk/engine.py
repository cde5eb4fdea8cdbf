"""The tick: factor values in, the exact change of the liquidatable set out.

Rows live on shelves by their width, so that an account of forty positions does not widen the rows of a million others. A row's handle is
its shelf and its number there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from keeper.risk.block import Block
from keeper.risk.factors import ANY_DEBT, Factors, Floats
from keeper.risk.layer import ROW, SHIFT, Layer, Rows
from keeper.risk.recentring import Recentring
from keeper.risk.shelf import Change, Decide, Shelf, Tags
from keeper.types import Factor, Quote, Row, RowBlock

WIDTHS = (2, 4, 8, 16, 64, 256)

LAYERS = 9
"""More of them make ticks slower than making one of them."""

WATCHED = 2048
"""So many more watched rows than twice those that cannot be certified are worth certificates."""

REST = 64
"""Ticks in which it is forgotten, more or less, that rows could not be certified."""

_WIDTHS = np.array(WIDTHS)

Family = Callable[[Factor], str | None]


class Engine:
    """`family`: which factors move together; asked once per factor."""

    def __init__(self, family: Family = lambda factor: None) -> None:
        self.factors = Factors()
        self._family = family
        self._shelves = tuple(Shelf(width) for width in WIDTHS)
        self._layers: list[Layer] = []
        self._old: list[Layer] = []
        """That of the last re-centring of everything."""
        self._made = 0
        """Layers so far."""
        self._calm = 0
        """Rows that the last re-centring could not certify: less and less of a measure as time goes by."""
        self._work: Recentring | None = None
        self.ticking = False
        """A tick is under way: whoever shares its processor should wait."""

    def __len__(self) -> int:
        return sum(map(len, self._shelves))

    @property
    def watched(self) -> int:
        """Rows that every tick looks at for want of a certificate; some of a flood twice."""
        return sum(shelf.watched for shelf in self._shelves)

    # --- edits

    def put(self, handle: int | None, row: Row, floor: Factor | None = None, tag: int = -1) -> int:
        """Set a row; returns its handle, which changes when it outgrows its shelf. `floor`: the factor that is the least debt that pays;
        `tag`: whose row it is, in the caller's own numbers."""
        columns, weights = [self.column(name) for name in row.weights], list(row.weights.values())
        box = [(self.column(name), *bounds) for name, bounds in row.box.items()] if row.box else ()
        least = ANY_DEBT if floor is None else self.column(floor)
        shelf = bisect_left(WIDTHS, len(columns))
        if handle is not None and handle >> SHIFT != shelf:
            self.drop(handle)
            handle = None
        number = None if handle is None else handle & ROW
        return shelf << SHIFT | self._shelves[shelf].put(number, columns, weights, row.constant, row.slack, least, box, tag)

    def put_many(self, handles: Rows, block: RowBlock, floor: Factor | None = None, tag: Tags | None = None) -> Rows:
        """Set many rows, of which handles -1 are new; returns their handles."""
        least = np.int32(ANY_DEBT if floor is None else self.column(floor))
        columns, tag = self._columns(block), block.slot.astype(np.int64) if tag is None else tag
        shelf_of = _shelves(block.weight)
        kept = np.where(handles >> SHIFT == shelf_of, handles & ROW, -1)
        for outgrown in handles[(handles >= 0) & (kept < 0)].tolist():
            self.drop(outgrown)
        found = np.empty(len(handles), np.int32)
        for number in np.flatnonzero(np.bincount(shelf_of)).tolist():
            at = np.flatnonzero(shelf_of == number)
            column, weight = _packed(block.column[at], block.weight[at], WIDTHS[number])
            placed = self._shelves[number].put_many(kept[at], columns[column], weight, block.constant[at], block.slack[at], least, tag[at])
            found[at] = placed | np.int32(number << SHIFT)
        return found

    def watch_put(self) -> None:
        """Do now what the next tick would have to do first about the rows that were put."""
        for shelf in self._shelves:
            shelf.watch_put()

    def drop(self, handle: int) -> None:
        self._shelves[handle >> SHIFT].drop(handle & ROW)

    def fill(self, block: RowBlock, floor: Factor | None = None, tag: Tags | None = None) -> NDArray[np.int32]:
        """Add many rows; returns their handles, in order."""
        tag = block.slot.astype(np.int64) if tag is None else tag
        columns, least = self._columns(block), ANY_DEBT if floor is None else self.column(floor)
        shelf_of = _shelves(block.weight)
        handles = np.empty(len(shelf_of), np.int32)
        for number in np.unique(shelf_of):
            rows = np.flatnonzero(shelf_of == number)
            handles[rows] = self._fill(int(number), block, rows, columns, least, tag[rows])
        return handles

    def _fill(
        self, number: int, block: RowBlock, rows: NDArray[np.intp], columns: NDArray[np.intp], least: int, tag: NDArray[np.int64]
    ) -> Rows:
        column, weight = _packed(block.column[rows], block.weight[rows], WIDTHS[number])
        floor = np.full(len(rows), least, np.int32)
        filled = self._shelves[number].fill(columns[column], weight, block.constant[rows], block.slack[rows], floor, tag)
        return filled | np.int32(number << SHIFT)

    def _columns(self, block: RowBlock) -> NDArray[np.intp]:
        return np.array([self.column(name) for name in block.factors] or [0], np.intp)

    def column(self, factor: Factor) -> int:
        found = self.factors.find(factor)
        return self.factors.column(factor, self._family(factor)) if found is None else found

    # --- ticks

    def set(self, quotes: Iterable[tuple[Factor, Quote]]) -> None:
        """New values of factors that rows hold; the others are nobody's concern."""
        find = self.factors.find
        self.factors.set([(column, quote) for factor, quote in quotes if (column := find(factor)) is not None])

    def tick(self, decide: Decide) -> Change:
        """What the factors' values, and the edits, have changed since the last tick. `decide`: the integers, for rows too close to call."""
        self._calm -= self._calm // REST
        self.ticking = True
        try:
            return self._ticked(decide)
        finally:
            self.ticking = False

    def _ticked(self, decide: Decide) -> Change:
        for shelf in self._shelves:
            shelf.watch_put()
        self._sweep()
        changes = [(number, self._look(number, decide)) for number, shelf in enumerate(self._shelves) if shelf.used]
        return Change(_handles((n, change.entered) for n, change in changes), _handles((n, change.left) for n, change in changes))

    def _sweep(self) -> None:
        """Look from now on at the rows whose certificates are used up."""
        swept = defaultdict[int, list[tuple[int, Rows]]](list)
        for layer in self._layers:
            for shelf, rows in layer.sweep(self.factors):
                swept[shelf].append((layer.number, rows))
        for shelf, parts in swept.items():
            self._shelves[shelf].observe(parts)

    def _look(self, number: int, decide: Decide) -> Change:
        high = np.int32(number << SHIFT)
        return self._shelves[number].look(self.factors, lambda rows: decide(rows | high))

    def tags(self, handles: Rows) -> NDArray[np.int64]:
        """Whose rows these are."""
        found = np.empty(len(handles), np.int64)
        shelf_of = handles >> SHIFT
        for number in np.unique(shelf_of):
            at = np.flatnonzero(shelf_of == number)
            found[at] = self._shelves[number].tag[handles[at] & ROW]
        return found

    def inside(self) -> Rows:
        """All rows that are liquidatable and owe enough to pay."""
        return _handles((number, shelf.inside()) for number, shelf in enumerate(self._shelves))

    def nearest(self, count: int) -> Callable[[], Rows]:
        """A search, for any thread, of the rows that are not liquidatable yet but least far from it, in scales of their factors; nearest
        first. One look at all: rows edited meanwhile may come as they were."""
        value, scale = self.factors.value.copy(), self.factors.scales()
        blocks = [(number, shelf.snapshot()) for number, shelf in enumerate(self._shelves) if shelf.used]
        return lambda: _nearest(blocks, value, scale, count)

    def due(self, quotes: Iterable[tuple[Factor, Quote]]) -> Callable[[], Rows]:
        """A search, for any thread, of the rows that may be liquidatable once factors have these values, though they are not now."""
        now, then = self.factors.value.copy(), self.factors.value.copy()
        for factor, quote in quotes:
            if (column := self.factors.find(factor)) is not None:
                then[column] = quote.value
        blocks = [(number, shelf.snapshot()) for number, shelf in enumerate(self._shelves) if shelf.used]
        return lambda: _handles((number, block.due(now, then)) for number, block in blocks)

    def outdated(self) -> list[int]:
        """Rows to be put again: their factors have left the box in which they hold."""
        return [number << SHIFT | row for number, shelf in enumerate(self._shelves) for row in shelf.outdated(self.factors.value)]

    # --- re-centring

    def work(self, everything: bool = False) -> Recentring | None:
        """The next re-centring worth making, None while there is none or one is under way."""
        for shelf in self._shelves:
            shelf.settle()
        if self._work or not any(shelf.used for shelf in self._shelves):
            return None
        replaced = self._layers if everything else self._outworn()
        if replaced is None:
            return None
        self._work = self._begin(replaced)
        return self._work

    def _outworn(self) -> list[Layer] | None:
        """The least to be replaced that makes the next ticks fast again; None: they are."""
        young, used = [layer for layer in self._layers if layer not in self._old], sum(shelf.used for shelf in self._shelves)
        if any(shelf.flooded for shelf in self._shelves) or sum(map(len, young)) > used > WATCHED:
            return self._layers
        if len(young) >= LAYERS:
            return young
        return [] if self.watched > 2 * self._calm + WATCHED else None

    def _begin(self, replaced: list[Layer]) -> Recentring:
        """Certificates of all rows, if all layers are replaced, else of those in these layers and of those observed."""
        used = [(number, shelf) for number, shelf in enumerate(self._shelves) if shelf.used]
        observed = None if replaced is self._layers else {number: shelf.observed() for number, shelf in used}
        return Recentring({number: shelf.begin() for number, shelf in used}, observed, self.factors, tuple(replaced))

    def adopt(self, work: Recentring) -> None:
        """Trust what was certified, unless this is not the work under way: another engine's, or overtaken by `recentre`."""
        if work is not self._work:
            return
        if work.layer is None:
            raise RuntimeError("a re-centring must be run before it is adopted")
        self._work = None
        self._made += 1
        work.layer.number = self._made
        self._layers = [layer for layer in self._layers if layer not in work.replaced] + [work.layer] * bool(len(work.layer))
        if work.everything:
            self._old = self._layers
        for number, verdict in work.verdicts.items():
            self._shelves[number].trust(verdict, self._made)
        self._sweep()
        self._calm = sum(len(verdict.open) for verdict in work.verdicts.values())

    def recentre(self) -> None:
        """All of it, here and now."""
        self._work = self._begin(self._layers)
        self.adopt(self._work.run())


def _handles(parts: Iterable[tuple[int, Rows]]) -> Rows:
    found = [rows | np.int32(number << SHIFT) for number, rows in parts if len(rows)]
    return np.concatenate(found) if found else np.zeros(0, np.int32)


def _nearest(blocks: Iterable[tuple[int, Block]], value: Floats, scale: Floats, count: int) -> Rows:
    found = [(np.zeros(0, np.int32), np.zeros(0))]
    for number, block in blocks:
        rows, distances = block.nearest(value, scale, count)
        found.append((rows | np.int32(number << SHIFT), distances))
    handles, far = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return handles.take(np.argsort(far, kind="stable")[:count])


def _shelves(weight: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which shelf has room for each row."""
    found: NDArray[np.intp] = np.searchsorted(_WIDTHS, (weight != 0.0).sum(axis=1))
    return found


def _packed(column: NDArray[np.intp], weight: NDArray[np.float64], width: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Used places first, and no more of them than `width`."""
    if weight.shape[1] <= width:
        return column, weight
    order = np.argsort(weight == 0.0, axis=1, kind="stable")[:, :width]
    return np.take_along_axis(column, order, axis=1), np.take_along_axis(weight, order, axis=1)


__all__ = ["Change", "Decide", "Engine", "Recentring"]
