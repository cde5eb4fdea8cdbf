"""The Market (and FlashLender) of one Morpho singleton, all its markets that the policy allows: ties the tables to the rules. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from keeper.adapters.morpho_blue import admission, calls, errors, events, filters, flash, liquidation, prices, reads, rows
from keeper.adapters.morpho_blue.cells import Cells, Deployment
from keeper.adapters.morpho_blue.compiled import compiled
from keeper.adapters.morpho_blue.position import Moment, Position
from keeper.errors import Skip
from keeper.fixedpoint import MAX_UINT256, WAD
from keeper.ports import Apply, ColumnView, View
from keeper.types import (
    ZERO_ADDRESS,
    Address,
    Audit,
    Cell,
    Deal,
    Factor,
    Fill,
    Funding,
    Guard,
    Health,
    Leg,
    Log,
    LogFilter,
    Pair,
    PriceFeed,
    Quote,
    Read,
    Row,
    RowBlock,
    Step,
    Write,
)


class Said(NamedTuple):
    """An aggregator's word and its limits."""

    answer: int
    least: int
    most: int

    @property
    def room(self) -> float:
        """How far it is from its nearer limit, as a share; endless where it has none."""
        up = self.most / self.answer if self.most and self.answer else math.inf
        return min(up, self.answer / self.least) if self.least else up


ADAPTER = "morpho-blue"
DOLLARS = "usd-8"
BPS_WAD = WAD // 10**4
GAS_LIQUIDATION = 115_000


class MorphoBlueMarket:
    """One singleton. Also its own FlashLender: `source` is the singleton. An account is as healthy as its worst position."""

    adapter = ADAPTER
    debt_decides = True

    def __init__(self, deployment: Deployment) -> None:
        self.name = deployment.name
        self.address = self.source = deployment.address
        self.deployment = deployment
        self.cells = Cells(deployment.name)
        self.columns = self.cells.columns
        self._last: tuple[tuple[View, int, int], Moment] | None = None
        self._alike: tuple[tuple[int, int], dict[Address, Address]] | None = None

    # --- LogSource

    @property
    def first_block(self) -> int:
        return self.deployment.first_block

    def filters(self, view: View) -> tuple[LogFilter, ...]:
        return filters.filters(self.deployment, self.cells, view)

    def apply(self, log: Log, view: View) -> list[Write]:
        return self.applier(view)(log, view)

    def applier(self, view: View) -> Apply:
        return events.Applier(self.deployment, self.cells, view)

    def reshapes(self, writes: Iterable[Write]) -> bool:
        return events.reshapes(self.cells, writes)

    def reads(self, view: View) -> tuple[Read, ...]:
        return reads.reads(self.deployment, self.cells, view)

    def absorb(self, replies: Sequence[bytes | None], view: View) -> list[Write]:
        return reads.absorb(self.deployment, self.cells, replies, view)

    # --- accounts

    def tokens(self, view: View) -> Mapping[Address, str]:
        return {token: self._symbol(view, token) for token in prices.tokens(self.deployment, self.cells, view)}

    def accounts(self, view: View) -> Iterator[Address]:
        return self.cells.borrowers(view)

    def touched(self, writes: Iterable[Write]) -> set[Address]:
        """Parameters, prices and sums are factors: only an account's own shares and collateral change its rows."""
        columns = self.columns
        return cast("set[Address]", {key[-1] for table, key, _ in writes if table in columns})

    def factors(self, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
        return rows.factors(self.cells, view, at_s, wanted)

    def drivers(self, view: View, factor: Factor) -> tuple[Cell, ...]:
        return rows.drivers(self.cells, view, factor)

    def token_of(self, view: View, factor: Factor) -> Address | None:
        if len(factor) < 3:
            return None
        params = self.cells.params(view, self.cells.id_of(view, int(factor[2])))
        return params.collateral if factor[1] == rows.COLLATERAL else params.loan

    def family(self, view: View, factor: Factor) -> str | None:
        """Tokens that some market takes for alike move together."""
        token = self.token_of(view, factor)
        count = len(self.cells.numbers(view))
        shape = count, view.get(self.cells.slot, (count - 1,))
        if self._alike is None or self._alike[0] != shape:
            self._alike = shape, rows.families(self.cells, view)
        return self._alike[1].get(token) if token else None

    def rows(self, view: View, account: Address) -> tuple[Row, ...]:
        return rows.rows(self.name, self.cells, view, account)

    def compiled(self, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
        return compiled(self.name, state, slots)

    def margin(self, view: View) -> float:
        return rows.margin(self.cells, view)

    def health(self, view: View, account: Address, at_s: int) -> Health:
        """Of its worst position, in US dollars; where nobody values the loan token, in that token's smallest unit."""
        worst = self.worst(view, account, at_s)
        if worst is None:
            return Health(account, at_s, MAX_UINT256, 0, 0, DOLLARS)
        loan = worst.params.loan
        limit, owed = self.value(view, loan, worst.limit), self.value(view, loan, worst.owed)
        if limit is None or owed is None:
            limit, owed, unit = worst.limit, worst.owed, f"{loan}-{self.cells.decimals(view, loan)}"
        else:
            owed, unit = max(owed, 1), DOLLARS  # a debt of dust is a debt
        return Health(account, at_s, worst.health_factor_wad, limit, owed, unit, self._legs(view, worst))

    def audit(self, view: View, account: Address, at_s: int) -> Audit:
        """The stored position and sums of its worst position's market, as they were before any interest since."""
        worst = self.worst(view, account, at_s)
        if worst is None:
            return calls.audit_of_nothing(self.address, account, self.cells.id_of(view, 0))
        stored = self.cells.totals(view, worst.params.id)
        return calls.audit(self.address, worst, stored[:6], worst.params.irm != ZERO_ADDRESS)

    def worst(self, view: View, account: Address, at_s: int) -> Position | None:
        """None for an account that owes nothing."""
        return min(self.positions(view, account, at_s), key=lambda position: position.health_factor_wad, default=None)

    def positions(self, view: View, account: Address, at_s: int) -> list[Position]:
        return self._moment(view, at_s).positions(account)

    # --- liquidations

    def pairs(self, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
        """One for each market in which it can be liquidated: `target` is the market's id. Covers are shares of the debt; in a `seize`,
        collateral."""
        due = [position for position in self.positions(view, account, at_s) if position.liquidatable]
        return liquidation.pairs(self.deployment, self.cells, view, due) if due else ()

    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        """Exactly what `liquidate` moves at `at_s`."""
        number = self.cells.number_of(view, deal.target)
        if number is None:
            raise Skip("not_followed", deal.target)
        position = self._moment(view, at_s).position(number, deal.account)
        liquidation.check(self.deployment, self.cells, view, position)
        moved = liquidation.amounts(position, deal.kind, cover)
        return liquidation.settle(self.cells, view, position, deal.kind, cover, moved)

    def encode(self, fill: Fill, executor: Address) -> tuple[Step, ...]:
        """Of a fill made here."""
        return calls.steps(self.address, fill, self.cells.met[fill.target])

    def callback(self, fill: Fill, executor: Address) -> bytes:
        """The collateral is paid out first, then the executor is called back, then the debt is pulled from its allowance."""
        return calls.liquidate_head(fill, self.cells.met[fill.target])

    def guard(self, deal: Deal) -> Guard:
        return calls.guard(self.address, deal.target, deal.account)

    def gas(self, fill: Fill) -> int:
        return GAS_LIQUIDATION

    def value(self, view: View, token: Address, amount: int) -> int | None:
        """In US dollars with 8 decimals, floored, by the feeds that oracles are composed of."""
        price = self.price(view, token)
        unit: int = 10 ** self.cells.decimals(view, token)
        return None if price is None else amount * price // unit

    def price(self, view: View, token: Address) -> int | None:
        return self.cells.of_token(view, token, "price") or None

    def repriced(self, view: View, prices_: Mapping[Address, int]) -> list[Write]:
        return prices.repriced(self.deployment, self.cells, view, prices_)

    def bearer(self, view: View) -> str:
        """Written off at once, at the cost of whoever supplies the market."""
        return "socialised"

    def feeds(self, view: View) -> tuple[PriceFeed, ...]:
        return tuple(feed for token in prices.tokens(self.deployment, self.cells, view) if (feed := self._feed(view, token)))

    def left_out(self, view: View) -> str | None:
        return admission.left_out(self.deployment, self.cells, view)

    def decode_error(self, data: bytes) -> str | None:
        return errors.decode(data)

    # --- FlashLender

    def quote(self, view: View, token: Address, amount: int, at_s: int) -> Funding:
        return flash.quote(self.deployment, self.cells, view, token, amount)

    def after(self, view: View, funding: Funding, at_s: int) -> list[Write]:
        """A loan leaves no trace."""
        return []

    def encode_loan(self, funding: Funding, executor: Address) -> bytes:
        return calls.flash_head(funding)

    # --- parts

    def _moment(self, view: View, at_s: int) -> Moment:
        """Asked again and again on one state, so the last one is kept."""
        asked = view, view.version, at_s
        if self._last is None or self._last[0] != asked:
            self._last = asked, Moment(self.cells, view, at_s)
        return self._last[1]

    def _symbol(self, view: View, token: Address) -> str:
        packed = self.cells.of_token(view, token, "symbol")
        return packed.to_bytes((packed.bit_length() + 7) // 8).decode("utf-8", errors="replace") or token[:10]

    def _legs(self, view: View, position: Position) -> tuple[Leg, ...]:
        threshold = position.params.lltv_wad // BPS_WAD
        return (
            self._leg(view, position.params.collateral, "collateral", position.collateral, threshold),
            self._leg(view, position.params.loan, "debt", position.owed, 0),
        )

    def _leg(self, view: View, token: Address, side: str, amount: int, threshold_bps: int) -> Leg:
        value, price = self.value(view, token, amount) or 0, self.price(view, token) or 0
        return Leg(token, self._symbol(view, token), side, amount, value, threshold_bps, price, self.cells.decimals(view, token))

    def _feed(self, view: View, token: Address) -> PriceFeed | None:
        """Of several feeds the oldest word, and the limits of the one that is nearest to them: where one is in doubt the product is."""
        price, behind = self.price(view, token), prices.feeds_valuing(self.cells, view, token)
        if price is None:
            return None
        said = [Said(*(self.cells.of_feed(view, feed, field) for field in Said._fields)) for feed in behind]
        at_s = min((self.cells.of_feed(view, feed, "at") for feed in behind), default=0)
        answer, least, most = min(said, key=lambda one: one.room, default=Said(0, 0, 0))
        symbol, decimals, before = self._symbol(view, token), self.cells.decimals(view, token), self.cells.of_token(view, token, "before")
        source = behind[0] if len(behind) == 1 else ZERO_ADDRESS
        return PriceFeed(token, symbol, decimals, DOLLARS, price, before, answer, least, most, at_s, source=source)
