"""The most profitable legal liquidation of an account, on one state.

For each legal pair: the best routes at full size, then both ways of funding on each, then the amount: the rules' break-points, and the
maximum between them. Profit is concave there (a bonus proportional to size, less a price impact that grows with it), so where it still
rises at the most that is legal, nothing less is worth a look.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from keeper.errors import Skip
from keeper.planning.predict import Predictor, Way, way_of
from keeper.ports import CallbackMarket, Market, View
from keeper.types import LIQUIDATE, TWICE, Address, Fill, Funding, FundingKind, Pair, Plan, Prediction, same_deal

ROUTES_KEPT = 3
WAYS_TUNED = 2
SEARCH_STEPS = 16
GOLDEN = 0.6180339887498949

GAS_SLACK = 0.2
"""The offline gas is an estimate: plans short of break-even by less than this share of it still get simulated."""

_TELLING = {"inventory_limit": -1, "unprofitable": 0, "no_route": 2}
"""Of several reasons why an account has no plan, the smallest is told."""


class Taken(NamedTuple):
    """What a cover moves, and the gas of that."""

    fill: Fill
    gas: int


class Tried(NamedTuple):
    """What a way comes to at one amount."""

    net_wei: int
    gas: int
    way: Way
    fill: Fill


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
        """All that are promising. Raises Skip("no_route")."""
        pair, on = self._pair, self._on
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

    # --- one amount

    def attempt(self, way: Way, cover: int) -> Tried | None:
        """None where it is illegal or does not pay."""
        on, taken = self._on, self.taken(cover)
        if taken is None:
            return None
        try:
            earned = on.predictor.earned(way, taken.fill, taken.fill.funds, on.offers)
            gas = taken.gas + on.predictor.gas_beside(earned)
            return Tried(on.predictor.worth_wei(self._market, on.view, taken.fill, earned) - gas * on.gas_price_wei, gas, way, taken.fill)
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
                best = max(best, self._search(way, low, high), key=_worth)
            elif probe:
                return best
        return best

    def _search(self, way: Way, low: int, high: int) -> Tried | None:
        """Golden-section search for the maximum of a concave function of an integer."""
        left, right = high - round((high - low) * GOLDEN), low + round((high - low) * GOLDEN)
        at_left, at_right = self.attempt(way, left), self.attempt(way, right)
        best = max(at_left, at_right, key=_worth)
        for _ in range(SEARCH_STEPS):
            if at_right is None or _worth(at_left) >= _worth(at_right):
                high, right, at_right = right, left, at_left
                left = high - round((high - low) * GOLDEN)
                at_left = self.attempt(way, left)
            else:
                low, left, at_left = left, right, at_right
                right = low + round((high - low) * GOLDEN)
                at_right = self.attempt(way, right)
            best = max(best, at_left, at_right, key=_worth)
        return best


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
    return Plan(market.name, *deal, funding, route, profit_token, fill.kind, fill.target, fill.by)
