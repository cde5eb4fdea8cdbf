"""How much prices have moved, and together: measured from the ticks of the market's own oracles, as they come.

Oracles speak one at a time, at irregular moments, often to repeat themselves. So:
* a factor's variance a second is Σ r² / Σ elapsed over its own moves; a repeated price only stretches the time of the next move;
* a pair's correlation is taken over spans in which both have moved (pairwise refresh times), `TOGETHER` times as long as the slower of them
  takes for a move, so that speaking late does not look like independence; sums over the same spans keep it within ±1, and cutting negative
  eigenvalues makes all of them fit together;
* all sums forget with `half_life_s` of observed time, and no single span counts for more than an eighth of that, however long the gap;
* what lies beyond `CLIP` deviations is a jump, and counts as one there instead of here;
* the prior is an observation made at the start, and is forgotten like any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keeper.fixedpoint import YEAR_S
from keeper.risk.moves import DAY_S, Floats, Moves, martingale
from keeper.types import Factor

CLIP = 5.0
LARGEST_JUMP = 1.0
"""Of a log price. A print that is off by more counts as this."""

FIRST_TICKS = 24.0
"""Moves the prior stands for."""

ONE_EVENT_S = 3600.0
"""Jumps of several factors within this time are one event."""

LEAST_VOLATILITY = 0.005
"""Per year. A price that never moved may still."""

LARGEST_VOLATILITY = 1e4
LARGEST_LOG = 750.0
"""Per year; and of a price, either way: no float's logarithm is larger. What is kept from before and is beyond was not measured."""

CLOCKS_APART_S = DAY_S
"""So far ahead of the chain a kept time may be: the file may have seen blocks that a reorg took."""

FULL = 8
"""Spans that a half-life is made of at least."""

TOGETHER = 16


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of a factor nobody has seen move. Per year; it counts for `weight_s` of observation. `pegged`: the volatility of one
    that is said to be kept where it is.

    Jumps: `jumps` a year over the whole market, of `jump_days` daily deviations each, worth `jump_weight` events of evidence."""

    volatility: float = 0.8
    pegged: float = 0.05
    correlation: float = 0.5
    weight_s: float = DAY_S
    jumps: float = 6.0
    jump_days: float = 2.0
    jump_weight: float = 1.0

    def variance(self, pegged: bool) -> float:
        """Per second."""
        return float((self.pegged if pegged else self.volatility) ** 2 / YEAR_S)


PRIOR = Prior()


class Volatility:
    """One chain's factors. Deterministic; O(F) a tick, O(F²) of state. `state` and `restore` carry it over a restart."""

    def __init__(self, prior: Prior = PRIOR, half_life_s: float = 7 * DAY_S, jump_half_life_s: float = 180 * DAY_S) -> None:
        self._half_life_s, self._jump_half_life_s = half_life_s, jump_half_life_s
        self._prior = prior
        self._column: dict[Factor, int] = {}
        self._vectors = {name: np.zeros(0) for name in VECTORS}
        self._tables = {name: np.zeros((0, 0)) for name in TABLES}
        self._events, self._believed = 0.0, self._prior.jump_weight
        self._watched_s = self._prior.jump_weight / self._prior.jumps * YEAR_S
        self._last_jump_s = self._last_s = -math.inf

    @property
    def factors(self) -> tuple[Factor, ...]:
        return tuple(self._column)

    # --- observing

    def observe(self, factor: Factor, price: float, at_s: float) -> None:
        """A price was told. Prices that are not positive, and times not after the factor's last, are passed over."""
        if not (price > 0 and math.isfinite(price)):
            return
        known = factor in self._column
        i = self.add(factor)
        of = self._vectors
        x = math.log(price)
        if not known or math.isnan(of["log"][i]):
            self._begin(i, x, at_s)
        elapsed_s = at_s - of["at"][i]
        if elapsed_s <= 0:
            return
        self._watch(at_s)
        if x != of["log"][i] or elapsed_s >= self._span_s:  # a price that has not moved for so long has not moved
            self._move(i, x, at_s, elapsed_s)

    def add(self, factor: Factor, pegged: bool = False) -> int:
        """The factor's column; a new one starts with the prior. `pegged` counts only then."""
        found = self._column.get(factor)
        if found is not None:
            return found
        n = self._column[factor] = len(self._column)
        prior, rho = self._prior, self._prior.correlation
        start = dict.fromkeys(VECTORS, 0.0)
        start |= {"log": math.nan, "squares": prior.variance(pegged) * prior.weight_s, "weight": prior.weight_s, "ticks": FIRST_TICKS}
        self._vectors = {name: np.append(self._vectors[name], start[name]) for name in VECTORS}
        fill = {"base": math.nan, "own": prior.weight_s, "cross": rho * prior.weight_s, "since": 0.0}
        self._tables = {name: _grown(self._tables[name], fill[name]) for name in TABLES}
        self._tables["cross"][n, n] = prior.weight_s
        return n

    def _begin(self, i: int, x: float, at_s: float) -> None:
        of = self._vectors
        of["log"][i], of["at"][i] = x, at_s
        known = ~np.isnan(of["log"])
        self._tables["base"][i, known] = x
        self._tables["base"][known, i] = of["log"][known]
        self._tables["since"][i, :] = self._tables["since"][:, i] = at_s

    def _move(self, i: int, x: float, at_s: float, elapsed_s: float) -> None:
        of = self._vectors
        r = x - of["log"][i]
        most = CLIP * math.sqrt(max(self._variance(i), self._least) * elapsed_s)
        calm = min(max(r, -most), most)
        if r != calm:
            self._leap(i, r - calm, at_s)
        weight = min(elapsed_s, self._span_s)
        kept = 0.5 ** (weight / self._half_life_s)
        of["squares"][i] = kept * of["squares"][i] + calm * calm * weight / elapsed_s
        of["weight"][i] = kept * of["weight"][i] + weight
        of["ticks"][i] = kept * of["ticks"][i] + weight / elapsed_s
        of["seen"][i] += weight
        of["log"][i], of["at"][i] = x, at_s
        self._together(i, at_s)

    def _together(self, i: int, at_s: float) -> None:
        """Pairs of i whose other side has moved, too, since they were last taken together."""
        of, base, since = self._vectors, self._tables["base"], self._tables["since"]
        spans = at_s - since[i]
        pace_s = of["weight"] / of["ticks"]
        patience_s = np.minimum(TOGETHER * np.maximum(pace_s, pace_s[i]), self._span_s)
        ready = (of["at"] > since[i]) & (spans >= patience_s) & ~np.isnan(base[i] + base[:, i])
        ready[i] = False
        j = np.flatnonzero(ready)
        if not j.size:
            return
        mine, theirs = self._normal(i, of["log"][i] - base[i, j], spans[j]), self._normal(j, of["log"][j] - base[j, i], spans[j])
        weight = np.minimum(spans[j], self._span_s)
        kept = 0.5 ** (weight / self._half_life_s)
        own, cross = self._tables["own"], self._tables["cross"]
        own[i, j] = kept * own[i, j] + weight * mine * mine
        own[j, i] = kept * own[j, i] + weight * theirs * theirs
        cross[i, j] = cross[j, i] = kept * cross[i, j] + weight * mine * theirs
        base[i, j], base[j, i] = of["log"][i], of["log"][j]
        since[i, j] = since[j, i] = at_s

    def _normal(self, of: Any, r: Floats, spans: Floats) -> Floats:
        """In deviations, clipped."""
        deviation = np.sqrt(np.maximum(self._variances()[of], self._least) * spans)
        return np.asarray(np.clip(r / deviation, -CLIP, CLIP))

    def _leap(self, i: int, excess: float, at_s: float) -> None:
        if at_s - self._last_jump_s > ONE_EVENT_S:
            self._events += 1.0
        self._last_jump_s = at_s
        self._vectors["leaps"][i] += min(abs(excess), LARGEST_JUMP) ** 2

    def _watch(self, at_s: float) -> None:
        """The time over which jumps could have been seen."""
        passed_s = min(max(at_s - self._last_s, 0.0), self._span_s)
        self._last_s = max(self._last_s, at_s)
        kept = 0.5 ** (passed_s / self._jump_half_life_s)
        self._events *= kept
        self._believed *= kept
        self._watched_s = self._watched_s * kept + passed_s
        self._vectors["leaps"] *= kept

    # --- asking

    def moves(self, factors: Sequence[Factor] | None = None) -> Moves:
        """What is to be expected of these factors (all that were seen, if not given); new ones as the prior says."""
        wanted = self.factors if factors is None else tuple(factors)
        columns = [self.add(factor) for factor in wanted]
        deviation = np.sqrt(self._variances()[columns])
        correlation = self.correlation()[np.ix_(columns, columns)]
        covariance = correlation * np.outer(deviation, deviation)
        leap = np.sqrt(self._leap_variances()[columns])
        measured = frozenset(factor for factor in wanted if self._vectors["seen"][self._column[factor]] > self._prior.weight_s)
        return martingale(wanted, covariance, self._rate, correlation * np.outer(leap, leap), measured)

    def correlation(self) -> Floats:
        """[F, F] of all factors, positive semidefinite."""
        own, cross = self._tables["own"], self._tables["cross"]
        if not own.size:
            return own
        raw = cross / np.sqrt(np.maximum(own * own.T, np.finfo(float).tiny))
        np.fill_diagonal(raw, 1.0)
        values, vectors = np.linalg.eigh((raw + raw.T) / 2)
        fit = (vectors * np.maximum(values, 0.0)) @ vectors.T
        scale = np.sqrt(np.diag(fit))
        return np.asarray(fit / np.outer(scale, scale))

    def annual(self, factor: Factor) -> float:
        """Volatility of one factor per year, without jumps."""
        return math.sqrt(self._variance(self.add(factor)) * YEAR_S)

    def _variance(self, i: int) -> float:
        return max(float(self._vectors["squares"][i] / self._vectors["weight"][i]), self._least)

    def _variances(self) -> Floats:
        return np.maximum(self._vectors["squares"] / self._vectors["weight"], self._least)

    def _leap_variances(self) -> Floats:
        """Of one event, for each factor. The prior's jump is as large as the factor's own days are."""
        expected = self._prior.jump_days**2 * DAY_S * self._variances()
        return np.asarray((self._believed * expected + self._vectors["leaps"]) / (self._believed + self._events))

    @property
    def _rate(self) -> float:
        return (self._believed + self._events) / self._watched_s

    @property
    def _least(self) -> float:
        return LEAST_VOLATILITY**2 / YEAR_S

    @property
    def _span_s(self) -> float:
        return self._half_life_s / FULL

    # --- over a restart

    def state(self) -> dict[str, Any]:
        """Plain data for JSON; NaN is None."""
        numbers = {name: getattr(self, f"_{name}") for name in NUMBERS}
        return {
            "factors": [list(factor) for factor in self._column],
            "numbers": {name: value if math.isfinite(value) else None for name, value in numbers.items()},
            "vectors": {name: _plain(array) for name, array in self._vectors.items()},
            "tables": {name: _plain(array.ravel()) for name, array in self._tables.items()},
        }

    def restore(self, state: Mapping[str, Any], now_s: float = math.inf) -> None:
        """Raises KeyError, TypeError or ValueError for what `state` did not make, before `now_s`; then nothing has changed."""
        column = {tuple(str(part) for part in factor): at for at, factor in enumerate(state["factors"])}
        size = len(column)
        vectors = {name: _array(state["vectors"][name], (size,)) for name in VECTORS}
        tables = {name: _array(state["tables"][name], (size, size)) for name in TABLES}
        numbers = {name: _number(state["numbers"][name]) for name in NUMBERS}
        if not all(_plausible(vectors, tables, numbers, now_s + CLOCKS_APART_S)):
            raise ValueError("the kept volatility must be one that prices can have")
        self._column, self._vectors, self._tables = column, vectors, tables
        for name, value in numbers.items():
            setattr(self, f"_{name}", value)


NUMBERS = ("events", "believed", "watched_s", "last_jump_s", "last_s")
"""Jumps seen, and those the prior still stands for; over which time; the moments of the last jump and the last tick."""

VECTORS = ("log", "at", "squares", "weight", "ticks", "leaps", "seen")
"""Per factor: its last log price and when, Σ r², Σ elapsed and how many moves, Σ of squared jumps, and how much was observed."""

TABLES = ("base", "since", "own", "cross")
"""Per pair (i, j): i's log price when they were last taken together and when that was, Σ of i's squares there, Σ of products."""


def _plausible(
    vectors: Mapping[str, Floats], tables: Mapping[str, Floats], numbers: Mapping[str, float], latest_s: float
) -> Iterator[bool | np.bool_]:
    """NaN fails every comparison; it is right only where a factor, or a pair, has not been heard of."""
    yield from (np.isfinite(vectors[name]).all() for name in VECTORS if name != "log")
    yield from (np.isfinite(tables[name]).all() for name in TABLES if name != "base")
    yield from (~(np.abs(logs) > LARGEST_LOG).any() for logs in (vectors["log"], tables["base"]))
    yield from ((vectors[name] >= 0).all() for name in ("squares", "leaps", "seen"))
    yield from ((vectors[name] > 0).all() for name in ("weight", "ticks"))
    yield (vectors["squares"] <= LARGEST_VOLATILITY**2 / YEAR_S * vectors["weight"]).all()
    yield (tables["own"] >= 0).all()
    yield (np.abs(tables["cross"]) <= (1 + 1e-9) * np.sqrt(tables["own"] * tables["own"].T) + 1e-150).all()
    yield from (numbers[name] < math.inf for name in NUMBERS)
    yield from (numbers[name] >= 0 for name in ("events", "believed"))
    yield numbers["watched_s"] > 0
    yield from ((times <= latest_s).all() for times in (vectors["at"], tables["since"]))
    yield from (numbers[name] <= latest_s for name in ("last_s", "last_jump_s"))


def _grown(table: Floats, fill: float) -> Floats:
    n = len(table)
    found = np.full((n + 1, n + 1), fill)
    found[:n, :n] = table
    return found


def _plain(array: Floats) -> list[float | None]:
    return [None if math.isnan(value) else value for value in array.tolist()]


def _array(values: Sequence[float | None], shape: tuple[int, ...]) -> Floats:
    return np.array([math.nan if value is None else float(value) for value in values]).reshape(shape)


def _number(value: float | None) -> float:
    return -math.inf if value is None else float(value)
