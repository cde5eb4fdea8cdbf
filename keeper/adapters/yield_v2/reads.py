"""What no event tells, read at every head: prices, rate accumulators, what joins hold; and, once, what was settled before we looked.

Each question is one `Ask`: the call and what its reply writes. `reads` and `absorb` walk the same list, so replies find their question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from keeper.adapters.yield_v2.cells import Cells, Deployment
from keeper.adapters.yield_v2.codec import call_data, id_word, reply_address, reply_text, reply_word, selector, signed, to_address
from keeper.adapters.yield_v2.events import JOIN_ROLES, NO, YES, priced
from keeper.ports import View
from keeper.types import Address, Read, Write

DECIMALS, SYMBOL, BALANCE_OF = selector("decimals()"), selector("symbol()"), selector("balanceOf(address)")
AUCTIONEER_REWARD, MATURITY = selector("auctioneerReward()"), selector("maturity()")
STORED_BALANCE, HAS_ROLE = selector("storedBalance()"), selector("hasRole(bytes4,address)")
SOURCES, ACCUMULATORS = selector("sources(bytes6)"), selector("sources(bytes6,bytes6)")
LATEST_ROUND_DATA, AGGREGATOR = selector("latestRoundData()"), selector("aggregator()")
MIN_ANSWER, MAX_ANSWER = selector("minAnswer()"), selector("maxAnswer()")
RATE = int.from_bytes(b"RATE".ljust(6, b"\0"))
SYMBOL_BYTES, MOST_DECIMALS = 31, 77
SOURCE_REPLY = 64

Answer = Callable[[bytes | None], list[Write]]


@dataclass(frozen=True, slots=True)
class Ask:
    read: Read
    answer: Answer


def reads(deployment: Deployment, cells: Cells, view: View) -> tuple[Read, ...]:
    return tuple(ask.read for ask in _asks(deployment, cells, view))


def absorb(deployment: Deployment, cells: Cells, replies: Sequence[bytes | None], view: View) -> list[Write]:
    """Replies in the order of `reads` on the same view."""
    asks = list(_asks(deployment, cells, view))
    return [write for ask, reply in zip(asks, replies, strict=True) for write in ask.answer(reply)]


def _asks(deployment: Deployment, cells: Cells, view: View) -> Iterator[Ask]:
    if not view.get(cells.market, ("reward",)):
        yield Ask(Read(deployment.witch, AUCTIONEER_REWARD), lambda reply: _known(cells.market, ("reward",), reply_word(reply), 1))
    for token in cells.tokens(view):
        yield from _token(cells, view, token)
    for series in sorted({int(key[0]) for key in view.keys(cells.series)}):
        if not view.get(cells.series, (series, "matures")):
            read = Read(to_address(view.get(cells.series, (series, "fytoken"))), MATURITY)
            yield Ask(read, _cell(cells.series, (series, "matures")))
    for asset in cells.assets(view):
        yield from _join(deployment, cells, view, asset)
    for base in sorted(int(key[0]) for key in view.keys(cells.lender)):
        read = Read(to_address(view.get(cells.lender, (base,))), call_data(ACCUMULATORS, id_word(base), id_word(RATE)))
        yield Ask(read, _accumulator(cells, base))
    yield from _prices(cells, view)


def _token(cells: Cells, view: View, token: Address) -> Iterator[Ask]:
    if not view.get(cells.token, (token, "decimals")):
        yield Ask(Read(token, DECIMALS), lambda reply: _decimals(cells, token, reply))
    if not view.get(cells.token, (token, "symbol")):
        yield Ask(Read(token, SYMBOL), lambda reply: [(cells.token, (token, "symbol"), _symbol(token, reply))])


def _join(deployment: Deployment, cells: Cells, view: View, asset: int) -> Iterator[Ask]:
    token, join = cells.token_of(view, asset), cells.join_of(view, deployment, asset)
    if token is None or join is None:
        return
    yield Ask(Read(join, STORED_BALANCE), _cell(cells.held, (join, "cash")))
    yield Ask(Read(token, call_data(BALANCE_OF, join)), _cell(cells.held, (join, "has")))
    for role, function in JOIN_ROLES.items():
        if not view.get(cells.held, (join, function)):
            data = call_data(HAS_ROLE, int(role, 16) << 224, deployment.witch)
            yield Ask(Read(join, data), _allowed(cells, join, function))


def _allowed(cells: Cells, join: Address, function: str) -> Answer:
    def answer(reply: bytes | None) -> list[Write]:
        allowed = reply_word(reply)
        return [] if allowed is None else [(cells.held, (join, function), YES if allowed else NO)]

    return answer


def _accumulator(cells: Cells, base: int) -> Answer:
    """(rate per second, what has accumulated, when it was last asked); another kind of oracle is not understood."""

    def answer(reply: bytes | None) -> list[Write]:
        words = [reply_word(reply, at) for at in range(3)]
        return [(cells.rate, (base, field), value or 0) for field, value in zip(("per_second", "stored", "at"), words, strict=True)]

    return answer


# --- prices -------------------------------------------------------------------------------------------------------


def _prices(cells: Cells, view: View) -> Iterator[Ask]:
    for oracle, asset in sorted(_quotes(cells, view)):
        if not view.get(cells.quoted, (oracle, asset)):
            yield Ask(Read(oracle, call_data(SOURCES, id_word(asset))), _source(cells, oracle, asset))
    for source in sorted({to_address(view.get(cells.quoted, key)) for key in view.keys(cells.quoted)}):
        yield Ask(Read(source, LATEST_ROUND_DATA), _round(cells, view, source))
        yield Ask(Read(source, AGGREGATOR), _aggregator(cells, view, source))
        aggregator = view.get(cells.source, (source, "aggregator"))
        if aggregator and aggregator != view.get(cells.source, (source, "asked")):
            yield Ask(Read(to_address(aggregator), MIN_ANSWER), _limit(cells, source, "least"))
            yield Ask(Read(to_address(aggregator), MAX_ANSWER), _limit(cells, source, "most", aggregator))


def _quotes(cells: Cells, view: View) -> set[tuple[Address, int]]:
    """Which oracles are asked for which assets."""
    found: set[tuple[Address, int]] = set()
    for key in view.keys(cells.spot):
        if key[2] == "oracle":
            oracle = to_address(view.get(cells.spot, key))
            found |= {(oracle, int(key[0])), (oracle, int(key[1]))}
    return found


def _source(cells: Cells, oracle: Address, asset: int) -> Answer:
    """One that was set before the oracle was followed. An oracle of another kind does not know the question."""

    def answer(reply: bytes | None) -> list[Write]:
        source = reply_address(reply)
        if source is None or reply is None or len(reply) != SOURCE_REPLY:
            return []
        return [(cells.quoted, (oracle, asset), int(source, 16)), (cells.source, (source, "since"), 1)]

    return answer


def _round(cells: Cells, view: View, source: Address) -> Answer:
    """The price as the oracle sees it; it refuses one that is not positive, or of an unfinished round. Also tells whether the source passes
    its aggregator's answers on unchanged."""

    def answer(reply: bytes | None) -> list[Write]:
        number, price, at_s, answered_in = (reply_word(reply, at) or 0 for at in (0, 1, 3, 4))
        usable = signed(price) > 0 and at_s != 0 and answered_in >= number
        last = view.get(cells.source, (source, "answer"))
        strange = int(usable and last != price) if last else view.get(cells.source, (source, "strange"))
        facts = {"at": at_s, "strange": strange, "answer": last or (price if usable else 0)}
        return [*priced(cells, view, source, price if usable else 0), *((cells.source, (source, field), v) for field, v in facts.items())]

    return answer


def _aggregator(cells: Cells, view: View, source: Address) -> Answer:
    """A source without `aggregator()` may be its own. At a phase change the old aggregator's last answer says nothing more."""

    def answer(reply: bytes | None) -> list[Write]:
        found = int(reply_address(reply) or source, 16)
        if found == view.get(cells.source, (source, "aggregator")):
            return []
        forget: list[Write] = [(cells.source, (source, field), 0) for field in ("answer", "strange")]
        return [(cells.source, (source, "aggregator"), found), *forget]

    return answer


def _limit(cells: Cells, source: Address, field: str, asked: int = 0) -> Answer:
    def answer(reply: bytes | None) -> list[Write]:
        noted: list[Write] = [(cells.source, (source, "asked"), asked)] if asked else []
        return [(cells.source, (source, field), max(signed(reply_word(reply) or 0), 0)), *noted]

    return answer


# --- parts --------------------------------------------------------------------------------------------------------


def _cell(table: str, key: tuple[int | str, ...]) -> Answer:
    return lambda reply: _known(table, key, reply_word(reply))


def _known(table: str, key: tuple[int | str, ...], value: int | None, above: int = 0) -> list[Write]:
    return [] if value is None else [(table, key, value + above)]


def _decimals(cells: Cells, token: Address, reply: bytes | None) -> list[Write]:
    found = reply_word(reply)
    return [] if found is None or found > MOST_DECIMALS else [(cells.token, (token, "decimals"), found + 1)]


def _symbol(token: Address, reply: bytes | None) -> int:
    """Text as an integer; a token without a symbol is called by the start of its address."""
    text = reply_text(reply) or token[:10]
    return int.from_bytes(text.encode()[:SYMBOL_BYTES])
