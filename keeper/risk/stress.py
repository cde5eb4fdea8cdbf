"""What a price shock would do to the accounts of a market, before anybody acts: who becomes liquidatable, and with how much.

A shock is an overlay: the oracles say the new prices and trade has moved every pool along. Floats draw the curve and say where to look;
at the shock itself, integers decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keeper.book.state import Overlay
from keeper.fixedpoint import BPS
from keeper.ports import Market, Venue, View
from keeper.risk.moves import Floats
from keeper.risk.watch import Candidate
from keeper.types import Address, Health

PPM = 10**6
LEAST_LEFT_PPM = 1000
"""A price never falls below a thousandth of itself, however far a shock is drawn out."""

DOUBT = 1e-3
"""Floats nominate also what they find this much above the threshold: more than any protocol rounds."""

Moves = Mapping[Address, int]
"""Token → how far its price moves, in millionths: -300_000 is a fall of 30 %."""

Tick = Callable[[int], None]


def drawn_out(moves: Moves, share: float) -> dict[Address, int]:
    """The same shock, larger or smaller."""
    return {token: max(round(move * share), LEAST_LEFT_PPM - PPM) for token, move in moves.items()}


def shocked(markets: Iterable[Market], venues: Iterable[Venue], view: View, moves: Moves) -> Overlay:
    """The view after every oracle has moved, and every pool by as much."""
    state = Overlay(view)
    for market in markets:
        prices = {token: price for token in moves if (price := market.price(view, token))}
        state.write(market.repriced(view, {token: max(price * (PPM + moves[token]) // PPM, 1) for token, price in prices.items()}))
    for venue in venues:
        for pool in venue.pools(view):
            up, down = (PPM + moves.get(token, 0) for token in (pool.token0, pool.token1))
            if up != down:
                state.write(venue.shifted(view, pool, up, down))
    return state


def secured(health: Health) -> int:
    """Value of all collateral, in the market's unit."""
    return sum(leg.value for leg in health.legs if leg.side == "collateral")


def owed(health: Health) -> int:
    """Value of all that is owed: not the margin that a position requires."""
    return sum(leg.value for leg in health.legs if leg.side == "debt")


def shortfall(health: Health) -> int:
    """What is owed that all collateral, at its oracle's prices, would not cover."""
    return max(owed(health) - secured(health), 0)


# --- accounts as arrays -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Positions:
    """All indebted accounts of one market: A accounts by T tokens, as values in the market's unit at the prices `price`.

    `collateral`, `debt`, `surplus` (both, weighed by their thresholds): float64[A, T]. `odd`: bool[A], accounts whose value hangs on other
    prices than those of their tokens, or who can fail in more than one way, of which these are the nearest: always looked at.
    `steady`: bool[T], tokens whose price the market takes as given."""

    market: Market
    unit: str
    accounts: tuple[Address, ...]
    tokens: tuple[Address, ...]
    price: Floats
    collateral: Floats
    debt: Floats
    surplus: Floats
    odd: NDArray[np.bool_]
    steady: NDArray[np.bool_]

    def column(self, token: Address) -> int | None:
        return self.tokens.index(token) if token in self.tokens else None

    def factors(self, moves: Moves) -> Floats:
        """[T]"""
        return np.where(self.steady, 1.0, [1 + moves.get(token, 0) / PPM for token in self.tokens])

    def eligible(self, view: View, at_s: int, also: Iterable[Address] = ()) -> list[Candidate]:
        """Liquidatable accounts of another view, the largest debts first. `also`: accounts that have acted since."""
        factor = np.array([(self.market.price(view, token) or 0) for token in self.tokens]) / self.price
        near = self.surplus @ factor < DOUBT * (self.debt @ factor)
        look = dict.fromkeys([*(self.accounts[i] for i in np.flatnonzero(near | self.odd)), *also])
        found = [Candidate(self.market, account, self.market.health(view, account, at_s)) for account in look]
        return sorted((c for c in found if c.health.liquidatable), key=lambda c: c.health.debt, reverse=True)


def unit_of(book: Positions) -> int:
    """One of the currency that values are in: 10^8 of "usd-8" are a dollar."""
    return int(10 ** int(book.unit.rpartition("-")[2] or 0))


def priced(market: Market, view: View) -> tuple[Address, ...]:
    """All that moves an account: what can be seized or repaid, and what exists only on the market's books."""
    return tuple(dict.fromkeys((*market.tokens(view), *(feed.token for feed in market.feeds(view)))))


def positions(market: Market, view: View, at_s: int, tick: Tick = lambda _: None) -> Positions:
    """One integer health of every account. `tick` hears how many are done."""
    tokens = priced(market, view)
    column = {token: number for number, token in enumerate(tokens)}
    accounts, healths = [], []
    for number, account in enumerate(market.accounts(view), start=1):
        accounts.append(account)
        healths.append(market.health(view, account, at_s))
        tick(number)
    shape = len(accounts), len(tokens)
    collateral, debt, surplus = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    price = [market.price(view, token) or 0 for token in tokens]
    for row, health in enumerate(healths):
        for leg in health.legs:
            side = collateral if leg.side == "collateral" else debt
            side[row, column[leg.token]] += leg.value
            surplus[row, column[leg.token]] += leg.value * leg.weight_bps / BPS
    odd = [_odd(market, view, health, dict(zip(tokens, price, strict=True))) for health in healths]
    steady = [not market.repriced(view, {token: 1}) for token in tokens]
    unit = healths[0].unit if healths else ""
    prices = np.array([float(p or 1) for p in price])
    return Positions(
        market, unit, tuple(accounts), tokens, prices, collateral, debt, surplus, np.array(odd, np.bool_), np.array(steady, np.bool_)
    )


def _odd(market: Market, view: View, health: Health, price: Mapping[Address, int]) -> bool:
    return any(leg.price != price[leg.token] for leg in health.legs) or len(market.rows(view, health.account)) > 1


# --- the liquidation curve ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """One market with a share of the shock. `debt`, `collateral`: of the `accounts` that are liquidatable there; `shortfall`: what of that
    debt the collateral would not cover. Estimates, in the market's unit."""

    share: float
    accounts: int
    debt: int
    collateral: int
    shortfall: int


def curve(book: Positions, moves: Moves, shares: Sequence[float]) -> list[Point]:
    """Liquidatable debt against the size of the shock."""
    factor = np.array([book.factors(drawn_out(moves, share)) for share in shares]).T
    debt, collateral = book.debt @ factor, book.collateral @ factor
    under = book.surplus @ factor < 0
    sums = (under.sum(0), (debt * under).sum(0), (collateral * under).sum(0), (np.maximum(debt - collateral, 0) * under).sum(0))
    return [Point(share, *(int(part[i]) for part in sums)) for i, share in enumerate(shares)]
