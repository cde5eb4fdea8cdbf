"""What stands behind each price: the aggregator's limits, when it last spoke, and what the price was before it moved.

Answers come as events; what came before them, and the limits, are asked once for every aggregator that is put behind an asset. Sources that
cap their aggregator's price (bgd-labs/aave-capo) say at every head whether they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from keeper.adapters.aave_v3.cells import Cells
from keeper.adapters.aave_v3.codec import reply_word, selector, signed, to_address
from keeper.ports import View
from keeper.types import Address, PriceFeed, Read, Write

LATEST_ROUND_DATA = selector("latestRoundData()")
MIN_ANSWER = selector("minAnswer()")
MAX_ANSWER = selector("maxAnswer()")
IS_CAPPED = selector("isCapped()")
ANSWER_WORD, UPDATED_AT_WORD = 1, 3

Question = tuple[Read, Callable[[bytes | None], list[Write]]]


def feeds(cells: Cells, view: View, unit: str, symbol: Callable[[View, Address], str]) -> tuple[PriceFeed, ...]:
    return tuple(_feed(cells, view, asset, unit, symbol(view, asset)) for asset in cells.assets(view) if cells.priced(view, asset))


def _feed(cells: Cells, view: View, asset: Address, unit: str, symbol: str) -> PriceFeed:
    before, answer, least, most, at_s = (cells.of_asset(view, asset, field) for field in ("before", "answer", "least", "most", "at"))
    decimals, price = cells.of_asset(view, asset, "decimals"), cells.price(view, asset)
    capped = bool(cells.of_asset(view, asset, "capped"))
    source = to_address(cells.of_asset(view, asset, "source"))
    return PriceFeed(asset, symbol, decimals, unit, price, before, answer, least, most, at_s, capped, source)


def priced(cells: Cells, view: View, asset: Address, price: int) -> list[Write]:
    """A price as read or told, and the one before if it moved: also when another source or aggregator gives it."""
    last = cells.price(view, asset)
    moved: list[Write] = [(cells.asset, (asset, "before"), last)] if last != price else []
    return [(cells.asset, (asset, "price"), price), *moved]


def questions(cells: Cells, view: View, asset: Address) -> Iterator[Question]:
    """To a source that may cap its price, and to an aggregator that was not asked yet."""
    source = cells.of_asset(view, asset, "source")
    if source and cells.of_asset(view, asset, "uncapped") != source:
        yield Read(to_address(source), IS_CAPPED), lambda reply: _capped(cells, asset, source, reply)
    aggregator = view.get(cells.aggregator, (to_address(source),)) if source else 0
    if not aggregator or cells.of_asset(view, asset, "asked") == aggregator:
        return
    address = to_address(aggregator)
    yield Read(address, LATEST_ROUND_DATA), lambda reply: [(cells.asset, (asset, "asked"), aggregator), *_round(cells, asset, reply)]
    yield Read(address, MIN_ANSWER), lambda reply: _limit(cells, asset, "least", reply)
    yield Read(address, MAX_ANSWER), lambda reply: _limit(cells, asset, "most", reply)


def _round(cells: Cells, asset: Address, reply: bytes | None) -> list[Write]:
    answer, at_s = reply_word(reply, ANSWER_WORD), reply_word(reply, UPDATED_AT_WORD)
    if answer is None or at_s is None:
        return [(cells.asset, (asset, "at"), 0)]
    return [(cells.asset, (asset, "answer"), max(signed(answer), 0)), (cells.asset, (asset, "at"), at_s)]


def _capped(cells: Cells, asset: Address, source: int, reply: bytes | None) -> list[Write]:
    """A source that does not know the question is not asked again."""
    capped = reply_word(reply)
    uncapped: list[Write] = [(cells.asset, (asset, "uncapped"), source)] if capped is None else []
    return [(cells.asset, (asset, "capped"), int(capped == 1)), *uncapped]


def _limit(cells: Cells, asset: Address, field: str, reply: bytes | None) -> list[Write]:
    return [(cells.asset, (asset, field), max(signed(reply_word(reply) or 0), 0))]
