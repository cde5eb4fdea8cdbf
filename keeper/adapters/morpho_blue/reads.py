"""What no event tells, read at every head: oracles' words, the aggregators behind feeds, what is there to lend; and, once, what is new.

A market whose parameters are allowed waits until its oracle has been looked at: a rule follows it only if the oracle is composed of known
feeds, and says what they say. Each question is one `Ask`: `reads` and `absorb` walk the same list, so replies find their question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from keeper.adapters.morpho_blue import backoff, prices
from keeper.adapters.morpho_blue.admission import GETTERS, Newcomer, admit, seated, valuations
from keeper.adapters.morpho_blue.cells import Cells, Deployment, Params
from keeper.adapters.morpho_blue.codec import call_data, reply_text, reply_word, selector, signed, to_address
from keeper.book.state import Overlay
from keeper.ports import View
from keeper.types import Address, Key, Read, Write

PRICE = selector("price()")
AGGREGATOR = selector("aggregator()")
DECIMALS = selector("decimals()")
DESCRIPTION = selector("description()")
LATEST_ROUND_DATA = selector("latestRoundData()")
MIN_ANSWER = selector("minAnswer()")
MAX_ANSWER = selector("maxAnswer()")
SYMBOL = selector("symbol()")
BALANCE_OF = selector("balanceOf(address)")
ANSWER_WORD, UPDATED_AT_WORD = 1, 3
SYMBOL_BYTES = 31

Replies = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Ask:
    """`answer`: what the replies write, on the state the answers before them leave."""

    reads: tuple[Read, ...]
    answer: Callable[[Replies, View], list[Write]]


def reads(deployment: Deployment, cells: Cells, view: View) -> tuple[Read, ...]:
    return tuple(read for ask in _asks(deployment, cells, view) for read in ask.reads)


def absorb(deployment: Deployment, cells: Cells, replies: Replies, view: View) -> list[Write]:
    """Replies in the order of `reads` on the same view."""
    state, at = Overlay(view), 0
    for ask in list(_asks(deployment, cells, view)):
        state.write(ask.answer(replies[at : at + len(ask.reads)], state))
        at += len(ask.reads)
    return state.writes()


def _asks(deployment: Deployment, cells: Cells, view: View) -> Iterator[Ask]:
    for feed in prices.all_feeds(deployment, cells, view):
        yield from _feed_asks(cells, view, feed)
    tokens = prices.tokens(deployment, cells, view)
    for token in tokens:
        if not cells.of_token(view, token, "decimals"):
            yield Ask((Read(token, DECIMALS), Read(token, SYMBOL)), partial(_token, cells, token))
    yield from _newcomers(deployment, cells, view)
    for oracle, markets in prices.oracles(cells, view).items():
        yield Ask((Read(oracle, PRICE),), _price(deployment, cells, oracle, markets))
    for token in tokens:
        yield from _token_asks(deployment, cells, token)


# --- oracles ------------------------------------------------------------------------------------------------------


def _newcomers(deployment: Deployment, cells: Cells, view: View) -> Iterator[Ask]:
    positions: dict[str, list[Key]] = defaultdict(list)
    for key in view.keys(cells.waiting):
        positions[str(key[0])].append(key)
    newcomers = [Newcomer(cells.params_of_newcomer(view, market), tuple(positions[market])) for market in cells.waiting_ids(view)]
    for newcomer in newcomers:
        market = newcomer.params.id
        if backoff.resting(cells.param, market, view):
            yield Ask((), partial(_rested, cells, market))
        elif not cells.of_wait(view, market, "approved"):
            asked = tuple(Read(newcomer.params.oracle, getter) for getter in (*GETTERS, PRICE))
            yield Ask(asked, partial(_admitted, deployment, cells, newcomer))
    yield Ask((), lambda replies, state: seated(deployment, cells, newcomers, state))


def _rested(cells: Cells, market: str, replies: Replies, view: View) -> list[Write]:
    return backoff.rested(cells.param, market, view)


def _admitted(deployment: Deployment, cells: Cells, newcomer: Newcomer, replies: Replies, view: View) -> list[Write]:
    *made_of, price = [reply_word(reply) for reply in replies]
    return admit(deployment, cells, view, newcomer, made_of, price)


def _price(deployment: Deployment, cells: Cells, oracle: Address, markets: Sequence[Params]) -> Callable[[Replies, View], list[Write]]:
    """The oracle's word is the price. It also tells whether it is composed as it says, and so what its feeds are worth. The word of one
    that is not is taken for listed markets only."""
    listed = any(params.id in deployment.policy.markets for params in markets)

    def answer(replies: Replies, view: View) -> list[Write]:
        price = reply_word(replies[0])
        if price is None:
            return [(cells.oracle, (oracle, "unpriced"), 1)]
        made = prices.composed(cells, view, oracle)
        distrusted = cells.of_oracle(view, oracle, "distrusted") if made is None else int(made != price)
        told: list[Write] = [(cells.oracle, (oracle, "unpriced"), 0), (cells.oracle, (oracle, "distrusted"), distrusted)]
        told += [(cells.oracle, (oracle, "price"), price)] if listed or not distrusted else []
        return told if distrusted else [*told, *valuations(deployment, cells, view, markets[0])]

    return answer


# --- feeds --------------------------------------------------------------------------------------------------------


def _feed_asks(cells: Cells, view: View, feed: Address) -> Iterator[Ask]:
    """To a feed: which aggregator stands behind it; to one that was not asked yet: all that events do not tell. A silent one rests."""
    if backoff.resting(cells.feed, feed, view):
        yield Ask((), lambda replies, state: backoff.rested(cells.feed, feed, state))
        return
    yield Ask((Read(feed, AGGREGATOR),), lambda replies, state: [(cells.feed, (feed, "aggregator"), _address(replies[0]))])
    if not cells.of_feed(view, feed, "decimals"):
        yield Ask((Read(feed, DECIMALS), Read(feed, DESCRIPTION)), lambda replies, state: _nature(cells, feed, replies))
    aggregator = cells.of_feed(view, feed, "aggregator")
    if aggregator and cells.of_feed(view, feed, "asked") != aggregator:
        asked = tuple(Read(to_address(aggregator), data) for data in (LATEST_ROUND_DATA, MIN_ANSWER, MAX_ANSWER))
        yield Ask(asked, lambda replies, state: _round(cells, feed, aggregator, replies))
    elif not aggregator:
        yield Ask((Read(feed, LATEST_ROUND_DATA),), lambda replies, state: _round(cells, feed, 0, (replies[0], None, None)))
    yield Ask((), lambda replies, state: _heard(cells, feed, state))


def _heard(cells: Cells, feed: Address, view: View) -> list[Write]:
    spoke = cells.of_feed(view, feed, "answer") or cells.of_feed(view, feed, "aggregator")
    return backoff.answered(cells.feed, feed, view) if spoke else backoff.failed(cells.feed, feed, view)


def _nature(cells: Cells, feed: Address, replies: Replies) -> list[Write]:
    """Nothing while it is silent: taken for 0, its decimals would turn its markets away for ever."""
    decimals, quoted = reply_word(replies[0]), reply_text(replies[1]).rpartition("/")[2].strip().upper()
    if decimals is None:
        return []
    known = decimals if decimals < 2**8 else 0
    return [(cells.feed, (feed, "decimals"), known + 1), (cells.feed, (feed, "dollars"), int(quoted == "USD"))]


def _round(cells: Cells, feed: Address, aggregator: int, replies: Replies) -> list[Write]:
    fields = {
        "asked": aggregator,
        "answer": _positive(reply_word(replies[0], ANSWER_WORD)),
        "at": reply_word(replies[0], UPDATED_AT_WORD) or 0,
        "least": _positive(reply_word(replies[1])),
        "most": _positive(reply_word(replies[2])),
    }
    return [(cells.feed, (feed, field), value) for field, value in fields.items()]


def _positive(value: int | None) -> int:
    return max(signed(value or 0), 0)


def _address(reply: bytes | None) -> int:
    """0 for a feed that stands for itself."""
    value = reply_word(reply) or 0
    return 0 if value >> 160 else value


# --- tokens -------------------------------------------------------------------------------------------------------


def _token_asks(deployment: Deployment, cells: Cells, token: Address) -> Iterator[Ask]:
    held = Read(token, call_data(BALANCE_OF, deployment.address))
    yield Ask((held,), lambda replies, state: [(cells.token, (token, "cash"), reply_word(replies[0]) or 0)])
    yield Ask((), lambda replies, state: prices.valued(cells, state, token, prices.worth(cells, state, token)))


def _token(cells: Cells, token: Address, replies: Replies, view: View) -> list[Write]:
    decimals, symbol = reply_word(replies[0]), reply_text(replies[1]) or token[:10]
    known = decimals if decimals is not None and decimals < 2**8 else 0
    packed = int.from_bytes(symbol.encode()[:SYMBOL_BYTES])
    return [(cells.token, (token, "decimals"), known + 1), (cells.token, (token, "symbol"), packed)]
