"""The contract's arithmetic in integers, with its rounding. Source: `Morpho.sol`, `MathLib.sol`, `SharesMathLib.sol` of v1.0.0."""

from __future__ import annotations

from keeper.fixedpoint import WAD, mul_div_down, mul_div_up

PRICE_SCALE = 10**36
VIRTUAL_SHARES, VIRTUAL_ASSETS = 10**6, 1
CURSOR_WAD = 3 * 10**17
MOST_INCENTIVE_WAD = 115 * 10**16


def shares_down(assets: int, total_assets: int, total_shares: int) -> int:
    return mul_div_down(assets, total_shares + VIRTUAL_SHARES, total_assets + VIRTUAL_ASSETS)


def shares_up(assets: int, total_assets: int, total_shares: int) -> int:
    return mul_div_up(assets, total_shares + VIRTUAL_SHARES, total_assets + VIRTUAL_ASSETS)


def assets_down(shares: int, total_assets: int, total_shares: int) -> int:
    return mul_div_down(shares, total_assets + VIRTUAL_ASSETS, total_shares + VIRTUAL_SHARES)


def assets_up(shares: int, total_assets: int, total_shares: int) -> int:
    return mul_div_up(shares, total_assets + VIRTUAL_ASSETS, total_shares + VIRTUAL_SHARES)


def compounded(rate_wad: int, seconds: int) -> int:
    """e^(rate · seconds) - 1 in wad, by three terms of its series."""
    first = rate_wad * seconds
    second = mul_div_down(first, first, 2 * WAD)
    return first + second + mul_div_down(second, first, 3 * WAD)


def limit(collateral: int, price: int, lltv_wad: int) -> int:
    """The most that may be owed, in the loan token's smallest unit."""
    return mul_div_down(mul_div_down(collateral, price, PRICE_SCALE), lltv_wad, WAD)


def incentive(lltv_wad: int) -> int:
    """What a unit of repaid debt pays the liquidator in collateral, wad."""
    return min(MOST_INCENTIVE_WAD, mul_div_down(WAD, WAD, WAD - mul_div_down(CURSOR_WAD, WAD - lltv_wad, WAD)))


def seized_for(assets: int, price: int, lltv_wad: int) -> int:
    """Collateral that repaying the worth of some shares pays; `assets` is that worth, rounded down."""
    return mul_div_down(mul_div_down(assets, incentive(lltv_wad), WAD), PRICE_SCALE, price)


def repaid_for(collateral: int, price: int, lltv_wad: int) -> int:
    """Debt whose repayment pays so much collateral, before it is rounded to shares."""
    return mul_div_up(mul_div_up(collateral, price, PRICE_SCALE), WAD, incentive(lltv_wad))
