"""The price sanity guard: every price a plan depends on, judged on one view at one moment.

Judged on the chain's own state, never on one that includes our plans: what they sell moves the pools that testify.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from keeper.errors import Skip
from keeper.ports import Market, View, Witness
from keeper.risk.references import References
from keeper.risk.sanity import Policy, PriceVerdict, Rules, Ruling, Traded, in_unit, judge, same_currency
from keeper.risk.witness import Pools, Worth
from keeper.types import ZERO_ADDRESS, Address, PriceFeed

Alike = Callable[[PriceFeed], Traded | None]


class PriceGuard:
    """The witnesses and the policy of one chain. `native`: the token by whose price all profit is weighed against gas; `markets`: where
    another token may have the same price."""

    def __init__(self, policy: Policy, venues: Iterable[Witness], native: Address, markets: Iterable[Market] = ()) -> None:
        self.policy, self.native, self.markets = policy, native, tuple(markets)
        self.venues = tuple(venues)
        seconds = (rules.second for rules in (policy.rules, *policy.tokens.values()))
        self.references = References(second for second in seconds if second)

    def at(self, view: View, at_s: int) -> Prices:
        """`at_s`: when a transaction sent now would land."""
        return Prices(self, view, at_s)


class Prices:
    """Verdicts on one view, each made once and when asked for."""

    def __init__(self, guard: PriceGuard, view: View, at_s: int) -> None:
        self._guard, self._view, self._at_s = guard, view, at_s
        self._pools: Pools | None = None
        self._markets: dict[str, _MarketPrices] = {}

    def of(self, market: Market) -> tuple[PriceVerdict, ...]:
        """Of every token that has a price, in the market's order."""
        prices = self._of(market)
        return tuple(prices.verdict(token, self._alike) for token in prices.feeds)

    def verdicts(self, market: Market, tokens: Iterable[Address]) -> tuple[PriceVerdict, ...]:
        """Of these tokens; those without a price are passed over: the market's own rules forbid what needs them."""
        prices = self._of(market)
        return tuple(prices.verdict(token, self._alike) for token in dict.fromkeys(tokens) if token in prices.feeds)

    def require(self, market: Market, tokens: Iterable[Address]) -> None:
        """Raises Skip("price_held") with check, token and figures when one of these prices, or the native token's, is held."""
        for verdict in self.verdicts(market, (*tokens, self._guard.native)):
            for finding in verdict.findings:
                if finding.ruling.severity >= Ruling.HOLD.severity:
                    raise Skip("price_held", f"{verdict.feed.symbol} {finding.check}: {finding.detail}")

    def _of(self, market: Market) -> _MarketPrices:
        if market.name not in self._markets:
            if self._pools is None:
                self._pools = Pools(self._guard.venues, self._view, self._at_s, self._guard.policy.twap_window_s)
            feeds = market.feeds(self._view)
            self._markets[market.name] = _MarketPrices(self._guard, self._pools, feeds, self._view, self._at_s)
        return self._markets[market.name]

    def _alike(self, feed: PriceFeed) -> Traded | None:
        """What pools say of a token that has its price from the same source, in this one's unit: a virtual token trades in no pool."""
        for market in self._guard.markets if feed.source != ZERO_ADDRESS else ():
            prices = self._of(market)
            for other in prices.feeds.values():
                if other.source == feed.source and same_currency(other, feed) and (traded := prices.worth(other.token)):
                    return Traded(*(in_unit(price, other, feed) for price in traded))
        return None


class _MarketPrices:
    """One market's: its oracle, its currency."""

    def __init__(self, guard: PriceGuard, pools: Pools, feeds: Sequence[PriceFeed], view: View, at_s: int) -> None:
        self.feeds = {feed.token: feed for feed in feeds}
        self.worth = Worth(pools, self.feeds, guard.policy, guard.native)
        self._guard, self._view, self._at_s = guard, view, at_s
        self._made: dict[Address, PriceVerdict] = {}

    def verdict(self, token: Address, alike: Alike) -> PriceVerdict:
        """`alike`: where no pool trades it. Handed in: whoever knows all markets holds this one, and only the collector could part them."""
        if token not in self._made:
            feed, rules = self.feeds[token], self._guard.policy.of(token)
            self._made[token] = judge(feed, self.worth(token) or alike(feed), self._second(feed, rules), rules, self._at_s)
        return self._made[token]

    def _second(self, feed: PriceFeed, rules: Rules) -> int | None:
        if rules.second is None:
            return None
        decimals = int(feed.unit.rpartition("-")[2])
        return self._guard.references.price(self._view, rules.second, decimals, self._at_s - rules.heartbeat_s)
