"""At which price of each token an account's health factor reaches 1, the others holding."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from keeper.fixedpoint import BPS
from keeper.types import ZERO_ADDRESS, Address, Health, Leg


@dataclass(frozen=True, slots=True)
class LiquidationPrice:
    """`price` is in the unit of `Leg.price`; `move_bps` is how far that is from now (negative: a fall liquidates)."""

    token: Address
    symbol: str
    price: int
    move_bps: int


def liquidation_prices(health: Health) -> tuple[LiquidationPrice, ...]:
    """One per price that can liquidate the account by itself; none for one that cannot (it would have to be negative).

    P* = P · (1 - surplus / exposure), exposure = value·threshold of collateral - value·(1 + margin) of debt. Rounded towards now."""
    surplus = health.weighted_collateral - health.debt
    exposures: dict[Address, int] = defaultdict(int)
    names: dict[Address, tuple[str, int]] = {}
    for leg in health.legs:
        token = priced_as(leg)
        exposures[token] += leg.value * leg.weight_bps
        if token not in names or token == leg.token:
            names[token] = (leg.symbol, leg.price)
    found = []
    for token, exposure in exposures.items():
        symbol, price = names[token]
        move = _move(price, surplus, exposure)
        if exposure and price + move >= 0:
            found.append(LiquidationPrice(token, symbol, price + move, move * BPS // price if price else 0))
    return tuple(found)


def priced_as(leg: Leg) -> Address:
    """The token whose price the leg moves with: its own, unless the market prices it as another."""
    return leg.token if leg.priced_as == ZERO_ADDRESS else leg.priced_as


def _move(price: int, surplus: int, exposure: int) -> int:
    """-price · surplus / exposure, towards zero."""
    if not exposure:
        return 0
    size = price * abs(surplus) * BPS // abs(exposure)
    return size if (surplus > 0) != (exposure > 0) else -size
