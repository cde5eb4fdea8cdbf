"""The rows of all accounts at once, from the columns: what `rows.row` says of each, for a million in a second."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keeper.adapters.aave_v3.cells import RESERVES_A_PAGE, Cells, Deployment
from keeper.adapters.aave_v3.events import COLLATERAL_BIT, DEBT_BIT
from keeper.adapters.aave_v3.rows import FEWEST, SLACK, collateral_factor, debt_factor
from keeper.ports import ColumnView
from keeper.types import Entries, Factor, RowBlock

CATEGORIES = 256
SIZES = (4, 8, 16, 32, 64, 256)
"""Rows are given out by size, so that the widest does not decide the room for all."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def compiled(deployment: Deployment, cells: Cells, state: ColumnView) -> Iterator[RowBlock]:
    """One row for each account that owes something."""
    legs = _Legs(deployment, cells, state)
    rows = np.flatnonzero(np.bincount(legs.slot[legs.owed], minlength=legs.accounts))
    sizes = np.bincount(legs.slot, minlength=legs.accounts)[rows]
    least = 0
    for size in SIZES:
        chosen = rows[(sizes > least) & (sizes <= size)]
        least = size
        if len(chosen):
            yield legs.block(chosen, size)


class _Legs:
    """What secures and what is owed, one entry a leg, by account."""

    def __init__(self, deployment: Deployment, cells: Cells, state: ColumnView) -> None:
        rules = deployment.rules
        self.accounts = state.slots(deployment.name)
        flags, listed = _Flags(state.entries(cells.bits), self.accounts), _listed(cells, state)
        supply = _flagged(state.entries(cells.supply), flags, listed, COLLATERAL_BIT)
        debt = _flagged(state.entries(cells.debt), flags, listed, DEBT_BIT)
        category = _by_slot(state.entries(cells.category), self.accounts)
        several = np.bincount(supply.slot, minlength=self.accounts) > 1 if rules.average_floored else np.zeros(self.accounts, np.bool_)
        held = (supply.number * CATEGORIES + category[supply.slot]) * 2 + several[supply.slot]
        owed = debt.number * CATEGORIES + (category[debt.slot] if rules.emode_has_oracle else 0)
        self._name, self._kinds = deployment.name, 2 * CATEGORIES * (len(listed) + 1)
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
        slack = 2 * count
        slack[row[self._scaled[legs] < FEWEST]] = np.inf
        return RowBlock(factors, accounts.astype(np.int32), columns, weights, -count, slack)

    def _weights(self, legs: NDArray[np.intp]) -> NDArray[np.float64]:
        scaled = self._scaled[legs]
        found: NDArray[np.float64] = np.where(self.owed[legs], -(scaled + 1.0) * (1 + SLACK), (scaled - 1.0) * (1 - SLACK))
        return found

    def _factors(self, code: Ints) -> tuple[tuple[Factor, ...], NDArray[np.intp]]:
        """(the factors that occur, which of them each leg has)"""
        present = np.flatnonzero(np.bincount(code))
        number = np.zeros(int(present.max(initial=0)) + 1, np.intp)
        number[present] = np.arange(len(present))
        return tuple(self._factor(int(kind)) for kind in present), number[code]

    def _factor(self, code: int) -> Factor:
        if code >= self._kinds:
            return debt_factor(self._name, *divmod(code - self._kinds, CATEGORIES))
        return collateral_factor(self._name, *divmod(code // 2, CATEGORIES), several=bool(code % 2))


class _Flags:
    """The accounts' configuration maps."""

    def __init__(self, bits: Entries, accounts: int) -> None:
        self._halves: dict[tuple[int, int], NDArray[np.uint64]] = {}
        for page in np.unique(bits.number):
            at = bits.number == page
            for half, values in enumerate((bits.low, bits.high)):
                words = self._halves[int(page), half] = np.zeros(accounts, np.uint64)
                words[bits.slot[at]] = values[at]

    def __call__(self, entries: Entries, bit: int) -> Bools:
        """Is the bit set for each entry's account and reserve?"""
        found = np.zeros(len(entries.slot), np.bool_)
        for reserve in np.flatnonzero(np.bincount(entries.number)):
            page, place = divmod(int(reserve), RESERVES_A_PAGE)
            half, shift = divmod(2 * place + bit, 64)
            words = self._halves.get((page, half))
            if words is not None:
                at = np.flatnonzero(entries.number == reserve)
                found[at] = words[entries.slot[at]] >> np.uint64(shift) & np.uint64(1) != 0
        return found


def _flagged(entries: Entries, flags: _Flags, listed: Bools, bit: int) -> Entries:
    return _those(entries, np.flatnonzero(flags(entries, bit) & listed[entries.number]))


def _those(entries: Entries, at: NDArray[np.intp]) -> Entries:
    return Entries(entries.number[at], entries.slot[at], entries.low[at], entries.high[at])


def _listed(cells: Cells, state: ColumnView) -> Bools:
    """By reserve id: its slot is not empty."""
    reserves = cells.reserve_ids(state)
    found = np.zeros(4096, np.bool_)
    found[list(reserves)] = True
    return found


def _by_slot(entries: Entries, accounts: int) -> Ints:
    found = np.zeros(accounts, np.int64)
    found[entries.slot] = entries.low
    return found


def _floats(entries: Entries) -> NDArray[np.float64]:
    return entries.low.astype(np.float64) + entries.high.astype(np.float64) * 2.0**64
