"""The factor vector of a chain: every number that moves accounts without their acting, with the yardsticks their moves are measured by.

Values are floats in the market's unit; what rows leave out of a factor's worth are its `width` and `slack` (see `types.Quote`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

from keeper.types import Factor, Quote

Floats = NDArray[np.float64]

PRIOR = 0.01
"""Scale of a factor nobody has measured yet, relative to its value."""

LEAST = 1e-200
"""Scale of a factor that is zero: a certificate holds while it stays so, and no longer."""

RESIDUAL = 1 / 16
"""What a family's member is expected to move against its family, relative to what the family moves."""


NOTHING: Factor = ()
"""Column 0: where the unused places of rows point, so that an unknown value concerns only those who hold it."""

ANY: Factor = ("", "any debt")
"""Column 1: the least debt that pays, for rows of which every debt does. Far below zero, and it never moves."""

ANY_DEBT = 1
RESERVED = 2
"""Columns that no row brought."""


class Factors:
    """Columns are handed out for good; a factor that has no value yet is NaN, so that whoever holds it is looked at."""

    def __init__(self) -> None:
        self._column: dict[Factor, int] = {}
        self._family: dict[Hashable, int] = {}
        self.names: list[Factor] = []
        self.value: Floats = np.zeros(0)
        self.width: Floats = np.zeros(0)
        self.slack: Floats = np.zeros(0)
        self.scale: Floats = np.zeros(0)
        """Relative to the value; absolute for a factor in `steps`."""
        self.step: Floats = np.zeros(0)
        """Absolute scale of a clock or a funding index, which may be zero or pass through it; 0: `scale` applies."""
        self.family: NDArray[np.int32] = np.zeros(0, np.int32)
        """Factors that move together share a number; -1: alone."""
        self.set([(self.column(NOTHING), Quote(1.0)), (self.column(ANY, step=1.0), Quote(-1e300))])

    def __len__(self) -> int:
        return len(self.names)

    def find(self, factor: Factor) -> int | None:
        return self._column.get(factor)

    def column(self, factor: Factor, family: Hashable | None = None, step: float = 0.0) -> int:
        """The factor's column, a new one the first time. `family` and `step` count only then."""
        found = self._column.get(factor)
        return self._add(factor, family, step) if found is None else found

    def _add(self, factor: Factor, family: Hashable | None, step: float) -> int:
        column = self._column[factor] = len(self.names)
        self.names.append(factor)
        number = -1 if family is None else self._family.setdefault(family, len(self._family))
        self.value = np.append(self.value, np.nan)
        self.width = np.append(self.width, 0.0)
        self.slack = np.append(self.slack, 0.0)
        self.scale = np.append(self.scale, PRIOR)
        self.step = np.append(self.step, step)
        self.family = np.append(self.family, np.int32(number))
        return column

    def set(self, quotes: Iterable[tuple[int, Quote]]) -> None:
        for column, (value, width, slack) in quotes:
            self.value[column] = value
            self.width[column] = width
            self.slack[column] = slack

    def scales(self) -> Floats:
        """How far each factor is expected to move, in its own units. Positive, whatever the values are."""
        relative = np.abs(np.nan_to_num(self.value)) * self.scale
        found: Floats = np.where(self.step > 0.0, self.step, relative)
        return np.where(found > 0.0, found, LEAST)
