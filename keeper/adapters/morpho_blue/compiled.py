"""The rows of all accounts at once, from the columns: what `rows.rows` says of each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keeper.adapters.morpho_blue.cells import BORROW, COLLATERAL, MOST_MARKETS
from keeper.adapters.morpho_blue.rows import COLLATERAL as SECURED
from keeper.adapters.morpho_blue.rows import DEBT, ROUNDED, SLACK, UNIT, factor_of
from keeper.ports import ColumnView
from keeper.types import Entries, RowBlock

Longs = NDArray[np.int64]
Floats = NDArray[np.float64]


def compiled(name: str, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
    """One row for each debt: the first of every account, then the second of those that have one, and so on."""
    everyone = np.arange(state.slots(name), dtype=np.int32) if slots is None else slots
    held = state.held(name, slots)
    place, shares = _table(held, BORROW)
    collateral = _matched(place, *_table(held, COLLATERAL))
    owner, number = np.divmod(place, MOST_MARKETS)
    turn = np.arange(len(owner)) - np.searchsorted(owner, owner)
    for nth in range(int(turn.max(initial=-1)) + 1):
        mine = np.flatnonzero(turn == nth)
        yield _block(name, everyone.take(owner.take(mine)), number.take(mine), shares.take(mine), collateral.take(mine))


def _table(held: Entries, table: int) -> tuple[Longs, Floats]:
    """(account · 4096 + market, ascending; what is there)"""
    mine = np.flatnonzero(held.number // MOST_MARKETS == table)
    place = held.slot.take(mine).astype(np.int64) * MOST_MARKETS + held.number.take(mine) % MOST_MARKETS
    order = np.argsort(place, kind="stable")
    amount = held.low.take(mine) + held.high.take(mine) * 2.0**64
    return place.take(order), amount.take(order)


def _matched(wanted: Longs, place: Longs, amount: Floats) -> Floats:
    """What stands at the wanted places; 0 where nothing does."""
    if not len(place):
        return np.zeros(len(wanted))
    at = np.minimum(np.searchsorted(place, wanted), len(place) - 1)
    found: Floats = np.where(place.take(at) == wanted, amount.take(at), 0.0)
    return found


def _block(name: str, slot: NDArray[np.int32], number: Longs, shares: Floats, collateral: Floats) -> RowBlock:
    numbers, which = np.unique(number, return_inverse=True)
    factors = tuple(factor_of(name, kind, of) for of in numbers.tolist() for kind in (SECURED, DEBT, UNIT))
    column = (which * 3)[:, None] + np.arange(3)
    weight = np.stack([collateral * (1 - SLACK), -shares * (1 + SLACK), np.full(len(shares), -ROUNDED)], axis=1)
    nothing = np.zeros(len(shares))
    return RowBlock(factors, slot, column.astype(np.intp), weight, nothing, nothing.copy())
