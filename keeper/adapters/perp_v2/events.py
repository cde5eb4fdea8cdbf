"""What each event log changes: pure, exact, by fixed word positions. Applied strictly in log order from the market's first block.

A contract is only believed in its own role: a token cannot settle funding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from keeper.adapters.perp_v2 import growth, index, mark, oracle, settling, swaps
from keeper.adapters.perp_v2.cells import CLOSED, Cells, Deployment, Feed
from keeper.adapters.perp_v2.codec import address_word, signed_topic, signed_word, to_address, topic, topic_address, word
from keeper.adapters.perp_v2.growth import Growth
from keeper.adapters.perp_v2.pool import liquidity_moved
from keeper.book.state import Overlay
from keeper.ports import View
from keeper.types import Address, Log, Write

WINDOW_S = 15
"""The tick at its start bounds the prices at which a position may be closed within it."""

Handler = Callable[[Log, View], list[Write]]
Role = Mapping[str, Handler]


class Events:
    """The handlers of one deployment. They look nothing up but what the view shows."""

    def __init__(self, deployment: Deployment, cells: Cells) -> None:
        self.deployment, self.cells = deployment, cells
        self._numbers = {book.base: number for number, book in enumerate(deployment.books)}
        self._pools = {book.pool: number for number, book in enumerate(deployment.books)}
        self._collaterals = {held.token: which for which, held in enumerate(deployment.collaterals)}

    # --- clearing house and account balance

    def position_changed(self, log: Log, view: View) -> list[Write]:
        account, number = topic_address(log.topics[1]), self._book(log, 2)
        if number is None:
            return self._stranger(account)
        exchanged, fee, notional = signed_word(log.data, 0), word(log.data, 2), signed_word(log.data, 3)
        state = Overlay(view, swaps.charged(self.cells, view, number, fee))
        state.write(settling.position_changed(self.cells, state, number, account, exchanged, notional))
        return state.writes()

    def position_closed(self, log: Log, view: View) -> list[Write]:
        """In a closed market: the position is gone."""
        account, number = topic_address(log.topics[1]), self._book(log, 2)
        if number is None:
            return self._stranger(account)
        tables = (self.cells.size, self.cells.notional, self.cells.growth)
        return [(table, (number, account), 0) for table in tables]

    def liquidity_changed(self, log: Log, view: View) -> list[Write]:
        account, number = topic_address(log.topics[1]), self._book(log, 2)
        if number is None:
            return self._stranger(account)
        lower, upper, base, quote, change = (signed_word(log.data, at) for at in range(5))
        return settling.liquidity_changed(self.cells, view, number, account, lower, upper, base, quote, change)

    def funding_settled(self, log: Log, view: View) -> list[Write]:
        account, number = topic_address(log.topics[1]), self._book(log, 2)
        return self._stranger(account) if number is None else settling.settled(self.cells, view, number, account)

    def pnl_realized(self, log: Log, view: View) -> list[Write]:
        return [self.cells.add(view, self.cells.owed, signed_word(log.data, 0), topic_address(log.topics[1]))]

    # --- vault

    def deposited(self, log: Log, view: View) -> list[Write]:
        token, account = topic_address(log.topics[1]), topic_address(log.topics[2])
        return self._moved(view, token, account, word(log.data, 0))

    def withdrawn(self, log: Log, view: View) -> list[Write]:
        """Of the settlement token: what is owed is settled into the balance first, without the part that its decimals cannot hold."""
        cells, token, account = self.cells, topic_address(log.topics[1]), topic_address(log.topics[2])
        writes = [write for number in cells.books_of(view, account) for write in settling.settled(cells, view, number, account)]
        amount = -word(log.data, 0)
        if token == self.deployment.settlement.token:
            amount += cells.signed(view, cells.owed, account) // self.deployment.scale
            writes.append((cells.owed, (account,), 0))
        return writes + self._moved(view, token, account, amount)

    def collateral_liquidated(self, log: Log, view: View) -> list[Write]:
        account, token = topic_address(log.topics[1]), topic_address(log.topics[2])
        taken, repaid, fee = (word(log.data, at) for at in range(3))
        state = Overlay(view, self._moved(view, token, account, -taken))
        settlement = self.deployment.settlement.token
        state.write(self._moved(state, settlement, account, repaid))
        state.write(self._moved(state, settlement, self.deployment.insurance_fund, fee))
        return state.writes()

    def bad_debt_settled(self, log: Log, view: View) -> list[Write]:
        cells, account, amount = self.cells, topic_address(log.topics[1]), word(log.data, 0)
        state = Overlay(view, [cells.add(view, cells.balance, amount, account)])
        state.write([cells.add(state, cells.balance, -amount, self.deployment.insurance_fund)])
        return state.writes()

    def _moved(self, view: View, token: Address, account: Address, change: int) -> list[Write]:
        cells = self.cells
        if token == self.deployment.settlement.token:
            return [cells.add(view, cells.balance, change, account)]
        if token not in self._collaterals:
            return self._stranger(account)
        key = (self._collaterals[token], account)
        return [(cells.collateral, key, view.get(cells.collateral, key) + change)]

    def paused(self, log: Log, view: View, *, of: str, on: bool) -> list[Write]:
        return [(self.cells.config, (of,), int(on))]

    # --- exchange and pools

    def funding_updated(self, log: Log, view: View) -> list[Write]:
        """The first settlement of a timestamp. The index's mean is in the event; the pool's is rounded there, so it is computed."""
        number, cells = self._book(log, 1), self.cells
        if number is None:
            return []
        at_s = log.timestamp_s
        now = mark.grown(cells, view, number, at_s, word(log.data, 1))
        fields = {"g": now.g, "gd": now.gd, "settled": at_s}
        if at_s >= cells.of_book(view, number, "window_at") + WINDOW_S:
            fields |= {"window_tick": cells.of_book(view, number, "tick"), "window_at": at_s}
        return self._put(number, fields)

    def initialized(self, log: Log, view: View) -> list[Write]:
        number = self._pools[log.address]
        fields = {"price": word(log.data, 0), "tick": signed_word(log.data, 1)}
        return [*self._put(number, fields), *oracle.started(self.cells, number, log.timestamp_s)]

    def swapped(self, log: Log, view: View) -> list[Write]:
        cells, number = self.cells, self._pools[log.address]
        base, quote, price, liquidity, tick = (signed_word(log.data, at) for at in range(5))
        writes = oracle.written(cells, view, number, log.timestamp_s) if tick != cells.of_book(view, number, "tick") else []
        writes += swaps.passed(cells, self.deployment.books[number], view, number, price, base, abs(quote))
        fields = {"price": price, "tick": tick, "liquidity": liquidity, "swaps": cells.of_book(view, number, "swaps") + 1}
        fields["first_trade"] = cells.of_book(view, number, "first_trade") or log.timestamp_s
        return [*writes, *self._put(number, fields)]

    def minted(self, log: Log, view: View) -> list[Write]:
        return self._liquidity(log, view, word(log.data, 1))

    def burnt(self, log: Log, view: View) -> list[Write]:
        return self._liquidity(log, view, -word(log.data, 0))

    def _liquidity(self, log: Log, view: View, change: int) -> list[Write]:
        cells, number = self.cells, self._pools[log.address]
        lower, upper = signed_topic(log.topics[2]), signed_topic(log.topics[3])
        if not change:
            return []
        tick = cells.of_book(view, number, "tick")
        writes = oracle.written(cells, view, number, log.timestamp_s) if lower <= tick < upper else []
        for end in (lower, upper):
            writes += self._begun(view, number, end, tick, change)
        return [*writes, *liquidity_moved(cells, view, number, self.deployment.books[number].spacing, lower, upper, change)]

    def _begun(self, view: View, number: int, end: int, tick: int, change: int) -> list[Write]:
        """What grew so far counts as grown under a tick that begins; one that ends is forgotten."""
        gross = view.get(self.cells.tick, (number, end, "gross"))
        if not gross and end <= tick:
            return growth.put_outside(self.cells, number, end, growth.stored(self.cells, view, number))
        return growth.put_outside(self.cells, number, end, Growth(0, 0, 0)) if gross + change == 0 else []

    def remembers(self, log: Log, view: View) -> list[Write]:
        return self._put(self._pools[log.address], {"room_next": word(log.data, 1)})

    # --- feeds and base tokens

    def answered(self, log: Log, view: View, *, feeds: Iterable[Feed]) -> list[Write]:
        answer, at_s = max(signed_topic(log.topics[1]), 0), word(log.data, 0)
        return [write for feed in feeds for write in index.answered(self.cells, view, feed.address, answer, at_s)]

    def cached(self, log: Log, view: View) -> list[Write]:
        return index.cached(self.cells, view, log.address, word(log.data, 0), word(log.data, 1))

    def status(self, log: Log, view: View, *, number: int) -> list[Write]:
        """A closed book keeps the time at which it was paused."""
        status = int(log.topics[1], 16)
        fields = {"status": status} | ({} if status == CLOSED else {"paused_at": log.timestamp_s if status else 0})
        return self._put(number, fields)

    def feed_changed(self, log: Log, view: View, *, number: int) -> list[Write]:
        return self._put(number, {"moved": int(log.block_number > self.deployment.known_block)})

    # --- settings

    def setting(self, log: Log, view: View, *, field: str) -> list[Write]:
        return [(self.cells.config, (field,), word(log.data, 0) + 1)]

    def book_setting(self, log: Log, view: View, *, field: str) -> list[Write]:
        """The book is in the data, or indexed."""
        indexed = len(log.topics) > 1
        number = self._numbers.get(topic_address(log.topics[1]) if indexed else address_word(log.data, 0))
        return [] if number is None else self._put(number, {field: word(log.data, 0 if indexed else 1) + 1})

    def token_setting(self, log: Log, view: View, *, field: str) -> list[Write]:
        return [(self.cells.token, (topic_address(log.topics[1]), field), word(log.data, 0))]

    def token_moved(self, log: Log, view: View) -> list[Write]:
        moved = int(log.block_number > self.deployment.known_block)
        return [(self.cells.token, (topic_address(log.topics[1]), "moved"), moved)]

    def token_added(self, log: Log, view: View) -> list[Write]:
        token = topic_address(log.topics[1])
        return [(self.cells.token, (token, field), word(log.data, at)) for at, field in ((1, "ratio"), (2, "discount"))]

    def threshold(self, log: Log, view: View) -> list[Write]:
        return [(self.cells.threshold, (address_word(log.data, 0),), word(log.data, 1) + 1)]

    # --- parts

    def _book(self, log: Log, at: int) -> int | None:
        return self._numbers.get(topic_address(log.topics[at]))

    def _put(self, number: int, fields: Mapping[str, int]) -> list[Write]:
        return [(self.cells.pool, (number, field), value) for field, value in fields.items()]

    def _stranger(self, account: Address) -> list[Write]:
        return [(self.cells.stranger, (account,), 1)]


def roles(deployment: Deployment, cells: Cells, view: View) -> dict[Address, Role]:
    """Contract → topic 0 → what such a log changes."""
    events = Events(deployment, cells)
    found: dict[Address, dict[str, Handler]] = {
        deployment.clearing_house: {
            topic("PositionChanged(address,address,int256,int256,uint256,int256,int256,uint256)"): events.position_changed,
            topic("PositionClosed(address,address,int256,int256,int256,int256,uint256)"): events.position_closed,
            topic("LiquidityChanged(address,address,address,int24,int24,int256,int256,int128,uint256)"): events.liquidity_changed,
            topic("FundingPaymentSettled(address,address,int256)"): events.funding_settled,
            **_paused(events, "clearing_paused"),
        },
        deployment.account_balance: {topic("PnlRealized(address,int256)"): events.pnl_realized},
        deployment.vault: {
            topic("Deposited(address,address,uint256)"): events.deposited,
            topic("Withdrawn(address,address,uint256)"): events.withdrawn,
            topic("CollateralLiquidated(address,address,address,uint256,uint256,uint256,uint24)"): events.collateral_liquidated,
            topic("BadDebtSettled(address,uint256)"): events.bad_debt_settled,
            **_paused(events, "vault_paused"),
        },
        deployment.exchange: {
            topic("FundingUpdated(address,uint256,uint256)"): events.funding_updated,
            topic("MaxTickCrossedWithinBlockChanged(address,uint24)"): partial(events.book_setting, field="max_ticks"),
        },
        deployment.registry: {topic(event): partial(events.book_setting, field=field) for event, field in BOOK_SETTINGS.items()},
        deployment.config: {topic(event): partial(events.setting, field=field) for event, field in SETTINGS.items()},
        deployment.collateral_manager: _collateral_role(events),
    }
    for number, book in enumerate(deployment.books):
        found[book.pool] = _pool_role(events)
        found[book.base] = {
            topic("StatusUpdated(uint8)"): partial(events.status, number=number),
            topic("PriceFeedChanged(address)"): partial(events.feed_changed, number=number),
        }
    for feed in deployment.feeds:
        found[feed] = {topic("ChainlinkPriceUpdated(uint256,uint256,uint8)"): events.cached}
    for emitter, fed in emitters(deployment, cells, view).items():
        found[emitter] = {**found.get(emitter, {}), ANSWER_UPDATED: partial(events.answered, feeds=fed)}
    return dict(found)


def emitters(deployment: Deployment, cells: Cells, view: View) -> dict[Address, list[Feed]]:
    """Aggregator → the feeds behind which it is now."""
    found: dict[Address, list[Feed]] = {}
    for feed in deployment.feeds.values():
        aggregator = cells.of_feed(view, feed.address, "aggregator")
        if aggregator:
            found.setdefault(to_address(aggregator), []).append(feed)
    return found


def _paused(events: Events, of: str) -> dict[str, Handler]:
    return {topic(f"{word}(address)"): partial(events.paused, of=of, on=on) for word, on in (("Paused", True), ("Unpaused", False))}


def _pool_role(events: Events) -> dict[str, Handler]:
    return {
        topic("Initialize(uint160,int24)"): events.initialized,
        topic("Swap(address,address,int256,int256,uint160,uint128,int24)"): events.swapped,
        topic("Mint(address,address,int24,int24,uint128,uint256,uint256)"): events.minted,
        topic("Burn(address,int24,int24,uint128,uint256,uint256)"): events.burnt,
        topic("IncreaseObservationCardinalityNext(uint16,uint16)"): events.remembers,
    }


def _collateral_role(events: Events) -> dict[str, Handler]:
    return {
        topic("CollateralAdded(address,address,uint24,uint24,uint256)"): events.token_added,
        topic("CollateralRatioChanged(address,uint24)"): partial(events.token_setting, field="ratio"),
        topic("DiscountRatioChanged(address,uint24)"): partial(events.token_setting, field="discount"),
        topic("PriceFeedChanged(address,address)"): events.token_moved,
        topic("WhitelistedDebtThresholdChanged(address,uint256)"): events.threshold,
        **{topic(event): partial(events.setting, field=field) for event, field in COLLATERAL_SETTINGS.items()},
    }


ANSWER_UPDATED = topic("AnswerUpdated(int256,uint256,uint256)")
SETTINGS = {
    "LiquidationPenaltyRatioChanged(uint24)": "penalty",
    "MarkPriceMarketTwapIntervalChanged(uint32)": "mark_window_s",
    "MarkPricePremiumIntervalChanged(uint32)": "premium_window_s",
    "MaxFundingRateChanged(uint24)": "max_funding",
    "PartialCloseRatioChanged(uint24)": "partial_close",
    "TwapIntervalChanged(uint256)": "twap_window_s",
}
COLLATERAL_SETTINGS = {
    "CLInsuranceFundFeeRatioChanged(uint24)": "fund_fee",
    "CollateralValueDustChanged(uint256)": "dust",
    "DebtNonSettlementTokenValueRatioChanged(uint24)": "debt_ratio",
    "DebtThresholdChanged(uint256)": "debt_threshold",
    "LiquidationRatioChanged(uint24)": "liquidation_ratio",
    "MmRatioBufferChanged(uint24)": "mm_buffer",
}
BOOK_SETTINGS = {
    "FeeRatioChanged(address,uint24)": "exchange",
    "InsuranceFundFeeRatioChanged(address,uint24)": "insurance",
    "MarketMaxPriceSpreadRatioChanged(address,uint24)": "spread",
}
