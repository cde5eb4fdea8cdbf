"""Two calls in one transaction take more than one may: exactly what one after the other takes, and as much more as the formula says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.adapters.aave_v3.market import APPROVE, LIQUIDATION_CALL
from keeper.adapters.aave_v3.versions import VERSIONS, RuleSet
from keeper.book.state import Overlay
from keeper.types import LIQUIDATE, TWICE, ZERO_ADDRESS, Pair
from tests.adapters.synthetic import ACCOUNT, NOW_S, market_of
from tests.adapters.test_sizing import two_reserves

EVERY_VERSION = pytest.mark.parametrize("rules", VERSIONS, ids=lambda row: row.version)


def once_and_twice(pairs: tuple[Pair, ...]) -> tuple[Pair, Pair | None]:
    (once,) = [pair for pair in pairs if pair.kind == LIQUIDATE]
    return once, next((pair for pair in pairs if pair.kind == TWICE), None)


@EVERY_VERSION
@given(dollars=st.integers(1, 10**6), health_bps=st.integers(8000, 9999))
def test_it_is_what_the_two_calls_take_one_after_the_other(rules: RuleSet, dollars: int, health_bps: int) -> None:
    market = market_of(rules)
    state = two_reserves(market, dollars, health_bps)
    once, both = once_and_twice(market.pairs(state, ACCOUNT, NOW_S))
    if both is None:
        return
    made = market.fill(state, both, both.amounts[-1], NOW_S)
    first = market.fill(state, once, int(both.target), NOW_S)
    between = Overlay(state, first.writes)
    assert market.health(between, ACCOUNT, NOW_S).liquidatable
    second = market.fill(between, once, both.amounts[-1] - int(both.target), NOW_S)
    assert (made.repaid, made.seized, made.protocol_fee) == (
        first.repaid + second.repaid,
        first.seized + second.seized,
        first.protocol_fee + second.protocol_fee,
    )
    after = Overlay(between, second.writes)
    assert {(table, key): after.get(table, key) for table, key, _ in made.writes} == {(t, k): value for t, k, value in made.writes}
    assert made.seized > market.fill(state, once, once.amounts[-1], NOW_S).seized
    assert made.repaid <= made.funds == both.amounts[-1]


@EVERY_VERSION
@pytest.mark.parametrize(("health_bps", "least"), [(9900, 1.05), (9700, 1.15)])
def test_the_gain_is_that_of_the_formula(rules: RuleSet, health_bps: int, least: float) -> None:
    """1 + s1 / D, s1 = (D - W) / (1 - LT (1 + b)), at a close factor of a half."""
    market = market_of(rules)
    state = two_reserves(market, 100_000, health_bps)
    once, both = once_and_twice(market.pairs(state, ACCOUNT, NOW_S))
    assert both is not None
    one, two = (market.fill(state, pair, pair.amounts[-1], NOW_S) for pair in (once, both))
    owed = sum(leg.amount for leg in market.health(state, ACCOUNT, NOW_S).legs if leg.side == "debt")
    assert two.seized / one.seized == pytest.approx(1 + int(both.target) / owed, rel=1e-4)
    assert two.seized / one.seized > least


@EVERY_VERSION
def test_where_one_call_may_take_all_there_is_no_second(rules: RuleSet) -> None:
    market = market_of(rules)
    state = two_reserves(market, 100_000, 9400)
    assert once_and_twice(market.pairs(state, ACCOUNT, NOW_S))[1] is None


@EVERY_VERSION
def test_a_second_later_both_calls_still_work(rules: RuleSet) -> None:
    market = market_of(rules)
    state = two_reserves(market, 100_000, 9900)
    both = once_and_twice(market.pairs(state, ACCOUNT, NOW_S))[1]
    assert both is not None
    for later_s in (1, 12, 600):
        assert market.fill(state, both, both.amounts[-1], NOW_S + later_s).repaid > 0


@EVERY_VERSION
def test_the_steps_are_one_approval_and_two_calls_that_add_up(rules: RuleSet) -> None:
    market = market_of(rules)
    state = two_reserves(market, 100_000, 9900)
    both = once_and_twice(market.pairs(state, ACCOUNT, NOW_S))[1]
    assert both is not None
    made = market.fill(state, both, both.amounts[-1], NOW_S)
    steps = market.encode(made, ZERO_ADDRESS)
    assert [step.data[:4] for step in steps] == [APPROVE, LIQUIDATION_CALL, LIQUIDATION_CALL, APPROVE]
    covers = [int.from_bytes(step.data[4 + 3 * 32 : 4 + 4 * 32], "big") for step in steps[1:3]]
    assert covers == [int(both.target), made.cover - int(both.target)]
    assert market.gas(made) > market.gas(market.fill(state, once_and_twice(market.pairs(state, ACCOUNT, NOW_S))[0], 10**18, NOW_S))
