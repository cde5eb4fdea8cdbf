"""A block's worth of liquidations in sequence: each the most profitable there is on the state the ones before it leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import islice
from typing import Protocol

from keeper.book.state import DIVERGED, Overlay
from keeper.errors import Skip
from keeper.planning.choice import Chooser
from keeper.planning.patience import Patience
from keeper.planning.predict import Predictor
from keeper.ports import View
from keeper.risk.guard import PriceGuard, Prices
from keeper.risk.watch import Candidate
from keeper.types import Address, Landing, Plan, Prediction

CALLS_PER_ACCOUNT = 4
REPLAN_BELOW = 0.99
"""A plan made on the block's first state is kept if on the actual state it still nets this share."""

MAKES_WAY = 0.03
"""A call that nets less than what another's may net, by more than this share of that, lets the other go first."""


@dataclass(frozen=True, slots=True)
class Rejected:
    candidate: Candidate
    reason: str
    detail: str


class Warmth(Protocol):
    """Knows how some accounts are best liquidated before they are due."""

    def known(self, market: str, account: Address) -> Sequence[Plan]:
        """Plans of another day, the best first: which pairs, routes and fundings to look at. Empty when nothing is known."""
        ...


class Holder(Protocol):
    """Plans on accounts of our own (pure)."""

    def owns(self, market: str, account: Address) -> bool: ...

    def block(
        self, view: View, landing: Landing, ahead: Sequence[Plan], gas_price_wei: int
    ) -> tuple[Sequence[Prediction], Sequence[Rejected]]:
        """`view`: what `ahead`, plans on their way, leaves."""
        ...


class Planner:
    """Pure: state in, plans out. `priority_fee_wei`: the least tip per gas; `limit`: the most plans for a block; `guard`: which prices to
    believe; `patience`: which bargains to wait for."""

    def __init__(
        self,
        predictor: Predictor,
        priority_fee_wei: int,
        limit: int,
        guard: PriceGuard | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._predictor = predictor
        self._priority_fee_wei = priority_fee_wei
        self._limit = limit
        self._guard = guard
        self.patience = patience
        self.warmth: Warmth | None = None
        self.inventory: Holder | None = None

    def block(
        self, candidates: Iterable[Candidate], view: View, landing: Landing, ahead: Sequence[Plan] = ()
    ) -> tuple[list[Prediction], list[Rejected]]:
        """Plans in the order in which to send them, each on the state the ones before it leave; and why the others have none.

        `ahead`: plans that are on their way and land before these."""
        prices = self._guard.at(view, landing.timestamp_s) if self._guard else None  # not of what plans leave: they move the pools
        view = self._after(ahead, view, landing.timestamp_s) if ahead else view
        gas_price_wei = self.gas_price_wei(landing)
        own, refused = self.inventory.block(view, landing, ahead, gas_price_wei) if self.inventory else ((), ())
        view = Overlay(view, [write for made in own for write in made.writes]) if own else view
        block = _Block(self._predictor, view, landing.timestamp_s, gas_price_wei, prices, self.patience, self.warmth)
        block.rejected += refused
        block.enter(self._strangers(candidates, block.rejected))
        made = list(islice(block.calls(), max(self._limit - len(own), 0)))
        return [*own, *block.spread(made)], block.finished()

    def _strangers(self, candidates: Iterable[Candidate], rejected: list[Rejected]) -> Iterator[Candidate]:
        for candidate in candidates:
            if self.inventory and self.inventory.owns(candidate.market_name, candidate.account):
                rejected.append(Rejected(candidate, "own_account", "it is ours: it is traded away, not liquidated"))
            else:
                yield candidate

    def _after(self, ahead: Sequence[Plan], view: View, at_s: int) -> View:
        """The state those plans leave; one that no longer works reverts, and leaves none."""
        state = Overlay(view)
        for plan in ahead:
            with suppress(Skip):
                state.write(self._predictor.predict(plan, state, at_s).writes)
        return state

    def gas_price_wei(self, landing: Landing) -> int:
        """What a unit of gas costs at least."""
        return landing.base_fee_wei + self._priority_fee_wei

    def net_wei(self, prediction: Prediction, gas_price_wei: int) -> int:
        return _net_wei(prediction, gas_price_wei)

    def best(self, candidate: Candidate, view: View, at_s: int, gas_price_wei: int, known: Sequence[Plan] = ()) -> Prediction:
        """As `Chooser.best`."""
        return Chooser(self._predictor, view, at_s, gas_price_wei).best(candidate.market, candidate.account, known)

    def ways(self, candidate: Candidate, view: View, landing: Landing, count: int) -> list[Plan]:
        """As `Chooser.ways`."""
        chooser = Chooser(self._predictor, view, landing.timestamp_s, self.gas_price_wei(landing))
        return list(chooser.ways(candidate.market, candidate.account, count))


@dataclass(frozen=True, slots=True)
class _Turn:
    """An account's next call: `made` on the state of this `version`; `first`: its best if it were the only one; `calls`: before this."""

    candidate: Candidate
    first: Prediction
    made: Prediction
    version: int
    calls: int


class _Block:
    """One block's planning. What comes to nothing is in `rejected`."""

    def __init__(
        self,
        predictor: Predictor,
        view: View,
        at_s: int,
        gas_price_wei: int,
        prices: Prices | None,
        patience: Patience | None,
        warmth: Warmth | None,
    ) -> None:
        self._predictor, self._view, self._at_s, self._gas_price_wei = predictor, view, at_s, gas_price_wei
        self._prices, self._patience, self._warmth = prices, patience, warmth
        self._first = Chooser(predictor, view, at_s, gas_price_wei)
        self._state = Overlay(view)
        self._turns: list[tuple[int, int, _Turn]] = []
        """A heap: what its next call nets at most, negative; in which order it came."""
        self._count = 0
        self.rejected: list[Rejected] = []

    def enter(self, candidates: Iterable[Candidate]) -> None:
        """Each with its best plan if it were the only one."""
        for candidate in candidates:
            if made := self._standalone(candidate):
                self._push(_Turn(candidate, made, made, self._state.version, 0))

    def calls(self) -> Iterator[Prediction]:
        """Always the call that nets most on the state the ones before it leave, until none pays. What a call nets only falls as others
        sell into the same pools: so who was best is asked again, and makes way where somebody else may net more by now.

        One that is better made later leaves nothing, so that the others are planned as if it were not there."""
        while self._turns:
            turn = heappop(self._turns)[-1]
            try:
                turn = self._now(turn)
                if self._makes_way(turn):
                    self._push(turn)
                    continue
                self._require(turn)
            except Skip as skip:
                if turn.calls == 0:
                    self.rejected.append(Rejected(turn.candidate, skip.reason, skip.detail))
                continue
            self._state.write(turn.made.writes)
            if turn.calls + 1 < CALLS_PER_ACCOUNT:
                self._push(replace(turn, calls=turn.calls + 1))
            yield turn.made

    def spread(self, made: list[Prediction]) -> list[Prediction]:
        """The same calls, each sold also through pools that no call after it needs: what one gains so costs no other anything."""
        state, found, moved = Overlay(self._view), list[Prediction](), False
        needed = Counter(pool for call in made for pool in _pools(call))
        last = {(call.plan.market, call.plan.account): place for place, call in enumerate(made)}
        try:
            for place, call in enumerate(made):
                now = replace(self._predictor.predict(call.plan, state, self._at_s), warm=call.warm) if moved else call
                needed.subtract(_pools(call))
                grows = last[call.plan.market, call.plan.account] == place
                chooser = Chooser(self._predictor, state, self._at_s, self._gas_price_wei) if place else self._first
                better = chooser.spread(self._predictor.markets[call.plan.market], now, +needed, grows)
                moved = moved or better is not now
                found.append(replace(better, warm=call.warm))
                state.write(better.writes)
        except Skip:
            return made
        return found if sum(map(self._net_wei, found)) > sum(map(self._net_wei, made)) else made

    def finished(self) -> list[Rejected]:
        """Who got nothing, and why: of those whose turn did not come, that there are too many."""
        late = [turn.candidate for *_, turn in sorted(self._turns, key=lambda item: item[:2]) if turn.calls == 0]
        return [*self.rejected, *(Rejected(candidate, "max_plans_per_block", "") for candidate in late)]

    def _push(self, turn: _Turn) -> None:
        self._count += 1
        heappush(self._turns, (-self._net_wei(turn.made), self._count, turn))

    def _net_wei(self, made: Prediction) -> int:
        return _net_wei(made, self._gas_price_wei)

    def _now(self, turn: _Turn) -> _Turn:
        """With the account's next call on the state as it is. Raises Skip."""
        if turn.version == self._state.version:
            return turn
        made = (self._again(turn.first) if turn.calls == 0 else None) or self._anew(turn.candidate, turn.first)
        return replace(turn, made=made, version=self._state.version)

    def _makes_way(self, turn: _Turn) -> bool:
        """Never for one that the heap has put first on this very state, be what it nets above nothing or below: then all would wait."""
        if not self._turns:
            return False
        next_wei = -self._turns[0][0]
        return self._net_wei(turn.made) < next_wei - MAKES_WAY * abs(next_wei)

    def _require(self, turn: _Turn) -> None:
        """Raises Skip for what is better left, or left for later."""
        if self._prices:
            self._prices.require(turn.candidate.market, turn.made.gains)
        if self._patience:
            self._patience.require(turn.candidate.market, turn.made, self._state, self._gas_price_wei)

    def _standalone(self, candidate: Candidate) -> Prediction | None:
        try:
            if self._view.get(DIVERGED, (candidate.market.name,)):
                raise Skip("market_diverged", "the book differed from the chain: move book.sqlite away and restart to rebuild it")
            if self._prices:
                self._prices.require(candidate.market, (leg.token for leg in candidate.health.legs))
            return self._warm(candidate) or self._first.best(candidate.market, candidate.account)
        except Skip as skip:
            self.rejected.append(Rejected(candidate, skip.reason, skip.detail))
            return None

    def _warm(self, candidate: Candidate) -> Prediction | None:
        """By the ways that are known, if one pays."""
        known = self._warmth.known(candidate.market_name, candidate.account) if self._warmth else ()
        if known:
            with suppress(Skip):
                return replace(self._first.best(candidate.market, candidate.account, known), warm=True)
        return None

    def _again(self, standalone: Prediction) -> Prediction | None:
        """The same plan on the state as it is by now, if it is still as good."""
        if standalone.plan.by:  # what is kept must fit what is kept by now
            return None
        try:
            now = self._predictor.predict(standalone.plan, self._state, self._at_s)
        except Skip:
            return None
        good = _net_wei(now, self._gas_price_wei) >= REPLAN_BELOW * _net_wei(standalone, self._gas_price_wei)
        return replace(now, warm=standalone.warm) if good else None

    def _anew(self, candidate: Candidate, standalone: Prediction) -> Prediction:
        chooser = Chooser(self._predictor, self._state, self._at_s, self._gas_price_wei)
        return replace(chooser.best(candidate.market, candidate.account), warm=standalone.warm)


def _pools(call: Prediction) -> set[Address]:
    return {hop.pool.address for hop in call.hops}


def _net_wei(prediction: Prediction, gas_price_wei: int) -> int:
    return prediction.value_wei - prediction.gas * gas_price_wei
