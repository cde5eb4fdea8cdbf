"""What prices may do next, for a command that starts cold: measured from what the oracles said lately, as the node remembers it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from keeper.app import ANSWER_UPDATED, Chain
from keeper.book.state import Overlay
from keeper.errors import KeeperError
from keeper.fixedpoint import BPS
from keeper.ports import Market, View
from keeper.risk.greeks import Greek, Greeks, exposures, greeks
from keeper.risk.hazard import hazards
from keeper.risk.moves import DAY_S
from keeper.risk.volatility import PRIOR, Volatility
from keeper.types import Address, Factor, Health, Log, LogFilter, PriceFeed

LOOKBACK_S = 30 * int(DAY_S)
MOST_BLOCKS = 100_000
PEG_BPS = 300
HORIZONS_S = (3_600, 86_400)

Hazards = tuple[float, float]
"""Probability of crossing within each of `HORIZONS_S`."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """Of one account. `assumed`: symbols of the prices without enough history."""

    greeks: Greeks
    hazards: Hazards
    assumed: tuple[str, ...]

    @property
    def nearest(self) -> Greek | None:
        """The price that is the fewest of its own days' deviations from liquidating the account alone."""
        found = [greek for greek in self.greeks.per_price if greek.liquidation_price is not None]
        return min(found, key=lambda greek: abs(greek.distance_sigma), default=None)


@dataclass(frozen=True, slots=True)
class Outlook:
    volatility: Volatility

    def prospect(self, market: Market, view: View, health: Health) -> Prospect:
        (hazards,) = self.hazards(market, view, [health])
        return self.seen(market, health, hazards)

    def seen(self, market: Market, health: Health, hazards: Hazards) -> Prospect:
        """`hazards`: the account's own, as `hazards` gives them."""
        name = partial(price_factor, market)
        moves = self.volatility.moves(list(exposures(health, name)[0]))
        found = greeks(health, moves, name)
        return Prospect(found, hazards, tuple(greek.symbol for greek in found.per_price if name(greek.token) not in moves.measured))

    def hazards(self, market: Market, view: View, healths: Sequence[Health]) -> list[Hazards]:
        """Of many accounts at once. Interest counts: what the health factor does in a day without any price moving is its drift."""
        sides = [exposures(health, partial(price_factor, market)) for health in healths]
        moves = self.volatility.moves(list(dict.fromkeys(factor for names, _ in sides for factor in names)))
        column = {factor: at for at, factor in enumerate(moves.factors)}
        counted, owed = np.zeros((2, len(sides), len(column)))
        for row, pair in enumerate(sides):
            for table, values in zip((counted, owed), pair, strict=True):
                table[row, [column[factor] for factor in values]] = list(values.values())
        carry = np.array([_carry(market, view, health) for health in healths])
        each = np.column_stack([hazards(counted, owed, moves, horizon_s, carry) for horizon_s in HORIZONS_S])
        return [(1.0, 1.0) if health.liquidatable else (float(hour), float(day)) for health, (hour, day) in zip(healths, each, strict=True)]


def price_factor(market: Market, token: Address) -> Factor:
    return (market.name, "price", token)


async def outlook(chain: Chain) -> Outlook:
    """Of every price of the chain's markets. A node that keeps no logs of the past, or refuses, leaves the prior."""
    blocks = min(LOOKBACK_S // chain.settings.block_time_s, MOST_BLOCKS)
    filters = [LogFilter(f.address, frozenset({ANSWER_UPDATED}), f.since_block) for f in chain.book.filters() if ANSWER_UPDATED in f.topics]
    try:
        logs = await chain.reader.logs(filters, max(chain.head.number - blocks, 0), chain.head.number)
    except KeeperError:
        logs = []
    return Outlook(measured(chain.markets, chain.view, logs, chain.head.timestamp_s))


def measured(markets: Iterable[Market], view: View, logs: Iterable[Log], now_s: int) -> Volatility:
    """From the oracles' logs, oldest first, and what prices are now."""
    seen, history = Volatility(), list(logs)
    for market in markets:
        for feed in market.feeds(view):
            seen.add(price_factor(market, feed.token), is_pegged(feed))
        for token, price, at_s in (*_told(market, view, history), *_now(market, view, now_s)):
            seen.observe(price_factor(market, token), price, at_s)
    return seen


def assumption(symbols: Iterable[str]) -> str:
    """What is said of prices without enough history; empty when there are none."""
    names = sorted(set(symbols))
    usual, pegged = (f"{volatility * 100:.0f} %" for volatility in (PRIOR.volatility, PRIOR.pegged))
    return f"too little history of {', '.join(names)}: {usual} a year assumed, {pegged} if pegged" if names else ""


def is_pegged(feed: PriceFeed) -> bool:
    """Close to one unit of the currency it is priced in: taken for a stablecoin until its history says otherwise."""
    one: int = 10 ** int(feed.unit.rpartition("-")[2])
    return abs(feed.price - one) * BPS <= PEG_BPS * one


def finite(sigmas: float) -> float | None:
    """For JSON, which knows no infinity."""
    return sigmas if math.isfinite(sigmas) else None


def _told(market: Market, view: View, logs: Iterable[Log]) -> Iterator[tuple[Address, int, int]]:
    """(token, price, when) of each answer: asked of the market itself, on a view where no price is what anybody would answer."""
    tokens = tuple(market.tokens(view))
    blank = Overlay(view, market.repriced(view, dict.fromkeys(tokens, 1)))
    apply = market.applier(blank)
    for log in logs:
        after = Overlay(blank, apply(log, blank))
        for token in tokens:
            price = market.price(after, token)
            if price is not None and price != 1:
                yield token, price, log.timestamp_s


def _now(market: Market, view: View, now_s: int) -> Iterator[tuple[Address, int, int]]:
    for token in market.tokens(view):
        price = market.price(view, token)
        if price is not None:
            yield token, price, now_s


def _carry(market: Market, view: View, health: Health) -> float:
    """Of ln HF, a second."""
    later = market.health(view, health.account, health.timestamp_s + int(DAY_S))
    if not health.health_factor_wad or not later.debt:
        return 0.0
    return (later.health_factor_wad / health.health_factor_wad - 1) / DAY_S
