"""The most profitable legal liquidation of an account, on one state.

For each legal pair: the best routes at full size, then both ways of funding on each, then the amount: the rules' break-points, and the
maximum between them. Profit is concave there (a bonus proportional to size, less a price impact that grows with it), so where it still
rises at the most that is legal, nothing less is worth a look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import NamedTuple

from keeper.errors import Skip
from keeper.planning.predict import SPLIT, Predictor, Way, way_of
from keeper.planning.routing import Path, sold
from keeper.planning.split import GOLDEN, Pays, apart, split
from keeper.ports import CallbackMarket, Market, View
from keeper.types import LIQUIDATE, TWICE, Address, Fill, Funding, FundingKind, Pair, Plan, Prediction, Sale, same_deal

ROUTES_KEPT = 3
WAYS_TUNED = 2
SEARCH_STEPS = 16

SIDES, SIDE_HOPS = 2, 2
"""So many routes beside the main one, of so many hops at most: what the executor's steps and tokens have room for."""

SIDE_ROUTES = 6
"""So many are looked through for them,"""

SIDE_PART = 4
"""at a quarter of the amount."""

PROBE = 64
"""A part so small moves no price to speak of."""

WORTH_A_LOOK = 200
"""What could be gained by it at most must be so great a part of what is gained anyway: to look for it takes as long as the plan itself."""

SIDE_GAS = 80_000
"""A swap's at least: what a second route must bring."""

GAS_SLACK = 0.2
"""The offline gas is an estimate: plans short of break-even by less than this share of it still get simulated."""

_TELLING = {"inventory_limit": -1, "unprofitable": 0, "no_route": 2}
"""Of several reasons why an account has no plan, the smallest is told."""


class Taken(NamedTuple):
    """What a cover moves, and the gas of that."""

    fill: Fill
    gas: int


class Tried(NamedTuple):
    """What a way comes to at one amount; `sides`: what of it is sold beside its route."""

    net_wei: int
    gas: int
    way: Way
    fill: Fill
    sides: tuple[Sale, ...] = ()


class Chooser:
    """Chooses on a state that stays as it is: nothing about it is computed twice, for one account or for many."""

    def __init__(self, predictor: Predictor, view: View, at_s: int, gas_price_wei: int) -> None:
        self.predictor, self.view, self.at_s, self.gas_price_wei = predictor, view, at_s, gas_price_wei
        self.offers = predictor.offers(view, at_s)

    def best(self, market: Market, account: Address, known: Sequence[Plan] = ()) -> Prediction:
        """Raises Skip: "healthy", the rule that forbids every pair, "no_route", or "unprofitable" with the best net. `known`: for the pairs
        in these plans only their ways are looked at."""
        found: list[Tried] = []
        why_not: list[tuple[str, str]] = []  # not the exceptions: they hold this frame, and only the collector could part them
        for pair in (*market.pairs(self.view, account, self.at_s), *self._kept(market, account, why_not)):
            ways = [way_of(plan) for plan in known if same_deal(_once(plan), _once(pair))]
            try:
                found.append(_Choice(self, market, pair).best(ways))
            except Skip as skip:
                why_not.append((skip.reason, skip.detail))
        if not found:
            raise Skip(*min(why_not, key=lambda reason: _TELLING.get(reason[0], 1), default=("healthy", "")))
        best = max(found, key=_net)
        cost_wei = best.gas * self.gas_price_wei
        if best.net_wei < -GAS_SLACK * cost_wei:
            raise Skip("unprofitable", f"best nets {best.net_wei} wei, of which gas {cost_wei}")
        return self.predictor.predict(_plan(market, best), self.view, self.at_s, best.fill)

    def _kept(self, market: Market, account: Address, why_not: list[tuple[str, str]]) -> Sequence[Pair]:
        """What could be taken over and kept."""
        try:
            return self.predictor.custody.pairs(market, self.view, account, self.at_s) if self.predictor.custody else ()
        except Skip as skip:
            why_not.append((skip.reason, skip.detail))
            return ()

    def spread(self, market: Market, made: Prediction, avoid: Collection[Address], grows: bool) -> Prediction:
        """The same deal with its sale spread over several routes, if that nets more; `avoid`: pools to leave alone; `grows`: the amount may
        be another."""
        plan, fill = made.plan, made.fill
        if plan.sides or not plan.route or plan.by or not fill.funds or self._unmoved(made):
            return made
        pair = next((one for one in market.pairs(self.view, plan.account, self.at_s) if same_deal(plan, one)), None)
        if pair is None:
            return made
        tried = Tried(made.value_wei - made.gas * self.gas_price_wei, made.gas, way_of(plan), fill)
        spread = _Choice(self, market, pair).spread(tried, avoid, grows)
        return made if spread is tried else self.predictor.predict(_plan(market, spread), self.view, self.at_s, spread.fill)

    def _unmoved(self, made: Prediction) -> bool:
        """Its sale moves prices by less than another swap's gas is worth, or by next to nothing of what it nets."""
        market, flash = self.predictor.markets[made.plan.market], made.plan.funding.kind is FundingKind.FLASH_SWAP
        sale = made.hops[:-1] if flash and made.hops[1:] else made.hops
        first, last, part = sale[0], sale[-1], sale[0].amount_in // PROBE
        few = sold(self.offers.swaps, tuple(hop.pool for hop in sale), first.token_in, part)[-1].amount_out if part else 0
        lost = few * PROBE - last.amount_out
        least_wei = max(SIDE_GAS * self.gas_price_wei, made.value_wei // WORTH_A_LOOK)
        return lost <= 0 or self.predictor.value_wei(market, self.view, last.token_out, lost) <= least_wei

    def exactly(self, market: Market, pair: Pair) -> Prediction:
        """The best way to make this deal at its largest amount, whether it pays or not. Raises Skip, as `best`."""
        choice = _Choice(self, market, pair)
        tried = max((choice.attempt(way, pair.amounts[-1]) for way in choice.ways()), key=_worth)
        if tried is None:
            raise Skip("unprofitable", "no way to sell covers the repayment")
        return self.predictor.predict(_plan(market, tried), self.view, self.at_s, tried.fill)

    def ways(self, market: Market, account: Address, count: int) -> Iterator[Plan]:
        """The most promising ways of each pair, at full size. Raises Skip as `Market.pairs`."""
        for pair in market.pairs(self.view, account, self.at_s):
            with suppress(Skip):
                choice = _Choice(self, market, pair)
                tried = [choice.attempt(way, pair.amounts[-1]) for way in choice.ways()]
                yield from (_plan(market, made) for made in sorted(filter(None, tried), key=_net, reverse=True)[:count])


class _Choice:
    """Between the ways and amounts of one pair."""

    def __init__(self, chooser: Chooser, market: Market, pair: Pair) -> None:
        self._on, self._market, self._pair = chooser, market, pair
        self._taken: dict[int, Taken | None] = {}

    def best(self, known: Sequence[Way]) -> Tried:
        """Of these ways (none: of all). They are compared at full size; only the best few are tuned. Raises Skip."""
        ways = known or self.ways()
        if len(ways) > WAYS_TUNED:
            ways = sorted(ways, key=lambda way: _worth(self.attempt(way, self._pair.amounts[-1])), reverse=True)[:WAYS_TUNED]
        best = max((self._tuned(way) for way in ways), key=_worth)
        if best is None:
            raise Skip("unprofitable", "no way to sell covers the repayment")
        return best

    def ways(self) -> list[Way]:
        """All that are promising. Raises Skip("no_route"), Skip("denied_token")."""
        pair, on = self._pair, self._on
        for token in on.predictor.router.denied.intersection((pair.debt_token, pair.collateral_token)):
            raise Skip("denied_token", token)
        most = self.taken(pair.amounts[-1])
        if most is None:
            raise Skip("illegal")
        fill, market = most.fill, self._market.address
        if not fill.funds or (pair.debt_token == pair.collateral_token and not fill.prepaid):
            return [Way(FundingKind.NONE, market, (), pair.collateral_token)]
        lender = self._lender(fill.funds)
        found: list[Way] = []
        sale = pair.collateral_token, pair.debt_token, fill.seized
        for route in on.predictor.router.top_paths(on.view, *sale, ROUTES_KEPT, on.offers.swaps):
            if isinstance(self._market, CallbackMarket) and not fill.prepaid:
                found.append(Way(FundingKind.CALLBACK, market, route, pair.debt_token))
            if lender:
                found.append(Way(FundingKind.FLASH_LOAN, lender, route, pair.debt_token))
            if route:
                owed = route[-1].token0 if route[-1].token1 == pair.debt_token else route[-1].token1
                found.append(Way(FundingKind.FLASH_SWAP, route[-1].address, route, owed))
        if not found:
            raise Skip("no_funds", f"nobody lends {fill.funds} of {pair.debt_token}")
        return found

    def _lender(self, amount: int) -> Address | None:
        """The cheapest lender of that much, if any."""
        quotes = []
        for source in self._on.predictor.lenders:
            with suppress(Skip):
                quotes.append(self._on.offers.loans(source, self._pair.debt_token, amount))
        return min(quotes, key=lambda quote: quote.fee).source if quotes else None

    # --- several routes at once

    def spread(self, tried: Tried, avoid: Collection[Address], grows: bool) -> Tried:
        """Sold along several routes, where that nets more; then, if it may grow, at the amount that is best for all of them."""
        way = self._splitting(tried)
        routes = self._beside(way, tried.fill, avoid) if way else []
        if way is None or len(routes) < 2:
            return tried
        best, most = max(tried, self._split(way, routes, tried.fill.cover), key=_worth) or tried, self._pair.amounts[-1]
        if not grows or not best.sides or most <= best.fill.cover:
            return best
        more = self._search(lambda cover: self.attempt(way, cover, _scaled(best, self.taken(cover))), best.fill.cover, most)
        again = self._split(way, routes, more.fill.cover) if more else None
        return max((best, more, again), key=_worth) or best

    def _splitting(self, tried: Tried) -> Way | None:
        """The same, paid for in a way that waits for the whole sale; None: there is none."""
        way, fill = tried.way, tried.fill
        if way.kind is not FundingKind.FLASH_SWAP:
            return way if way.kind in SPLIT else None
        if isinstance(self._market, CallbackMarket) and not fill.prepaid:
            return Way(FundingKind.CALLBACK, self._market.address, way.route, self._pair.debt_token)
        lender = self._lender(fill.funds)
        return Way(FundingKind.FLASH_LOAN, lender, way.route, self._pair.debt_token) if lender else None

    def _beside(self, way: Way, fill: Fill, avoid: Collection[Address]) -> list[Path]:
        """The route, and others that share no pool with it, nor pass one that is to be left alone."""
        on, sale = self._on, (fill.collateral_token, fill.debt_token, max(fill.seized // SIDE_PART, 1))
        found = on.predictor.router.top_in(on.view, *sale, SIDE_ROUTES, SIDE_HOPS, on.offers.swaps)
        others = [tuple(hop.pool for hop in hops) for hops in found if not any(hop.pool.address in avoid for hop in hops)]
        return apart([way.route, *others], 1 + SIDES)

    def _split(self, way: Way, routes: Sequence[Path], cover: int) -> Tried | None:
        taken = self.taken(cover)
        if taken is None:
            return None
        parts = split([self._pays(route, taken.fill) for route in routes], taken.fill.seized)
        sides = [Sale(route, part) for route, part in zip(routes[1:], parts[1:], strict=True) if part]
        made = [self.attempt(way, cover, tuple(some)) for some in (sides, *combinations(sides, 1))]
        return max(made, key=_worth)

    def _pays(self, route: Path, fill: Fill) -> Pays:
        def pays(amount: int) -> int:
            try:
                return sold(self._on.offers.swaps, route, fill.collateral_token, amount)[-1].amount_out if amount else 0
            except Skip:
                return 0

        return pays

    # --- one amount

    def attempt(self, way: Way, cover: int, sides: tuple[Sale, ...] = ()) -> Tried | None:
        """None where it is illegal or does not pay."""
        on, taken = self._on, self.taken(cover)
        if taken is None:
            return None
        try:
            earned = on.predictor.earned(way, taken.fill, taken.fill.funds, on.offers, sides)
            gas = taken.gas + on.predictor.gas_beside(earned)
            return Tried(
                on.predictor.worth_wei(self._market, on.view, taken.fill, earned) - gas * on.gas_price_wei, gas, way, taken.fill, sides
            )
        except Skip:
            return None

    def taken(self, cover: int) -> Taken | None:
        """Whichever way it is paid for; each computed once. None where the rules forbid it."""
        if cover not in self._taken:
            self._taken[cover] = self._take(cover)
        return self._taken[cover]

    def _take(self, cover: int) -> Taken | None:
        pair, on = self._pair, self._on
        try:
            fill = self._market.fill(on.view, pair, cover, on.at_s)
            if pair.by and on.predictor.custody:
                fill = on.predictor.custody.judged(self._market, on.view, fill, on.at_s)
        except Skip:
            return None
        return Taken(fill, self._market.gas(fill))

    # --- the amount

    def _tuned(self, way: Way) -> Tried | None:
        """At the best of the break-points and of what lies between them, from the largest down until less is no better."""
        best: Tried | None = None
        for low, cover in _down(self._pair.amounts):
            at_high, taken = self.attempt(way, cover), self.taken(cover)
            high = taken.fill.counted if taken else cover
            probe = self.attempt(way, high - (high - low) // 64 if at_high else low + (high - low) // 64)
            best = max(best, at_high, key=_worth)
            if probe and _worth(probe) > _worth(at_high):
                best = max(best, self._search(partial(self.attempt, way), low, high), key=_worth)
            elif probe:
                return best
        return best

    def _search(self, attempt: Callable[[int], Tried | None], low: int, high: int) -> Tried | None:
        """Golden-section search for the maximum of a concave function of an integer."""
        left, right = high - round((high - low) * GOLDEN), low + round((high - low) * GOLDEN)
        at_left, at_right = attempt(left), attempt(right)
        best = max(at_left, at_right, key=_worth)
        for _ in range(SEARCH_STEPS):
            if at_right is None or _worth(at_left) >= _worth(at_right):
                high, right, at_right = right, left, at_left
                left = high - round((high - low) * GOLDEN)
                at_left = attempt(left)
            else:
                low, left, at_left = left, right, at_right
                right = low + round((high - low) * GOLDEN)
                at_right = attempt(right)
            best = max(best, at_left, at_right, key=_worth)
        return best


def _scaled(tried: Tried, taken: Taken | None) -> tuple[Sale, ...]:
    """The same shares of another amount."""
    if taken is None:
        return ()
    return tuple(Sale(side.route, side.amount_in * taken.fill.seized // tried.fill.seized) for side in tried.sides)


def _down(amounts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(the break-point below, break-point), the largest first."""
    return zip((*amounts[-2::-1], 0), amounts[::-1], strict=True)


def _net(tried: Tried) -> int:
    return tried.net_wei


def _worth(tried: Tried | None) -> float:
    """Orders also what came to nothing."""
    return float("-inf") if tried is None else tried.net_wei


def _once(deal: Pair | Plan) -> Pair | Plan:
    """What goes for one call goes for two."""
    return replace(deal, kind=LIQUIDATE, target="") if deal.kind == TWICE else deal


def _plan(market: Market, tried: Tried) -> Plan:
    """Funds all that may be asked for, of which the contract pulls what is owed in the block it lands in."""
    (kind, source, route, profit_token), fill = tried.way, tried.fill
    funding = Funding(kind, source, fill.debt_token, fill.funds, 0)
    deal = fill.account, fill.debt_token, fill.collateral_token, fill.cover
    return Plan(market.name, *deal, funding, route, profit_token, fill.kind, fill.target, fill.by, tried.sides)
