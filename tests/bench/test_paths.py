"""Each way the prices go is what its name says."""

from __future__ import annotations

import numpy as np
import pytest

from keeper.bench.paths import FAMILY_OF, PEGGED, RESIDUAL, crash, hostile, jump, walk
from keeper.bench.reserves import COUNT, TAIL

TICKS = 500


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_a_walk_stays_within_its_bounds_and_gets_near_them(rng: np.random.Generator) -> None:
    path = walk(rng, 5000)
    assert path.shape == (5000, COUNT)
    assert np.abs(path - 1.0).max() <= 0.01 + 1e-12
    assert np.abs(path - 1.0).max() > 0.0095
    assert (np.diff(path, axis=0) != 0.0).all()


def test_a_walk_takes_small_steps_also_where_it_is_thrown_back(rng: np.random.Generator) -> None:
    assert np.abs(np.diff(walk(rng, 5000), axis=0)).max() < 0.004


def test_a_jump_moves_one_price_once_and_for_good(rng: np.random.Generator) -> None:
    path, plain = jump(rng, TICKS, reserve=2, by=-0.10), walk(np.random.default_rng(11), TICKS)
    assert path[: TICKS // 2] == pytest.approx(plain[: TICKS // 2])
    assert path[TICKS // 2 :, 2] == pytest.approx(0.9 * plain[TICKS // 2 :, 2])
    assert np.delete(path, 2, axis=1) == pytest.approx(np.delete(plain, 2, axis=1))


def test_a_hostile_price_is_a_thousandfold_at_every_second_tick(rng: np.random.Generator) -> None:
    path = hostile(rng, TICKS)
    assert (path[1::2, TAIL] > 900).all()
    assert (path[::2, TAIL] < 1.02).all()
    assert np.abs(np.delete(path, TAIL, axis=1) - 1.0).max() <= 0.01 + 1e-12


def test_a_crash_takes_what_it_says_from_everything_but_dollars(rng: np.random.Generator) -> None:
    path = crash(rng, TICKS, -0.40)
    assert path.shape == (TICKS, COUNT)
    assert path[-1, ~PEGGED] == pytest.approx(0.6, rel=2 * RESIDUAL)
    assert path[:, PEGGED] == pytest.approx(1.0, abs=2 * RESIDUAL)


def test_in_a_crash_families_move_together_but_for_small_residuals(rng: np.random.Generator) -> None:
    path = crash(rng, TICKS)
    for family in np.unique(FAMILY_OF):
        members = path[:, family == FAMILY_OF]
        spread = members.max(axis=1) / members.min(axis=1) - 1.0
        assert spread.max() <= 2.1 * RESIDUAL
        assert members.shape[1] == 1 or spread.max() > 0.0


def test_a_crash_is_neither_smooth_nor_one_step(rng: np.random.Generator) -> None:
    steps = np.diff(np.log(crash(rng, TICKS)[:, 0]))
    assert (steps > 0.0).any()
    assert steps.min() > -0.05


def test_the_same_numbers_give_the_same_path() -> None:
    assert (crash(np.random.default_rng(3)) == crash(np.random.default_rng(3))).all()
