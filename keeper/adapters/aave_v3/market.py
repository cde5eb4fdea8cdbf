"""The Market (and FlashLender) of one Aave v3 deployment: ties its tables to the rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from keeper.adapters.aave_v3 import errors, events, feeds, filters, flash, liquidation, position, reads, rows, sizing, twice
from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.codec import call_data, selector
from keeper.adapters.aave_v3.compiled import compiled
from keeper.adapters.aave_v3.liquidation import Terms
from keeper.adapters.aave_v3.position import Holding, Position
from keeper.adapters.aave_v3.twice import Halfway
from keeper.errors import Skip
from keeper.ports import Apply, ColumnView, View
from keeper.types import (
    TWICE,
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

ADAPTER = "aave-v3"
GET_USER_ACCOUNT_DATA = selector("getUserAccountData(address)")
LIQUIDATION_CALL = selector("liquidationCall(address,address,address,uint256,bool)")
APPROVE = selector("approve(address,uint256)")
COLLATERAL_WORD, DEBT_WORD, THRESHOLD_WORD, HEALTH_WORD = 0, 1, 3, 5


class AaveV3Market:
    """One deployment. Also its own FlashLender: `source` is the Pool."""

    adapter = ADAPTER
    debt_decides = True

    def __init__(self, deployment: Deployment) -> None:
        self.name = deployment.name
        self.address = deployment.provider
        self.source = deployment.pool
        self.deployment = deployment
        self.cells = Cells(deployment.name)
        self.columns = self.cells.columns
        self._last: tuple[tuple[View, int, Address, int], Position] | None = None
        self._agreed: tuple[Position, tuple[Address, Address], Terms] | None = None
        self._between: tuple[Terms, int, Halfway] | None = None

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
        return {asset: self._symbol(view, asset) for asset in self.cells.assets(view)}

    def accounts(self, view: View) -> Iterator[Address]:
        return self.cells.borrowers(view)

    def touched(self, writes: Iterable[Write]) -> set[Address]:
        """Parameters, prices and indexes are factors: only an account's own balances, bits and eMode change its row."""
        columns = self.columns
        return cast("set[Address]", {key[-1] for table, key, _ in writes if table in columns})

    def factors(self, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
        return rows.factors(self.deployment, self.cells, view, at_s, wanted)

    def drivers(self, view: View, factor: Factor) -> tuple[Cell, ...]:
        return rows.drivers(self.cells, view, factor)

    def token_of(self, view: View, factor: Factor) -> Address | None:
        return self.cells.asset_of(view, int(factor[2])) if len(factor) > 2 else None

    def family(self, view: View, factor: Factor) -> str | None:
        return rows.family(self.cells, view, factor)

    def rows(self, view: View, account: Address) -> tuple[Row, ...]:
        found = rows.row(self.deployment, self.cells, view, account)
        return () if found is None else (found,)

    def compiled(self, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
        return compiled(self.deployment, state, slots)

    def margin(self, view: View) -> float:
        return rows.margin(self.cells, view)

    def health(self, view: View, account: Address, at_s: int) -> Health:
        """`weighted_collateral` is Σ value · threshold in base currency, rounded as the version does (from 3.5: floored)."""
        found = self.position(view, account, at_s)
        legs = [self._leg(view, holding, "collateral", found.category) for holding in found.collaterals]
        legs += [self._leg(view, holding, "debt", found.category) for holding in found.debts]
        return Health(account, at_s, found.health_factor_wad, found.weighted, found.debt_base, self.deployment.unit, tuple(legs))

    def audit(self, view: View, account: Address, at_s: int) -> Audit:
        """Σ collateral, Σ debt, average threshold and health factor of `getUserAccountData`."""
        found = self.position(view, account, at_s)
        words = {
            COLLATERAL_WORD: found.collateral_base,
            DEBT_WORD: found.debt_base,
            THRESHOLD_WORD: found.average_bps,
            HEALTH_WORD: found.health_factor_wad,
        }
        return Audit(self._account_data(account), words)

    def position(self, view: View, account: Address, at_s: int) -> Position:
        """Asked again and again for one account on one state while a plan is made, so the last answer is kept."""
        asked = view, view.version, account, at_s
        if self._last is None or self._last[0] != asked:
            self._last = asked, position.evaluate(self.cells, self.deployment.rules, view, account, at_s)
        return self._last[1]

    # --- liquidations

    def pairs(self, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
        """Amounts are covers: one that must close a position has headroom and is capped by the contract (see `sizing`)."""
        found = self.position(view, account, at_s)
        if not found.liquidatable:
            return ()
        once = sizing.pairs(self.deployment, self.cells, view, found)
        terms = tuple(self._terms(view, found, pair.debt_token, pair.collateral_token) for pair in once)
        return once + twice.pairs(self.deployment, self.cells, view, once, terms)

    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        """Exactly what `liquidationCall(…, cover, false)` moves at `at_s`. `repaid` may be less than `cover`, never the reverse."""
        terms = self._terms(view, self.position(view, deal.account, at_s), deal.debt_token, deal.collateral_token)
        if deal.kind == TWICE:
            return twice.fill(self.deployment, self.cells, self._halfway(view, terms, int(deal.target)), cover)
        moved = liquidation.amounts(self.deployment.rules, terms, cover)
        liquidation.check_amounts(self.cells, self.deployment.rules, view, terms, cover, moved)
        return liquidation.settle(self.deployment, self.cells, view, terms, cover, moved)

    def _terms(self, view: View, found: Position, debt_token: Address, collateral_token: Address) -> Terms:
        """Asked for again for every amount, so the last answer is kept: for this very position, which is of one state."""
        if self._agreed is None or self._agreed[0] is not found or self._agreed[1] != (debt_token, collateral_token):
            liquidation.check_account(self.deployment, self.cells, view, found)
            debt = self._holding(found.debts, debt_token, "no_debt")
            collateral = self._holding(found.collaterals, collateral_token, "no_collateral")
            terms = liquidation.terms(self.deployment, self.cells, view, found, debt, collateral)
            self._agreed = found, (debt_token, collateral_token), terms
        return self._agreed[2]

    def _halfway(self, view: View, terms: Terms, cover: int) -> Halfway:
        """Asked for again for every amount of the second call, so the last answer is kept: for these very terms."""
        if self._between is None or self._between[0] is not terms or self._between[1] != cover:
            self._between = terms, cover, twice.halfway(self.deployment, self.cells, view, terms, cover)
        return self._between[2]

    def encode(self, fill: Fill, executor: Address) -> tuple[Step, ...]:
        """Approve the cover, liquidate, withdraw what is left of the approval: tokens like USDT refuse to change one that is not 0."""
        pool = self.deployment.pool
        first = [int(fill.target)] if fill.kind == TWICE else []
        covers = (*first, fill.cover - sum(first))
        deal = fill.collateral_token, fill.debt_token, fill.account
        return (
            Step(fill.debt_token, call_data(APPROVE, pool, fill.cover)),
            *(Step(pool, call_data(LIQUIDATION_CALL, *deal, cover, 0)) for cover in covers),
            Step(fill.debt_token, call_data(APPROVE, pool, 0)),
        )

    def guard(self, deal: Deal) -> Guard:
        read = self._account_data(deal.account)
        return Guard(read.target, read.data, HEALTH_WORD, 10**18)

    def gas(self, fill: Fill) -> int:
        written_off = sum(table == self.cells.reserve and key[1] == "deficit" for table, key, _ in fill.writes)
        calls = 2 if fill.kind == TWICE else 1
        return calls * self.deployment.rules.gas_liquidation + self.deployment.rules.gas_bad_debt * max(written_off - 1, 0)

    def value(self, view: View, token: Address, amount: int) -> int | None:
        """In base currency (`unit` of Health), floored."""
        if not self.cells.priced(view, token):
            return None
        unit: int = 10 ** self.cells.of_asset(view, token, "decimals")
        return amount * self.cells.price(view, token) // unit

    def price(self, view: View, token: Address) -> int | None:
        return self.cells.price(view, token) if self.cells.priced(view, token) else None

    def repriced(self, view: View, prices: Mapping[Address, int]) -> list[Write]:
        """Also the price source of an eMode, which is asked for as if it were a token."""
        found: list[Write] = []
        for token in self.cells.price_keys(view):
            if token in prices:
                found += [(self.cells.asset, (token, "price"), prices[token]), (self.cells.asset, (token, "unpriced"), 0)]
        return found

    def bearer(self, view: View) -> str:
        """From 3.3 bad debt is burnt into the reserve's deficit; before, it stays with the account."""
        return "deficit" if self.deployment.rules.burns_bad_debt else "suppliers"

    def feeds(self, view: View) -> tuple[PriceFeed, ...]:
        return feeds.feeds(self.cells, view, self.deployment.unit, self._symbol)

    def decode_error(self, data: bytes) -> str | None:
        return errors.decode(data)

    # --- FlashLender

    def quote(self, view: View, token: Address, amount: int, at_s: int) -> Funding:
        return flash.quote(self.deployment, self.cells, view, token, amount, at_s)

    def after(self, view: View, funding: Funding, at_s: int) -> list[Write]:
        """`view` includes the writes of the calls made with the loan."""
        return flash.after(self.deployment, self.cells, view, funding, at_s)

    def encode_loan(self, funding: Funding, executor: Address) -> bytes:
        return flash.encode(funding, executor)

    # --- parts

    def _account_data(self, account: Address) -> Read:
        return Read(self.deployment.pool, call_data(GET_USER_ACCOUNT_DATA, account))

    def _symbol(self, view: View, asset: Address) -> str:
        packed = self.cells.of_asset(view, asset, "symbol")
        return packed.to_bytes((packed.bit_length() + 7) // 8).decode("utf-8", errors="replace") or asset[:10]

    def _leg(self, view: View, holding: Holding, side: str, category: int) -> Leg:
        asset = holding.reserve.asset
        priced_as = position.priced_as(self.cells, self.deployment.rules, view, asset, holding.reserve.emode, category)
        symbol, decimals = self._symbol(view, asset), self.cells.of_asset(view, asset, "decimals")
        return Leg(asset, symbol, side, holding.balance, holding.base, holding.threshold, holding.price, decimals, priced_as)

    @staticmethod
    def _holding(holdings: Iterable[Holding], asset: Address, reason: str) -> Holding:
        for holding in holdings:
            if holding.reserve.asset == asset:
                return holding
        raise Skip(reason, asset)
