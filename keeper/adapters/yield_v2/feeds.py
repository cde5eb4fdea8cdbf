"""What stands behind each token's price, as the guard wants to know it."""

from __future__ import annotations

from keeper.adapters.yield_v2.cells import UNIT, Cells
from keeper.ports import View
from keeper.types import Address, PriceFeed


def source(cells: Cells, view: View, token: Address) -> Address | None:
    """The first that has a price."""
    return next((found for found in cells.sources_of(view, token) if view.get(cells.source, (found, "price"))), None)


def feeds(cells: Cells, view: View) -> tuple[PriceFeed, ...]:
    known = ((token, source(cells, view, token)) for token in cells.tokens(view))
    return tuple(_feed(cells, view, token, found) for token, found in known if found)


def _feed(cells: Cells, view: View, token: Address, found: Address) -> PriceFeed:
    fields = ("price", "before", "answer", "least", "most", "at")
    price, before, answer, least, most, at_s = (view.get(cells.source, (found, field)) for field in fields)
    decimals = cells.decimals(view, token) or 0
    said = answer, least, most, at_s
    return PriceFeed(token, symbol(cells, view, token), decimals, UNIT, price, before, *said, source=found)


def symbol(cells: Cells, view: View, token: Address) -> str:
    packed = view.get(cells.token, (token, "symbol"))
    return packed.to_bytes((packed.bit_length() + 7) // 8).decode("utf-8", errors="replace") or token[:10]
