"""No stage of the hot path may become half as slow again as it was committed to be, beside the same work in the same run."""

from __future__ import annotations

import numpy as np
import pytest

from keeper.bench.bed import Bed
from keeper.bench.catalogue import MEASURES
from keeper.bench.measure import Result, run
from keeper.bench.stages import ACCOUNTS, STAGES, budget, over

TRIES = 3
"""A busy machine can spoil one."""

NAMES = {measure.name: measure for measure in MEASURES}


def result(name: str, ratio: float) -> Result:
    return Result(name, ACCOUNTS, np.array([100.0]), np.array([100.0 * ratio]))


def test_every_stage_has_a_budget_and_a_measure() -> None:
    assert set(budget()) == {f"stage-{name}" for name in STAGES} <= set(NAMES)


@pytest.mark.parametrize(("share", "told"), [(1.0, False), (0.68, False), (0.66, True)])
def test_half_as_slow_again_is_over_it(share: float, told: bool) -> None:
    found = over(result("stage-scan", budget()["stage-scan"] * share))
    assert bool(found) is told
    assert not told or "stage-scan: 1.51 times as slow" in found


def test_what_has_no_budget_is_never_over_it() -> None:
    assert over(result("sign", 0.001)) == ""


@pytest.mark.parametrize("name", STAGES)
async def test_it_is_within_its_budget(name: str) -> None:
    for _ in range(TRIES):
        found = await run(NAMES[f"stage-{name}"], Bed(ACCOUNTS))
        print(found.row())
        if not (problem := over(found)):
            return
    raise AssertionError(problem)
