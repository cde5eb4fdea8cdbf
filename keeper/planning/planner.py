"""The most profitable legal liquidation of an account, and a block's worth of them in sequence.

For each legal pair: the best routes at full size, then both ways of funding on each, then the amount: the rules' break-points, and the
maximum between them (profit is concave there: a bonus proportional to size, less a price impact that grows with it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Protocol

from keeper.book.state import DIVERGED, Overlay
from keeper.errors import Skip
from keeper.planning.predict import Predictor
from keeper.ports import Market, View
from keeper.risk.guard import PriceGuard, Prices
from keeper.risk.watch import Candidate
from keeper.types import Address, Fill, Funding, FundingKind, Landing, Pair, Plan, PoolKey, Prediction

ROUTES_KEPT = 3
SHAPES_TUNED = 2
CALLS_PER_ACCOUNT = 4
SEARCH_STEPS = 20
GOLDEN = 0.6180339887498949
REPLAN_BELOW = 0.99
"""A plan made on the block's first state is kept if on the actual state it still nets this share."""

GAS_SLACK = 0.2
"""The offline gas is an estimate: plans short of break-even by less than this share of it still get simulated."""


@dataclass(frozen=True, slots=True)
class Rejected:
    candidate: Candidate
    reason: str
    detail: str


_TELLING = {"unprofitable": 0, "no_route": 2}
"""Of several reasons why an account has no plan, the smallest is told."""

Shape = tuple[FundingKind, Address, tuple[PoolKey, ...], Address]
"""(funding, its source, route, profit token)"""


Fills = Callable[[int], Fill | None]
"""Cover → what it moves; None where the rules forbid it."""


def shape_of(plan: Plan) -> Shape:
    """How a plan is made, apart from its amount."""
    return plan.funding.kind, plan.funding.source, plan.route, plan.profit_token


class Warmth(Protocol):
    """Knows how some accounts are best liquidated before they are due."""

    def known(self, market: str, account: Address) -> Sequence[Plan]:
        """Plans of another day, the best first: which pairs, routes and fundings to look at. Empty when nothing is known."""
        ...


class Planner:
    """Pure: state in, plans out. `priority_fee_wei`: the least tip per gas; `limit`: the most plans for a block; `guard`: which prices to
    believe."""

    def __init__(self, predictor: Predictor, priority_fee_wei: int, limit: int, guard: PriceGuard | None = None) -> None:
        self._predictor = predictor
        self._router = predictor.router
        self._priority_fee_wei = priority_fee_wei
        self._limit = limit
        self._guard = guard
        self.warmth: Warmth | None = None

    # --- a block

    def block(
        self, candidates: Iterable[Candidate], view: View, landing: Landing, ahead: Sequence[Plan] = ()
    ) -> tuple[list[Prediction], list[Rejected]]:
        """Plans in the order in which to send them, each on the state the ones before it leave; and why the others have none.

        `ahead`: plans that are on their way and land before these."""
        at_s, gas_price_wei = landing.timestamp_s, self.gas_price_wei(landing)
        rejected: list[Rejected] = []
        prices = self._guard.at(view, at_s) if self._guard else None  # of the chain's own state: plans ahead move the pools that testify
        view = self._after(ahead, view, at_s) if ahead else view
        first = [found for found in (self._try(c, view, at_s, gas_price_wei, prices, rejected) for c in candidates) if found]
        first.sort(key=lambda found: self.net_wei(found[1], gas_price_wei), reverse=True)
        state = Overlay(view)
        plans: list[Prediction] = []
        for candidate, standalone in first:
            if len(plans) >= self._limit:
                rejected.append(Rejected(candidate, "max_plans_per_block", ""))
                continue
            made = list(self._in_turn(candidate, standalone, state, at_s, gas_price_wei, prices, rejected))
            plans += made[: self._limit - len(plans)]
        return plans, rejected

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

    def _try(
        self, candidate: Candidate, view: View, at_s: int, gas_price_wei: int, prices: Prices | None, rejected: list[Rejected]
    ) -> tuple[Candidate, Prediction] | None:
        try:
            if view.get(DIVERGED, (candidate.market.name,)):
                raise Skip("market_diverged", "the book differed from the chain: move book.sqlite away and restart to rebuild it")
            if prices:
                prices.require(candidate.market, (leg.token for leg in candidate.health.legs))
            return candidate, self._made(candidate, view, at_s, gas_price_wei)
        except Skip as skip:
            rejected.append(Rejected(candidate, skip.reason, skip.detail))
            return None

    def _in_turn(
        self,
        candidate: Candidate,
        standalone: Prediction,
        state: Overlay,
        at_s: int,
        gas_price_wei: int,
        prices: Prices | None,
        rejected: list[Rejected],
    ) -> Iterator[Prediction]:
        """One account's calls, one after another, until no further one pays. Each is written into `state`."""
        for call in range(CALLS_PER_ACCOUNT):
            try:
                made = self._again(candidate, standalone, state, at_s, gas_price_wei) if call == 0 else None
                made = made or replace(self.best(candidate, state, at_s, gas_price_wei), warm=standalone.warm)
                if prices:
                    prices.require(candidate.market, made.gains)
            except Skip as skip:
                if call == 0:
                    rejected.append(Rejected(candidate, skip.reason, skip.detail))
                return
            state.write(made.writes)
            yield made

    def _again(self, candidate: Candidate, standalone: Prediction, state: View, at_s: int, gas_price_wei: int) -> Prediction | None:
        """The same plan on the state as it is by now, if it is still as good."""
        try:
            now = self._predictor.predict(standalone.plan, state, at_s)
        except Skip:
            return None
        good = self.net_wei(now, gas_price_wei) >= REPLAN_BELOW * self.net_wei(standalone, gas_price_wei)
        return replace(now, warm=standalone.warm) if good else None

    # --- an account

    def best(self, candidate: Candidate, view: View, at_s: int, gas_price_wei: int, known: Sequence[Plan] = ()) -> Prediction:
        """Raises Skip: "healthy", the rule that forbids every pair, "no_route", or "unprofitable" with the best net. `known`: for the pairs
        in these plans only their ways are looked at."""
        pairs = candidate.market.pairs(view, candidate.account, at_s)
        if not pairs:
            raise Skip("healthy")
        found: list[Prediction] = []
        skips: list[Skip] = []
        for pair in pairs:
            try:
                ways = [shape_of(p) for p in known if (p.debt_token, p.collateral_token) == (pair.debt_token, pair.collateral_token)]
                found.append(self._pair(candidate.market, pair, ways, view, at_s, gas_price_wei))
            except Skip as skip:
                skips.append(skip)
        if not found:
            raise min(skips, key=lambda skip: _TELLING.get(skip.reason, 1))
        best = max(found, key=lambda prediction: self.net_wei(prediction, gas_price_wei))
        net = self.net_wei(best, gas_price_wei)
        if net < -GAS_SLACK * best.gas * gas_price_wei:
            raise Skip("unprofitable", f"best nets {net} wei, of which gas {best.gas * gas_price_wei}")
        return best

    def _made(self, candidate: Candidate, view: View, at_s: int, gas_price_wei: int) -> Prediction:
        """By the ways that are known, if one pays; else by any."""
        known = self.warmth.known(candidate.market_name, candidate.account) if self.warmth else ()
        if known:
            with suppress(Skip):
                return replace(self.best(candidate, view, at_s, gas_price_wei, known), warm=True)
        return self.best(candidate, view, at_s, gas_price_wei)

    def ways(self, candidate: Candidate, view: View, at_s: int, gas_price_wei: int, count: int) -> list[Plan]:
        """The most promising ways of each pair, at full size. Raises Skip as `Market.pairs`."""
        found: list[Plan] = []
        for pair in candidate.market.pairs(view, candidate.account, at_s):
            attempt = self._attempts(candidate.market, pair, self._fills(candidate.market, pair, view, at_s), view, at_s)
            with suppress(Skip):
                made = [attempt(shape, pair.amounts[-1]) for shape in self._shapes(candidate.market, pair, view, at_s)]
                ranked = sorted(made, key=lambda prediction: self._rank(prediction, gas_price_wei), reverse=True)
                found += [prediction.plan for prediction in ranked[:count] if prediction]
        return found

    def net_wei(self, prediction: Prediction, gas_price_wei: int) -> int:
        return prediction.value_wei - prediction.gas * gas_price_wei

    def _pair(self, market: Market, pair: Pair, ways: Sequence[Shape], view: View, at_s: int, gas_price_wei: int) -> Prediction:
        """The best of these ways (none: of all) and amounts of one pair. They are compared at full size; only the best few are tuned."""
        fills = self._fills(market, pair, view, at_s)
        attempt = self._attempts(market, pair, fills, view, at_s)
        amounts = self._amounts(pair, fills)
        shapes = ways or self._shapes(market, pair, view, at_s)
        ranked = sorted(shapes, key=lambda shape: self._rank(attempt(shape, pair.amounts[-1]), gas_price_wei), reverse=True)
        tuned = [self._amount(partial(attempt, shape), amounts, gas_price_wei) for shape in ranked[:SHAPES_TUNED]]
        best = self._better(gas_price_wei, *tuned)
        if best is None:
            raise Skip("unprofitable", "no way to sell covers the repayment")
        return best

    def _fills(self, market: Market, pair: Pair, view: View, at_s: int) -> Fills:
        """What a cover moves, whichever way it is paid for; each computed once."""

        @cache
        def fill(cover: int) -> Fill | None:
            try:
                return market.fill(view, pair.account, pair.debt_token, pair.collateral_token, cover, at_s)
            except Skip:
                return None

        return fill

    def _attempts(self, market: Market, pair: Pair, fills: Fills, view: View, at_s: int) -> Callable[[Shape, int], Prediction | None]:
        """What a way and a cover come to, each computed once; None where it is illegal or does not pay."""

        @cache
        def attempt(shape: Shape, cover: int) -> Prediction | None:
            fill = fills(cover)
            try:
                return self._predictor.predict(self._plan(market, pair, cover, shape), view, at_s, fill) if fill else None
            except Skip:
                return None

        return attempt

    def _amounts(self, pair: Pair, fills: Fills) -> list[tuple[int, int]]:
        """The rules' break-points: (cover, what it really repays: the contract caps it; the cover itself when the rules forbid it)."""
        found = ((amount, fills(amount)) for amount in pair.amounts)
        return [(amount, fill.repaid if fill else amount) for amount, fill in found]

    def _rank(self, prediction: Prediction | None, gas_price_wei: int) -> float:
        return float("-inf") if prediction is None else self.net_wei(prediction, gas_price_wei)

    def _shapes(self, market: Market, pair: Pair, view: View, at_s: int) -> list[Shape]:
        if pair.debt_token == pair.collateral_token:
            return [(FundingKind.NONE, market.address, (), pair.debt_token)]
        fill = self._largest_fill(market, pair, view, at_s)
        lender = self._lender(view, pair.debt_token, fill.cover, at_s)
        shapes: list[Shape] = []
        for route in self._router.top_paths(view, pair.collateral_token, pair.debt_token, fill.seized, ROUTES_KEPT):
            if lender:
                shapes.append((FundingKind.FLASH_LOAN, lender, route, pair.debt_token))
            pool = route[-1]
            owed = pool.token0 if pool.token1 == pair.debt_token else pool.token1
            shapes.append((FundingKind.FLASH_SWAP, pool.address, route, owed))
        return shapes

    def _lender(self, view: View, token: Address, amount: int, at_s: int) -> Address | None:
        """The cheapest lender of that much, if any."""
        quotes = []
        for lender in self._predictor.lenders.values():
            try:
                quotes.append(lender.quote(view, token, amount, at_s))
            except Skip:
                continue
        return min(quotes, key=lambda quote: quote.fee).source if quotes else None

    def _largest_fill(self, market: Market, pair: Pair, view: View, at_s: int) -> Fill:
        """The largest legal amount."""
        skip = Skip("illegal")
        for cover in reversed(pair.amounts):
            try:
                return market.fill(view, pair.account, pair.debt_token, pair.collateral_token, cover, at_s)
            except Skip as why:
                skip = why
        raise skip

    def _plan(self, market: Market, pair: Pair, cover: int, shape: Shape) -> Plan:
        """Funds the whole cover, of which the contract pulls what is owed in the block it lands in."""
        kind, source, route, profit_token = shape
        funding = Funding(kind, source, pair.debt_token, cover, 0)
        return Plan(market.name, pair.account, pair.debt_token, pair.collateral_token, cover, funding, route, profit_token)

    def _amount(
        self, attempt: Callable[[int], Prediction | None], amounts: Sequence[tuple[int, int]], gas_price_wei: int
    ) -> Prediction | None:
        """The best of the break-points (cover, repaid) and, where a smaller amount is better, of what lies below them."""
        best: Prediction | None = None
        low = 0
        for cover, high in amounts:
            at_high = attempt(cover)
            best = self._better(gas_price_wei, best, at_high)
            probe = attempt(high - (high - low) // 64) if at_high else attempt(low + (high - low) // 64)
            if probe and self._better(gas_price_wei, at_high, probe) is probe:
                best = self._better(gas_price_wei, best, self._search(attempt, low, high, gas_price_wei))
            low = high
        return best

    def _search(self, attempt: Callable[[int], Prediction | None], low: int, high: int, gas_price_wei: int) -> Prediction | None:
        """Golden-section search for the maximum of a concave function of an integer."""
        best: Prediction | None = None
        left, right = high - round((high - low) * GOLDEN), low + round((high - low) * GOLDEN)
        at_left, at_right = attempt(left), attempt(right)
        for _ in range(SEARCH_STEPS):
            best = self._better(gas_price_wei, best, at_left, at_right)
            if at_right is None or (at_left and self._better(gas_price_wei, at_left, at_right) is at_left):
                high, right, at_right = right, left, at_left
                left = high - round((high - low) * GOLDEN)
                at_left = attempt(left)
            else:
                low, left, at_left = left, right, at_right
                right = low + round((high - low) * GOLDEN)
                at_right = attempt(right)
        return self._better(gas_price_wei, best, at_left, at_right)

    def _better(self, gas_price_wei: int, *predictions: Prediction | None) -> Prediction | None:
        made = [prediction for prediction in predictions if prediction is not None]
        return max(made, key=lambda prediction: self.net_wei(prediction, gas_price_wei)) if made else None
