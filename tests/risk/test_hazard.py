"""Hazard against Monte Carlo of the whole account, and where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.fixedpoint import YEAR_S
from keeper.risk.hazard import expected_wei, hazard, hazards
from keeper.risk.moves import DAY_S, Floats, Moves, martingale
from keeper.risk.passage import jump_passage, normal_cdf
from tests.risk.monte_carlo import Account, crossing

SEED = 3
ACCOUNTS = 1000
PATHS, STEPS = 2_000, 16
MORE_PATHS = 24_000


def market(rng: np.random.Generator, factors: int, jumps: bool) -> Moves:
    """Volatilities of 5 % to 150 % a year, all kinds of correlation; up to 30 jumps a year of 1 to 3 daily deviations."""
    volatility = np.exp(rng.uniform(math.log(0.05), math.log(1.5), factors))
    mixed = rng.standard_normal((factors, factors)) * 0.6 + rng.choice([1.0, 0.3])
    correlation = normalised(mixed @ mixed.T)
    size = rng.uniform(1, 3) * volatility / math.sqrt(365)
    names = tuple((str(at),) for at in range(factors))
    rate = rng.uniform(2, 30) / YEAR_S if jumps else 0.0
    return martingale(names, correlation * np.outer(volatility, volatility) / YEAR_S, rate, correlation * np.outer(size, size))


def normalised(matrix: Floats) -> Floats:
    scale = np.sqrt(np.diag(matrix))
    return np.asarray(matrix / np.outer(scale, scale))


def account(rng: np.random.Generator, factors: int) -> Account:
    """Some of the tokens on each side, at times the same ones; health 1.0005 to 1.5, 12 s to 7 days."""
    counted, owed = (rng.exponential(size=factors) * (rng.random(factors) < 0.6) for _ in range(2))
    counted[rng.integers(factors)] += 0.1
    owed[rng.integers(factors)] += 0.1
    health = 1 + math.exp(rng.uniform(math.log(0.0005), math.log(0.5)))
    counted *= health * owed.sum() / counted.sum()
    return Account(counted, owed, math.exp(rng.uniform(math.log(12), math.log(7 * DAY_S))))


def judged(moves: Moves, one: Account, rng: np.random.Generator) -> tuple[float, float]:
    """(hazard, Monte Carlo): with more paths where its own error would count."""
    said = float(hazards(one.counted, one.owed, moves, one.horizon_s)[0])
    truth, error = crossing(one, moves, rng, PATHS, STEPS)
    if error > 0.001:
        truth, error = crossing(one, moves, rng, MORE_PATHS, STEPS)
    return said, truth


@pytest.mark.timeout(300)
def test_hazard_is_within_half_a_point_of_monte_carlo_for_a_thousand_accounts() -> None:
    rng = np.random.default_rng(SEED)
    found = []
    for number in range(ACCOUNTS):
        factors = int(rng.integers(2, 6))
        moves = market(rng, factors, jumps=number % 2 == 1)
        found.append(judged(moves, account(rng, factors), rng))
    said, truth = np.array(found).T
    undecided = (truth > 0.01) & (truth < 0.99)
    off = np.abs(said - truth)
    print(f"seed {SEED}: max {off.max():.4%}, mean {off.mean():.4%}, of {undecided.sum()} undecided {off[undecided].mean():.4%}")
    assert undecided.sum() > 250
    assert off.max() < 0.005
    assert off[undecided].mean() < 0.0005


def test_one_price_without_jumps_is_the_textbooks_formula() -> None:
    """Theory A7: 3 % above, 80 % a year, one day: 48.7 % by their simulation."""
    moves = martingale((("a",), ("cash",)), np.diag([0.64 / YEAR_S, 0.0]), 0.0, np.zeros((2, 2)))
    (found,) = hazard({("a",): 1.03}, {("cash",): 1.0}, moves, [DAY_S])
    sigma, h, nu = 0.8 / math.sqrt(365), math.log(1.03), -0.32 / 365
    textbook = phi((-h - nu) / sigma) + math.exp(-2 * nu * h / sigma**2) * phi((-h + nu) / sigma)
    assert found == pytest.approx(textbook, abs=1e-6)
    assert found == pytest.approx(0.487, abs=0.001)


def phi(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


@pytest.mark.parametrize(
    ("distance", "sigma", "drift", "rate", "size"),
    [(0.1, 0.1, 0, 0.3, 0.1), (0.2, 0.05, 0, 1, 0.1), (0.01, 0.1, 0.05, 0.3, 0.02), (0.3, 0, 0, 0.5, 0.2), (0.1, 0.1, 0.3, 5, 0.05)],
)
def test_jumps_are_those_of_a_simulation(distance: float, sigma: float, drift: float, rate: float, size: float) -> None:
    """Jumps at their very moments, bridges between them: no bias."""
    rng = np.random.default_rng(SEED)
    paths, here, survived, at = 200_000, np.full(200_000, distance), np.ones(200_000), np.zeros(200_000)
    counts = rng.poisson(rate, paths)
    times = np.sort(np.where(np.arange(counts.max()) < counts[:, None], rng.uniform(0, 1, (paths, counts.max())), 1.0), axis=1)
    for jump, until in enumerate([*times.T, np.ones(paths)]):
        span = until - at
        there = here + drift * span + sigma * np.sqrt(span) * rng.standard_normal(paths)
        touched = first_passage_of_a_bridge(here, there, sigma * sigma * span)
        landed = there + np.where(jump < counts, rng.laplace(0, size / math.sqrt(2), paths), 0.0)
        survived, here, at = survived * (1 - touched) * (landed > 0), landed, until
    assert float(jump_passage(distance, sigma, drift, 1.0, rate, size)) == pytest.approx(1 - survived.mean(), abs=0.005)


def first_passage_of_a_bridge(here: Floats, there: Floats, variance: Floats) -> Floats:
    with np.errstate(all="ignore"):
        touched = np.where(variance > 0, np.exp(-2 * here * there / variance), 0.0)
    return np.where((here > 0) & (there > 0), touched, 1.0)


@given(
    st.floats(-0.1, 50), st.sampled_from([0.0, 1e-9, 1e-3, 0.1, 3]), st.floats(-1, 1), st.sampled_from([0.0, 1e-6, 1.0, 1e3, 1e9]),
    st.sampled_from([0.0, 1e-9, 0.3, 30.0]), st.sampled_from([0.0, 1e-9, 0.1, 2.0]),
)  # fmt: skip
def test_whatever_it_is_asked_the_answer_is_a_probability(
    distance: float, sigma: float, drift: float, horizon_s: float, rate: float, size: float
) -> None:
    found = float(jump_passage(distance, sigma, drift, horizon_s, rate, size))
    assert 0 <= found <= 1
    assert found == 1 or distance > 0
    assert found == 0 or distance <= 0 or horizon_s > 0


def test_many_accounts_at_once_are_each_as_if_alone() -> None:
    rng = np.random.default_rng(SEED)
    moves = market(rng, 4, jumps=True)
    many = [account(rng, 4) for _ in range(50)]
    horizons = np.array([one.horizon_s for one in many])
    together = hazards(np.array([one.counted for one in many]), np.array([one.owed for one in many]), moves, horizons)
    alone = [hazards(one.counted, one.owed, moves, one.horizon_s)[0] for one in many]
    assert together == pytest.approx(alone, abs=1e-9)


def test_more_time_and_less_health_never_make_it_safer() -> None:
    rng = np.random.default_rng(SEED)
    moves, one = market(rng, 3, jumps=True), account(rng, 3)
    times = np.geomspace(12, 7 * DAY_S, 40)
    over_time = hazards(np.tile(one.counted, (40, 1)), np.tile(one.owed, (40, 1)), moves, times)
    healthier = hazards(one.counted * np.linspace(0.9, 1.6, 40)[:, None], np.tile(one.owed, (40, 1)), moves, DAY_S)
    assert (np.diff(over_time) >= -1e-6).all()
    assert (np.diff(healthier) <= 1e-6).all()
    assert healthier[0] == 1 > healthier[-1]


def test_an_account_that_no_price_can_hurt_is_safe_until_its_interest_eats_it() -> None:
    moves = market(np.random.default_rng(SEED), 2, jumps=True)
    assert hazard({("0",): 1.0005}, {("0",): 1.0}, moves, [7 * DAY_S]) == (0.0,)
    still = Moves(moves.factors, np.zeros(2), np.zeros((2, 2)), 0.0, np.zeros((2, 2)))
    assert hazard({("0",): 1.0005}, {("1",): 1.0}, still, [DAY_S, 7 * DAY_S], carry=-0.05 / YEAR_S) == (0.0, 1.0)


def test_what_owes_nothing_is_safe_and_what_is_under_water_is_gone() -> None:
    moves = market(np.random.default_rng(SEED), 2, jumps=True)
    assert hazard({("0",): 1.0}, {}, moves, [DAY_S]) == (0.0,)
    assert hazard({("0",): 0.0}, {}, moves, [DAY_S]) == (0.0,)
    assert hazards(np.zeros((0, 2)), np.zeros((0, 2)), moves, DAY_S).shape == (0,)
    assert hazard({("0",): 1.0}, {("1",): 1.0}, moves, [0.0]) == (1.0,)
    assert hazard({}, {("1",): 1.0}, moves, [1.0]) == (1.0,)


def test_a_price_nobody_knows_is_refused() -> None:
    with pytest.raises(KeyError):
        hazard({("unknown",): 1.0}, {}, market(np.random.default_rng(SEED), 2, jumps=False), [1.0])


def test_expected_value_is_hazard_times_profit() -> None:
    assert expected_wei(0.25, 8 * 10**18) == 2e18


def test_the_normal_distribution_keeps_its_lower_tail() -> None:
    points = [-30.0, -8.0, -1.0, 0.0, 2.0]
    assert normal_cdf(points).tolist() == pytest.approx([phi(z) for z in points], rel=2e-7)
