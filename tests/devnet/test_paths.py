"""Price paths are pure, reproducible, and shaped like their names."""

from __future__ import annotations

from itertools import pairwise

import pytest

from keeper.devnet.genesis.tokens import TOKENS
from keeper.devnet.paths import KINDS, path
from keeper.errors import ConfigError

START = {token.symbol: token.price for token in TOKENS}
SEEDS = range(20)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_path_and_another_does_not(kind: str) -> None:
    assert path(kind, 10, 5, START) == path(kind, 10, 5, START)
    assert path(kind, 10, 5, START) != path(kind, 10, 6, START)


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_as_many_steps_as_asked_for_with_every_token_in_each(kind: str) -> None:
    for steps in (1, 2, 7):
        result = path(kind, steps, 1, START)
        assert len(result) == steps
        assert all(set(prices) == set(START) and min(prices.values()) > 0 for prices in result)


@pytest.mark.parametrize("seed", SEEDS)
def test_calm_stays_within_a_percent(seed: int) -> None:
    for prices in path("calm", 30, seed, START):
        assert all(abs(prices[s] - START[s]) * 100 <= START[s] for s in START)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crash_takes_a_quarter_or_more_off_ether_and_never_jumps_there_at_once(seed: int) -> None:
    prices = [START["WETH"], *(step["WETH"] for step in path("crash", 10, seed, START))]
    assert 69 * START["WETH"] <= 100 * prices[-1] <= 76 * START["WETH"]
    assert all(b * 100 > a * 92 for a, b in pairwise(prices))


@pytest.mark.parametrize("seed", SEEDS)
def test_recovery_lifts_ether_by_about_a_third(seed: int) -> None:
    assert 128 * START["WETH"] <= 100 * path("recovery", 10, seed, START)[-1]["WETH"] <= 140 * START["WETH"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wick_falls_like_a_crash_and_comes_back(seed: int) -> None:
    prices = [step["WETH"] for step in path("wick", 12, seed, START)]
    assert min(prices) * 100 <= 76 * START["WETH"]
    assert abs(prices[-1] - START["WETH"]) * 200 <= START["WETH"]


@pytest.mark.parametrize("kind", KINDS)
def test_staked_ether_follows_ether_within_its_discount(kind: str) -> None:
    for prices in path(kind, 20, 1, START):
        ratio_bps = 10**4 * prices["wstETH"] * START["WETH"] // (prices["WETH"] * START["wstETH"])
        assert 9_600 <= ratio_bps <= 10_005


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="one of calm, crash, recovery, wick, was moon"):
        path("moon", 1, 1, START)
