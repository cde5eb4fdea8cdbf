"""How prices are expected to move: what volatility measures, and what distances and probabilities are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keeper.types import Factor

Floats = NDArray[np.float64]

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Moves:
    """Log prices of F factors as a jump diffusion, per second. `drift` [F], `covariance` [F, F]; now and then (`jump_rate`, of the whole
    market) all jump at once by a multivariate Laplace variable of mean 0 and `jump_covariance` [F, F]: every portfolio of them then jumps
    double-exponentially. `measured`: the factors whose own history counts for most of this; the others move as the prior says."""

    factors: tuple[Factor, ...]
    drift: Floats
    covariance: Floats
    jump_rate: float
    jump_covariance: Floats
    measured: frozenset[Factor] = frozenset()

    @property
    def total(self) -> Floats:
        """Covariance per second of everything, jumps included. [F, F]"""
        return self.covariance + self.jump_rate * self.jump_covariance


def martingale(
    factors: tuple[Factor, ...], covariance: Floats, jump_rate: float, jump_covariance: Floats, measured: frozenset[Factor] = frozenset()
) -> Moves:
    """Prices that are expected to stay where they are: their logarithms drift down by half of their variance."""
    drift = -(np.diag(covariance) + jump_rate * np.diag(jump_covariance)) / 2
    return Moves(factors, drift, covariance, jump_rate, jump_covariance, measured)
