"""Accounts as rows over risk factors, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from keeper.fixedpoint import BPS
from keeper.types.base import ZERO_ADDRESS, Address, Factor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Quote(NamedTuple):
    """A factor's value, and what rows leave out of its worth to an account, by rounding: `width` for each unit they hold or owe, and
    `slack` besides, however few they are."""

    value: float
    width: float = 0.0
    slack: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One trigger of an account as certified bounds: with low = constant + Σ weight · value, the contract's own surplus lies between `low`
    and low + slack + Σ (|weight| · width + slack of the factor). Below zero it is liquidatable; where the bounds disagree, integers decide.

    `box`: factor → (least, most) value for which this holds; beyond it the row must be asked for again."""

    weights: Mapping[Factor, float]
    constant: float
    slack: float = 0.0
    box: Mapping[Factor, tuple[float, float]] = field(default_factory=dict)


class Entries(NamedTuple):
    """All cells of a table of accounts, one array each. Key: (`number`, account in `slot`), or (account) with number 0. Value:
    `low` + `high` · 2^64."""

    number: NDArray[np.int32]
    slot: NDArray[np.int32]
    low: NDArray[np.uint64]
    high: NDArray[np.uint64]


class RowBlock(NamedTuple):
    """The rows of many accounts at once: the same numbers `rows` gives, R rows of at most W weights.

    `slot` int32[R]; `column` intp[R, W] indexes `factors`; `weight` float64[R, W], 0 where unused; `constant` and `slack` float64[R]."""

    factors: tuple[Factor, ...]
    slot: NDArray[np.int32]
    column: NDArray[np.intp]
    weight: NDArray[np.float64]
    constant: NDArray[np.float64]
    slack: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Leg:
    """One position of an account: `amount` in the token's smallest unit, `value` and `price` (of a whole token) in the market's unit.

    `priced_as`: the token whose price counts; zero: its own."""

    token: Address
    symbol: str
    side: str  # "collateral" | "debt"
    amount: int
    value: int
    threshold_bps: int  # liquidation threshold of a collateral; of a debt: the margin it takes on top of itself
    price: int
    decimals: int
    priced_as: Address = ZERO_ADDRESS

    @property
    def weight_bps(self) -> int:
        """What each unit of its value adds to the surplus of the account."""
        return self.threshold_bps if self.side == "collateral" else -(BPS + self.threshold_bps)


@dataclass(frozen=True, slots=True)
class Health:
    """What the contract would say of an account at `timestamp_s`, to the wei. `unit` names the unit of value, e.g. "usd-8"."""

    account: Address
    timestamp_s: int
    health_factor_wad: int
    weighted_collateral: int
    debt: int
    unit: str
    legs: tuple[Leg, ...] = ()

    @property
    def liquidatable(self) -> bool:
        return self.health_factor_wad < 10**18
