"""The tables of one Morpho singleton: their names, and typed readers over any view.

Table: key: value (addresses and ids are stored as integers, but are hex text in keys).

market: (field): numbers (how many markets have been given one)
known: (id): 1 for a market whose oracle is still to be looked at, 2 + its number for one that is followed
slot: (number): the market's id
param: (id, field): loan, collateral, oracle, irm, lltv, block (it was opened in); while it waits: approved, tries, rest (heads to come)
total: (id, field): supplied, supply_shares, borrowed, borrow_shares, at (s), fee, target, told (rates, wad a second)
irm: (irm, field): seen, refuted
oracle: (oracle, field): base1, base2, quote1, quote2, scale, opaque, price, unpriced, distrusted
feed: (feed, field): aggregator, asked (which aggregator), decimals (plus 1), dollars, answer, before, at (s), least, most
token: (token, field): decimals (plus 1), symbol, cash, valued, feed1, feed2, price, before (US dollars, 8 decimals)
borrow, collateral: (number, account): shares of the debt, and tokens
waiting: (id, side, account): the same in markets that are still to be looked at

A market that is not followed has no cell at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from keeper.adapters.morpho_blue.codec import to_address
from keeper.ports import View
from keeper.types import Address, Cell, Write

BORROW, COLLATERAL = range(2)
"""Of `Cells.columns`, which is which."""

WAITING, FIRST = 1, 2
MOST_MARKETS = 4096
WAITING_ROOM = 1024
"""So many approved markets may wait for a number; of more, those with the least debt are forgotten."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which markets are followed: those listed, and those whose tokens are both known, each priced by its own `feeds`, and whose LLTV is
    within bounds. A token of `dollars` may also go without a feed. No more than `most_markets`, and by the rule none before so much is
    borrowed there."""

    markets: frozenset[str] = frozenset()
    feeds: Mapping[Address, frozenset[Address]] = field(default_factory=dict)
    dollars: frozenset[Address] = frozenset()
    least_lltv_wad: int = 0
    most_lltv_wad: int = 10**18
    most_markets: int = MOST_MARKETS
    least_borrowed_usd: int = 0

    @property
    def tokens(self) -> frozenset[Address]:
        return self.dollars.union(self.feeds)

    def believes(self, token: Address, side: Sequence[Address]) -> bool:
        """Whether these are feeds that price this token, none of them twice."""
        known = self.feeds.get(token, frozenset())
        return known.issuperset(side) and len(set(side)) == len(side) and (bool(side) or token in self.dollars)

    def may_follow(self, market: str, params: Params) -> bool:
        """As far as the parameters tell."""
        known = params.loan in self.tokens and params.collateral in self.tokens
        return market in self.markets or (known and self.least_lltv_wad <= params.lltv_wad <= self.most_lltv_wad)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One singleton; constant for its life."""

    name: str
    address: Address
    first_block: int
    policy: Policy


@dataclass(frozen=True, slots=True)
class Params:
    """What a market is, for ever. `id`: keccak256 of the rest, 0x-hex."""

    id: str
    loan: Address
    collateral: Address
    oracle: Address
    irm: Address
    lltv_wad: int

    def words(self) -> tuple[Address, Address, Address, Address, int]:
        """As the contract takes them."""
        return self.loan, self.collateral, self.oracle, self.irm, self.lltv_wad


class Totals(NamedTuple):
    """A market's sums as of `at_s`. `fee`: the protocol's share of interest, wad. `target`: the adaptive rate at target; `told`: the last
    rate its model gave."""

    supplied: int
    supply_shares: int
    borrowed: int
    borrow_shares: int
    at_s: int
    fee: int
    target: int
    told: int


FIELDS = ("supplied", "supply_shares", "borrowed", "borrow_shares", "at", "fee", "target", "told")
PARAMS = ("loan", "collateral", "oracle", "irm", "lltv")
WAIT = ("approved", "tries", "rest")


class Cells:
    """Names of one singleton's tables and readers of their cells."""

    def __init__(self, name: str) -> None:
        self.market = f"{name}/market"
        self.known = f"{name}/known"
        self.slot = f"{name}/slot"
        self.param = f"{name}/param"
        self.total = f"{name}/total"
        self.irm = f"{name}/irm"
        self.oracle = f"{name}/oracle"
        self.feed = f"{name}/feed"
        self.token = f"{name}/token"
        self.borrow = f"{name}/borrow"
        self.collateral = f"{name}/collateral"
        self.waiting = f"{name}/waiting"
        self.columns: tuple[str, ...] = (self.borrow, self.collateral)
        self.met: dict[str, Params] = {}

    # --- markets

    def numbers(self, view: View) -> range:
        """Of every market that is followed."""
        return range(view.get(self.market, ("numbers",)))

    def id_of(self, view: View, number: int) -> str:
        return f"0x{view.get(self.slot, (number,)):064x}"

    def number_of(self, view: View, market: str) -> int | None:
        """None for one that is not followed, or not yet."""
        known = view.get(self.known, (market,))
        return known - FIRST if known >= FIRST else None

    def waiting_ids(self, view: View) -> list[str]:
        return sorted(str(key[0]) for key in view.keys(self.known) if view.get(self.known, key) == WAITING)

    def of_wait(self, view: View, market: str, field: str) -> int:
        """How a market that waits stands: a field of `WAIT`."""
        return view.get(self.param, (market, field))

    def params(self, view: View, market: str) -> Params:
        """Of a market that is followed: looked up once, for an id is the hash of what it names, in every state."""
        if market not in self.met:
            self.met[market] = self.params_of_newcomer(view, market)
        return self.met[market]

    def params_of_newcomer(self, view: View, market: str) -> Params:
        """Not remembered: who comes may be turned away."""
        loan, collateral, oracle, irm, lltv = (view.get(self.param, (market, field)) for field in PARAMS)
        return Params(market, to_address(loan), to_address(collateral), to_address(oracle), to_address(irm), lltv)

    def totals(self, view: View, market: str) -> Totals:
        return Totals(*(view.get(self.total, (market, field)) for field in FIELDS))

    def totals_written(self, market: str, totals: Totals) -> list[Write]:
        return [(self.total, (market, field), value) for field, value in zip(FIELDS, totals, strict=True)]

    def place(self, number: int | None, market: str, side: int, account: str) -> Cell:
        """Where an account's borrow shares or collateral stand."""
        return (self.waiting, (market, side, account)) if number is None else (self.columns[side], (number, account))

    # --- what markets are made of

    def of_oracle(self, view: View, oracle: str, field: str) -> int:
        return view.get(self.oracle, (oracle, field))

    def of_feed(self, view: View, feed: str, field: str) -> int:
        return view.get(self.feed, (feed, field))

    def of_token(self, view: View, token: str, field: str) -> int:
        return view.get(self.token, (token, field))

    def decimals(self, view: View, token: str) -> int:
        return max(self.of_token(view, token, "decimals") - 1, 0)

    # --- accounts

    def debts(self, view: View, account: Address) -> list[int]:
        """Numbers of the markets in which an account owes something, ascending."""
        return sorted(int(key[0]) for key in view.keys_of(self.borrow, account))

    def borrowers(self, view: View) -> Iterator[Address]:
        return view.accounts(self.borrow)
