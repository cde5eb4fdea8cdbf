"""How far factors have moved since a reference, one number per list of certificates, in scales, adverse moves positive.

The lists of a yardstick, in order: a fall of each factor, a rise of each; both again with the factors' widths, a fall of the least it may
be and a rise of the most; a fall of each family, a rise of each; a fall and a rise of each factor against its family. What they are for
says `certificate.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keeper.risk.factors import RESIDUAL, Factors, Floats

GROWN = 2.0
"""Certificates reckon with factors' slacks so many times what they are."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The factors when the certificates were made. Columns added later are held by rows that were edited later."""

    value: Floats
    width: Floats
    slack: Floats
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
        return cls(value, factors.width.copy(), factors.slack.copy(), scale, relative, family, int(factors.family.max(initial=-1)) + 1)

    @property
    def widened(self) -> int:
        """The first list of the moves with widths."""
        return 2 * len(self.value)

    @property
    def netted(self) -> int:
        """The first list of the families' moves."""
        return 4 * len(self.value)


class Yardstick:
    """`used`: the lists that certificates are in; of the others no move needs to be known."""

    def __init__(self, at: Reference, used: NDArray[np.int32]) -> None:
        size = len(at.value)
        self.lists = 6 * size + 2 * at.families
        self._value, self._per_scale = at.value, 1.0 / at.scale
        self._moves = np.full(self.lists, -np.inf)
        self._fall, self._rise, self._least, self._most = self._moves[: 4 * size].reshape(4, size)
        self._widened = _Widened(at) if ((used >= at.widened) & (used < at.netted)).any() else None
        self._netted = _Netted(at) if (used >= at.netted).any() else None

    def moves(self, now: Factors) -> Floats:
        """float64[lists]; gone at the next call."""
        rise = self._rise
        np.subtract(now.value[: len(rise)], self._value, out=rise)
        np.multiply(rise, self._per_scale, out=rise)
        np.negative(rise, out=self._fall)
        if self._widened:
            wider = self._widened.moves(now)
            np.subtract(wider, rise, out=self._least)
            np.add(wider, rise, out=self._most)
        if self._netted:
            self._netted.moves(now.value, self._moves[4 * len(rise) :])
        return self._moves


class _Widened:
    def __init__(self, at: Reference) -> None:
        self._width, self._per_scale, self._most = at.width, 1.0 / at.scale, GROWN * at.slack

    def moves(self, now: Factors) -> Floats:
        """Of the widths; without end where the slack is more than certificates reckon with."""
        found: Floats = (now.width[: len(self._width)] - self._width) * self._per_scale
        found[now.slack[: len(self._most)] > self._most] = np.inf
        return found


class _Netted:
    def __init__(self, at: Reference) -> None:
        common, apart = relative_scales(at)
        self._family, self._per_common, self._per_apart = at.family, 1.0 / common, 1.0 / apart
        with np.errstate(divide="ignore"):
            self._per_value = 1.0 / at.value
        self._members, self._middle = _members(at)
        self._rows = np.arange(at.families)
        self._move, self._together = np.full(len(at.value) + 1, np.inf), np.zeros(at.families + 1)

    def moves(self, value: Floats, out: Floats) -> None:
        """Into float64[2 · families + 2 · factors]."""
        move, together = self._move[:-1], self._together[:-1]
        families, size = len(together), len(move)
        fall, rise, below, above = out[:families], out[families : 2 * families], out[-2 * size : -size], out[-size:]
        with np.errstate(invalid="ignore"):
            np.multiply(value[:size], self._per_value, out=move)
            np.subtract(move, 1.0, out=move)
        padded = self._move.take(self._members)
        padded.sort(axis=1)
        together[:] = padded[self._rows, self._middle]
        np.subtract(move, self._together.take(self._family), out=above)
        np.multiply(above, self._per_apart, out=above)
        np.negative(above, out=below)
        np.multiply(together, self._per_common, out=rise)
        np.negative(rise, out=fall)


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
