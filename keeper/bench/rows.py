"""The synthetic book as rows over risk factors: what a market's adapter would compile from the same cells.

Factors, as an adapter names them: ("bench", "c", reserve, category, "alone") for what is supplied, ("bench", "d", reserve, "0") for what is
owed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keeper.bench.population import EMODE, Population
from keeper.bench.reserves import COUNT, EMODE_THRESHOLD, HOURS_PER_YEAR, RESERVES, thresholds, unit_values
from keeper.types import Factor, Quote, RowBlock

Floats = NDArray[np.float64]

NAME = "bench"
FLOAT_MARGIN = 1e-9
WIDTH = 1e-8
"""Of a factor's value: the float error that the rows leave out."""

UNITS = 2.0
"""Scaled units that they may be further from the truth."""

_IN_EMODE = [number for number, reserve in enumerate(RESERVES) if reserve.family == "eth"]
_SUPPLIED: list[Factor] = [(NAME, "c", str(number), "0", "alone") for number in range(COUNT)]
_SUPPLIED_IN_EMODE: list[Factor] = [(NAME, "c", str(number), str(EMODE), "alone") for number in _IN_EMODE]
_OWED: list[Factor] = [(NAME, "d", str(number), "0") for number in range(COUNT)]

FACTORS: tuple[Factor, ...] = (*_SUPPLIED, *_SUPPLIED_IN_EMODE, *_OWED)
RESERVE_OF: NDArray[np.intp] = np.array([int(factor[2]) for factor in FACTORS], np.intp)
"""intp[F]: the reserve whose price moves each factor."""


def block(population: Population) -> RowBlock:
    """One row an account, its slot the account's number: four places of column and weight, 0 where unused."""
    side, reserve = population.side, population.reserve.astype(np.intp)
    in_emode = np.zeros(COUNT, np.intp)
    in_emode[_IN_EMODE] = COUNT + np.arange(len(_IN_EMODE))
    supplied = np.where((population.category == EMODE)[:, None], in_emode[reserve], reserve)
    column = np.where(side > 0, supplied, np.where(side < 0, reserve + COUNT + len(_IN_EMODE), 0))
    scaled = population.scaled()
    weight = np.where(side > 0, (scaled - 1.0) * (1.0 - FLOAT_MARGIN), -(scaled + 1.0) * (1.0 + FLOAT_MARGIN))
    rounding = (side != 0).sum(axis=1) + 1.0
    slot = np.arange(len(population), dtype=np.int32)
    return RowBlock(FACTORS, slot, column, np.where(side == 0, 0.0, weight), -rounding, 2.0 * rounding)


def values(prices: Floats | None = None) -> Floats:
    """float64[F]. `prices`: of each reserve, relative to where it started."""
    supplied, owed = unit_values()
    threshold = thresholds()
    plain, in_emode = supplied * threshold, supplied[_IN_EMODE] * EMODE_THRESHOLD
    found = np.concatenate((plain, in_emode, owed))
    return found if prices is None else found * prices[..., RESERVE_OF]


def quotes(at: Floats | None = None) -> dict[Factor, Quote]:
    """`at`: as `values` gives them; those of the start if not given."""
    found = values() if at is None else at
    return {factor: Quote(float(value), float(value) * WIDTH, float(value) * UNITS) for factor, value in zip(FACTORS, found, strict=True)}


def family(factor: Factor) -> str:
    """Factors that move together share a name: those of related reserves, or of one reserve's two sides."""
    reserve = RESERVES[int(factor[2])]
    return reserve.family or reserve.symbol


def scales() -> Floats:
    """float64[F]: what each factor moves in an hour, one standard deviation, relative to its value."""
    hourly = np.array([reserve.volatility for reserve in RESERVES]) / np.sqrt(HOURS_PER_YEAR)
    found: Floats = hourly[RESERVE_OF]
    return found
