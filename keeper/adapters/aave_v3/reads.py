"""What no event tells, read at every head: oracle prices, cash, the aggregators behind price sources, the sentinel's word.

Each question is one `Ask`: the call and what its reply writes. `reads` and `absorb` walk the same list, so replies find their question.
Prices are asked one by one because a batch in the oracle reverts as a whole when a single source does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from keeper.adapters.aave_v3 import feeds
from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.codec import call_data, reply_address, reply_text, reply_word, selector, to_address
from keeper.ports import View
from keeper.types import Address, Read, Write

GET_ASSET_PRICE = selector("getAssetPrice(address)")
GET_SOURCE_OF_ASSET = selector("getSourceOfAsset(address)")
AGGREGATOR = selector("aggregator()")
VIRTUAL_BALANCE = selector("getVirtualUnderlyingBalance(address)")
BALANCE_OF = selector("balanceOf(address)")
GET_RESERVE_DATA = selector("getReserveData(address)")
IS_LIQUIDATION_ALLOWED = selector("isLiquidationAllowed()")
SYMBOL = selector("symbol()")

ACCRUED_TO_TREASURY_WORD = 12  # of getReserveData, in every version whose flash premium needs it
SYMBOL_BYTES = 31


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
    oracle = cells.address_of_market(view, "oracle")
    if oracle is not None:
        yield from _oracle_asks(cells, view, oracle)
    for asset in cells.assets(view):
        yield from _asset_asks(deployment, cells, view, asset)
    sentinel = cells.address_of_market(view, "sentinel")
    if deployment.rules.sentinel and sentinel is not None:
        yield Ask(Read(sentinel, IS_LIQUIDATION_ALLOWED), lambda reply: [(cells.market, ("liquidation_allowed",), reply_word(reply) or 0)])


# --- oracle -------------------------------------------------------------------------------------------------------


def _oracle_asks(cells: Cells, view: View, oracle: Address) -> Iterator[Ask]:
    keys = cells.price_keys(view)
    for asset in keys:
        yield Ask(Read(oracle, call_data(GET_ASSET_PRICE, asset)), _price(cells, view, asset))
        if not cells.of_asset(view, asset, "source"):
            yield Ask(Read(oracle, call_data(GET_SOURCE_OF_ASSET, asset)), _source(cells, view, asset))
    for source in sorted({cells.of_asset(view, asset, "source") for asset in keys} - {0}):
        yield Ask(Read(to_address(source), AGGREGATOR), _aggregator(cells, view, source))
    for asset in keys:
        yield from (Ask(*question) for question in feeds.questions(cells, view, asset))


def _price(cells: Cells, view: View, asset: Address) -> Callable[[bytes | None], list[Write]]:
    """The oracle's word is the price. It also tells whether the source passes its aggregator's answers on unchanged."""

    def answer(reply: bytes | None) -> list[Write]:
        price = reply_word(reply)
        if price is None:
            return [(cells.asset, (asset, "unpriced"), 1)]
        last = cells.of_asset(view, asset, "answer")
        distrusted = int(last != price) if last else cells.of_asset(view, asset, "distrusted")
        fields = {"unpriced": 0, "distrusted": distrusted}
        return [*feeds.priced(cells, view, asset, price), *((cells.asset, (asset, field), value) for field, value in fields.items())]

    return answer


def _source(cells: Cells, view: View, asset: Address) -> Callable[[bytes | None], list[Write]]:
    """Sources set before the oracle was put in place, which the market's own events do not show."""

    def answer(reply: bytes | None) -> list[Write]:
        source = reply_address(reply)
        if source is None:
            return []
        since = cells.of_market(view, "oracle_block")
        return [(cells.asset, (asset, "source"), int(source, 16)), (cells.asset, (asset, "source_block"), since)]

    return answer


def _aggregator(cells: Cells, view: View, source: int) -> Callable[[bytes | None], list[Write]]:
    """A source without `aggregator()` may be its own. At a phase change the old aggregator's last answer says nothing more."""

    def answer(reply: bytes | None) -> list[Write]:
        address = to_address(source)
        found = int(reply_address(reply) or address, 16)
        if found == view.get(cells.aggregator, (address,)):
            return []
        fed = [asset for asset in cells.price_keys(view) if cells.of_asset(view, asset, "source") == source]
        forget: list[Write] = [(cells.asset, (asset, field), 0) for asset in fed for field in ("answer", "distrusted")]
        return [(cells.aggregator, (address,), found), *forget]

    return answer


# --- reserves -----------------------------------------------------------------------------------------------------


def _asset_asks(deployment: Deployment, cells: Cells, view: View, asset: Address) -> Iterator[Ask]:
    reserve = cells.reserve_id(view, asset)
    if reserve is None:
        return
    yield Ask(_cash_read(deployment, cells, view, asset, reserve), _cell(cells.asset, asset, "cash"))
    if deployment.rules.flash_to_suppliers:
        read = Read(deployment.pool, call_data(GET_RESERVE_DATA, asset))
        yield Ask(read, _cell(cells.reserve, reserve, "accrued", ACCRUED_TO_TREASURY_WORD))
    if not cells.of_asset(view, asset, "symbol"):
        yield Ask(Read(asset, SYMBOL), lambda reply: [(cells.asset, (asset, "symbol"), _symbol(asset, reply))])


def _cash_read(deployment: Deployment, cells: Cells, view: View, asset: Address, reserve: int) -> Read:
    if deployment.rules.virtual_cash:
        return Read(deployment.pool, call_data(VIRTUAL_BALANCE, asset))
    return Read(asset, call_data(BALANCE_OF, to_address(cells.of(view, reserve, "atoken"))))


def _cell(table: str, row: int | str, field: str, at: int = 0) -> Callable[[bytes | None], list[Write]]:
    def answer(reply: bytes | None) -> list[Write]:
        value = reply_word(reply, at)
        return [] if value is None else [(table, (row, field), value)]

    return answer


def _symbol(asset: Address, reply: bytes | None) -> int:
    """Text as an integer; a token without a symbol is called by the start of its address."""
    text = reply_text(reply) or asset[:10]
    return int.from_bytes(text.encode()[:SYMBOL_BYTES])
