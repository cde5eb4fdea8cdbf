"""The market's tables: their names, and typed readers over any view. One deployment trades several perpetuals, here called books, each on a
pool of its own; they are numbered in the order they were added.

Table: key: value (what is set by events over a default is stored as value + 1).

config: (field): settings + 1; clearing_paused, vault_paused, fund_cash, (idle, account) (settlement token in the
    fund's wallet, and in those of accounts of ours)
pool: (number, field): exchange, insurance, spread (ratios), max_ticks (all + 1), price (√ X96), tick, liquidity, first_trade, swaps,
    fee_growth (X128), g, gd (X96), settled (s), window_tick, window_at (s), status, paused_at, paused_price, closed_price, moved (feed),
    seen_first, seen_oldest, seen_next, slot, room, room_next (of its oracle), owed_fee, owed_liquidity (+ 1, of a swap's last step)
seen: (number, index): an observation of the pool's oracle, packed
tick: (number, tick, field): gross, net, fee, g, gd (growth outside)
word: (number, word): which of 256 tick spacings are initialised
feed: (feed, field): answer, before, answer_at, least, most, aggregator, asked (which aggregator), cached, cached_at,
    first, next (of its observations)
quoted: (feed, index): an observation, packed
token: (token, field): ratio, discount, moved (feed): collaterals
threshold: (account): white-listed debt threshold + 1; stranger: (account): has to do with a book or token that discovery did not find
balance, owed: (account): settlement token, and realised PnL not in it yet; zigzag
size, notional, growth: (number, account): of the taker, and the funding growth settled at; zigzag
orders: (number, account): how many; range: (number, index, account): an order's ticks, packed
collateral: (which, account): amount of a collateral, by its place in `Deployment.collaterals`
order: (number, range, field, account): liquidity, base, quote (debts), fee, g, below, gd (growths when last settled)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from keeper.ports import View
from keeper.types import Address, Write

OPEN, PAUSED, CLOSED = range(3)
"""A book's status, as its base token tells it."""

IDLE = "idle"

TICK_BIAS, TICK_BITS = 1 << 23, 24


@dataclass(frozen=True, slots=True)
class Feed:
    """A price feed: `address` caches what the aggregator behind `proxy` answers."""

    address: Address
    proxy: Address
    decimals: int


@dataclass(frozen=True, slots=True)
class BookInfo:
    """One perpetual. `spacing`: of its pool's ticks; `defaults`: settings until an event changes them."""

    base: Address
    symbol: str
    pool: Address
    spacing: int
    feed: Feed
    defaults: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Collateral:
    token: Address
    symbol: str
    decimals: int
    feed: Feed


@dataclass(frozen=True, slots=True)
class Deployment:
    """What discovery found; constant for its life. `known_block`: the one it looked at; `spot_window_s`:
    over how long the mark's spot term is averaged, 0 up to 2.6."""

    name: str
    clearing_house: Address
    account_balance: Address
    vault: Address
    exchange: Address
    registry: Address
    config: Address
    insurance_fund: Address
    collateral_manager: Address
    settlement: Collateral
    first_block: int
    known_block: int
    spot_window_s: int
    defaults: Mapping[str, int]
    books: tuple[BookInfo, ...]
    collaterals: tuple[Collateral, ...]
    accounts: tuple[Address, ...] = ()
    """Account contracts of ours."""

    @property
    def scale(self) -> int:
        """18-decimal units in one unit of the settlement token."""
        return int(10 ** (18 - self.settlement.decimals))

    @property
    def feeds(self) -> dict[Address, Feed]:
        """By address; a feed may stand behind a book and a collateral."""
        return {feed.address: feed for feed in (*(book.feed for book in self.books), *(token.feed for token in self.collaterals))}


def zigzag(value: int) -> int:
    """A signed number as a natural one, small where it is small: columns hold no others."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    return -(value + 1 >> 1) if value & 1 else value >> 1


def range_of(lower: int, upper: int) -> int:
    return lower + TICK_BIAS << TICK_BITS | upper + TICK_BIAS


def ticks_of(packed: int) -> tuple[int, int]:
    return (packed >> TICK_BITS) - TICK_BIAS, (packed & (1 << TICK_BITS) - 1) - TICK_BIAS


class Cells:
    """Names of one market's tables and readers of their cells."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        shared = ("config", "pool", "seen", "tick", "word", "feed", "quoted", "token", "threshold", "stranger", "order")
        for_columns = ("balance", "owed", "size", "notional", "growth", "orders", "range", "collateral")
        table = {short: f"{deployment.name}/{short}" for short in (*shared, *for_columns)}
        self.config, self.pool, self.seen, self.tick, self.word = (table[short] for short in shared[:5])
        self.feed, self.quoted, self.token, self.threshold, self.stranger, self.order = (table[short] for short in shared[5:])
        self.balance, self.owed, self.size, self.notional, self.growth = (table[short] for short in for_columns[:5])
        self.orders, self.range, self.collateral = (table[short] for short in for_columns[5:])
        self.columns: tuple[str, ...] = tuple(table[short] for short in for_columns)
        """Keys of `range` are of no shape that a column has: accounts with orders, whose rows hold within bounds, are looked at alone."""
        self.own = frozenset({*self.columns, self.order, self.threshold, self.stranger})
        """Tables of which a cell changes the rows of the account in its key."""

    # --- settings and books

    def setting(self, view: View, field: str) -> int:
        found = view.get(self.config, (field,))
        return found - 1 if found else self._deployment.defaults[field]

    def book_setting(self, view: View, number: int, field: str) -> int:
        found = view.get(self.pool, (number, field))
        return found - 1 if found else self._deployment.books[number].defaults[field]

    def of_book(self, view: View, number: int, field: str) -> int:
        return view.get(self.pool, (number, field))

    def of_feed(self, view: View, feed: str, field: str) -> int:
        return view.get(self.feed, (feed, field))

    def of_token(self, view: View, token: str, field: str) -> int:
        return view.get(self.token, (token, field))

    # --- accounts

    def signed(self, view: View, table: str, *key: int | str) -> int:
        return unzigzag(view.get(table, key))

    def put(self, table: str, value: int, *key: int | str) -> Write:
        return table, key, zigzag(value)

    def add(self, view: View, table: str, change: int, *key: int | str) -> Write:
        return self.put(table, unzigzag(view.get(table, key)) + change, *key)

    def books_of(self, view: View, account: Address) -> list[int]:
        """Where it has a position or orders."""
        keys = (key for table in (self.size, self.notional, self.orders) for key in view.keys_of(table, account))
        return sorted({int(key[0]) for key in keys})

    def ranges(self, view: View, number: int, account: Address) -> list[int]:
        """Its orders in a book, packed."""
        return [view.get(self.range, (number, index, account)) for index in range(view.get(self.orders, (number, account)))]

    def of_order(self, view: View, number: int, packed: int, account: Address, field: str) -> int:
        return view.get(self.order, (number, packed, field, account))

    def held_by(self, view: View, account: Address) -> list[tuple[Collateral, int]]:
        """(collateral, amount)"""
        amounts = sorted((int(key[0]), view.get(self.collateral, key)) for key in view.keys_of(self.collateral, account))
        return [(self._deployment.collaterals[which], amount) for which, amount in amounts]

    def accounts(self, view: View) -> Iterator[Address]:
        """Those with a position, an order or a collateral."""
        found: dict[Address, None] = {}
        for table in (self.size, self.notional, self.orders, self.collateral):
            found |= dict.fromkeys(view.accounts(table))
        return iter(found)
