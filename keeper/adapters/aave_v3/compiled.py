"""The rows of all accounts at once, from the columns: what `rows.row` says of each, for a million in a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.events import COLLATERAL_BIT, DEBT_BIT
from keeper.adapters.aave_v3.rows import SLACK, collateral_factor, debt_factor
from keeper.ports import ColumnView
from keeper.types import Entries, Factor, RowBlock

CATEGORIES, NUMBERS = 256, 4096
FEW = 10_000
SIZES = (4, 8, 16, 32, 64, 256)
"""Rows are given out by size, so that the widest does not decide the room for all."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def compiled(deployment: Deployment, cells: Cells, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
    """One row for each account that owes something: of all, or of those in these slots."""
    if slots is None:
        entries: Mapping[str, Entries] = {table: state.entries(table) for table in cells.columns}
        legs = _Legs(deployment, cells, entries, np.arange(state.slots(deployment.name), dtype=np.int32))
    else:
        legs = _Legs(deployment, cells, state.entries_of(deployment.name, slots), slots)
    rows = np.flatnonzero(np.bincount(legs.slot[legs.owed], minlength=legs.accounts))
    sizes = np.bincount(legs.slot, minlength=legs.accounts)[rows]
    least = 0
    for size in SIZES:
        chosen = rows[(sizes > least) & (sizes <= size)]
        least = size
        if len(chosen):
            yield legs.block(chosen, size)


class _Legs:
    """What secures and what is owed, one entry a leg, by account. `slots`: those of the accounts that the entries number."""

    def __init__(self, deployment: Deployment, cells: Cells, entries: Mapping[str, Entries], slots: NDArray[np.int32]) -> None:
        rules = deployment.rules
        self._slots, self.accounts = slots, len(slots)
        flags = _Flags(entries[cells.bits], self.accounts)
        supply = _those(entries[cells.supply], flags(entries[cells.supply], COLLATERAL_BIT))
        debt = _those(entries[cells.debt], flags(entries[cells.debt], DEBT_BIT))
        category = _by_slot(entries[cells.category], self.accounts)
        several = np.bincount(supply.slot, minlength=self.accounts) > 1 if rules.average_floored else np.zeros(self.accounts, np.bool_)
        held = (supply.number * CATEGORIES + category[supply.slot]) * 2 + several[supply.slot]
        owed = debt.number * CATEGORIES + (category[debt.slot] if rules.emode_has_oracle else 0)
        self._name, self._kinds = deployment.name, 2 * CATEGORIES * (NUMBERS + 1)
        slot = np.concatenate((supply.slot, debt.slot))
        order = np.argsort(slot, kind="stable")
        self.slot = slot[order]
        self.owed = order >= len(supply.slot)
        self._code = np.concatenate((held, owed + self._kinds)).astype(np.int64)[order]
        self._scaled = np.concatenate((_floats(supply), _floats(debt)))[order]

    def block(self, accounts: NDArray[np.intp], size: int) -> RowBlock:
        """The rows of these accounts, of at most `size` legs."""
        rank = np.full(self.accounts, -1)
        rank[accounts] = np.arange(len(accounts))
        row = rank[self.slot]
        legs = np.flatnonzero(row >= 0)
        row = row[legs]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        factors, column = self._factors(self._code[legs])
        columns, weights = np.zeros((len(accounts), size), np.intp), np.zeros((len(accounts), size))
        columns[row, place], weights[row, place] = column, self._weights(legs)
        count = (np.bincount(row, minlength=len(accounts)) + 1).astype(np.float64)
        return RowBlock(factors, self._slots[accounts], columns, weights, -count, 2 * count)

    def _weights(self, legs: NDArray[np.intp]) -> NDArray[np.float64]:
        scaled = self._scaled[legs]
        found: NDArray[np.float64] = np.where(self.owed[legs], -(scaled + 1.0) * (1 + SLACK), (scaled - 1.0) * (1 - SLACK))
        return found

    def _factors(self, code: Ints) -> tuple[tuple[Factor, ...], NDArray[np.intp]]:
        """(the factors that occur, which of them each leg has)"""
        present, number = _numbered(code)
        return tuple(_factor(self._name, self._kinds, kind) for kind in present.tolist()), number


@cache
def _factor(name: str, kinds: int, code: int) -> Factor:
    if code >= kinds:
        return debt_factor(name, *divmod(code - kinds, CATEGORIES))
    return collateral_factor(name, *divmod(code // 2, CATEGORIES), several=bool(code % 2))


class _Flags:
    """The accounts' configuration maps."""

    def __init__(self, bits: Entries, accounts: int) -> None:
        self._words = np.zeros((2 * int(bits.number.max(initial=0)) + 2, accounts), np.uint64)
        self._words[2 * bits.number, bits.slot] = bits.low
        self._words[2 * bits.number + 1, bits.slot] = bits.high

    def __call__(self, entries: Entries, bit: int) -> Bools:
        """Is the bit set for each entry's account and reserve?"""
        place = entries.number * 2 + bit
        word, shift = place >> 6, (place & 63).astype(np.uint64)
        found: Bools = self._words[np.minimum(word, len(self._words) - 1), entries.slot] >> shift & np.uint64(1) != 0
        return found & (word < len(self._words))


def _those(entries: Entries, chosen: Bools) -> Entries:
    at = np.flatnonzero(chosen)
    return Entries(entries.number[at], entries.slot[at], entries.low[at], entries.high[at])


def _numbered(code: Ints) -> tuple[Ints, NDArray[np.intp]]:
    """(the codes that occur, ascending; which of them each is): sorting is quick for few, counting for many."""
    if len(code) < FEW:
        return np.unique(code, return_inverse=True)
    present = np.flatnonzero(np.bincount(code))
    number = np.zeros(int(present.max(initial=0)) + 1, np.intp)
    number[present] = np.arange(len(present))
    return present, number[code]


def _by_slot(entries: Entries, accounts: int) -> Ints:
    found = np.zeros(accounts, np.int64)
    found[entries.slot] = entries.low
    return found


def _floats(entries: Entries) -> NDArray[np.float64]:
    return entries.low.astype(np.float64) + entries.high.astype(np.float64) * 2.0**64
