"""How anything is measured: warm, beside its baseline, call by call in turn, with what the collector held frozen, and n stated.

Both calls of a trial share the machine's caches and its bad moments; which goes first changes from round to round.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keeper.bench.bed import Bed

Floats = NDArray[np.float64]
Call = Callable[[int], object]
"""Gets the round's number. What it returns is not looked at."""

WARM_UP = 3
LEAST_ROUNDS = 5
NS_PER_US = 1000.0


def nothing(round_: int) -> None:
    """What is done before a call that needs no preparation."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Two calls to be timed. `units`: how many of what is measured one call does; `before`: done untimed before each round; `every`: a slow
    baseline is called in one round of so many; `named`: what the baseline is, where only the preparation knows."""

    subject: Call
    baseline: Call | None = None
    units: int = 1
    before: Call = nothing
    every: int = 1
    named: str = ""


@dataclass(frozen=True, slots=True)
class Weighed:
    """Not times but sizes, in megabytes."""

    subject_mb: Floats
    baseline_mb: Floats
    named: str = ""


Prepare = Callable[[Bed], Awaitable[Trial | Weighed]]


@dataclass(frozen=True, slots=True)
class Measure:
    """`what` is timed, and the `baseline` it is compared with. Measured `rounds` times, or until `budget_s` is spent.

    `at`: the sizes of book it is measured at whatever is asked for (0: it needs none); `least`, `most`: those it makes sense at."""

    name: str
    what: str
    baseline: str
    prepare: Prepare
    rounds: int = 300
    budget_s: float = 3.0
    at: tuple[int, ...] = ()
    least: int = 0
    most: int = 10**9
    devnet: bool = False

    def sizes(self, asked: tuple[int, ...]) -> tuple[int, ...]:
        return self.at or tuple(size for size in asked if self.least <= size <= self.most)


@dataclass(frozen=True, slots=True)
class Result:
    """`subject` and `baseline`: one figure a round, in `unit` ("us", "mb")."""

    measure: str
    accounts: int
    subject: Floats
    baseline: Floats = field(default_factory=lambda: np.zeros(0))
    named: str = ""
    unit: str = "us"

    def row(self) -> dict[str, Any]:
        """`ratio`: how many times the baseline is what was measured."""
        median = float(np.median(self.subject))
        compared = float(np.median(self.baseline)) if len(self.baseline) else None
        return {
            "measure": self.measure,
            "accounts": self.accounts,
            "n": len(self.subject),
            f"median_{self.unit}": _figures(median),
            f"p99_{self.unit}": _figures(float(np.quantile(self.subject, 0.99, method="higher"))),
            "baseline": self.named if len(self.baseline) else None,
            f"baseline_{self.unit}": None if compared is None else _figures(compared),
            "ratio": None if compared is None else _figures(compared / median),
        }


async def run(measure: Measure, bed: Bed) -> Result:
    """Prepare, measure, and put away."""
    async with bed:
        prepared = await measure.prepare(bed)
        named = prepared.named or measure.baseline
        if isinstance(prepared, Weighed):
            return Result(measure.name, bed.accounts, prepared.subject_mb, prepared.baseline_mb, named, "mb")
        subject, baseline = timed(prepared, measure.rounds, measure.budget_s)
        return Result(measure.name, bed.accounts, subject, baseline, named)


def timed(trial: Trial, rounds: int, budget_s: float) -> tuple[Floats, Floats]:
    """(of the subject, of the baseline): microseconds a unit, one for each round after the warm-up."""
    spent_ns: tuple[list[int], list[int]] = ([], [])
    gc.collect()
    gc.freeze()
    try:
        _rounds(trial, spent_ns, rounds, budget_s)
    finally:
        gc.unfreeze()
    subject, baseline = (np.array(each, np.float64) / NS_PER_US / trial.units for each in spent_ns)
    return subject, baseline


def _rounds(trial: Trial, spent_ns: tuple[list[int], list[int]], rounds: int, budget_s: float) -> None:
    until = perf_counter_ns() + int(budget_s * 1e9)
    for round_ in range(WARM_UP + rounds):
        if round_ >= WARM_UP + LEAST_ROUNDS and perf_counter_ns() > until:
            return
        trial.before(round_)
        for call, kept in _turn(trial, spent_ns, round_):
            start = perf_counter_ns()
            call(round_)
            taken = perf_counter_ns() - start
            if round_ >= WARM_UP:
                kept.append(taken)


def _turn(trial: Trial, spent_ns: tuple[list[int], list[int]], round_: int) -> list[tuple[Call, list[int]]]:
    """What a round calls, in which order."""
    calls = [(trial.subject, spent_ns[0])]
    if trial.baseline is not None and (round_ - WARM_UP) % trial.every == 0:
        calls.append((trial.baseline, spent_ns[1]))
    return calls if round_ % 2 else calls[::-1]


def _figures(value: float) -> float:
    """Four of them: no clock here gives more."""
    return float(f"{value:.4g}")
