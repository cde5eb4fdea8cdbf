"""The cascade: liquidators sell what they seize, pools fall, oracles follow by a share, and more accounts become liquidatable.

No second model: the keeper's own planner says who is liquidated, by how much and through which pools, each on the state the ones before
leave. Accounts that no sale pays for stay, and with them what their collateral does not cover. Time stands still; pools do not recover.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from keeper.book.state import Overlay
from keeper.ports import Market, View, Witness
from keeper.risk.sanity import Policy
from keeper.risk.stress import PPM, Positions, secured, shortfall
from keeper.risk.watch import Candidate
from keeper.risk.witness import Pools, Worth
from keeper.types import Address, Health, Landing, Prediction, PriceFeed

MOST_ROUNDS = 50
NOW_S = 1
"""The shortest window: only what pools say now is asked for."""


class Rejection(Protocol):
    @property
    def candidate(self) -> Candidate: ...
    @property
    def reason(self) -> str: ...


class Planning(Protocol):
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
    """`prices`: of the oracles during the round; `traded`: what pools say after it; `calls` in the order they were made."""

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
    taken to be worth what their oracle says."""

    def __init__(
        self,
        books: Sequence[Positions],
        planner: Planning,
        witnesses: Sequence[Witness],
        native: Address,
        anchors: tuple[Address, ...],
        landing: Landing,
        feedback_ppm: int,
    ) -> None:
        self._books = {book.market.name: book for book in books}
        self._planner, self._witnesses, self._native, self._landing = planner, witnesses, native, landing
        self._policy = Policy(anchors=anchors, min_depth=0)
        self._feedback_ppm = feedback_ppm
        self._acted: dict[str, set[Address]] = {name: set() for name in self._books}
        self._written_off: set[tuple[str, Address]] = set()
        self._reasons: dict[tuple[str, Address], str] = {}

    def rounds(self, state: Overlay) -> Iterator[Round]:
        """Changes `state`, round after round, until nobody acts."""
        for number in range(1, MOST_ROUNDS + 1):
            calls, rejected = self._planner.block(self.eligible(state), state, self._landing)
            self._reasons |= {(r.candidate.market.name, r.candidate.account): r.reason for r in rejected}
            if not calls:
                return
            prices, before = self._prices(state), self.traded(state)
            tallies = self._follow(calls, state)
            traded = self.traded(state)
            yield Round(number, prices, traded, tallies, tuple(calls))
            self._feed_back(state, before, traded)

    def eligible(self, state: View) -> list[Candidate]:
        """Every liquidatable account."""
        return [c for name, book in self._books.items() for c in book.eligible(state, self._landing.timestamp_s, self._acted[name])]

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

    def _follow(self, calls: Iterable[Prediction], state: Overlay) -> tuple[Tally, ...]:
        """Write each call's outcome, and count it."""
        tallies = {name: Tally(name, book.unit) for name, book in self._books.items()}
        for call in calls:
            self._count(call, tallies[call.plan.market], state)
            state.write(call.writes)
        return tuple(tallies.values())

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
        tally.sold += sum(_worth(market, before, hop.token_in, hop.amount_in) for hop in call.hops[:1])
        tally.lost += sum(
            _worth(market, before, h.token_in, h.amount_in) - _worth(market, before, h.token_out, h.amount_out) for h in call.hops
        )
        self._acted[market.name].add(account)
        if call.fill.bad_debt:
            tally.bad_debt += market.health(before, account, self._landing.timestamp_s).debt - repaid
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
        for book in self._books.values():
            found = {token: price for token in book.tokens if (price := book.market.price(state, token))} | found
        return found


def _worth(market: Market, view: View, token: Address, amount: int) -> int:
    return market.value(view, token, amount) or 0


__all__ = ["Cascade", "Left", "Round", "Tally", "secured"]
