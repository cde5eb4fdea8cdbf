"""The rows of all accounts at once, from the columns: what `rows.row` says of each, for a million in a second."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from keeper.adapters.aave_v3.cells import BITS, CATEGORY, DEBT, Deployment
from keeper.adapters.aave_v3.events import COLLATERAL_BIT, DEBT_BIT
from keeper.adapters.aave_v3.rows import SLACK, collateral_factor, debt_factor
from keeper.ports import ColumnView
from keeper.types import Entries, Factor, RowBlock

CATEGORIES, NUMBER_BITS = 256, 12
NUMBERS = 1 << NUMBER_BITS
FEW = 10_000
SIZES = (4, 8, 16, 32, 64, 256)
"""Rows are given out by size, so that the widest does not decide the room for all."""

_SIZES = np.array(SIZES)

_BIT = np.array([COLLATERAL_BIT, DEBT_BIT], np.int32)
"""By table."""

KINDS = 2 * CATEGORIES * (NUMBERS + 1)
"""The codes of debts start here."""

Ints = NDArray[np.int32]


def compiled(deployment: Deployment, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
    """One row for each account that owes something: of all, or of those in these slots."""
    everyone = np.arange(state.slots(deployment.name), dtype=np.int32) if slots is None else slots
    legs = _Legs(deployment, state.held(deployment.name, slots), everyone)
    sizes = np.bincount(legs.slot, minlength=len(everyone))
    rows = np.flatnonzero(np.bincount(legs.slot[legs.owed], minlength=len(everyone)))
    if len(rows) < FEW:
        yield from (legs.block(rows, int(sizes.take(rows).max())),) if len(rows) else ()
        return
    size_of = np.searchsorted(_SIZES, sizes.take(rows))
    for number in np.flatnonzero(np.bincount(size_of)).tolist():
        yield legs.block(rows[size_of == number], SIZES[number])


class _Legs:
    """What secures and what is owed, one entry a leg, account by account. `slots`: those of the accounts that the entries number."""

    def __init__(self, deployment: Deployment, held: Entries, slots: NDArray[np.int32]) -> None:
        rules, self._name, self._slots = deployment.rules, deployment.name, slots
        table, number = held.number >> NUMBER_BITS, held.number & (NUMBERS - 1)
        legs = np.flatnonzero(table <= DEBT)
        legs = legs[_flagged(held, table, number, legs, len(slots))]
        if np.any((slot := held.slot.take(legs))[1:] < slot[:-1]):
            legs = legs.take(np.argsort(slot, kind="stable"))
        self.slot, self.owed = held.slot.take(legs), table.take(legs) == DEBT
        self._scaled = held.low.take(legs) + held.high.take(legs) * 2.0**64
        category = _categories(held, table, len(slots)).take(self.slot)
        several = np.bincount(self.slot[~self.owed], minlength=len(slots)).take(self.slot) > 1 if rules.average_floored else 0
        reserve = number.take(legs) * CATEGORIES
        held_as, owed_as = (reserve + category) * 2 + several, reserve + (category if rules.emode_has_oracle else 0)
        self._code = np.where(self.owed, owed_as + KINDS, held_as)

    def block(self, accounts: NDArray[np.intp], size: int) -> RowBlock:
        """The rows of these accounts, of at most `size` legs."""
        rank = np.full(len(self._slots), -1)
        rank[accounts] = np.arange(len(accounts))
        row = rank.take(self.slot)
        legs = np.flatnonzero(row >= 0)
        row = row.take(legs)
        place = np.arange(len(row)) - np.searchsorted(row, row)
        factors, column = _numbered(self._code.take(legs))
        columns, weights = np.zeros((len(accounts), size), np.intp), np.zeros((len(accounts), size))
        columns[row, place], weights[row, place] = column, self._weights(legs)
        count = (np.bincount(row, minlength=len(accounts)) + 1).astype(np.float64)
        named = tuple(_factor(self._name, code) for code in factors)
        return RowBlock(named, self._slots.take(accounts), columns, weights, -count, 2 * count)

    def _weights(self, legs: NDArray[np.intp]) -> NDArray[np.float64]:
        scaled = self._scaled.take(legs)
        found: NDArray[np.float64] = np.where(self.owed.take(legs), -(scaled + 1.0) * (1 + SLACK), (scaled - 1.0) * (1 - SLACK))
        return found


@cache
def _factor(name: str, code: int) -> Factor:
    if code >= KINDS:
        return debt_factor(name, *divmod(code - KINDS, CATEGORIES))
    return collateral_factor(name, *divmod(code // 2, CATEGORIES), several=bool(code % 2))


def _flagged(held: Entries, table: Ints, number: Ints, legs: NDArray[np.intp], accounts: int) -> NDArray[np.bool_]:
    """Do these legs count, by the configuration maps of their accounts?"""
    maps = np.flatnonzero(table == BITS)
    page, owner = 2 * number.take(maps), held.slot.take(maps)
    words = np.zeros((int(page.max(initial=0)) + 3, accounts), np.uint64)
    words[page, owner], words[page + 1, owner] = held.low.take(maps), held.high.take(maps)
    bit = 2 * number.take(legs) + _BIT.take(table.take(legs))
    word, shift = np.minimum(bit >> 6, len(words) - 1), (bit & 63).astype(np.uint64)  # beyond all maps there is a word without bits
    found: NDArray[np.bool_] = words[word, held.slot.take(legs)] >> shift & np.uint64(1) != 0
    return found


def _categories(held: Entries, table: Ints, accounts: int) -> NDArray[np.int64]:
    """The eMode of every account."""
    found, at = np.zeros(accounts, np.int64), np.flatnonzero(table == CATEGORY)
    found[held.slot.take(at)] = held.low.take(at)
    return found


def _numbered(code: NDArray[np.int64]) -> tuple[list[int], NDArray[np.intp]]:
    """(the codes that occur, ascending; which of them each is): sorting is quick for few, counting for many."""
    if len(code) < FEW:
        few, of_few = np.unique(code, return_inverse=True)
        return few.tolist(), of_few
    present = np.flatnonzero(np.bincount(code))
    number = np.zeros(int(present.max(initial=0)) + 1, np.intp)
    number[present] = np.arange(len(present))
    return present.tolist(), number.take(code)
