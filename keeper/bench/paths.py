"""Ways the prices go: one row a tick, one column a reserve, relative to where they started. Pure; `rng` decides everything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keeper.bench.reserves import COUNT, RESERVES, TAIL

Floats = NDArray[np.float64]

STEP = 5e-4
RESIDUAL = 1e-3
"""How far a family's member strays from its family."""

STIR = 5e-4
"""How far a dollar wanders."""

STRAYED = 500
"""Ticks it takes to get there."""

NOISE = 1e-3
_FAMILIES = sorted({reserve.family or reserve.symbol for reserve in RESERVES})
FAMILY_OF: NDArray[np.intp] = np.array([_FAMILIES.index(reserve.family or reserve.symbol) for reserve in RESERVES])
PEGGED: NDArray[np.bool_] = np.array([reserve.family == "usd" for reserve in RESERVES])


def walk(rng: np.random.Generator, ticks: int, within: float = 0.01) -> Floats:
    """Every family wanders by itself and is thrown back at ± `within`, its members together but for small residuals; dollars stay."""
    reach = np.where(PEGGED, STIR, within - RESIDUAL)
    free = np.cumsum(rng.normal(0.0, STEP, (ticks, len(_FAMILIES))), axis=0)[:, FAMILY_OF] * reach / within
    folded = (free + reach) % (4.0 * reach)
    stray = rng.uniform(-RESIDUAL, RESIDUAL, COUNT) * np.minimum(np.arange(ticks) / STRAYED, 1.0)[:, None]
    return (1.0 + np.minimum(folded, 4.0 * reach - folded) - reach) * (1.0 + np.where(PEGGED, 0.0, stray))


def jump(rng: np.random.Generator, ticks: int, reserve: int = 0, by: float = -0.10, at: int | None = None) -> Floats:
    """A walk in which one reserve's price is `by` off from tick `at` on, the middle one if not given."""
    found = walk(rng, ticks)
    found[ticks // 2 if at is None else at :, reserve] *= 1.0 + by
    return found


def hostile(rng: np.random.Generator, ticks: int, times: float = 1000.0, reserve: int = TAIL) -> Floats:
    """A price that hardly anybody depends on is `times` what it was at every second tick."""
    found = walk(rng, ticks)
    found[1::2, reserve] *= times
    return found


def crash(rng: np.random.Generator, ticks: int = 500, total: float = -0.40) -> Floats:
    """Every family falls by `total` in all, not smoothly, its members together but for small residuals; dollars stay dollars."""
    end = np.log1p(total)
    steps = rng.normal(end / ticks, NOISE, (ticks, len(_FAMILIES)))
    steps += (end - steps.sum(axis=0)) / ticks
    together = np.cumsum(steps, axis=0)[:, FAMILY_OF]
    residual = rng.uniform(-1.0, 1.0, (ticks, COUNT)) * np.where(PEGGED, STIR, RESIDUAL)
    return np.exp(np.where(PEGGED, 0.0, together)) * (1.0 + residual)
