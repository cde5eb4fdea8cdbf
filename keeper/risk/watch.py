"""Keeps the rows of all accounts in step with the book, and says who is worth liquidating in the block to come.

Floats nominate, certificates spare the looking, integers decide. What owes less than any liquidation could earn its gas from is parked.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keeper.ports import ColumnView, Market, View
from keeper.risk.engine import Engine, Recentring
from keeper.risk.factors import RESERVED
from keeper.risk.layer import Rows
from keeper.types import Address, Cell, Factor, Health, Landing, Quote, Write

LEAST_GAS = 200_000
"""No liquidation takes less."""

BEST_SALE = 0.10
"""How far above the market's own prices what is seized may sell, before parked accounts would be missed."""

MANY = 16
"""From so many accounts on compiling their rows together is faster."""

MARKET_BITS = 40
UNKNOWN = Quote(float("nan"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account, and its health at the landing block by the contract's own integers."""

    market: Market
    account: Address
    health: Health

    @property
    def market_name(self) -> str:
        return self.market.name


class Watch:
    """Every indebted account of every market of a chain. `native`: the token that pays for gas; `priority_fee_wei`: the least tip."""

    def __init__(self, markets: Sequence[Market], native: Address, priority_fee_wei: int) -> None:
        self._markets = tuple(markets)
        self._native, self._priority_fee_wei = native, priority_fee_wei
        self._state: ColumnView | None = None
        self._reset()

    def _reset(self) -> None:
        self.engine = Engine(self._family)
        self._handles = [_Handles() for _ in self._markets]
        self._factors: list[dict[Factor, tuple[Cell, ...]]] = [{} for _ in self._markets]
        self._driven: dict[Cell, set[tuple[int, Factor]]] = defaultdict(set)
        self._driving: set[str] = set()
        """The tables of the cells that factors hang on."""
        self._stale: set[tuple[int, Factor]] = set()
        self._known = RESERVED
        self._landing: Landing | None = None

    def __len__(self) -> int:
        return len(self.engine)

    # --- following the book

    def rebuild(self, state: ColumnView) -> None:
        """Start from a whole state."""
        self._state = state
        self._reset()
        for number, market in enumerate(self._markets):
            for block in market.compiled(state):
                tags = block.slot.astype(np.int64) | number << MARKET_BITS
                self._handles[number].add(block.slot, self.engine.fill(block, _floor(market), tags))
            self._refresh(number, _beside(market, state), state)

    def update(self, changed: Iterable[Write], state: ColumnView) -> None:
        """Follow a change of the book: only the accounts these cells belong to are looked at, and the factors that hang on them."""
        self._state = state
        writes = list(changed)
        for number, market in enumerate(self._markets):
            self._refresh(number, market.touched(writes), state)
        self.engine.watch_put()
        for table, key, _ in writes:
            if table in self._driving:
                self._stale |= self._driven.get((table, key), _NO_FACTORS)

    def _refresh(self, number: int, accounts: set[Address], state: ColumnView) -> None:
        """Many at once; one by one where they are few, or have cells that no column holds."""
        alone = accounts if len(accounts) < MANY else accounts & _beside(self._markets[number], state)
        for account in alone:
            self._put(number, account, state)
        if len(alone) < len(accounts):
            self._put_many(number, accounts - alone, state)

    def _put_many(self, number: int, accounts: set[Address], state: ColumnView) -> None:
        market, handles = self._markets[number], self._handles[number]
        found = [state.slot(market.name, account) for account in accounts]
        slots = np.array(sorted(slot for slot in found if slot is not None), np.int32)
        old = handles.taken(slots, self.engine.drop)
        for block in market.compiled(state, slots):
            tags, own = block.slot.astype(np.int64) | number << MARKET_BITS, np.searchsorted(slots, block.slot)
            handles.add(block.slot, self.engine.put_many(old.take(own), block, _floor(market), tags))
            old[own] = -1
        for handle in old[old >= 0].tolist():
            self.engine.drop(handle)

    def _put(self, number: int, account: Address, state: ColumnView) -> None:
        market, handles = self._markets[number], self._handles[number]
        slot = state.slot(market.name, account)
        if slot is None:
            return
        rows, old = market.rows(state, account), handles.of(slot)
        tag = slot | number << MARKET_BITS
        for handle in old[len(rows) :]:
            self.engine.drop(handle)
        placed = [*old, *[None] * len(rows)]
        handles.set(slot, [self.engine.put(placed[i], row, _floor(market), tag) for i, row in enumerate(rows)])

    # --- candidates

    def candidates(self, state: ColumnView, landing: Landing) -> list[Candidate]:
        """Accounts worth liquidating in the landing block: health factor below 1 by its integers; the largest debts first."""
        self.tick(state, landing)
        found = dict.fromkeys(self.engine.tags(self.engine.inside()).tolist())
        candidates = [self._candidate(tag, state, landing.timestamp_s) for tag in found]
        return sorted((c for c in candidates if c.health.liquidatable), key=lambda c: c.health.debt, reverse=True)

    def tick(self, state: ColumnView, landing: Landing) -> None:
        """Bring the set to this state and block."""
        self._state = state
        self._quote(state, landing)
        for handle in self.engine.outdated():
            tag = int(self.engine.tags(np.array([handle], np.int32))[0])
            self._put(tag >> MARKET_BITS, self._account(tag, state), state)
        self.engine.tick(lambda rows: self._decide(rows, state, landing.timestamp_s))

    def _candidate(self, tag: int, state: ColumnView, at_s: int) -> Candidate:
        market, account = self._markets[tag >> MARKET_BITS], self._account(tag, state)
        return Candidate(market, account, market.health(state, account, at_s))

    def _account(self, tag: int, state: ColumnView) -> Address:
        return state.account(self._markets[tag >> MARKET_BITS].name, tag & (1 << MARKET_BITS) - 1)

    def _decide(self, rows: Rows, state: ColumnView, at_s: int) -> NDArray[np.bool_]:
        return np.array([self._candidate(tag, state, at_s).health.liquidatable for tag in self.engine.tags(rows).tolist()], np.bool_)

    def nearest(self, state: ColumnView, at_s: int, count: int) -> list[Candidate]:
        """Accounts that are not liquidatable yet, the nearest to it first. As of the last tick."""
        return self.named(self.engine.nearest(count)(), state, at_s)

    def named(self, handles: Rows, state: ColumnView, at_s: int) -> list[Candidate]:
        """The accounts of these rows, each once; without rows that have gone since they were found."""
        found = dict.fromkeys(self.engine.tags(handles).tolist())
        return [self._candidate(tag, state, at_s) for tag in found if tag >= 0]

    def due(self, market: Market, state: View, at_s: int) -> Callable[[], Rows]:
        """A search, for any thread, of the rows of a market that time alone may make liquidatable by then."""
        factors = self._factors[self._markets.index(market)]
        return self.engine.due(market.factors(state, at_s, factors).items())

    # --- factors

    def _quote(self, state: View, landing: Landing) -> None:
        """All factors for another block, else those that something has moved."""
        self._meet(state)
        floors = ((_floor(market), Quote(self._least_debt(market, state, landing))) for market in self._markets)
        self.engine.set((floor, least) for floor, least in floors if floor)
        if landing != self._landing:
            wanted = [list(factors) for factors in self._factors]
        else:
            wanted = [[factor for of, factor in self._stale if of == number] for number in range(len(self._markets))]
        for number, factors in enumerate(wanted):
            self._hang(number, [factor for factor in factors if (number, factor) in self._stale], state)
            quotes = self._markets[number].factors(state, landing.timestamp_s, factors)
            self.engine.set((factor, quotes.get(factor, UNKNOWN)) for factor in factors)
        self._landing = landing
        self._stale.clear()

    def _meet(self, state: View) -> None:
        """Factors that rows have brought since."""
        names, self._known = self.engine.factors.names[self._known :], len(self.engine.factors.names)
        numbers = {market.name: number for number, market in enumerate(self._markets)}
        for factor in names:
            number = numbers.get(factor[0])
            if number is not None:
                self._stale.add((number, factor))
                self._factors[number][factor] = ()

    def _hang(self, number: int, factors: Iterable[Factor], state: View) -> None:
        """Note what these factors hang on now."""
        for factor in factors:
            for cell in self._factors[number][factor]:
                self._driven[cell].discard((number, factor))
            cells = self._factors[number][factor] = self._markets[number].drivers(state, factor)
            self._driving.update(table for table, _ in cells)
            for cell in cells:
                self._driven[cell].add((number, factor))

    def _least_debt(self, market: Market, state: View, landing: Landing) -> float:
        """Debt in the market's unit that could just earn the gas of liquidating it; 0 where gas has no price."""
        cost_wei = LEAST_GAS * (landing.base_fee_wei + self._priority_fee_wei)
        cost = market.value(state, self._native, cost_wei)
        return (cost or 0) / ((1 + market.margin(state)) * (1 + BEST_SALE) - 1)

    def _family(self, factor: Factor) -> str | None:
        market = next((market for market in self._markets if market.name == factor[0]), None)
        if market is None or self._state is None:
            return None
        return f"{market.name} {market.family(self._state, factor)}"

    # --- re-centring

    def work(self) -> Recentring | None:
        """The next re-centring that pays; to be run anywhere, then adopted here."""
        return self.engine.work()

    def adopt(self, work: Recentring) -> None:
        self.engine.adopt(work)


_NO_FACTORS: frozenset[tuple[int, Factor]] = frozenset()


def _floor(market: Market) -> Factor | None:
    """The factor that is the least debt worth a look. It is ours, not the market's. None where debt tells nothing: what negative weights
    stand for there may be below zero."""
    return ("", "least debt", market.name) if market.debt_decides else None


def _beside(market: Market, state: ColumnView) -> set[Address]:
    """Accounts with cells that no column holds."""
    return {Address(str(key[-1])) for table in market.columns for key in state.apart(table)}


class _Handles:
    """Slot → its row's handle; the few accounts of several rows beside."""

    def __init__(self) -> None:
        self._first = array("i")
        self._more: dict[int, list[int]] = {}

    def of(self, slot: int) -> list[int]:
        first = self._first[slot] if slot < len(self._first) else -1
        return [] if first < 0 else [first, *self._more.get(slot, ())]

    def set(self, slot: int, handles: Sequence[int]) -> None:
        self._reach(slot)
        self._first[slot] = handles[0] if handles else -1
        self._more.pop(slot, None)
        if len(handles) > 1:
            self._more[slot] = list(handles[1:])

    def taken(self, slots: NDArray[np.int32], drop: Callable[[int], None]) -> NDArray[np.int32]:
        """The first row of each of these accounts, -1 for none; they have none now. Further rows are dropped."""
        self._reach(int(slots.max(initial=-1)))
        first = np.frombuffer(self._first, np.int32)
        found: NDArray[np.int32] = first[slots]
        first[slots] = -1
        for slot in self._more.keys() & set(slots.tolist()) if self._more else ():
            for handle in self._more.pop(slot):
                drop(handle)
        return found

    def add(self, slots: NDArray[np.int32], handles: NDArray[np.int32]) -> None:
        """One row more for each of these accounts."""
        self._reach(int(slots.max(initial=-1)))
        first = np.frombuffer(self._first, np.int32)
        alone = first[slots] < 0
        for slot, handle in zip(slots[~alone].tolist(), handles[~alone].tolist(), strict=True):
            self._more.setdefault(slot, []).append(handle)
        first[slots[alone]] = handles[alone]

    def _reach(self, slot: int) -> None:
        missing = slot + 1 - len(self._first)
        if missing > 0:
            self._first.extend(array("i", [-1]) * max(missing, len(self._first) // 2))
