"""An account's side of events: what it has settled, its orders, and when the protocol forgets a position."""

from __future__ import annotations

from keeper.adapters.perp_v2 import growth
from keeper.adapters.perp_v2.cells import Cells, range_of, ticks_of
from keeper.book.state import Overlay
from keeper.ports import View
from keeper.types import Address, Write

DUST = 10
"""Wei below which a position counts as none."""


def settled(cells: Cells, view: View, number: int, account: Address) -> list[Write]:
    """Funding of a book settled for an account: everything of its is at the growth of now."""
    now, tick = growth.stored(cells, view, number), cells.of_book(view, number, "tick")
    writes = [cells.put(cells.growth, now.g, number, account)]
    for packed in cells.ranges(view, number, account):
        lower, upper = ticks_of(packed)
        here = growth.inside(cells, view, number, lower, upper, now, tick)
        under = growth.below(cells, view, number, lower, now, tick)
        writes += _order(cells, number, packed, account, g=here.g, gd=here.gd, below=under.g)
    return writes


def position_changed(cells: Cells, view: View, number: int, account: Address, exchanged: int, notional: int) -> list[Write]:
    state = Overlay(view, settled(cells, view, number, account))
    state.write([cells.add(state, cells.size, exchanged, number, account), cells.put(cells.notional, notional, number, account)])
    state.write(forgotten(cells, state, number, account))
    return state.writes()


def liquidity_changed(
    cells: Cells, view: View, number: int, account: Address, lower: int, upper: int, base: int, quote: int, change: int
) -> list[Write]:
    """What was lent to the order comes with it, and goes by shares. Its fee is collected either way."""
    state, packed = Overlay(view), range_of(lower, upper)
    before = cells.of_order(view, number, packed, account, "liquidity")
    debts = {field: cells.of_order(view, number, packed, account, field) for field in ("base", "quote")}
    if change < 0:
        debts = {field: debt - debt * -change // before if before else 0 for field, debt in debts.items()}
    else:
        debts = {"base": debts["base"] + base, "quote": debts["quote"] + quote}
    state.write(_order(cells, number, packed, account, liquidity=before + change, **debts))
    state.write(_listed(cells, state, number, account, packed, before, before + change))
    state.write(settled(cells, state, number, account))
    if before + change:
        now = growth.inside(cells, state, number, lower, upper, growth.stored(cells, state, number), cells.of_book(state, number, "tick"))
        state.write(_order(cells, number, packed, account, fee=now.fee))
    else:
        state.write(_order(cells, number, packed, account, base=0, quote=0, fee=0, g=0, gd=0, below=0))
    state.write(forgotten(cells, state, number, account))
    return state.writes()


def forgotten(cells: Cells, view: View, number: int, account: Address) -> list[Write]:
    """A position of next to nothing, without orders, is deleted."""
    size, notional = (cells.signed(view, table, number, account) for table in (cells.size, cells.notional))
    if abs(size) >= DUST or abs(notional) >= DUST or view.get(cells.orders, (number, account)):
        return []
    return [(table, (number, account), 0) for table in (cells.size, cells.notional, cells.growth)]


def _listed(cells: Cells, view: View, number: int, account: Address, packed: int, before: int, after: int) -> list[Write]:
    """The order among the account's, or no longer: the last takes its place."""
    ranges = cells.ranges(view, number, account)
    count = len(ranges)
    if after and packed not in ranges:
        return [(cells.range, (number, count, account), packed), (cells.orders, (number, account), count + 1)]
    if before and not after:
        place: Write = (cells.range, (number, ranges.index(packed), account), ranges[-1])
        return [place, (cells.range, (number, count - 1, account), 0), (cells.orders, (number, account), count - 1)]
    return []


def _order(cells: Cells, number: int, packed: int, account: Address, **fields: int) -> list[Write]:
    return [(cells.order, (number, packed, field, account), value) for field, value in fields.items()]
