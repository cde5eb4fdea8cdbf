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
        size = len(at.value)
        self.lists = 2 * size
        self._value, self._per_scale = at.value, 1.0 / at.scale
        self._moves = np.empty(self.lists)
        self._fall, self._rise = self._moves[:size], self._moves[size:]

    def moves(self, value: Floats, width: Floats) -> Floats:
        np.subtract(value[: len(self._value)], self._value, out=self._rise)
        np.multiply(self._rise, self._per_scale, out=self._rise)
        np.negative(self._rise, out=self._fall)
        return self._moves


class Doomed:
    """Lists: a fall of each factor, a rise of each, then both with the widths: a fall of the least it may be, a rise of the most."""

    def __init__(self, at: Reference) -> None:
        self.lists = 4 * len(at.value)
        self._value, self._width, self._scale = at.value, at.width, at.scale

    def moves(self, value: Floats, width: Floats) -> Floats:
        size = len(self._value)
        rise = (value[:size] - self._value) / self._scale
        wider = (width[:size] - self._width) / self._scale
        return np.concatenate((-rise, rise, wider - rise, wider + rise))


class Netted:
    """Lists: a fall of each family, a rise of each, then a fall and a rise of each factor against its family."""

    def __init__(self, at: Reference) -> None:
        size, families = len(at.value), at.families
        self.lists = 2 * (families + size)
        common, apart = relative_scales(at)
        self._family, self._per_common, self._per_apart = at.family, 1.0 / common, 1.0 / apart
        with np.errstate(divide="ignore"):
            self._per_value = 1.0 / at.value
        self._members, self._middle = _members(at)
        self._rows = np.arange(families)
        self._move, self._together = np.full(size + 1, np.inf), np.zeros(families + 1)
        self._moves = np.empty(self.lists)
        self._fall, self._rise = self._moves[:families], self._moves[families : 2 * families]
        self._below, self._above = self._moves[2 * families : 2 * families + size], self._moves[2 * families + size :]

    def moves(self, value: Floats, width: Floats) -> Floats:
        move, together = self._move[:-1], self._together[:-1]
        with np.errstate(invalid="ignore"):
            np.multiply(value[: len(move)], self._per_value, out=move)
            np.subtract(move, 1.0, out=move)
        padded = self._move.take(self._members)
        padded.sort(axis=1)
        together[:] = padded[self._rows, self._middle]
        np.subtract(move, self._together.take(self._family), out=self._above)
        np.multiply(self._above, self._per_apart, out=self._above)
        np.negative(self._above, out=self._below)
        np.multiply(together, self._per_common, out=self._rise)
        np.negative(self._rise, out=self._fall)
        return self._moves


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
