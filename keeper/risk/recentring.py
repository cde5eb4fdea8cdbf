"""New certificates, made beside the ticks, in whatever thread.

Reads rows that may be edited meanwhile: those are not trusted. When all rows are certified they are also put in order: who hold the same
factor lie together, the nearest first, so that what a large move uses up lies in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from keeper.risk.block import Block, Places
from keeper.risk.certificate import Certified, Exposure, certify, weighted
from keeper.risk.factors import Factors, Floats
from keeper.risk.layer import APART, FARTHEST, ROW, SHIFT, Layer, Rows
from keeper.risk.shelf import Lying, Snapshot, Verdict
from keeper.risk.yardstick import Reference

PART = 1 << 12
"""Rows certified at a time: bounds how long one call into numpy can hold what a tick waits for, and stays in the cache."""


class Recentring:
    """To be run anywhere, then adopted. `snapshots`: of the shelves, by number; `observed`: their rows that have no certificate, None: get
    new ones for all; `replaced`: layers whose rows get new ones too."""

    def __init__(
        self, snapshots: Mapping[int, Snapshot], observed: Mapping[int, Rows] | None, factors: Factors, replaced: tuple[Layer, ...]
    ) -> None:
        self.everything, self.replaced = observed is None, replaced
        self._snapshots, self._observed, self._at = snapshots, observed, Reference.of(factors)
        self.layer: Layer | None = None
        self.verdicts: dict[int, Verdict] = {}

    def run(self, give_way: Callable[[], None] = lambda: None) -> Recentring:
        """`give_way`: called every few hundred microseconds, but for the sorting at the end; may wait for a tick to pass."""
        rows = self._chosen()
        lying = {number: _laid_out(found.lying.rows, self._at) for number, found in self._snapshots.items()} if self.everything else {}
        found = certify(self._exposures(lying, rows, give_way), self._at)
        self.layer = found.layer
        self.verdicts = {number: self._verdict(number, rows[number], lying.get(number), found) for number in self._snapshots}
        return self

    def _chosen(self) -> dict[int, Rows]:
        """Each row once."""
        if self._observed is None:
            return {number: np.arange(found.lying.rows.count, dtype=np.int32) for number, found in self._snapshots.items()}
        return {number: self._rows(number, rows) for number, rows in self._observed.items()}

    def _rows(self, number: int, observed: Rows) -> Rows:
        """The observed and those whose certificates are in these layers."""
        snapshot = self._snapshots[number]
        chosen = np.zeros(snapshot.lying.rows.count, np.bool_)
        chosen[observed] = True
        for layer in self.replaced:
            rows = layer.rest(number)
            chosen[rows[snapshot.voucher.take(rows) == layer.number]] = True
        return np.flatnonzero(chosen).astype(np.int32)

    def _exposures(self, lying: Mapping[int, Lying], rows: Mapping[int, Rows], give_way: Callable[[], None]) -> Iterator[Exposure]:
        for number, snapshot in self._snapshots.items():
            lies = lying.get(number, snapshot.lying)
            places = np.arange(lies.rows.count) if number in lying else lies.at.take(rows[number])
            for part in _parts(lies.rows, places, self._at):
                give_way()
                np.bitwise_or(part.row, np.int32(number << SHIFT), out=part.row)
                yield part

    def _verdict(self, number: int, rows: Rows, lying: Lying | None, found: Certified) -> Verdict:
        snapshot = self._snapshots[number]
        inside = np.zeros(snapshot.lying.rows.count, np.bool_)
        inside[_of_shelf(found.doomed, number)] = True
        return Verdict(rows, inside.take(rows), np.concatenate((_of_shelf(found.open, number), snapshot.boxed)), lying)


def _of_shelf(handles: Rows, number: int) -> Rows:
    """The numbers of the rows that are on this shelf."""
    found: Rows = handles.take(np.flatnonzero(handles >> SHIFT == number)) & np.int32(ROW)
    return found


def _parts(block: Block, places: Places | Rows, at: Reference) -> Iterable[Exposure]:
    """Copies. Rows edited meanwhile may hold factors that came after the reference: any will do, for they are not trusted."""
    return (block.take(places[start : start + PART]).among(len(at.value)) for start in range(0, len(places), PART))


def _laid_out(block: Block, at: Reference) -> Lying:
    """A copy of the rows in the order in which they lie best."""
    rows = block.sorted(_order(block, at))
    lies = np.empty(rows.count, np.int32)
    lies[rows.rows] = np.arange(rows.count, dtype=np.int32)
    return Lying(rows, lies)


def _order(block: Block, at: Reference) -> Places:
    held = np.zeros(len(at.value), np.intp)
    for part in _all_parts(block, at):
        held += np.bincount(part.column[part.weight > 0.0], minlength=len(held))
    rank = np.empty(len(held), np.intp)
    rank[np.argsort(-held)] = np.arange(len(held))
    return np.argsort(np.concatenate([np.zeros(0), *(_keys(part, rank, at) for part in _all_parts(block, at))]), kind="stable")


def _all_parts(block: Block, at: Reference) -> Iterable[Exposure]:
    return _parts(block, np.arange(block.count), at)


def _keys(part: Exposure, rank: NDArray[np.intp], at: Reference) -> Floats:
    """By the most held factor that secures the row, then by how far it is from being liquidatable."""
    first = np.where(part.weight > 0.0, rank[part.column], len(rank)).min(axis=0, initial=len(rank))
    with np.errstate(divide="ignore", invalid="ignore"):
        far = (part.constant + weighted(part.weight, at.value, part.column)) / weighted(np.abs(part.weight), at.scale, part.column)
    keys: Floats = first * APART + np.clip(np.nan_to_num(far, nan=0.0), 0.0, FARTHEST)
    return keys
