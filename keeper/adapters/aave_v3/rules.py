"""Aave v3 arithmetic in integers, one function per rule that ever changed. `versions.py` says which version uses which.

Sources: aave-v3-core 3.0.2 and aave-v3-origin 3.1 to 3.7, `MathUtils`, `GenericLogic`, `LiquidationLogic`, `TokenMath`.
Base values are in the oracle's base currency (8 decimals on USD markets), indexes and rates in ray, percentages in basis points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keeper.fixedpoint import (
    BPS,
    MAX_UINT256,
    RAY,
    YEAR_S,
    percent_mul_half_up,
    ray_div_down,
    ray_div_half_up,
    ray_div_up,
    ray_mul_down,
    ray_mul_half_up,
    ray_mul_up,
    wad_div_half_up,
)

HALF_CLOSE_HF_WAD = 95 * 10**16
LARGE_POSITION_BASE = 2000 * 10**8
MIN_LEFTOVER_BASE = LARGE_POSITION_BASE // 2
HALF_BPS = 5000

TwoToOne = Callable[[int, int], int]
ThreeToOne = Callable[[int, int, int], int]


# --- interest -----------------------------------------------------------------------------------------------------


def linear_factor(rate: int, elapsed_s: int) -> int:
    return RAY + rate * elapsed_s // YEAR_S


def compound_binomial(rate: int, elapsed_s: int) -> int:
    """(1 + rate)^n by its first three terms, up to 3.3."""
    if elapsed_s == 0:
        return RAY
    less_one, less_two = elapsed_s - 1, max(elapsed_s - 2, 0)
    squared = ray_mul_half_up(rate, rate) // (YEAR_S * YEAR_S)
    cubed = ray_mul_half_up(squared, rate) // YEAR_S
    second = elapsed_s * less_one * squared // 2
    third = elapsed_s * less_one * less_two * cubed // 6
    return RAY + rate * elapsed_s // YEAR_S + second + third


def compound_taylor(rate: int, elapsed_s: int) -> int:
    """e^x by its first three terms, from 3.4."""
    x = rate * elapsed_s // YEAR_S
    return RAY + x + ray_mul_half_up(x, x // 2 + ray_mul_half_up(x, x // 6))


# --- scaled balances ----------------------------------------------------------------------------------------------


def scaled_by_delta(scaled: int, change: int, index: int) -> int:
    """Half-up versions: the event's amount is the action's own, so the scaled change is its rounded quotient."""
    moved = ray_div_half_up(abs(change), index)
    return scaled + moved if change > 0 else scaled - moved


def supply_by_balance(scaled: int, change: int, index: int) -> int:
    """Directed versions: the event's amount is a difference of floored balances; only one scaled balance has the new one."""
    return ray_div_up(ray_mul_down(scaled, index) + change, index)


def debt_by_balance(scaled: int, change: int, index: int) -> int:
    return ray_div_down(ray_mul_up(scaled, index) + change, index)


# --- health -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Weighed:
    """Collateral as the health factor sees it: `weighted` in base currency, the average threshold in bps."""

    weighted: int
    average_bps: int
    health_factor_wad: int


def health_by_average(values: Sequence[tuple[int, int]], debt: int) -> Weighed:
    """Up to 3.4: total collateral times the floored average threshold. `values`: (base value, threshold)."""
    total = sum(value for value, _ in values)
    average = sum(value * threshold for value, threshold in values) // total if total else 0
    weighted = percent_mul_half_up(total, average)
    return Weighed(weighted, average, wad_div_half_up(weighted, debt) if debt else MAX_UINT256)


def health_by_sum(values: Sequence[tuple[int, int]], debt: int) -> Weighed:
    """From 3.5: the exact sum of threshold times value."""
    total = sum(value for value, _ in values)
    weighed = sum(value * threshold for value, threshold in values)
    factor = wad_div_half_up(weighed, debt) // BPS if debt else MAX_UINT256
    return Weighed(weighed // BPS, weighed // total if total else 0, factor)


# --- close factor -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the close factor looks at. Amounts in token units, `*_base` in base currency."""

    debt: int
    debt_base: int
    collateral_base: int
    total_debt_base: int
    debt_price: int
    debt_unit: int
    health_factor_wad: int


def close_factor_by_reserve(exposure: Exposure) -> int:
    """Up to 3.2: half of this reserve's debt, all of it at a health factor of 0.95 or below."""
    half = exposure.health_factor_wad > HALF_CLOSE_HF_WAD
    return percent_mul_half_up(exposure.debt, HALF_BPS if half else BPS)


def close_factor_by_position(exposure: Exposure) -> int:
    """From 3.3: everything, unless position and health are large; then half of the account's total debt."""
    small = min(exposure.collateral_base, exposure.debt_base) < LARGE_POSITION_BASE
    half_base = percent_mul_half_up(exposure.total_debt_base, HALF_BPS)
    if small or exposure.health_factor_wad <= HALF_CLOSE_HF_WAD or exposure.debt_base <= half_base:
        return exposure.debt
    return half_base * exposure.debt_unit // exposure.debt_price


# --- what a liquidation leaves ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Emptying:
    """What decides whether collateral is gone. `gross`: taken with the protocol fee; `scaled_taken`: aTokens that leave."""

    gross: int
    balance: int
    scaled_taken: int
    scaled: int
    index: int
    price: int
    unit: int
    total_base: int


def emptied_by_amount(state: Emptying) -> tuple[bool, bool]:
    """Up to 3.6: (this collateral is gone, all collateral is gone), by unscaled amounts."""
    return state.gross == state.balance, state.gross * state.price // state.unit == state.total_base


def emptied_by_scaled(state: Emptying) -> tuple[bool, bool]:
    """From 3.7: by the aTokens that leave, so dust worth nothing does not hide a bad debt."""
    consumed = ray_mul_down(state.scaled_taken, state.index) * state.price // state.unit
    all_gone = consumed == state.total_base
    return state.scaled_taken == state.scaled or all_gone, all_gone


def debt_free_when_repaid(repaid: int, debt: int, scaled_left: int) -> bool:
    """Up to 3.3: the borrowing bit falls only when the amount repaid was the whole debt."""
    return repaid == debt


def debt_free_when_burnt(repaid: int, debt: int, scaled_left: int) -> bool:
    """From 3.4: the borrowing bit is exactly "some scaled debt is left"."""
    return scaled_left == 0


# --- flash loans --------------------------------------------------------------------------------------------------


def index_with_premium(index: int, liquidity: int, premium: int) -> int:
    """3.0 to 3.3: the suppliers' part of a flash premium, spread over `liquidity` (aToken supply and treasury claims)."""
    share = ray_div_half_up(premium * 10**9, liquidity * 10**9)
    return ray_mul_half_up(share + RAY, index)
