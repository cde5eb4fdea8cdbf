"""The cascade: liquidators sell what they seize, pools fall, oracles follow by a share, and more accounts become liquidatable.

No second model: the keeper's own planner says who is liquidated, by how much and through which pools, each on the state the ones before
leave. Accounts that no sale pays for stay, and with them what their collateral does not cover. Time stands still; pools do not recover.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.ports import Market, View, Witness
from keeper.risk.capacity import Quote
from keeper.risk.sanity import Policy
from keeper.risk.stress import PPM, Positions, Tick, owed, shortfall, unit_of
from keeper.risk.watch import Candidate
from keeper.risk.witness import Pools, Worth
from keeper.types import Address, Fill, Health, Landing, Prediction, PriceFeed

MOST_ROUNDS = 50
AT_ONCE = 64
"""Candidates planned together, as a block has room for."""

DOUBT = 1e-4
"""How much better than a small sale a smaller one might be."""

LEAST_OF_GAS = 0.8
NOW_S = 1
"""The shortest window: only what pools say now is asked for."""


class Rejection(Protocol):
    @property
    def candidate(self) -> Candidate: ...
    @property
    def reason(self) -> str: ...


class Planning(Protocol):
    def gas_price_wei(self, landing: Landing) -> int: ...

    def block(self, candidates: Iterable[Candidate], view: View, landing: Landing) -> tuple[Sequence[Prediction], Sequence[Rejection]]: ...


@dataclass(slots=True)
class Tally:
    """What one round did to one market, in its unit. `sold`: worth at the oracle of what went into pools; `lost`: how much less came out,
    fees included; `bad_debt`: owed by accounts left without collateral."""

    market: str
    unit: str
    accounts: set[Address] = field(default_factory=set)
    calls: int = 0
    repaid: int = 0
    seized: int = 0
    sold: int = 0
    lost: int = 0
    bad_debt: int = 0

    @property
    def slippage_bps(self) -> int:
        return self.lost * 10_000 // self.sold if self.sold else 0


@dataclass(frozen=True, slots=True)
class Round:
    """`prices`: of the oracles during the round, `traded`: what pools say after it, in the unit of the first tally; `calls` in the order of
    their making."""

    number: int
    prices: Mapping[Address, int]
    traded: Mapping[Address, int]
    tallies: tuple[Tally, ...]
    calls: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """An account nobody liquidates, and why. `at_risk`: debt its collateral does not cover."""

    market: str
    account: Address
    reason: str
    health: Health

    @property
    def at_risk(self) -> int:
        return shortfall(self.health)


class Cascade:
    """From a state after a shock. `feedback_ppm`: the share of a pool's move that oracles follow before the next round; `anchors`: tokens
    taken to be worth what their oracle says; `bar`: hears how many accounts a round has, and gives what hears how many are done."""

    def __init__(
        self,
        books: Sequence[Positions],
        planner: Planning,
        quote: Quote,
        witnesses: Sequence[Witness],
        native: Address,
        anchors: tuple[Address, ...],
        landing: Landing,
        feedback_ppm: int,
        bar: Callable[[int], Tick] = lambda _: lambda _: None,
    ) -> None:
        self._books = {book.market.name: book for book in books}
        self._planner, self._quote, self._witnesses, self._native, self._landing = planner, quote, witnesses, native, landing
        self._policy = Policy(anchors=anchors, min_depth=0)
        self._feedback_ppm, self._bar = feedback_ppm, bar
        self._acted: dict[str, set[Address]] = {name: set() for name in self._books}
        self._written_off: set[tuple[str, Address]] = set()
        self._reasons: dict[tuple[str, Address], str] = {}

    def rounds(self, state: Overlay) -> Iterator[Round]:
        """Changes `state`, round after round, until nobody acts."""
        for number in range(1, MOST_ROUNDS + 1):
            prices, before = self._prices(state), self.traded(state)
            tallies = {name: Tally(name, book.unit) for name, book in self._books.items()}
            calls = self._round(state, tallies)
            if not calls:
                return
            traded = self.traded(state)
            yield Round(number, prices, traded, tuple(tallies.values()), calls)
            self._feed_back(state, before, traded)

    def eligible(self, state: View) -> list[Candidate]:
        """Every liquidatable account, the largest debts first; markets that count in different units one after another."""
        found = [c for name, book in self._books.items() for c in book.eligible(state, self._landing.timestamp_s, self._acted[name])]
        return sorted(found, key=lambda c: (c.health.unit, -c.health.debt))

    def left(self, state: View) -> list[Left]:
        """Liquidatable accounts that nobody liquidates, without those that have nothing left to take: they are counted as bad debt."""
        known = [(c, (c.market.name, c.account)) for c in self.eligible(state)]
        return [Left(*key, self._reasons.get(key, "max_rounds"), c.health) for c, key in known if key not in self._written_off]

    def traded(self, state: View) -> dict[Address, int]:
        """What pools say each token is worth."""
        feeds: dict[Address, PriceFeed] = {}
        for book in self._books.values():
            feeds = {feed.token: feed for feed in book.market.feeds(state)} | feeds
        worth = Worth(Pools(self._witnesses, state, self._landing.timestamp_s, NOW_S), feeds, self._policy, self._native)
        return {token: said.now for token in feeds if token not in self._policy.anchors and (said := worth(token))}

    # --- one round

    def _round(self, state: Overlay, tallies: Mapping[str, Tally]) -> tuple[Prediction, ...]:
        """Everybody has a turn, so many at a time: those after them meet the pools that they leave."""
        candidates = self.eligible(state)
        tick, made = self._bar(len(candidates)), list[Prediction]()
        for start in range(0, len(candidates), AT_ONCE):
            turn = candidates[start : start + AT_ONCE]
            calls, rejected = self._planner.block(self._promising(turn, state), state, self._landing)
            self._reasons |= {(r.candidate.market.name, r.candidate.account): r.reason for r in rejected}
            for call in calls:
                self._count(call, tallies[call.plan.market], state)
                state.write(call.writes)
            made += calls
            tick(start + len(turn))
        return tuple(made)

    def _promising(self, candidates: Iterable[Candidate], state: View) -> list[Candidate]:
        """Without those for whom the planner, which takes its time, can find nothing: not even a small sale would repay."""
        rates = _Rates(self._quote, state)
        found = []
        for candidate in candidates:
            if self._pays(candidate, state, rates):
                found.append(candidate)
            else:
                self._reasons[candidate.market.name, candidate.account] = "unprofitable"
        return found

    def _pays(self, candidate: Candidate, state: View, rates: _Rates) -> bool:
        """Illegal choices are left to the planner, who knows the reasons."""
        market, at_s = candidate.market, self._landing.timestamp_s
        try:
            pairs = market.pairs(state, candidate.account, at_s)
        except Skip:
            return True
        fills = [market.fill(state, pair, pair.amounts[-1], at_s) for pair in pairs]
        return any(self._gain(market, fill, state, rates) > self._least_gain(market, fill, state) for fill in fills)

    def _gain(self, market: Market, fill: Fill, state: View, rates: _Rates) -> float:
        """The most that a sale could leave, in the market's unit: more of it only sells for less."""
        seized, repaid = _worth(market, state, fill.collateral_token, fill.seized), _worth(market, state, fill.debt_token, fill.repaid)
        promised = sum(_worth(market, state, token, amount) for token, amount in fill.promised)
        return seized * rates(market, fill.collateral_token, fill.debt_token) - repaid + promised + DOUBT * seized

    def _least_gain(self, market: Market, fill: Fill, state: View) -> float:
        """What the gas of the call alone costs, less what the planner lets pass."""
        cost_wei = market.gas(fill) * self._planner.gas_price_wei(self._landing)
        return LEAST_OF_GAS * _worth(market, state, self._native, cost_wei)

    def _count(self, call: Prediction, tally: Tally, before: View) -> None:
        market, account = self._books[call.plan.market].market, call.plan.account
        repaid, seized = (
            _worth(market, before, call.plan.debt_token, call.repaid),
            _worth(market, before, call.plan.collateral_token, call.seized),
        )
        tally.accounts.add(account)
        tally.calls += 1
        tally.repaid += repaid
        tally.seized += seized
        for hops in (call.hops, *call.sides):
            tally.sold += sum(_worth(market, before, hop.token_in, hop.amount_in) for hop in hops[:1])
            tally.lost += sum(
                _worth(market, before, h.token_in, h.amount_in) - _worth(market, before, h.token_out, h.amount_out) for h in hops
            )
        self._acted[market.name].add(account)
        if call.fill.bad_debt:
            tally.bad_debt += _lost(market.health(before, account, self._landing.timestamp_s), repaid)
            self._written_off.add((market.name, account))

    def _feed_back(self, state: Overlay, before: Mapping[Address, int], after: Mapping[Address, int]) -> None:
        """Oracles follow their share of what the round's trades have moved."""
        for book in self._books.values():
            prices = {token: book.market.price(state, token) for token in book.tokens}
            state.write(
                book.market.repriced(
                    state, {t: self._followed(p, before[t], after[t]) for t, p in prices.items() if p and t in before and t in after}
                )
            )

    def _followed(self, price: int, before: int, after: int) -> int:
        return max(price * (PPM * before + self._feedback_ppm * (after - before)) // (PPM * before), 1) if before else price

    def _prices(self, state: View) -> dict[Address, int]:
        found: dict[Address, int] = {}
        one = unit_of(next(iter(self._books.values())))
        for book in self._books.values():
            prices = {token: price for token in book.tokens if (price := book.market.price(state, token))}
            found = {token: price * one // unit_of(book) for token, price in prices.items()} | found
        return found


class _Rates:
    """What a small sale of one token for another brings, as a share of its worth at the oracle; 0 where there is no way."""

    def __init__(self, quote: Quote, view: View) -> None:
        self._quote, self._view = quote, view
        self._known: dict[tuple[str, Address, Address], float] = {}

    def __call__(self, market: Market, sold: Address, bought: Address) -> float:
        key = market.name, sold, bought
        if key not in self._known:
            self._known[key] = 1.0 if sold == bought else self._ask(market, sold, bought)
        return self._known[key]

    def _ask(self, market: Market, sold: Address, bought: Address) -> float:
        """Large enough for the smallest unit not to matter, small enough not to move a pool."""
        decimals = next(feed.decimals for feed in market.feeds(self._view) if feed.token == sold)
        amount = max(10**decimals // 100, 1000)
        try:
            hops = self._quote(self._view, sold, bought, amount)
        except Skip:
            return 0.0
        return _worth(market, self._view, bought, hops[-1].amount_out) / max(_worth(market, self._view, sold, amount), 1)


def _lost(health: Health, repaid: int) -> int:
    """What nobody will pay: all that is owed but not repaid; where it is margin that is owed, all that the account lacks."""
    return owed(health) - repaid if owed(health) == health.debt else shortfall(health)


def _worth(market: Market, view: View, token: Address, amount: int) -> int:
    return market.value(view, token, amount) or 0
