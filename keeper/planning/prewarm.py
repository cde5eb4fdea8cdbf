"""Plans made before they are due: when the price moves, only amounts are computed anew.

An account near its liquidation price is planned as if that price had come. What is kept are the ways that would have paid best: pairs,
routes, fundings. Which of them is best, its amounts, its legality, gas and profit are always computed on the state of the block, so nothing
stale can be signed; an account that acts is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.planning.planner import Planner
from keeper.ports import Market, View
from keeper.risk.liquidation_price import liquidation_prices
from keeper.risk.watch import Candidate
from keeper.types import Address, Landing, Plan, Write

WAYS = 6
"""Kept for each pair of an account: pools move between a plan and its day."""

BEYOND_BPS = (5, 50, 200)
"""How far beyond its liquidation price an account is planned: the rounding of a version may need more than a hair."""

Named = tuple[str, Address]
"""(market, account)"""


class Prewarmer:
    """Keeps ways for the accounts it was given last."""

    def __init__(self, planner: Planner, markets: Sequence[Market]) -> None:
        self._planner, self._markets = planner, tuple(markets)
        self._known: dict[Named, list[Plan]] = {}

    def keep(self, accounts: Iterable[Named]) -> None:
        """Forget all others."""
        for account in self._known.keys() - set(accounts):
            del self._known[account]

    def observe(self, changed: Iterable[Write]) -> None:
        """Forget the accounts that these changes of the book are about."""
        writes = list(changed)
        for market in self._markets:
            for account in market.touched(writes):
                self._known.pop((market.name, account), None)

    def warm(self, candidate: Candidate, view: View, landing: Landing) -> None:
        """Plan an account as if its liquidation price had come, or the block in which it is due. One without is known to have none."""
        ways: list[Plan] = []
        due = self._due(candidate, view, landing.timestamp_s)
        if due is not None:
            with suppress(Skip):
                ways = self._planner.ways(*due, landing, WAYS)
        self._known[candidate.market_name, candidate.account] = ways

    def known(self, market: str, account: Address) -> Sequence[Plan]:
        return self._known.get((market, account), ())

    def _due(self, candidate: Candidate, view: View, at_s: int) -> tuple[Candidate, View] | None:
        """The account and the state when the price next to its own has come. One that will be due by then needs no other price."""
        if candidate.health.liquidatable:
            return candidate, view
        prices = sorted(liquidation_prices(candidate.health), key=lambda price: abs(price.move_bps))
        for price in prices[:1]:
            owed = any(leg.token == price.token and leg.side == "debt" for leg in candidate.health.legs)
            up = price.move_bps > 0 or (price.move_bps == 0 and owed)  # by less than a basis point: the side tells
            for beyond in BEYOND_BPS:
                moved = price.price * (10_000 + (beyond if up else -beyond)) // 10_000
                state = Overlay(view, candidate.market.repriced(view, {price.token: moved}))
                health = candidate.market.health(state, candidate.account, at_s)
                if health.liquidatable:
                    return Candidate(candidate.market, candidate.account, health), state
        return None
