"""The contract's arithmetic, in its own integers and its own rounding. Pure.

Source: tiny_bank.vy, function by function.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.fixedpoint import BPS, MAX_UINT256, WAD, mul_div_down, mul_div_up
from tiny_bank.cells import Terms


def index_at(index: int, rate: int, elapsed_s: int) -> int:
    """The debt of a share, in wads."""
    return index + index * rate * elapsed_s // WAD


def owed(shares: int, index: int) -> int:
    return mul_div_up(shares, index, WAD)


def weighted(terms: Terms, collateral: int, price: int, unit: int) -> int:
    return collateral * price // unit * terms.threshold_bps // BPS


def factor(weighted: int, debt: int) -> int:
    return mul_div_down(weighted, WAD, debt) if debt else MAX_UINT256


@dataclass(frozen=True, slots=True)
class Moved:
    """What a liquidation moves: `repaid` and `seized` in their tokens' smallest units, `shares` of the debt that go."""

    repaid: int
    seized: int
    shares: int


def most(terms: Terms, debt: int, health_factor_wad: int) -> int:
    """The close factor's cap."""
    return debt if health_factor_wad < terms.close_all_below else mul_div_up(debt, terms.close_bps, BPS)


def liquidated(terms: Terms, collateral: int, shares: int, index: int, price: int, unit: int, amount: int) -> Moved:
    """As `liquidate(account, amount)` of an account with this health; of zeros where the contract refuses."""
    debt = owed(shares, index)
    repaid = min(amount, most(terms, debt, factor(weighted(terms, collateral, price, unit), debt)))
    with_bonus = unit * (BPS + terms.bonus_bps)
    seized = mul_div_down(repaid, with_bonus, price * BPS)
    if seized > collateral:
        seized, repaid = collateral, mul_div_up(collateral, price * BPS, with_bonus)
    return Moved(repaid, seized, shares if repaid == debt else mul_div_down(repaid, WAD, index))
