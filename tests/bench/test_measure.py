"""How things are measured: warm, in turn, with every round's number, and n stated."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import numpy as np
import pytest

from keeper.bench import measure
from keeper.bench.bed import Bed
from keeper.bench.measure import LEAST_ROUNDS, WARM_UP, Measure, Result, Trial, Weighed, run, timed
from keeper.errors import Halt

KEYS = ["measure", "accounts", "n", "median_us", "p99_us", "baseline", "baseline_us", "ratio"]


class Clock:
    """Time passes only when something says so."""

    ns = 0

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(measure, "perf_counter_ns", found)
    return found


def test_subject_and_baseline_take_turns_and_go_first_in_turn() -> None:
    seen: list[tuple[str, int]] = []
    timed(Trial(lambda n: seen.append(("ours", n)), lambda n: seen.append(("theirs", n))), rounds=4, budget_s=60.0)
    assert [number for _, number in seen] == [n for n in range(WARM_UP + 4) for _ in range(2)]
    firsts = [seen[2 * n][0] for n in range(WARM_UP + 4)]
    assert all(one != other for one, other in pairwise(firsts))


def test_the_warm_up_and_the_preparation_of_a_round_are_not_counted(clock: Clock) -> None:
    prepared: list[int] = []

    def before(round_: int) -> None:
        prepared.append(round_)
        clock.ns += 1_000_000

    def subject(round_: int) -> None:
        clock.ns += 5_000 if round_ >= WARM_UP else 9_000_000

    times, nothing = timed(Trial(subject, before=before), rounds=6, budget_s=60.0)
    assert prepared == list(range(WARM_UP + 6))
    assert (times.tolist(), nothing.tolist()) == ([5.0] * 6, [])


def test_a_slow_baseline_is_called_in_some_rounds_only() -> None:
    subject, baseline = timed(Trial(lambda n: None, lambda n: None, every=5), rounds=20, budget_s=60.0)
    assert (len(subject), len(baseline)) == (20, 4)


def test_times_are_microseconds_for_each_unit(clock: Clock) -> None:
    def subject(round_: int) -> None:
        clock.ns += 20_000

    assert timed(Trial(subject, units=10), rounds=5, budget_s=60.0)[0].tolist() == [2.0] * 5


def test_a_measure_ends_with_its_budget_but_not_before_its_least_rounds(clock: Clock) -> None:
    def subject(round_: int) -> None:
        clock.ns += 1_000_000_000

    assert len(timed(Trial(subject), rounds=10**9, budget_s=20.0)[0]) == 21 - WARM_UP
    assert len(timed(Trial(subject), rounds=10**9, budget_s=0.0)[0]) == LEAST_ROUNDS


def test_what_was_there_before_is_no_work_for_the_collector_and_is_given_back_after() -> None:
    frozen: list[int] = []
    timed(Trial(lambda n: frozen.append(gc.get_freeze_count())), rounds=5, budget_s=60.0)
    assert min(frozen) > 1000
    assert gc.get_freeze_count() == 0


def test_a_result_is_one_row_with_the_keys_that_are_promised() -> None:
    row = Result("m", 10, np.array([1.0, 2.0, 30.0]), np.array([8.0, 4.0]), "slow").row()
    assert list(row) == KEYS
    assert row == {
        "measure": "m", "accounts": 10, "n": 3, "median_us": 2.0, "p99_us": 30.0, "baseline": "slow", "baseline_us": 6.0, "ratio": 3.0,
    }  # fmt: skip


def test_without_a_baseline_there_is_no_ratio() -> None:
    row = Result("m", 10, np.array([1.0])).row()
    assert (row["baseline"], row["baseline_us"], row["ratio"]) == (None, None, None)


async def test_sizes_are_in_megabytes_by_their_keys() -> None:
    async def prepare(bed: Bed) -> Weighed:
        return Weighed(np.array([2.0]), np.array([8.0]))

    row = (await run(Measure("m", "", "objects", prepare), Bed(100))).row()
    assert (row["median_mb"], row["baseline_mb"], row["ratio"], row["baseline"]) == (2.0, 8.0, 4.0, "objects")


def test_a_measure_runs_at_the_sizes_that_suit_it() -> None:
    async def prepare(bed: Bed) -> Trial:
        return Trial(lambda n: None)

    asked = (1000, 10_000, 100_000)
    assert Measure("m", "", "", prepare).sizes(asked) == asked
    assert Measure("m", "", "", prepare, least=5000, most=50_000).sizes(asked) == (10_000,)
    assert Measure("m", "", "", prepare, at=(0,)).sizes(asked) == (0,)


async def test_what_a_measure_opened_is_closed_when_it_is_over_also_by_an_error() -> None:
    closed: list[str] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[str]:
        try:
            yield "it"
        finally:
            closed.append("it")

    async def prepare(bed: Bed) -> Trial:
        assert await bed.enter(opened()) == "it"
        raise Halt("no trial")

    with pytest.raises(Halt, match="no trial"):
        await run(Measure("m", "", "", prepare), Bed(100))
    assert closed == ["it"]
