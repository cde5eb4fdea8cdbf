"""What is admitted survives the shock it was admitted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.book.state import Overlay, Tables
from keeper.errors import Skip
from keeper.fixedpoint import BPS
from keeper.inventory.limits import Limits
from keeper.types import TAKE, Address, Holding, Pair, Standing
from tests.inventory.paper import MM_BPS, OURS, USD, WAD, Paper

MARKETS = ("eth", "btc", "sol")
PRICES = {"eth": 2_000 * WAD, "btc": 60_000 * WAD + 1, "sol": 3 * WAD // 100}
WHO = Address("0x" + "11" * 20)
DEEP = Paper(dict.fromkeys(MARKETS, 10**9 * WAD))
HUGE = 10**12 * WAD

Order = tuple[str, int, int]
order = st.tuples(st.sampled_from(MARKETS), st.sampled_from((-1, 1)), st.integers(1, 10**5).map(lambda whole: whole * WAD + 7))


def taken_over(state: Tables, limits: Limits, orders: Sequence[Order]) -> int:
    """One after another, whatever the limits let pass; how many that were."""
    count = 0
    for target, sign, money in orders:
        size = sign * money * WAD // PRICES[target]
        state.write(DEEP.stranger(WHO, target, size))
        try:
            fill = DEEP.fill(state, Pair(WHO, USD, USD, (), TAKE, target, OURS), abs(size), 0)
            limits.admit(DEEP.standing(Overlay(state, fill.writes), OURS, 0), target)
        except Skip:
            continue
        state.write(fill.writes)
        count += 1
    return count


@settings(max_examples=300, deadline=None)
@given(
    st.lists(order, min_size=1, max_size=12),
    st.integers(1_000, 500_000),
    st.integers(0, 6_000),
    st.tuples(*(st.integers(-BPS, BPS) for _ in MARKETS)),
)
def test_any_sequence_of_admitted_take_overs_survives_a_shock_on_every_market_at_once(
    orders: list[Order], margin: int, shock_bps: int, shares: tuple[int, ...]
) -> None:
    """`shares`: how much of the shock each market gets, and which way."""
    limits = Limits(HUGE, HUGE, shock_bps)
    state = DEEP.start(PRICES, margin * WAD)
    count = taken_over(state, limits, orders)
    for target, share in zip(MARKETS, shares, strict=True):
        state.write(DEEP.moved(target, PRICES[target] * (BPS * BPS + share * shock_bps) // (BPS * BPS)))
    after = DEEP.standing(state, OURS, 0)
    assert after.equity > after.required or not count


@settings(max_examples=100, deadline=None)
@given(st.lists(order, min_size=1, max_size=12), st.integers(1, 10**5), st.integers(1, 10**5))
def test_no_sequence_holds_more_of_one_market_or_in_all_than_is_allowed(orders: list[Order], per_market: int, in_all: int) -> None:
    state = DEEP.start(PRICES, HUGE)
    taken_over(state, Limits(per_market * WAD, in_all * WAD), orders)
    standing = DEEP.standing(state, OURS, 0)
    assert standing.exposure <= in_all * WAD
    assert all(abs(holding.value) <= per_market * WAD for holding in standing.holdings)


def held(value: int, equity: int) -> Standing:
    holding = Holding("eth", value // 2_000, value, -value, 0, value)
    return Standing(OURS, 0, USD, 1, equity, abs(value) * MM_BPS // BPS, equity, 0, (holding,))


def test_the_limit_is_reached_exactly() -> None:
    """1000 of value: 400 are lost, 62.5 × 1.4 × 1.1 must be left."""
    limits = Limits(HUGE, HUGE)
    limits.admit(held(1000 * WAD, 400 * WAD + 9625 * WAD // 100), "eth")
    with pytest.raises(Skip, match="inventory_limit: 1 too little to survive 4000 bps"):
        limits.admit(held(1000 * WAD, 400 * WAD + 9625 * WAD // 100 - 1), "eth")


def test_the_bare_shock_is_survived_for_a_little_longer_than_one_is_admitted() -> None:
    standing = held(-1000 * WAD, 490 * WAD)
    assert Limits(HUGE, HUGE).spare(standing) < 0
    assert Limits(HUGE, HUGE).survives(standing)
    assert not Limits(HUGE, HUGE).survives(replace(standing, equity=487 * WAD))


@pytest.mark.parametrize("exit_money", [900 * WAD, None])
def test_a_position_is_worth_no_more_than_it_could_be_sold_for(exit_money: int | None) -> None:
    good = held(1000 * WAD, 500 * WAD)
    bad = replace(good, holdings=(replace(good.holdings[0], exit=exit_money),))
    assert Limits(HUGE, HUGE).survives(good)
    assert not Limits(HUGE, HUGE).survives(bad)
