"""The scan: which accounts may be liquidatable, in one numpy pass over every row of every market.

Floats only nominate. A row whose surplus is not clearly positive, a factor without a value and a NaN all nominate; integers decide after.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from keeper.types import Factor, Row

Owner = TypeVar("Owner", bound=Hashable)


class Scan(Generic[Owner]):
    """Rows in fixed-width slots: an edit touches one row, a scan is one `einsum`."""

    def __init__(self) -> None:
        self._slots: dict[Owner, int] = {}
        self._owners: list[Owner | None] = []
        self._free: list[int] = []
        self._columns: dict[Factor, int] = {}
        self._index: NDArray[np.intp] = np.zeros((0, 4), dtype=np.intp)
        self._weight: NDArray[np.float64] = np.zeros((0, 4))
        self._constant: NDArray[np.float64] = np.zeros(0)

    def __len__(self) -> int:
        return len(self._slots)

    def put(self, owner: Owner, row: Row) -> None:
        """Add or replace an owner's row."""
        slot = self._slots.get(owner)
        if slot is None:
            slot = self._slots[owner] = self._new_slot()
        self._owners[slot] = owner
        self._reserve_width(len(row.weights))
        self._weight[slot] = 0.0
        self._index[slot] = 0
        for column, (factor, weight) in enumerate(row.weights.items()):
            self._index[slot, column] = self._columns.setdefault(factor, len(self._columns))
            self._weight[slot, column] = weight
        self._constant[slot] = row.constant

    def drop(self, owner: Owner) -> None:
        """Forget an owner; nothing happens if it has no row."""
        slot = self._slots.pop(owner, None)
        if slot is not None:
            self._owners[slot] = None
            self._weight[slot] = 0.0
            self._constant[slot] = np.inf
            self._free.append(slot)

    def nominate(self, factors: Mapping[Factor, float]) -> list[Owner]:
        """Owners whose surplus is negative or unknown at these factor values, most negative first."""
        surplus = self.surplus(factors)
        hit = np.flatnonzero(~(surplus >= 0.0))
        ordered = hit[np.argsort(surplus[hit], kind="stable")]
        return [owner for slot in ordered if (owner := self._owners[slot]) is not None]

    def surplus(self, factors: Mapping[Factor, float]) -> NDArray[np.float64]:
        """Surplus per slot; free slots are +inf."""
        values = np.array([factors.get(factor, np.nan) for factor in self._columns] or [0.0])
        used = len(self._owners)
        gathered = np.where(self._weight[:used] == 0.0, 0.0, values[self._index[:used]])
        result: NDArray[np.float64] = self._constant[:used] + np.einsum("ij,ij->i", self._weight[:used], gathered)
        return result

    def _new_slot(self) -> int:
        if self._free:
            return self._free.pop()
        if len(self._owners) == len(self._constant):
            self._grow_rows()
        self._owners.append(None)
        return len(self._owners) - 1

    def _grow_rows(self) -> None:
        more = max(64, len(self._constant))
        width = self._index.shape[1]
        self._index = np.vstack([self._index, np.zeros((more, width), dtype=np.intp)])
        self._weight = np.vstack([self._weight, np.zeros((more, width))])
        self._constant = np.concatenate([self._constant, np.full(more, np.inf)])

    def _reserve_width(self, width: int) -> None:
        missing = width - self._index.shape[1]
        if missing > 0:
            rows = self._index.shape[0]
            self._index = np.hstack([self._index, np.zeros((rows, missing), dtype=np.intp)])
            self._weight = np.hstack([self._weight, np.zeros((rows, missing))])
