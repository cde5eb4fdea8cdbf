"""How far the factors must move before a row can change its state: computed once at a reference, then compared with each tick.

For a row whose surplus is S > 0 at the reference let ρ = S / Σ|w|·s, its distance in scales. As S moves by Σ w·Δ, nothing can happen before
some factor of its own has moved against it by more than ρ·s. Rows are therefore listed per factor and direction, by ρ. Of each row one
thing is certified:

* safe, by each factor's own move, or, if that reaches further, by what its families of factors move and what their members move against
  them: Σ v·m = Σ (Σ v)·μ + Σ v·(m - μ) for relative moves m and any μ, v = w·x;
* parked: it owes less than what pays, so that it does not matter whether it is liquidatable;
* doomed: liquidatable, and owing more than what pays.

What is none of these, or so near that it would not be for long, has no certificate and stays under observation. Everything is rounded
towards looking.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keeper.risk.factors import Factors, Floats
from keeper.risk.layer import Layer, Rows
from keeper.risk.yardstick import GROWN, Reference, Yardstick, relative_scales

FLOAT_ERROR = 1e-12
"""Of the sum of a row's terms: far more than adding them up can lose."""


REACH = 2.0
"""What would hold for fewer scales is not worth a certificate: a row so near is looked at by every tick instead."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Rows to certify: int32[n] numbers, intp[W, n] columns, float64[W, n] weights (0 where unused), float64[n] constants and slacks,
    int32[n] column of the least debt that pays."""

    row: Rows
    column: NDArray[np.intp]
    weight: Floats
    constant: Floats
    slack: Floats
    floor: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, index: NDArray[np.intp]) -> Exposure:
        arrays = (self.row, self.column, self.weight, self.constant, self.slack, self.floor)
        return Exposure(*(array.take(index, -1) for array in arrays))  # type: ignore[arg-type]  # as they came

    def among(self, columns: int) -> Exposure:
        """The same, but that factors beyond so many become the last of them."""
        column, floor = np.minimum(self.column, columns - 1), np.minimum(self.floor, np.int32(columns - 1))
        return replace(self, column=column, floor=floor)


@dataclass(frozen=True, slots=True)
class Certified:
    """`layer` holds a certificate of every row but those of `open`: that it is in the set for those of `doomed`, else that it is not."""

    layer: Layer
    doomed: Rows
    open: Rows


@dataclass(frozen=True, slots=True)
class _Entries:
    """Certificates to be listed: int32[n] list, float64[n] distance, int32[n] row."""

    lists: NDArray[np.int32]
    distance: Floats
    row: Rows

    @classmethod
    def joined(cls, parts: Iterable[_Entries]) -> _Entries:
        found = [cls(np.zeros(0, np.int32), np.zeros(0), np.zeros(0, np.int32)), *parts]
        return cls(*(np.concatenate([getattr(part, name) for part in found]) for name in ("lists", "distance", "row")))

    @classmethod
    def of(cls, lists: NDArray[np.int64], distance: Floats, row: Rows) -> _Entries:
        """`lists` [k, n]: where each row is listed; -1: nowhere."""
        listed = lists >= 0
        where = np.nonzero(listed)[1]
        return cls(lists[listed].astype(np.int32), distance[where], row[where])


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows' entries, and the rows that are in the set for certain, and those without any."""

    entries: _Entries
    inside: Rows
    opened: Rows


def weighted(weight: Floats, value: Floats, column: NDArray[np.intp]) -> Floats:
    """Σ weight · value over each row's places: [W, n] weights and columns to [n]."""
    found: Floats = np.einsum("ji,ji->i", weight, value.take(column, mode="clip"))  # clip: the columns are known to be there
    return found


def owed(weight: Floats, value: Floats, column: NDArray[np.intp]) -> Floats:
    """Σ of what a row's negative weights come to. Of the other factors nothing needs to be known."""
    found = -weighted(np.minimum(weight, 0.0), value, column)
    lost = np.flatnonzero(np.isnan(found))  # 0 times an unknown value is unknown too
    if len(lost):
        own, at = weight[:, lost], value.take(column[:, lost])
        found[lost] = np.where(own < 0.0, -own * at, 0.0).sum(axis=0)
    return found


def spread(weight: Floats, of: Factors | Reference, column: NDArray[np.intp]) -> Floats:
    """What rows leave out for the widths and slacks of their factors: [W, n] weights and columns to [n]."""
    found: Floats = weighted(np.abs(weight), of.width, column) + of.slack.take(column, mode="clip").sum(axis=0)
    return found


def certify(exposures: Iterable[Exposure], at: Reference) -> Certified:
    """Certificates at the reference for all rows that can have one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [_certify(exposure, at) for exposure in exposures]
    found = _Entries.joined(part.entries for part in parts)
    layer = Layer(Yardstick(at, found.lists), found.lists, found.distance, found.row)
    inside, opened = (np.concatenate([np.zeros(0, np.int32), *(getattr(part, name) for part in parts)]) for name in ("inside", "opened"))
    return Certified(layer, inside, opened)


def _certify(exposure: Exposure, at: Reference) -> _Part:
    low, error = _surplus(exposure, at)
    safe = low > error
    held, near = _safe(exposure.take(np.flatnonzero(safe)), (low - error)[safe], at)
    rest, inside, opened = _unsafe(exposure.take(np.flatnonzero(~safe)), at)
    return _Part(_Entries.joined((*held, *rest)), inside, np.concatenate((near, opened)))


def _surplus(exposure: Exposure, at: Reference) -> tuple[Floats, Floats]:
    """(lower bound, what floats may have lost of it)"""
    terms = exposure.weight * at.value[exposure.column]
    low = exposure.constant + terms.sum(axis=0)
    return low, FLOAT_ERROR * (np.abs(exposure.constant) + np.abs(terms).sum(axis=0))


def _safe(exposure: Exposure, surplus: Floats, at: Reference) -> tuple[tuple[_Entries, _Entries], Rows]:
    """Each row by the certificate that reaches further; and those that no certificate gets far."""
    size = np.abs(exposure.weight)
    plain = surplus / weighted(size, at.scale, exposure.column)
    netted, family_lists = _netting(exposure, surplus, at)
    worth, better = np.maximum(plain, netted) >= REACH, netted > plain
    own, net = np.flatnonzero(worth & ~better), np.flatnonzero(worth & better)
    lists = np.where(exposure.weight > 0.0, exposure.column, exposure.column + len(at.value))
    lists[exposure.weight == 0.0] = -1
    entries = (
        _Entries.of(lists[:, own], plain[own], exposure.row[own]),
        _Entries.of(family_lists[:, net], netted[net], exposure.row[net]),
    )
    return entries, exposure.row[~worth]


def _netting(exposure: Exposure, surplus: Floats, at: Reference) -> tuple[Floats, NDArray[np.int64]]:
    """(distance, lists [2W, n]) of rows with legs on both sides of one family; -inf for the others."""
    width, count = exposure.weight.shape
    distance, lists = np.full(count, -np.inf), np.full((2 * width, count), -1, np.int64)
    family = np.where(exposure.weight == 0.0, np.int32(-1), at.family[exposure.column])
    chosen = np.flatnonzero(_opposed(exposure.weight, family))
    if len(chosen):
        distance[chosen], lists[:, chosen] = _netted(exposure.take(chosen), family[:, chosen], surplus[chosen], at)
    return distance, lists


def _opposed(weight: Floats, family: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Two legs of opposite signs in one family."""
    found = np.zeros(weight.shape[1], np.bool_)
    for one in range(len(weight)):
        for other in range(one):
            found |= (family[one] >= 0) & (family[one] == family[other]) & (weight[one] * weight[other] < 0.0)
    return found


def _netted(exposure: Exposure, family: NDArray[np.int32], surplus: Floats, at: Reference) -> tuple[Floats, NDArray[np.int64]]:
    common, apart = relative_scales(at)
    worth = exposure.weight * at.value[exposure.column]
    together = np.zeros_like(worth)
    for one in range(len(worth)):
        first = family[one] >= 0
        for other in range(one):
            first &= family[one] != family[other]
        together[one] = np.where((family == family[one]) & first, worth, 0.0).sum(axis=0)
    scales = np.append(common, 0.0)[family]
    reach = (np.abs(together) * scales).sum(axis=0) + (np.abs(worth) * apart[exposure.column]).sum(axis=0)
    usable = ((exposure.weight == 0.0) | (at.value[exposure.column] > 0.0)).all(axis=0)
    families, size = at.families, len(at.value)
    of_family = at.netted + np.where(together > 0.0, family, family + families)
    of_factor = at.netted + 2 * families + np.where(worth > 0.0, exposure.column, exposure.column + size)
    of_family = np.where(together == 0.0, -1, of_family)
    of_factor = np.where(worth == 0.0, -1, of_factor)
    return np.where(usable, surplus / reach, -np.inf), np.concatenate((of_family, of_factor))


def _unsafe(exposure: Exposure, at: Reference) -> tuple[tuple[_Entries, _Entries], Rows, Rows]:
    """(of the parked and the doomed, the rows that are doomed, those that are neither)"""
    low, error = _surplus(exposure, at)
    floor = at.value[exposure.floor]
    doubt = error + FLOAT_ERROR * np.abs(floor)
    above = owed(exposure.weight, at.value, exposure.column) - floor
    reach = at.scale[exposure.floor] + owed(exposure.weight, at.scale, exposure.column)
    grown = (GROWN - 1.0) * at.slack.take(exposure.column).sum(axis=0)
    below = -(low + exposure.slack + spread(exposure.weight, at, exposure.column) + grown) - error
    apart = below / weighted(np.abs(exposure.weight), at.scale, exposure.column)
    owes_less, owes_more = (-above - doubt) / reach, np.minimum(apart, (above - doubt) / reach)
    parked = np.flatnonzero(owes_less >= REACH)
    doomed = np.flatnonzero((owes_more >= REACH) & (below > 0.0))
    lists_parked, lists_doomed = _parked_lists(exposure.take(parked), len(at.value)), _doomed_lists(exposure.take(doomed), at)
    entries = (
        _Entries.of(lists_parked, owes_less[parked], exposure.row[parked]),
        _Entries.of(lists_doomed, owes_more[doomed], exposure.row[doomed]),
    )
    return entries, exposure.row[doomed], np.delete(exposure.row, np.concatenate((parked, doomed)))


def _parked_lists(exposure: Exposure, size: int) -> NDArray[np.int64]:
    """What is owed may rise, and the least that pays fall."""
    rises = np.where(exposure.weight < 0.0, exposure.column + size, -1)
    return np.concatenate((rises, exposure.floor[None, :].astype(np.int64)))


def _doomed_lists(exposure: Exposure, at: Reference) -> NDArray[np.int64]:
    """The least that is owed may fall, the most that secures it rise; or what is owed fall and the least that pays rise."""
    size, owes, holds = len(at.value), exposure.weight < 0.0, exposure.weight > 0.0
    frees = np.where(owes, exposure.column + at.widened, np.where(holds, exposure.column + at.widened + size, -1))
    falls = np.where(owes, exposure.column, -1)
    floor = exposure.floor.astype(np.int64)[None, :] + size
    return np.concatenate((frees, falls, floor))
