"""The Market of one bank: ties its tables to its rules. Pure: everything follows from the view, the account and the time it is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keeper.chain.codec import address_word, selector, word
from keeper.errors import Skip
from keeper.fixedpoint import BPS, WAD
from keeper.ports import Apply, ColumnView, View
from keeper.types import (
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
    PriceFeed,
    Quote,
    Read,
    Row,
    RowBlock,
    Step,
    Write,
)
from tiny_bank import events, rows, rules
from tiny_bank.cells import Cells, Deployment

ADAPTER = "tiny-bank"
HEALTH = selector("health(address)")
LIQUIDATE = selector("liquidate(address,uint256)")
APPROVE = selector("approve(address,uint256)")
GAS = 110_000


class TinyBankMarket:
    """One bank."""

    adapter = ADAPTER
    debt_decides = True

    def __init__(self, deployment: Deployment) -> None:
        self.name, self.address, self.deployment = deployment.name, deployment.address, deployment
        self.cells = Cells(deployment.name)
        self.columns = self.cells.columns
        self.unit = f"{deployment.debt.symbol.lower()}-{deployment.debt.decimals}"

    # --- what is followed

    @property
    def first_block(self) -> int:
        return self.deployment.first_block

    def filters(self, view: View) -> tuple[LogFilter, ...]:
        return (LogFilter(self.address, frozenset(events.EVENTS), self.first_block),)

    def apply(self, log: Log, view: View) -> list[Write]:
        return events.apply(self.address, self.cells, log, view)

    def applier(self, view: View) -> Apply:
        return self.apply

    def reshapes(self, writes: Iterable[Write]) -> bool:
        """No event announces another contract."""
        return False

    def reads(self, view: View) -> tuple[Read, ...]:
        """Events tell everything."""
        return ()

    def absorb(self, replies: Sequence[bytes | None], view: View) -> list[Write]:
        return []

    # --- accounts

    def tokens(self, view: View) -> Mapping[Address, str]:
        return {token.address: token.symbol for token in (self.deployment.collateral, self.deployment.debt)}

    def accounts(self, view: View) -> Iterator[Address]:
        return view.accounts(self.cells.shares)

    def touched(self, writes: Iterable[Write]) -> set[Address]:
        return {Address(str(key[-1])) for table, key, _ in writes if table in self.columns}

    def factors(self, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
        return rows.factors(self.deployment, self.cells, view, at_s, wanted)

    def drivers(self, view: View, factor: Factor) -> tuple[Cell, ...]:
        return rows.drivers(self.cells, factor)

    def token_of(self, view: View, factor: Factor) -> Address | None:
        return self.deployment.collateral.address if factor == rows.collateral_factor(self.name) else None

    def family(self, view: View, factor: Factor) -> str | None:
        return factor[1]

    def rows(self, view: View, account: Address) -> tuple[Row, ...]:
        found = rows.row(self.deployment, self.cells, view, account)
        return () if found is None else (found,)

    def compiled(self, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
        return rows.compiled(self.deployment, state, slots)

    def margin(self, view: View) -> float:
        return self.deployment.terms.bonus_bps / BPS

    def health(self, view: View, account: Address, at_s: int) -> Health:
        collateral, debt = self.cells.collateral_of(view, account), self._debt(view, account, at_s)
        weighted, health_factor_wad = self._weighted(view, account), rules.factor(self._weighted(view, account), debt)
        held, owed, price = self.deployment.collateral, self.deployment.debt, self.cells.of_bank(view, "price")
        threshold_bps = self.deployment.terms.threshold_bps
        worth = collateral * price // held.unit
        legs = [Leg(held.address, held.symbol, "collateral", collateral, worth, threshold_bps, price, held.decimals)] if collateral else []
        legs += [Leg(owed.address, owed.symbol, "debt", debt, debt, 0, owed.unit, owed.decimals)] if debt else []
        return Health(account, at_s, health_factor_wad, weighted, debt, self.unit, tuple(legs))

    def audit(self, view: View, account: Address, at_s: int) -> Audit:
        weighted, debt = self._weighted(view, account), self._debt(view, account, at_s)
        return Audit(self._health_of(account), {0: weighted, 1: debt, 2: rules.factor(weighted, debt)})

    # --- liquidations

    def pairs(self, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
        """One: all that the close factor allows, or half of it."""
        health = self.health(view, account, at_s)
        if not health.liquidatable:
            return ()
        self._require_open(view)
        most = rules.most(self.deployment.terms, health.debt, health.health_factor_wad)
        pair = Pair(account, self.deployment.debt.address, self.deployment.collateral.address, ())
        amounts = [amount for amount in sorted({most // 2, most}) if self._moved(view, account, amount, at_s).seized]
        if not amounts:
            raise Skip("no_collateral")
        return (Pair(pair.account, pair.debt_token, pair.collateral_token, tuple(amounts)),)

    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        """Exactly what `liquidate(account, cover)` moves at `at_s`."""
        account, health = deal.account, self.health(view, deal.account, at_s)
        if not health.liquidatable:
            raise Skip("healthy", f"health factor {health.health_factor_wad}")
        self._require_open(view)
        moved = self._moved(view, account, cover, at_s)
        if not moved.repaid or not moved.seized:
            raise Skip("nothing")
        writes = (
            self.cells.add(view, self.cells.collateral, account, -moved.seized),
            self.cells.add(view, self.cells.shares, account, -moved.shares),
        )
        return Fill(
            account=account,
            debt_token=self.deployment.debt.address,
            collateral_token=self.deployment.collateral.address,
            cover=cover,
            counted=moved.repaid,
            repaid=moved.repaid,
            seized=moved.seized,
            protocol_fee=0,
            bad_debt=moved.seized == self.cells.collateral_of(view, account) and moved.repaid < health.debt,
            writes=writes,
            funds=moved.repaid,
            prepaid=True,
        )

    def encode(self, fill: Fill, executor: Address) -> tuple[Action, ...]:
        """Approve, liquidate, withdraw what is left of the approval: tokens like USDT refuse to change one that is not 0."""
        debt, bank = fill.debt_token, address_word(self.address)
        return (
            Step(debt, APPROVE + bank + word(fill.cover)),
            Step(self.address, LIQUIDATE + address_word(fill.account) + word(fill.cover)),
            Step(debt, APPROVE + bank + word(0)),
        )

    def guard(self, deal: Deal) -> Guard:
        read = self._health_of(deal.account)
        return Guard(read.target, read.data, word=2, below=WAD)

    def gas(self, fill: Fill) -> int:
        return GAS

    # --- prices

    def value(self, view: View, token: Address, amount: int) -> int | None:
        price = self.price(view, token)
        unit = self.deployment.debt.unit if token == self.deployment.debt.address else self.deployment.collateral.unit
        return None if price is None else amount * price // unit

    def price(self, view: View, token: Address) -> int | None:
        if token == self.deployment.debt.address:
            return self.deployment.debt.unit
        return self.cells.of_bank(view, "price") or None if token == self.deployment.collateral.address else None

    def repriced(self, view: View, prices: Mapping[Address, int]) -> list[Write]:
        """The debt token is the unit of account: it has no price to change."""
        found = prices.get(self.deployment.collateral.address)
        return [] if found is None else [(self.cells.bank, ("price",), found)]

    def bearer(self, view: View) -> str:
        return "suppliers"

    def feeds(self, view: View) -> tuple[PriceFeed, ...]:
        tokens = (self.deployment.collateral, self.deployment.debt)
        prices = [(token, self.price(view, token.address)) for token in tokens]
        return tuple(PriceFeed(token.address, token.symbol, token.decimals, self.unit, price) for token, price in prices if price)

    def decode_error(self, data: bytes) -> str | None:
        """The bank's refusals are plain words, which are read without its help."""
        return None

    # --- parts

    def _debt(self, view: View, account: Address, at_s: int) -> int:
        return rules.owed(self.cells.shares_of(view, account), self._index(view, at_s))

    def _index(self, view: View, at_s: int) -> int:
        index, rate, since = (self.cells.of_bank(view, field) for field in ("index", "rate", "since"))
        return rules.index_at(index, rate, at_s - since)

    def _weighted(self, view: View, account: Address) -> int:
        collateral, price = self.cells.collateral_of(view, account), self.cells.of_bank(view, "price")
        return rules.weighted(self.deployment.terms, collateral, price, self.deployment.collateral.unit)

    def _moved(self, view: View, account: Address, amount: int, at_s: int) -> rules.Moved:
        collateral, shares = self.cells.collateral_of(view, account), self.cells.shares_of(view, account)
        price, unit = self.cells.of_bank(view, "price"), self.deployment.collateral.unit
        return rules.liquidated(self.deployment.terms, collateral, shares, self._index(view, at_s), price, unit, amount)

    def _require_open(self, view: View) -> None:
        if self.cells.of_bank(view, "paused"):
            raise Skip("paused")

    def _health_of(self, account: Address) -> Read:
        return Read(self.address, HEALTH + address_word(account))
