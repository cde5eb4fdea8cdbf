"""The offered amounts: all legal, the last one the most, and a closing cover still closes ten minutes later."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.adapters.aave_v3.sizing import HEADROOM_S
from keeper.adapters.aave_v3.versions import V3_0, V3_6, VERSIONS, RuleSet
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.fixedpoint import MAX_UINT256
from keeper.types import Fill, Pair
from tests.adapters.synthetic import ACCOUNT, BASE, NOW_S, State, asset, market_of

UNIT = 10**18
EVERY_VERSION = pytest.mark.parametrize("rules", VERSIONS, ids=lambda row: row.version)


def two_reserves(market: AaveV3Market, dollars: int, health_bps: int) -> State:
    """`dollars` of debt in a dollar token against ether at 2000, at about this health factor."""
    state = State(market)
    state.reserve(0, 2000 * BASE)
    state.reserve(1, BASE, lt=7700)
    scaled = dollars * UNIT * 100 // 107
    state.position({0: dollars * UNIT * health_bps * 100 // 2000 // 8000 // 103 * 1}, {1: scaled})
    return state


def fill(market: AaveV3Market, state: State, pair: Pair, cover: int, at_s: int = NOW_S) -> Fill:
    return market.fill(state, pair, cover, at_s)


@EVERY_VERSION
@given(dollars=st.integers(1, 10**6), health_bps=st.integers(8000, 9990))
def test_every_offered_amount_is_legal_and_none_repays_more_than_the_last(rules: RuleSet, dollars: int, health_bps: int) -> None:
    market = market_of(rules)
    state = two_reserves(market, dollars, health_bps)
    pair, *_ = market.pairs(state, ACCOUNT, NOW_S)
    fills = [fill(market, state, pair, amount) for amount in pair.amounts]
    assert list(pair.amounts) == sorted(set(pair.amounts))
    try:
        most = fill(market, state, pair, MAX_UINT256)
    except Skip:
        return
    assert fills[-1].repaid == most.repaid == max(found.repaid for found in fills)
    assert fills[-1].seized == most.seized


@EVERY_VERSION
@pytest.mark.parametrize("dollars", [100, 50_000])
def test_a_cover_that_closes_the_debt_closes_it_ten_minutes_later(rules: RuleSet, dollars: int) -> None:
    market = market_of(rules)
    state = two_reserves(market, dollars, 9400)
    state.reserve(0, 2000 * BASE, bonus=10100)
    pair, *_ = market.pairs(state, ACCOUNT, NOW_S)
    for at_s in (NOW_S, NOW_S + HEADROOM_S):
        closed = fill(market, state, pair, pair.amounts[-1], at_s)
        assert (market.cells.debt, (1, ACCOUNT), 0) in closed.writes
        assert closed.repaid <= closed.cover


@pytest.mark.parametrize("rules", [row for row in VERSIONS if row.must_not_leave_dust], ids=lambda row: row.version)
@given(dollars=st.integers(1, 10**6), health_bps=st.integers(8000, 9990))
def test_a_hair_more_than_the_most_that_leaves_enough_leaves_dust_or_is_more_than_may_be_repaid(
    rules: RuleSet, dollars: int, health_bps: int
) -> None:
    market = market_of(rules)
    state = two_reserves(market, dollars, health_bps)
    pair, *_ = market.pairs(state, ACCOUNT, NOW_S)
    closed = {(market.cells.debt, (1, ACCOUNT), 0), (market.cells.supply, (0, ACCOUNT), 0)}
    most = fill(market, state, pair, pair.amounts[-1]).repaid
    leaving = [amount for amount in pair.amounts if closed.isdisjoint(fill(market, state, pair, amount).writes)]
    more = max(leaving, default=0) * 1_000_010 // 1_000_000 + UNIT // 1000
    assert repaid(market, state, pair, more) in (None, most)


def repaid(market: AaveV3Market, state: State, pair: Pair, cover: int) -> int | None:
    """None when it would leave dust."""
    try:
        return fill(market, state, pair, cover).repaid
    except Skip as skip:
        if skip.reason != "dust":
            raise
        return None


def test_dust_is_refused_from_3_3_and_taken_before() -> None:
    for rules, dust_refused in ((V3_0, False), (V3_6, True)):
        market = market_of(rules)
        state = two_reserves(market, 1500, 9800)
        pair, *_ = market.pairs(state, ACCOUNT, NOW_S)
        half = 700 * UNIT
        if dust_refused:
            with pytest.raises(Skip, match="dust"):
                fill(market, state, pair, half)
        else:
            assert fill(market, state, pair, half).repaid == half


@EVERY_VERSION
def test_a_healthy_account_has_no_pairs_and_no_fill(rules: RuleSet) -> None:
    market = market_of(rules)
    state = two_reserves(market, 1000, 12_000)
    assert market.pairs(state, ACCOUNT, NOW_S) == ()
    with pytest.raises(Skip, match="healthy"):
        market.fill(state, Pair(ACCOUNT, asset(1), asset(0), ()), 1, NOW_S)


@pytest.mark.parametrize(
    ("table", "key", "value", "reason"),
    [
        ("reserve", (0, "paused"), 1, "paused"),
        ("reserve", (1, "paused"), 1, "paused"),
        ("reserve", (0, "active"), 0, "inactive"),
        ("reserve", (1, "grace"), NOW_S, "grace_period"),
        ("asset", (asset(0), "cash"), 0, "no_cash"),
        ("asset", (asset(0), "unpriced"), 1, "no_price"),
        ("asset", (asset(1), "price"), 0, "healthy"),
        ("market", ("upgraded",), NOW_S, "market_upgraded"),
        ("market", ("sentinel",), 1, "sentinel"),
    ],
)
def test_each_bar_to_a_liquidation_is_named(table: str, key: tuple[int | str, ...], value: int, reason: str) -> None:
    market = market_of(V3_6)
    state = two_reserves(market, 5000, 9800)
    assert market.pairs(state, ACCOUNT, NOW_S)
    state.put(getattr(market.cells, table), key, value)
    with pytest.raises(Skip) as refused:
        market.fill(state, Pair(ACCOUNT, asset(1), asset(0), ()), 2000 * UNIT, NOW_S)
    assert refused.value.reason == reason
    if reason != "healthy":
        with pytest.raises(Skip, match=reason):
            market.pairs(state, ACCOUNT, NOW_S)


def test_terms_agreed_on_another_state_count_for_nothing() -> None:
    market = market_of(V3_6)
    state = two_reserves(market, 5000, 9800)
    pair, *_ = market.pairs(state, ACCOUNT, NOW_S)
    half = fill(market, state, pair, 2000 * UNIT)
    assert fill(market, state, pair, 1000 * UNIT).seized < half.seized
    dearer = Overlay(state, [(market.cells.reserve, (0, "bonus"), 10900)])
    assert market.fill(dearer, pair, 2000 * UNIT, NOW_S).seized > half.seized
    assert fill(market, state, pair, 2000 * UNIT) == half
    state.put(market.cells.reserve, (1, "paused"), 1)
    with pytest.raises(Skip, match="paused"):
        fill(market, state, pair, 2000 * UNIT)


def test_a_grace_period_is_over_only_after_its_last_second() -> None:
    market = market_of(V3_6)
    state = two_reserves(market, 5000, 9800)
    state.put(market.cells.reserve, (0, "grace"), NOW_S)
    with pytest.raises(Skip, match="grace_period"):
        market.pairs(state, ACCOUNT, NOW_S)
    assert market.pairs(state, ACCOUNT, NOW_S + 1)


def test_a_deep_loss_counts_without_the_sentinels_leave() -> None:
    market = market_of(V3_6)
    for health_bps, allowed in ((9400, True), (9600, False)):
        state = two_reserves(market, 5000, health_bps)
        state.put(market.cells.market, ("sentinel",), 1)
        if allowed:
            assert market.pairs(state, ACCOUNT, NOW_S)
        else:
            with pytest.raises(Skip, match="sentinel"):
                market.pairs(state, ACCOUNT, NOW_S)


def test_a_value_is_the_oracles_and_unknown_without_a_price() -> None:
    market = market_of(V3_6)
    state = two_reserves(market, 1, 9000)
    assert market.value(state, asset(0), 10**18) == 2000 * BASE
    state.put(market.cells.asset, (asset(0), "unpriced"), 1)
    assert market.value(state, asset(0), 10**18) is None
    assert market.value(state, asset(9), 1) is None
