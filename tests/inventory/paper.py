"""A perpetual on paper: constant-product pools beside marks that follow an index, an account with margin, and strangers to take over from.

Everything is integers with 18 decimals and lives in tables, as an adapter's state does, so that plans leave writes. A pool is pulled back
to its mark between blocks (`refill`), as arbitrage would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keeper.book.state import Overlay, Tables
from keeper.errors import Skip
from keeper.fixedpoint import BPS
from keeper.ports import View
from keeper.types import (
    CLOSE,
    DEPOSIT,
    OPEN,
    TAKE,
    WITHDRAW,
    ZERO_ADDRESS,
    Action,
    Address,
    Deal,
    Fill,
    Guard,
    Health,
    Holding,
    Pair,
    PriceFeed,
    Standing,
    Traded,
    Write,
)

WAD = 10**18
SIGN = 1 << 200
"""Cells are natural numbers: a signed one is stored on top of this."""

USD = Address("0x" + "cc" * 20)
HOUSE = Address("0x" + "aa" * 20)
OURS = Address("0x" + "ee" * 20)
MM_BPS, IM_BPS, PENALTY_BPS, FEE_BPS = 625, 1000, 250, 10


@dataclass(frozen=True, slots=True)
class Paper:
    """`depth`: quote in a pool at its mark, by market."""

    depth: Mapping[str, int]
    name: str = "paper"
    adapter: str = "paper"
    address: Address = HOUSE

    # --- state

    def start(self, prices: Mapping[str, int], margin: int, idle: int = 0) -> Tables:
        state = Tables()
        state.write([put("cash", margin, OURS), put("idle", idle, OURS)])
        for target, price in prices.items():
            state.write(self.moved(target, price))
        return state

    def moved(self, target: str, price: int) -> list[Write]:
        """The mark is there now, and so is the pool, at its depth."""
        return [
            put("mark", price, target),
            put("quote", self.depth[target], target),
            put("base", self.depth[target] * WAD // price, target),
        ]

    def stranger(self, account: Address, target: str, size: int) -> list[Write]:
        """Somebody who may be liquidated."""
        return [put("size", size, target, account)]

    def charged(self, view: View, account: Address, target: str, amount: int, settled: bool = False) -> list[Write]:
        """Funding of a position; once `settled` it is paid."""
        if not get(view, "size", target, account):
            return []
        owed = get(view, "funding", target, account) + amount
        paid = owed if settled else 0
        return [put("funding", owed - paid, target, account), put("cash", get(view, "cash", account) - paid, account)]

    # --- Holdable

    def standing(self, view: View, account: Address, at_s: int) -> Standing:
        held = [self._holding(view, account, target) for target in self.depth if get(view, "size", target, account)]
        cash = get(view, "cash", account)
        equity = cash + sum(holding.value + holding.notional - holding.funding for holding in held)
        exposure = sum(abs(holding.value) for holding in held)
        free = min(cash, equity) - exposure * IM_BPS // BPS
        return Standing(account, at_s, USD, 1, equity, exposure * MM_BPS // BPS, free, get(view, "idle", account), tuple(held))

    def _holding(self, view: View, account: Address, target: str) -> Holding:
        size, mark = get(view, "size", target, account), get(view, "mark", target)
        notional, funding = (get(view, table, target, account) for table in ("notional", "funding"))
        return Holding(target, size, size * mark // WAD, notional, funding, self._exit(view, target, size))

    def _exit(self, view: View, target: str, size: int) -> int | None:
        try:
            return self.exit(view, target, size, 0).quote
        except Skip:
            return None

    def takes(self, view: View, account: Address, by: Address, at_s: int) -> tuple[Pair, ...]:
        sizes = {target: abs(get(view, "size", target, account)) for target in self.depth}
        return tuple(Pair(account, USD, USD, (size,), TAKE, target, by) for target, size in sizes.items() if size and account != by)

    def exit(self, view: View, target: str, size: int, at_s: int) -> Traded:
        """Exactly that much base against x · y = k, and the fee."""
        base, quote = get(view, "base", target), get(view, "quote", target)
        if -size >= base:
            raise Skip("illiquid")
        new = -(-base * quote // (base + size))
        fee = -(-abs(quote - new) * FEE_BPS // BPS)
        return Traded(-size, quote - new - fee, 0, fee)

    def fill(self, view: View, deal: Deal, cover: int, at_s: int) -> Fill:
        state = Overlay(view)
        counted = {TAKE: self._take, CLOSE: self._close, OPEN: self._open, DEPOSIT: self._deposit, WITHDRAW: self._withdraw}[deal.kind](
            state, deal, cover
        )
        promised: tuple[tuple[Address, int], ...] = ()
        if deal.kind == TAKE:
            promised = ((USD, self._worth(state, deal) - self._worth(view, deal)),)
        writes = tuple(state.writes())
        tokens = deal.account, deal.debt_token, deal.collateral_token
        return Fill(*tokens, cover, counted, 0, 0, 0, False, writes, 0, False, promised, kind=deal.kind, target=deal.target, by=deal.by)

    def _worth(self, view: View, deal: Deal) -> int:
        """Of our position, were it traded away."""
        held = self._holding(view, Address(deal.by), deal.target)
        if held.exit is None:
            raise Skip("illiquid")
        return get(view, "cash", Address(deal.by)) + held.notional + held.exit

    def _take(self, state: Overlay, deal: Deal, cover: int) -> int:
        size, mark = get(state, "size", deal.target, deal.account), get(state, "mark", deal.target)
        if not size:
            raise Skip("healthy")
        base = min(cover, size) if size > 0 else max(-cover, size)
        notional = base * mark // WAD
        state.write([put("size", size - base, deal.target, deal.account)])
        self._exchange(state, deal, base, abs(notional) * PENALTY_BPS // BPS // 2 - notional)
        self._require_free(state, deal)
        return abs(base)

    def _close(self, state: Overlay, deal: Deal, cover: int) -> int:
        size = get(state, "size", deal.target, Address(deal.by))
        if not size:
            raise Skip("no_position")
        amount = min(abs(cover), abs(size))
        self._trade(state, deal, -amount if size > 0 else amount)
        if amount < abs(size):
            self._require_free(state, deal)
        return amount

    def _open(self, state: Overlay, deal: Deal, cover: int) -> int:
        self._trade(state, deal, cover)
        self._require_free(state, deal)
        return abs(cover)

    def _trade(self, state: Overlay, deal: Deal, size: int) -> None:
        traded = self.exit(state, deal.target, -size, 0)
        base, quote = get(state, "base", deal.target), get(state, "quote", deal.target)
        state.write([put("base", base - size, deal.target), put("quote", quote - traded.quote - traded.fee, deal.target)])
        self._exchange(state, deal, traded.base, traded.quote)

    def _exchange(self, state: Overlay, deal: Deal, base: int, quote: int) -> None:
        by = Address(deal.by)
        state.write(self.charged(state, by, deal.target, 0, settled=True))
        size, notional = (get(state, table, deal.target, by) for table in ("size", "notional"))
        if size and (size > 0) != (base > 0) and abs(base) <= abs(size):
            realized = quote + notional * abs(base) // abs(size)
        elif size and (size > 0) != (base > 0):
            realized = notional + quote * abs(size) // abs(base)
        else:
            realized = 0
        state.write([put("size", size + base, deal.target, by), put("notional", notional + quote - realized, deal.target, by)])
        state.write([put("cash", get(state, "cash", by) + realized, by)])

    def _deposit(self, state: Overlay, deal: Deal, cover: int) -> int:
        by = Address(deal.by)
        idle = get(state, "idle", by) - cover
        if idle < 0:
            raise Skip("no_funds")
        state.write([put("idle", idle, by), put("cash", get(state, "cash", by) + cover, by)])
        return cover

    def _withdraw(self, state: Overlay, deal: Deal, cover: int) -> int:
        by = Address(deal.by)
        if cover > self.standing(state, by, 0).free:
            raise Skip("margin")
        state.write([put("idle", get(state, "idle", by) + cover, by), put("cash", get(state, "cash", by) - cover, by)])
        return cover

    def _require_free(self, state: View, deal: Deal) -> None:
        if self.standing(state, Address(deal.by), 0).free < 0:
            raise Skip("margin")

    # --- Market, as far as plans need it

    def health(self, view: View, account: Address, at_s: int) -> Health:
        return Health(account, at_s, 0, 0, 0, "usd-18")

    def pairs(self, view: View, account: Address, at_s: int) -> tuple[Pair, ...]:
        """An atomic liquidation there is not: it is taken over and kept, or not at all."""
        return ()

    def gas(self, fill: Fill) -> int:
        return 1_000_000

    def guard(self, deal: Deal) -> Guard:
        return Guard(ZERO_ADDRESS, b"", 0, 0)

    def encode(self, fill: Fill, executor: Address) -> tuple[Action, ...]:
        return ()

    def value(self, view: View, token: Address, amount: int) -> int | None:
        """One ether is 2000 dollars."""
        return amount if token == USD else amount * 2000

    def feeds(self, view: View) -> tuple[PriceFeed, ...]:
        return ()


def put(table: str, value: int, *key: Any) -> Write:
    return table, key, value + SIGN if value else 0


def get(view: View, table: str, *key: Any) -> int:
    found = view.get(table, key)
    return found - SIGN if found else 0
