"""Rows never miss: on every version, whatever the numbers, a surplus means healthy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.adapters.aave_v3.rows import SLACK
from keeper.adapters.aave_v3.versions import VERSIONS, RuleSet
from keeper.types import Write
from tests.adapters.synthetic import ACCOUNT, NOW_S, State, asset, market_of

RESERVES = st.lists(
    st.tuples(st.integers(1, 10**14), st.sampled_from([6, 8, 18]), st.integers(0, 9500)), min_size=1, max_size=4, unique_by=lambda r: r[0]
)
SCALED = st.integers(1, 10**27)
NUDGE = st.integers(-3, 1)


def surplus(state: State, rules: RuleSet, at_s: int) -> float:
    market = market_of(rules)
    (row,) = market.rows(state, ACCOUNT)
    factors = market.factors(state, at_s, row.weights)
    return row.constant + sum(weight * factors[factor].value for factor, weight in row.weights.items())


def at_the_edge(state: State, rules: RuleSet, at_s: int) -> int:
    """The scaled debt in reserve 0 that a row would just let pass: found by the row itself, doubled and halved."""
    market = market_of(rules)
    (row,) = market.rows(state, ACCOUNT)
    factors = {factor: quote.value for factor, quote in market.factors(state, at_s, row.weights).items()}
    (debt,) = (factor for factor in row.weights if factor[1] == "d")
    secured = row.constant + sum(weight * factors[factor] for factor, weight in row.weights.items() if factor != debt)
    return int(secured / factors[debt] / (1 + SLACK))


@pytest.mark.parametrize("rules", VERSIONS, ids=lambda row: row.version)
@settings(max_examples=200)
@given(data=st.data())
def test_an_account_at_the_very_edge_is_never_missed(rules: RuleSet, data: st.DataObject) -> None:
    market = market_of(rules)
    state = State(market)
    reserves = data.draw(RESERVES)
    for reserve, (price, decimals, lt) in enumerate(reserves):
        state.reserve(reserve, price, decimals, lt)
    state.emode(1, 9700, 10100, data.draw(st.integers(0, 15)))
    supplied = {reserve: data.draw(SCALED) for reserve in range(len(reserves)) if data.draw(st.booleans())}
    category = data.draw(st.sampled_from([0, 1]))
    at_s = NOW_S + data.draw(st.integers(0, 10**7))
    state.position(supplied, {0: 1}, category)
    state.position(supplied, {0: max(at_the_edge(state, rules, at_s) + data.draw(NUDGE), 1)}, category)
    if surplus(state, rules, at_s) >= 0:
        assert market.position(state, ACCOUNT, at_s).health_factor_wad >= 10**18


@pytest.mark.parametrize("rules", VERSIONS, ids=lambda row: row.version)
def test_a_comfortable_account_has_a_surplus_close_to_its_worth(rules: RuleSet) -> None:
    state = State(market_of(rules))
    state.reserve(0, 2000 * 10**8)
    state.reserve(1, 10**8, decimals=6)
    state.position({0: 10**18}, {1: 10**9})
    worth = market_of(rules).health(state, ACCOUNT, NOW_S)
    assert surplus(state, rules, NOW_S) == pytest.approx(worth.weighted_collateral - worth.debt, rel=1e-6)


@pytest.mark.parametrize("rules", VERSIONS, ids=lambda row: row.version)
def test_only_an_accounts_own_cells_change_its_row(rules: RuleSet) -> None:
    market = market_of(rules)
    cells, other = market.cells, "another market"
    own: list[Write] = [(cells.supply, (0, "a"), 1), (cells.debt, (1, "b"), 1), (cells.bits, (0, "c"), 3), (cells.category, ("d",), 1)]
    shared: list[Write] = [(cells.asset, (asset(0), "price"), 5), (cells.index, (0, "li"), 7), (cells.reserve, (0, "lt"), 1)]
    assert market.touched([*own, *shared, (f"{other}/supply", (0, "e"), 1)]) == {"a", "b", "c", "d"}
