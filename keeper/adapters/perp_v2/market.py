"""The Market of one deployment: ties its tables to the rules. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from keeper.adapters.perp_v2 import calls, custody, events, holding, index, liquidation, prices, reads, rows
from keeper.adapters.perp_v2.account import Account, account_at
from keeper.adapters.perp_v2.breaks import next_change
from keeper.adapters.perp_v2.cells import Cells, Deployment
from keeper.adapters.perp_v2.codec import call_data, selector, word
from keeper.adapters.perp_v2.compiled import compiled
from keeper.adapters.perp_v2.liquidation import TakeOver
from keeper.adapters.perp_v2.moment import Moment
from keeper.adapters.perp_v2.rounding import RATIO
from keeper.adapters.perp_v2.taking import Floor
from keeper.book.state import Overlay
from keeper.errors import Skip, Transient
from keeper.fixedpoint import BPS
from keeper.ports import Apply, ColumnView, View
from keeper.types import (
    ZERO_ADDRESS,
    Action,
    Address,
    Audit,
    Cell,
    Deal,
    Factor,
    Fill,
    Guard,
    Health,
    Leg,
    Log,
    LogFilter,
    Pair,
    Permission,
    PriceFeed,
    Quote,
    Read,
    Row,
    RowBlock,
    Standing,
    Traded,
    Write,
)

ADAPTER = "perp-v2"
GET_ACCOUNT_VALUE = selector("getAccountValue(address)")
ERROR_STRING = selector("Error(string)")
ERROR_CODE = re.compile(r"[A-Z0-9]+_[A-Z0-9]+|OLD")
SAFE_WAD = 2**128
"""Health of an account that has no requirement, or whose prices the contract itself cannot tell: nobody can liquidate it."""


class PerpV2Market:
    """One ClearingHouse and all its books."""

    adapter = ADAPTER
    debt_decides = False

    def __init__(self, deployment: Deployment) -> None:
        self.name = deployment.name
        self.address = deployment.clearing_house
        self.deployment = deployment
        self.cells = Cells(deployment)
        self.columns = self.cells.columns
        self._kept: dict[str, tuple[tuple[View, int, int], Moment]] = {}

    # --- LogSource

    @property
    def first_block(self) -> int:
        return self.deployment.first_block

    def filters(self, view: View) -> tuple[LogFilter, ...]:
        """Only aggregators are learned later; what they said before is read."""
        roles = events.roles(self.deployment, self.cells, view)
        return tuple(LogFilter(address, frozenset(role), self.first_block) for address, role in roles.items())

    def apply(self, log: Log, view: View) -> list[Write]:
        return self.applier(view)(log, view)

    def applier(self, view: View) -> Apply:
        roles = events.roles(self.deployment, self.cells, view)

        def apply(log: Log, view: View) -> list[Write]:
            handler = roles.get(log.address, {}).get(log.topics[0]) if log.topics else None
            try:
                return handler(log, view) if handler else []
            except (IndexError, ValueError):
                raise Transient(
                    f"a log of {log.address} in block {log.block_number} is what no contract emits: the node garbled it"
                ) from None

        return apply

    def reshapes(self, writes: Iterable[Write]) -> bool:
        return any(table == self.cells.feed and key[1] == "aggregator" for table, key, _ in writes)

    def reads(self, view: View) -> tuple[Read, ...]:
        return reads.reads(self.deployment, self.cells, view)

    def absorb(self, replies: Sequence[bytes | None], view: View) -> list[Write]:
        return reads.absorb(self.deployment, self.cells, replies, view)

    # --- accounts

    def tokens(self, view: View) -> Mapping[Address, str]:
        return {held.token: held.symbol for held in (self.deployment.settlement, *self.deployment.collaterals)}

    def accounts(self, view: View) -> Iterator[Address]:
        return self.cells.accounts(view)

    def touched(self, writes: Iterable[Write]) -> set[Address]:
        """Prices, growths and settings are factors, makers' rows hold for one count of swaps: only an account's own cells count."""
        own = self.cells.own
        return cast("set[Address]", {key[-1] for table, key, _ in writes if table in own})

    def factors(self, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
        return rows.factors(self.upcoming(view, at_s), wanted)

    def drivers(self, view: View, factor: Factor) -> tuple[Cell, ...]:
        return rows.drivers(self.deployment, self.cells, factor)

    def token_of(self, view: View, factor: Factor) -> Address | None:
        return rows.token_of(self.deployment, factor)

    def family(self, view: View, factor: Factor) -> str | None:
        return rows.family(self.deployment, factor)

    def rows(self, view: View, account: Address) -> tuple[Row, ...]:
        return rows.rows(self.deployment, self.cells, view, account)

    def compiled(self, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
        return compiled(self.deployment, self.cells, state, slots)

    def next_change(self, view: View, at_s: int) -> int | None:
        """When, after `at_s`, some book's mark or funding next moves otherwise than it does now, without any event."""
        found = [next_change(self.deployment, self.cells, view, number, at_s) for number in range(len(self.deployment.books))]
        return min((moment for moment in found if moment is not None), default=None)

    def margin(self, view: View) -> float:
        """The whole penalty, or the discount on a collateral."""
        penalty = self.cells.setting(view, "penalty") / RATIO
        discounts = [self.cells.of_token(view, held.token, "discount") / RATIO for held in self.deployment.collaterals]
        return max([penalty, *(discount / (1 - discount) for discount in discounts)])

    def moment(self, view: View, at_s: int) -> Moment:
        """Asked for again and again on one state, so the last is kept: its books' prices are worked out once."""
        return self._once("as it is", view, at_s, lambda: Moment(self.deployment, self.cells, view, at_s))

    def upcoming(self, view: View, at_s: int) -> Moment:
        """As our calls will find it: they have the feeds cache their answers first."""
        return self._once("upcoming", view, at_s, lambda: self._heard(view, at_s))

    def _heard(self, view: View, at_s: int) -> Moment:
        writes = [write for feed in self.deployment.feeds for write in index.unheard(self.cells, view, feed, at_s)]
        return Moment(self.deployment, self.cells, Overlay(view, writes), at_s) if writes else self.moment(view, at_s)

    def _once(self, which: str, view: View, at_s: int, make: Callable[[], Moment]) -> Moment:
        asked = view, view.version, at_s
        known = self._kept.get(which)
        if known is None or known[0] != asked:
            known = self._kept[which] = asked, make()
        return known[1]

    def account(self, view: View, account: Address, at_s: int) -> Account:
        """Raises Skip where the contract reverts."""
        return account_at(self.moment(view, at_s), account)

    def health(self, view: View, account: Address, at_s: int) -> Health:
        """`weighted_collateral` is the account value, `debt` the margin it requires, as our calls will find them; the factor is that of the
        nearest trigger."""
        moment = self.upcoming(view, at_s)
        try:
            found = account_at(moment, account)
        except Skip:
            return Health(account, at_s, SAFE_WAD, 0, 0, prices.UNIT)
        factor = min(_share(*pair) for pair in liquidation.triggers(moment, found))
        return Health(account, at_s, factor, found.counted, found.requirement, prices.UNIT, self._legs(moment, found))

    def audit(self, view: View, account: Address, at_s: int) -> Audit:
        """The account value: marks, funding, fees and all."""
        read = Read(self.address, call_data(GET_ACCOUNT_VALUE, account))
        try:
            return Audit(read, {0: self.account(view, account, at_s).counted % 2**256})
        except Skip:
            return Audit(read, {})

    def _legs(self, moment: Moment, found: Account) -> tuple[Leg, ...]:
        """A position is a collateral or a debt of its base token, its notional the other of the settlement token; it takes margin."""
        cash, books = self.deployment.settlement, self.deployment.books
        margin_bps = found.mm_ratio * BPS // RATIO
        fixed = found.settlement + sum(position.notional for position in found.positions)
        legs = [_leg(cash.token, cash.symbol, fixed // found.scale, fixed, 10**18, cash.decimals, BPS, 0)]
        for position in found.positions:
            book = books[position.number]
            legs.append(_leg(book.base, book.symbol, position.size, position.value, position.mark, 18, BPS - margin_bps, margin_bps))
        for held, amount, _ in found.collaterals:
            price, ratio = moment.price(held) * 10 ** (18 - held.feed.decimals), self.cells.of_token(moment.view, held.token, "ratio")
            worth = amount * price // 10**held.decimals
            legs.append(_leg(held.token, held.symbol, amount, worth, price, held.decimals, ratio * BPS // RATIO, 0))
        return tuple(leg for leg in legs if leg.amount)

    # --- liquidations

    def pairs(self, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
        moment = self.upcoming(view, at_s)
        found = account_at(moment, account)
        pairs = liquidation.pairs(moment, found)
        if pairs:
            liquidation.check(moment)
        return pairs

    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        """`cover`: base to take over, of either sign, or collateral to buy."""
        moment = self.moment(view, at_s)
        liquidation.check(moment)
        if deal.by:
            return holding.fill(moment, deal, cover)
        if deal.kind == liquidation.COLLATERAL:
            return liquidation.buy_collateral(moment, deal, cover)
        return liquidation.liquidate(moment, deal, cover)

    def inherited(self, view: View, deal: Deal, cover: int, at_s: int) -> TakeOver:
        """What whoever takes over and does not trade away at once has then, and the margin it takes. Raises Skip as `fill`."""
        number = liquidation.number_of(self.deployment, deal.target)
        return liquidation.take_over(Floor(self.deployment, self.cells, Overlay(view), at_s), deal.account, number, cover)

    def exit(self, view: View, target: str, size: int, at_s: int) -> Traded:
        """What trading away a position of that signed size brings, after the fee. Raises Skip: "illiquid", "tick_limit"."""
        floor = Floor(self.deployment, self.cells, Overlay(view), at_s)
        return floor.trade(liquidation.number_of(self.deployment, target), -size)

    def standing(self, view: View, account: Address, at_s: int) -> Standing:
        """Raises Skip("no_price") where the contract reverts."""
        return holding.standing(self.moment(view, at_s), account)

    def takes(self, view: View, account: Address, by: Address, at_s: int) -> tuple[Pair, ...]:
        """The positions of `account` that `by` may take over and keep."""
        moment = self.upcoming(view, at_s)
        return holding.takes(liquidation.take_overs(moment, account_at(moment, account)), by)

    def permissions(self) -> tuple[Permission, ...]:
        return custody.permissions(self.deployment)

    def limits(self, account: Address) -> tuple[Guard, ...]:
        return custody.limits(self.deployment, account)

    def encode(self, fill: Fill, executor: Address) -> tuple[Action, ...]:
        """`executor`: who makes the calls."""
        return calls.encode(self.deployment, self.cells, fill, executor)

    def guard(self, deal: Deal) -> Guard:
        """No single word says whether an account is liquidatable: the call itself reverts if it is not."""
        return Guard(ZERO_ADDRESS, b"", 0, 0)

    def gas(self, fill: Fill) -> int:
        return calls.gas(self.cells, fill)

    # --- prices

    def value(self, view: View, token: Address, amount: int) -> int | None:
        return prices.value(self.deployment, self.cells, view, token, amount)

    def price(self, view: View, token: Address) -> int | None:
        return prices.price(self.deployment, self.cells, view, token)

    def repriced(self, view: View, new: Mapping[Address, int]) -> list[Write]:
        return prices.repriced(self.deployment, self.cells, view, new)

    def bearer(self, view: View) -> str:
        return "insurance fund"

    def feeds(self, view: View) -> tuple[PriceFeed, ...]:
        return prices.feeds(self.deployment, self.cells, view)

    def decode_error(self, data: bytes) -> str | None:
        """The protocol's reverts are codes like "CH_EAV"."""
        if data[:4] != ERROR_STRING or len(data) < 4 + 64:
            return None
        text = data[68 : 68 + word(data[4:], 1)].decode("ascii", errors="replace")
        return text if ERROR_CODE.fullmatch(text) else None


def _share(value: int, requirement: int) -> int:
    """Below 1 (WAD) exactly when the value is below the requirement."""
    if requirement <= 0:
        return 0 if value < requirement else SAFE_WAD
    return min(max(value * 10**18 // requirement, 0), SAFE_WAD)


def _leg(token: Address, symbol: str, amount: int, value: int, price: int, decimals: int, threshold_bps: int, margin_bps: int) -> Leg:
    side, weight_bps = ("collateral", threshold_bps) if amount > 0 else ("debt", margin_bps)
    return Leg(token, symbol, side, abs(amount), abs(value), weight_bps, price, decimals)
