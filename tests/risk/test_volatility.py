"""What is measured is what was there: on prices made with a known volatility, told the way oracles tell them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.fixedpoint import YEAR_S
from keeper.risk.moves import DAY_S
from keeper.risk.volatility import PRIOR, Volatility
from keeper.types import Factor

SEED = 3
BLOCK_S = 12.0
ETH, STETH, USD, ALT = (("price", symbol) for symbol in ("ETH", "stETH", "USD", "ALT"))
FACTORS: tuple[Factor, ...] = (ETH, STETH, USD, ALT)
ANNUAL = np.array([0.8, 0.82, 0.05, 1.2])
CORRELATION = np.array([[1, 0.95, 0, 0.6], [0.95, 1, 0, 0.6], [0, 0, 1, 0], [0.6, 0.6, 0, 1.0]])
THRESHOLD = np.array([0.005, 0.005, 0.0025, 0.005])
HEARTBEAT_S = np.array([3600.0, 3600.0, 86_400.0, 3600.0])

Tick = tuple[Factor, float, float]


def walk(days: float, seed: int = SEED) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Log prices at every block."""
    root = np.linalg.cholesky(CORRELATION * np.outer(ANNUAL, ANNUAL) / YEAR_S)
    noise = np.random.default_rng(seed).standard_normal((int(days * DAY_S / BLOCK_S), 4))
    return np.asarray(np.cumsum(noise @ root.T * math.sqrt(BLOCK_S), axis=0))


def told(days: float, seed: int = SEED) -> Iterator[Tick]:
    """One oracle at a time: when it is off by its threshold, or silent for its heartbeat."""
    last, spoke_s = np.full(4, np.inf), np.zeros(4)
    for number, prices in enumerate(walk(days, seed)):
        at_s = number * BLOCK_S
        due = (np.abs(prices - last) > THRESHOLD) | (at_s - spoke_s >= HEARTBEAT_S)
        for i in np.flatnonzero(due):
            last[i], spoke_s[i] = prices[i], at_s
            yield FACTORS[i], 100 * math.exp(prices[i]), at_s


def measured(ticks: Iterator[Tick]) -> Volatility:
    found = Volatility()
    for tick in ticks:
        found.observe(*tick)
    return found


def annual(found: Volatility) -> list[float]:
    return [found.annual(factor) for factor in FACTORS]


def test_volatility_and_correlation_are_those_of_the_prices() -> None:
    """30 days: a few hundred moves each; oracles that lag by half a per cent hide a little correlation, and never add any."""
    found = measured(told(30))
    for i in (0, 1, 3):
        assert found.annual(FACTORS[i]) == pytest.approx(ANNUAL[i], rel=0.1)
    correlation = found.correlation()
    assert 0.85 < correlation[0, 1] < 0.97
    assert correlation[0, 3] == pytest.approx(0.6, abs=0.25)
    assert found.moves().measured == set(FACTORS)


def test_a_stablecoin_is_learned_to_be_calm() -> None:
    assert measured(told(60)).annual(USD) < 0.08


def test_nobody_has_seen_it_so_the_prior_holds() -> None:
    found = Volatility()
    moves = found.moves([ETH, USD])
    assert np.sqrt(np.diag(moves.covariance) * YEAR_S) == pytest.approx([PRIOR.volatility] * 2)
    assert moves.covariance[0, 1] / moves.covariance[0, 0] == pytest.approx(PRIOR.correlation)
    assert moves.jump_rate * YEAR_S == pytest.approx(PRIOR.jumps)
    assert moves.measured == frozenset()


def test_the_prior_fades_with_evidence() -> None:
    gaps = [abs(measured(told(days)).annual(ALT) - measured(told(60)).annual(ALT)) for days in (0.1, 30)]
    assert gaps[1] < gaps[0] / 2


def test_a_gap_adds_its_time_and_no_more() -> None:
    """A node that was away for five days of thirty."""
    whole, gap = measured(told(30)), measured(tick for tick in told(30) if not 20 * DAY_S < tick[2] < 25 * DAY_S)
    assert annual(gap) == pytest.approx(annual(whole), rel=0.2)


def test_a_price_repeated_at_every_head_tells_nothing_new() -> None:
    """Polled at every block, or told when it moves: the same moves at the same times."""
    ticks = [tick for tick in told(5) if tick[0] == ETH]
    polled = Volatility()
    for (factor, price, at_s), (_, _, until_s) in pairwise(ticks):
        for moment in np.arange(at_s, until_s, BLOCK_S):
            polled.observe(factor, price, float(moment))
    polled.observe(*ticks[-1])
    assert polled.annual(ETH) == pytest.approx(measured(iter(ticks)).annual(ETH), rel=1e-9)


def test_a_price_that_never_moves_becomes_calm_but_never_dead() -> None:
    found = Volatility()
    for hour in range(24 * 60):
        found.observe(USD, 1.0, hour * 3600.0)
    assert 0 < found.annual(USD) < 0.05


def test_a_feed_that_fell_silent_keeps_its_volatility() -> None:
    found = measured(tick for tick in told(20) if tick[0] != ETH or tick[2] < 5 * DAY_S)
    early = measured(tick for tick in told(5))
    assert found.annual(ETH) == early.annual(ETH)


def test_a_bad_print_is_a_jump_and_not_volatility() -> None:
    clean, dirty = Volatility(), Volatility()
    for at, (factor, price, at_s) in enumerate(told(20)):
        clean.observe(factor, price, at_s)
        dirty.observe(factor, price * (10 if at == 2_000 else 1), at_s)
    assert max(annual(dirty)) < max(annual(clean)) * 1.6
    assert dirty.moves().jump_rate > clean.moves().jump_rate
    assert np.trace(dirty.moves().jump_covariance) > 5 * np.trace(clean.moves().jump_covariance)


def test_jumps_are_counted_at_their_rate_and_size() -> None:
    """One of 15 % every ten days, up and down, in one price of four."""

    def jumping() -> Iterator[Tick]:
        for factor, price, at_s in told(200):
            jumps = int(at_s // (10 * DAY_S))
            yield factor, price * (1.15 if factor == ALT and jumps % 2 else 1.0), at_s

    moves = measured(jumping()).moves(FACTORS)
    assert moves.jump_rate * YEAR_S == pytest.approx(36.5, rel=0.25)
    assert math.sqrt(moves.jump_covariance[3, 3]) == pytest.approx(0.14, rel=0.25)
    assert moves.jump_covariance[0, 0] < moves.jump_covariance[3, 3] / 10


@given(
    st.lists(
        st.tuples(st.sampled_from(FACTORS), st.floats(1e-6, 1e6), st.floats(-10, 1e5)),
        max_size=60,
    )
)
def test_whatever_is_told_the_covariance_is_one_and_a_restart_changes_nothing(ticks: list[tuple[Factor, float, float]]) -> None:
    found, at_s = Volatility(), 0.0
    for factor, price, step_s in ticks[: len(ticks) // 2]:
        at_s += step_s
        found.observe(factor, price, at_s)
    again = Volatility()
    again.restore(json.loads(json.dumps(found.state(), allow_nan=False)))
    for factor, price, step_s in ticks[len(ticks) // 2 :]:
        at_s += step_s
        found.observe(factor, price, at_s)
        again.observe(factor, price, at_s)
    moves = found.moves(FACTORS)
    for matrix in (moves.covariance, moves.jump_covariance):
        assert np.isfinite(matrix).all()
        assert np.linalg.eigvalsh(matrix).min() >= -1e-12 * max(np.diag(matrix))
        assert (np.diag(matrix) > 0).all()
    assert again.moves(FACTORS).factors == moves.factors
    assert (again.moves(FACTORS).total == moves.total).all()


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_what_is_not_a_price_is_passed_over(price: float) -> None:
    found = Volatility()
    found.observe(ETH, price, 1.0)
    assert found.factors == ()


def test_a_state_of_another_making_is_refused_and_changes_nothing() -> None:
    found = measured(told(1))
    before = found.state()
    for broken in ({}, {**before, "vectors": {}}, {**before, "factors": before["factors"][:1]}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            found.restore(broken)
    assert found.state() == before


def spoiled(state: dict[str, Any], kind: str, name: str, value: float | None) -> dict[str, Any]:
    """A kept state, one of its numbers another."""
    found: dict[str, Any] = json.loads(json.dumps(state))
    if kind == "numbers":
        found[kind][name] = value
    else:
        found[kind][name][1] = value
    return found


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        *(("vectors", name, (None, -1.0, math.inf)) for name in ("squares", "weight", "ticks", "leaps", "seen")),
        *(("vectors", name, (0.0,)) for name in ("weight", "ticks")),
        *(("vectors", name, (None, math.inf, 3 * DAY_S)) for name in ("at",)),
        *(("tables", name, (None, math.inf, 3 * DAY_S)) for name in ("since",)),
        *((kind, name, (1e3, -1e3)) for kind, name in (("vectors", "log"), ("tables", "base"))),
        ("vectors", "squares", (1e9,)),
        ("tables", "own", (None, -1.0, math.inf)),
        ("tables", "cross", (None, 1e9, -1e9)),
        *(("numbers", name, (None, -1.0, math.nan, math.inf)) for name in ("events", "believed", "watched_s")),
        ("numbers", "watched_s", (0.0,)),
        *(("numbers", name, (math.nan, math.inf, 3 * DAY_S)) for name in ("last_s", "last_jump_s")),
    ],
)
def test_numbers_that_no_prices_leave_are_refused_and_change_nothing(kind: str, name: str, values: Sequence[float | None]) -> None:
    found, kept = measured(told(1)), measured(told(1)).state()
    found.restore(kept, DAY_S)
    for value in values:
        with pytest.raises(ValueError, match="must be one that prices can have"):
            found.restore(spoiled(kept, kind, name, value), DAY_S)
    assert found.state() == kept
