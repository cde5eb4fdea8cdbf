"""A book at a moment: the mark price, and how far funding has grown. Both move with the clock alone.

mark = median(A, B, C): A the pool's price now (from 2.8 on its mean over 15 s), B its mean over half an hour, C the index plus the mean
premium of the pool over it. Funding grows by the premium, within bounds, for every second since anybody settled it: so the premium of the
moment prices the whole time since.
Source: perp-curie `AccountBalance.getMarkPrice`, `Exchange._getFundingGrowthGlobalAndTwaps`.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.adapters.perp_v2 import index, oracle
from keeper.adapters.perp_v2.cells import CLOSED, OPEN, Cells, Deployment
from keeper.adapters.perp_v2.growth import Growth, stored
from keeper.adapters.perp_v2.rounding import Q96, RATIO, WAD, mul_div_truncated, price_wad, price_x96
from keeper.errors import Skip
from keeper.ports import View


@dataclass(frozen=True, slots=True)
class Book:
    """`mark` with 18 decimals; `sqrt_price` X96; `growth` as it would be settled at that time."""

    number: int
    mark: int
    sqrt_price: int
    tick: int
    growth: Growth


def book_at(deployment: Deployment, cells: Cells, view: View, number: int, at_s: int) -> Book:
    """Raises Skip("no_price") where the contract reverts."""
    sqrt_price, tick = (cells.of_book(view, number, field) for field in ("price", "tick"))
    return Book(
        number,
        mark_price(deployment, cells, view, number, at_s),
        sqrt_price,
        tick,
        growth_at(deployment, cells, view, number, at_s),
    )


def mark_price(deployment: Deployment, cells: Cells, view: View, number: int, at_s: int) -> int:
    status = cells.of_book(view, number, "status")
    if status != OPEN:
        return cells.of_book(view, number, "closed_price" if status == CLOSED else "paused_price")
    window_s, premium_s = (cells.setting(view, field) for field in ("mark_window_s", "premium_window_s"))
    spot, mean, short_mean = (
        price_wad(oracle.sqrt_mean(cells, view, number, at_s, back_s)) for back_s in (deployment.spot_window_s, window_s, premium_s)
    )
    based = index_price(deployment, cells, view, number, at_s, 0)
    based += short_mean - index_price(deployment, cells, view, number, at_s, premium_s)
    if based < 0:
        raise Skip("no_price", "the index and its premium are below zero")
    return sorted((spot, mean, based))[1]


def index_price(deployment: Deployment, cells: Cells, view: View, number: int, at_s: int, window_s: int) -> int:
    """With 18 decimals. A book that is not open keeps the index of that moment."""
    if cells.of_book(view, number, "status") != OPEN:
        return cells.of_book(view, number, "paused_price")
    if cells.of_book(view, number, "moved"):
        raise Skip("no_price", "the book has another price feed; restart to discover it")
    feed = deployment.books[number].feed
    return int(index.mean(cells, view, feed.address, at_s, window_s) * 10 ** (18 - feed.decimals))


def funding_window_s(cells: Cells, view: View, number: int, at_s: int) -> int:
    """Over how long the premium is averaged: shorter while the book is young."""
    first = cells.of_book(view, number, "first_trade")
    return min(cells.setting(view, "twap_window_s"), at_s - first) if first else 0


def growth_at(deployment: Deployment, cells: Cells, view: View, number: int, at_s: int) -> Growth:
    """As a settlement at that time would leave it."""
    end_s = at_s if cells.of_book(view, number, "status") == OPEN else min(at_s, cells.of_book(view, number, "paused_at"))
    known = stored(cells, view, number)
    settled_s = cells.of_book(view, number, "settled")
    if not settled_s or settled_s >= end_s:
        return known
    window_s = funding_window_s(cells, view, number, end_s)
    return grown(cells, view, number, end_s, index_price(deployment, cells, view, number, end_s, window_s))


def grown(cells: Cells, view: View, number: int, at_s: int, index_mean: int) -> Growth:
    """The same, where the mean of the index is known."""
    known, settled_s = stored(cells, view, number), cells.of_book(view, number, "settled")
    if not settled_s or settled_s == at_s:
        return known
    window_s = funding_window_s(cells, view, number, at_s)
    market = price_x96(oracle.sqrt_mean(cells, view, number, at_s, window_s))
    reference = index_mean * Q96 // WAD
    most = reference * cells.setting(view, "max_funding") // RATIO
    change = min(max(market - reference, -most), most) * (at_s - settled_s)
    per_root = mul_div_truncated(change, Q96, cells.of_book(view, number, "price"))
    return Growth(known.fee, known.g + change, known.gd + per_root)
