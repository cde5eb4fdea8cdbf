"""What an account stands to lose by each price: delta, gamma, and how far it is from liquidation. Closed forms; estimates, never money.

Everything follows from what a price counts for and against an account, with two derivatives each (`Payoff`): linear for what is lent and
owed, given by the adapter for what is not. The health factor is their ratio, so it bends in a price even where both are linear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keeper.fixedpoint import BPS
from keeper.risk.liquidation_price import liquidation_prices, priced_as
from keeper.risk.moves import DAY_S, Floats, Moves
from keeper.types import Address, Factor, Health, Leg

PER_CENT = 0.01


class Bent(NamedTuple):
    """A value as a price sees it, in the market's unit: the value V(P), P·V'(P) and P²·V''(P). Linear: the value twice, and 0."""

    value: float = 0.0
    slope: float = 0.0
    curve: float = 0.0

    def plus(self, value: float, slope: float, curve: float = 0.0) -> Bent:
        return Bent(self.value + value, self.slope + slope, self.curve + curve)


NOTHING = Bent()


@dataclass(frozen=True, slots=True)
class Payoff:
    """What one price does to an account: `counted` for it (value · threshold), and `owed`."""

    token: Address
    symbol: str
    price: int
    counted: Bent = NOTHING
    owed: Bent = NOTHING

    @property
    def slope(self) -> float:
        """P·∂surplus/∂P: the exposure in value."""
        return self.counted.slope - self.owed.slope


@dataclass(frozen=True, slots=True)
class Greek:
    """Of one price. `surplus_delta`, `health_delta`: change per 1 % of the price, in the market's unit and as a factor; `*_gamma`: how much
    the delta itself changes per 1 %. `liquidation_price` (unit of `Leg.price`) and `move_bps`: where the health factor is 1, the other
    prices holding; None if nowhere. `distance_sigma`: that surplus in deviations of one day of this price alone; inf if it cannot."""

    token: Address
    symbol: str
    price: int
    surplus_delta: float
    surplus_gamma: float
    health_delta: float
    health_gamma: float
    liquidation_price: int | None
    move_bps: int | None
    distance_sigma: float


@dataclass(frozen=True, slots=True)
class Greeks:
    """`distance_sigma`: the surplus in deviations of one day of all prices together, jumps included; below 0 when it is liquidatable."""

    account: Address
    surplus: int
    distance_sigma: float
    per_price: tuple[Greek, ...]


def payoffs(health: Health) -> tuple[Payoff, ...]:
    """One per price, in the order of the legs: linear, from the legs alone. A token both lent and owed is one price."""
    found: dict[Address, Payoff] = {}
    for leg in health.legs:
        token = priced_as(leg)
        known = found.get(token, Payoff(token, _symbol(health, token, leg), leg.price))
        found[token] = _with(known, leg)
    return tuple(found.values())


def greeks(health: Health, moves: Moves, factor: Callable[[Address], Factor], parts: Sequence[Payoff] | None = None) -> Greeks:
    """`factor`: the name of a token's price in `moves`. `parts`: pay-offs that are not linear; those of the legs if not given."""
    prices = payoffs(health) if parts is None else tuple(parts)
    deviations, matrix = _daily(prices, moves, factor)
    slopes = np.array([part.slope for part in prices])
    surplus = health.weighted_collateral - health.debt
    together = math.sqrt(max(float(slopes @ matrix @ slopes), 0.0)) if prices else 0.0
    reach = {found.token: (found.price, found.move_bps) for found in liquidation_prices(health)} if parts is None else {}
    each = [_greek(health, part, sd, reach) for part, sd in zip(prices, deviations, strict=True)]
    return Greeks(health.account, surplus, _sigmas(surplus, together), tuple(each))


def exposures(health: Health, factor: Callable[[Address], Factor]) -> tuple[dict[Factor, float], dict[Factor, float]]:
    """What is counted and what is owed, by factor: the arguments of `hazard`."""
    parts = payoffs(health)
    return {factor(p.token): p.counted.value for p in parts}, {factor(p.token): p.owed.value for p in parts}


def _with(payoff: Payoff, leg: Leg) -> Payoff:
    counted, owed = payoff.counted, payoff.owed
    value = abs(leg.value * leg.weight_bps / BPS)
    if leg.side == "collateral":
        counted = counted.plus(value, value)
    else:
        owed = owed.plus(value, value)
    return Payoff(payoff.token, payoff.symbol, payoff.price, counted, owed)


def _symbol(health: Health, token: Address, leg: Leg) -> str:
    return next((other.symbol for other in health.legs if other.token == token), leg.symbol)


def _greek(health: Health, part: Payoff, deviation: float, reach: Mapping[Address, tuple[int, int]]) -> Greek:
    price, move_bps = reach.get(part.token, (None, None))
    health_slope, health_curve = _health_derivatives(health, part)
    surplus = health.weighted_collateral - health.debt
    return Greek(
        token=part.token,
        symbol=part.symbol,
        price=part.price,
        surplus_delta=part.slope * PER_CENT,
        surplus_gamma=(part.counted.curve - part.owed.curve) * PER_CENT**2,
        health_delta=health_slope * PER_CENT,
        health_gamma=health_curve * PER_CENT**2,
        liquidation_price=price,
        move_bps=move_bps,
        distance_sigma=_sigmas(surplus, abs(part.slope) * deviation) if price is not None else math.inf,
    )


def _health_derivatives(health: Health, part: Payoff) -> tuple[float, float]:
    """P·H' and P²·H'' of H = U/D, by the quotient rule: H' = (U' - H·D')/D and H'' = (U'' - 2·H'·D' - H·D'')/D."""
    if not health.debt:
        return 0.0, 0.0
    level = health.weighted_collateral / health.debt
    slope = (part.counted.slope - level * part.owed.slope) / health.debt
    curve = (part.counted.curve - 2 * slope * part.owed.slope - level * part.owed.curve) / health.debt
    return slope, curve


def _daily(prices: Sequence[Payoff], moves: Moves, factor: Callable[[Address], Factor]) -> tuple[list[float], Floats]:
    """Deviation of each price and covariance of all, over a day. Raises KeyError for a price that `moves` does not know."""
    column = {name: at for at, name in enumerate(moves.factors)}
    at = [column[factor(part.token)] for part in prices]
    matrix = moves.total[np.ix_(at, at)] * DAY_S
    return [math.sqrt(variance) for variance in np.diag(matrix)], matrix


def _sigmas(surplus: int, deviation: float) -> float:
    if deviation > 0:
        return surplus / deviation
    return math.inf if surplus > 0 else -math.inf
