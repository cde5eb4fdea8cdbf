"""What tokens are worth to the market, in USD with 18 decimals: by the newest answers of its feeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isqrt
from typing import NamedTuple

from keeper.adapters.perp_v2 import index, oracle
from keeper.adapters.perp_v2.cells import Cells, Deployment, Feed
from keeper.adapters.perp_v2.rounding import Q96, WAD
from keeper.concentrated import tick_at_sqrt_ratio
from keeper.ports import View
from keeper.types import Address, PriceFeed, Write

UNIT = "usd-18"
FOREVER_S = 1 << 62


class Priced(NamedTuple):
    """A token behind which there is a feed: a book's base, or a collateral."""

    token: Address
    symbol: str
    decimals: int
    feed: Feed
    number: int | None


def priced(deployment: Deployment) -> Iterator[Priced]:
    for number, book in enumerate(deployment.books):
        yield Priced(book.base, book.symbol, 18, book.feed, number)
    for held in deployment.collaterals:
        yield Priced(held.token, held.symbol, held.decimals, held.feed, None)


def price(deployment: Deployment, cells: Cells, view: View, token: Address) -> int | None:
    """Of a whole token."""
    if token == deployment.settlement.token:
        return WAD
    known = next((known for known in priced(deployment) if known.token == token), None)
    return _newest(cells, view, known.feed) or None if known else None


def value(deployment: Deployment, cells: Cells, view: View, token: Address, amount: int) -> int | None:
    whole = price(deployment, cells, view, token)
    if whole is None:
        return None
    settlement = deployment.settlement
    decimals = settlement.decimals if token == settlement.token else next(k.decimals for k in priced(deployment) if k.token == token)
    return int(amount * whole // 10**decimals)


def feeds(deployment: Deployment, cells: Cells, view: View) -> tuple[PriceFeed, ...]:
    return tuple(_feed(cells, view, known) for known in priced(deployment) if _newest(cells, view, known.feed))


def _feed(cells: Cells, view: View, known: Priced) -> PriceFeed:
    answer, at_s = index.latest(cells, view, known.feed.address, FOREVER_S)
    before, least, most = (cells.of_feed(view, known.feed.address, field) for field in ("before", "least", "most"))
    return PriceFeed(
        known.token,
        known.symbol,
        known.decimals,
        UNIT,
        _scaled(answer, known.feed),
        _scaled(before, known.feed),
        answer,
        least,
        most,
        at_s,
        source=known.feed.proxy,
    )


def _newest(cells: Cells, view: View, feed: Feed) -> int:
    return _scaled(index.latest(cells, view, feed.address, FOREVER_S)[0], feed)


def _scaled(answer: int, feed: Feed) -> int:
    return int(answer * 10 ** (18 - feed.decimals))


def repriced(deployment: Deployment, cells: Cells, view: View, new: Mapping[Address, int]) -> list[Write]:
    """As if it had been so for long: the feed's means and the pool's own are at that price too."""
    writes: list[Write] = []
    for known in priced(deployment):
        if known.token in new:
            writes += _answered(cells, view, known.feed, new[known.token] // 10 ** (18 - known.feed.decimals))
            writes += [] if known.number is None else _traded(cells, view, known.number, new[known.token])
    return writes


def _answered(cells: Cells, view: View, feed: Feed, answer: int) -> list[Write]:
    """Without observations the mean is the answer."""
    fields = {"answer": answer, "cached": answer, "first": cells.of_feed(view, feed.address, "next")}
    return [(cells.feed, (feed.address, field), number) for field, number in fields.items()]


def _traded(cells: Cells, view: View, number: int, whole: int) -> list[Write]:
    root = isqrt(whole * Q96 * Q96 // WAD)
    tick, last = tick_at_sqrt_ratio(root), cells.of_book(view, number, "seen_next") - 1
    fields = {"price": root, "tick": tick, "seen_first": last, "seen_oldest": last}
    return [*oracle.forgotten(cells, number, last), *((cells.pool, (number, field), found) for field, found in fields.items())]
