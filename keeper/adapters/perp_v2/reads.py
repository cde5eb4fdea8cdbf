"""What no event tells, read at every head: the aggregators behind proxies and their answers, the fund's wallet, prices of stopped books.

Each question is one `Ask`: the call and what its reply writes. `reads` and `absorb` walk the same list, so replies find their question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from keeper.adapters.perp_v2 import index
from keeper.adapters.perp_v2.cells import IDLE, OPEN, Cells, Deployment, Feed
from keeper.adapters.perp_v2.codec import call_data, reply_address, reply_word, selector, to_address
from keeper.ports import View
from keeper.types import Address, Read, Write

AGGREGATOR = selector("aggregator()")
LATEST_ROUND = selector("latestRoundData()")
LIMITS = {"least": selector("minAnswer()"), "most": selector("maxAnswer()")}
BALANCE_OF = selector("balanceOf(address)")
STOPPED = {"paused_price": selector("getPausedIndexPrice()"), "closed_price": selector("getClosedPrice()")}


@dataclass(frozen=True, slots=True)
class Ask:
    read: Read
    answer: Callable[[bytes | None], list[Write]]


def reads(deployment: Deployment, cells: Cells, view: View) -> tuple[Read, ...]:
    return tuple(ask.read for ask in _asks(deployment, cells, view))


def absorb(deployment: Deployment, cells: Cells, replies: Sequence[bytes | None], view: View) -> list[Write]:
    """Replies in the order of `reads` on the same view."""
    asks = list(_asks(deployment, cells, view))
    return [write for ask, reply in zip(asks, replies, strict=True) for write in ask.answer(reply)]


def _asks(deployment: Deployment, cells: Cells, view: View) -> Iterator[Ask]:
    fund = call_data(BALANCE_OF, deployment.insurance_fund)
    yield Ask(Read(deployment.settlement.token, fund), lambda reply: [(cells.config, ("fund_cash",), reply_word(reply) or 0)])
    for account in deployment.accounts:
        yield Ask(Read(deployment.settlement.token, call_data(BALANCE_OF, account)), _idle(cells, account))
    for feed in deployment.feeds.values():
        yield Ask(Read(feed.proxy, AGGREGATOR), _aggregator(cells, feed))
        yield Ask(Read(feed.proxy, LATEST_ROUND), _answer(cells, view, feed))
        yield from _limits(cells, view, feed)
    for number, book in enumerate(deployment.books):
        if cells.of_book(view, number, "status") != OPEN:
            yield from (Ask(Read(book.base, call), _price(cells, number, field)) for field, call in STOPPED.items())


def _idle(cells: Cells, account: Address) -> Callable[[bytes | None], list[Write]]:
    return lambda reply: [(cells.config, (IDLE, account), reply_word(reply) or 0)]


def _aggregator(cells: Cells, feed: Feed) -> Callable[[bytes | None], list[Write]]:
    """A proxy without `aggregator()` speaks for itself."""
    return lambda reply: [(cells.feed, (feed.address, "aggregator"), int(reply_address(reply) or feed.proxy, 16))]


def _limits(cells: Cells, view: View, feed: Feed) -> Iterator[Ask]:
    """To an aggregator that was not asked yet."""
    aggregator = cells.of_feed(view, feed.address, "aggregator")
    if aggregator and aggregator != cells.of_feed(view, feed.address, "asked"):
        asked: list[Write] = [(cells.feed, (feed.address, "asked"), aggregator)]
        for field, call in LIMITS.items():
            yield Ask(Read(to_address(aggregator), call), partial(_limit, cells, feed, field, asked))


def _limit(cells: Cells, feed: Feed, field: str, asked: list[Write], reply: bytes | None) -> list[Write]:
    limit = reply_word(reply) or 0
    return [(cells.feed, (feed.address, field), 0 if limit >> 255 else limit), *asked]


def _answer(cells: Cells, view: View, feed: Feed) -> Callable[[bytes | None], list[Write]]:
    def answer(reply: bytes | None) -> list[Write]:
        price, at_s = reply_word(reply, 1), reply_word(reply, 3)
        if price is None or at_s is None:
            return []
        return index.answered(cells, view, feed.address, price if not price >> 255 else 0, at_s)

    return answer


def _price(cells: Cells, number: int, field: str) -> Callable[[bytes | None], list[Write]]:
    return lambda reply: [(cells.pool, (number, field), reply_word(reply) or 0)]
