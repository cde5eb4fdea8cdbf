"""How far factors have moved since a reference, one number per list of certificates, in scales, adverse moves positive.

Three ways to see a move, each for one kind of certificate (see `certificate.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keeper.risk.factors import RESIDUAL, Factors, Floats


@dataclass(frozen=True, slots=True)
class Reference:
    """The factors when the certificates were made. Columns added later are held by rows that were edited later."""

    value: Floats
    width: Floats
    scale: Floats
    relative: Floats  # scale / |value|, 0 where that says nothing
    family: NDArray[np.int32]
    families: int

    @classmethod
    def of(cls, factors: Factors) -> Reference:
        value, scale = factors.value.copy(), factors.scales()
        positive = (value > 0.0) & np.isfinite(value)
        relative = np.divide(scale, value, out=np.zeros(len(value)), where=positive)
        family = np.where(positive, factors.family, np.int32(-1)).astype(np.int32)
        return cls(value, factors.width.copy(), scale, relative, family, int(factors.family.max(initial=-1)) + 1)


class Plain:
    """Lists: a fall of each factor, then a rise of each."""

    def __init__(self, at: Reference) -> None:
        self._value, self._scale = at.value, at.scale
        self.lists = 2 * len(at.value)

    def moves(self, value: Floats, width: Floats) -> Floats:
        rise = (value[: len(self._value)] - self._value) / self._scale
        return np.concatenate((-rise, rise))


class Doomed:
    """Lists: a fall of each factor, a rise of each, then both with the widths: a fall of the least it may be, a rise of the most."""

    def __init__(self, at: Reference) -> None:
        self._value, self._width, self._scale = at.value, at.width, at.scale
        self.lists = 4 * len(at.value)

    def moves(self, value: Floats, width: Floats) -> Floats:
        size = len(self._value)
        rise = (value[:size] - self._value) / self._scale
        wider = (width[:size] - self._width) / self._scale
        return np.concatenate((-rise, rise, wider - rise, wider + rise))


class Netted:
    """Lists: a fall of each family, a rise of each, then a fall and a rise of each factor against its family."""

    def __init__(self, at: Reference) -> None:
        self._value = at.value
        self.family = at.family
        self.common, self.apart = relative_scales(at)
        self._members, self._middle = _members(at)
        self.lists = 2 * (at.families + len(at.value))

    def moves(self, value: Floats, width: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            move = value[: len(self._value)] / self._value - 1.0
        padded = np.append(move, np.inf)[self._members]
        padded.sort(axis=1)
        together = padded[np.arange(len(padded)), self._middle]
        against = (move - np.append(together, 0.0)[self.family]) / self.apart
        together = together / self.common
        return np.concatenate((-together, together, -against, against))


def relative_scales(at: Reference) -> tuple[Floats, Floats]:
    """(of each family, of each factor against its family): a factor without family counts by itself."""
    common = np.zeros(at.families)
    inside = at.family >= 0
    np.maximum.at(common, at.family[inside], at.relative[inside])
    common = np.where(common > 0.0, common, 1.0)
    apart = np.where(inside, np.append(common, 0.0)[at.family] * RESIDUAL, at.relative)
    return common, np.where(apart > 0.0, apart, 1.0)


def _members(at: Reference) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Each family's members, padded, and the place of their middle one when sorted: of all choices of μ the one that a single member
    gone astray cannot move."""
    members = [np.flatnonzero(at.family == number) for number in range(at.families)]
    padded = np.full((at.families, max(map(len, members), default=0) or 1), len(at.family), np.intp)
    for number, found in enumerate(members):
        padded[number, : len(found)] = found
    return padded, np.array([max(len(found) - 1, 0) // 2 for found in members], np.intp)


Yardstick = Plain | Netted | Doomed
