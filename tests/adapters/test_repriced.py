"""Prices can be asked for, and supposed: what a shock, a difference or a pending answer is made of."""

from __future__ import annotations

import pytest

from keeper.adapters.aave_v3.versions import VERSIONS, RuleSet
from keeper.book.state import Overlay
from keeper.devnet.names import derived
from tests.adapters.synthetic import ACCOUNT, BASE, NOW_S, State, asset, market_of

EACH_VERSION = pytest.mark.parametrize("rules", VERSIONS, ids=lambda rules: rules.version)


@EACH_VERSION
def test_a_supposed_price_is_the_price_for_all_that_follows(rules: RuleSet) -> None:
    market = market_of(rules)
    state = State(market)
    state.reserve(0, 2000 * BASE)
    state.reserve(1, BASE, decimals=6)
    state.position({0: 10**18}, {1: 10**9})
    supposed = Overlay(state, market.repriced(state, {asset(0): 1500 * BASE, derived("tests: unlisted"): 7}))
    assert [market.price(supposed, asset(reserve)) for reserve in (0, 1)] == [1500 * BASE, BASE]
    assert market.value(supposed, asset(0), 10**18) == 1500 * BASE
    health, before = market.health(supposed, ACCOUNT, NOW_S), market.health(state, ACCOUNT, NOW_S)
    assert health.weighted_collateral == pytest.approx(before.weighted_collateral * 3 / 4, abs=2)
    assert health.debt == before.debt
    assert market.price(state, asset(0)) == 2000 * BASE


def test_a_price_that_failed_is_none_and_can_be_supposed() -> None:
    market = market_of(VERSIONS[-1])
    state = State(market)
    state.reserve(0, 2000 * BASE)
    state.write([(market.cells.asset, (asset(0), "unpriced"), 1)])
    assert market.price(state, asset(0)) is None
    assert market.price(Overlay(state, market.repriced(state, {asset(0): 5})), asset(0)) == 5


def test_an_emodes_own_price_source_can_be_supposed() -> None:
    """Up to 3.1: one price for all assets of a category."""
    market = market_of(next(rules for rules in VERSIONS if rules.emode_has_oracle))
    state, source = State(market), asset(9)
    state.reserve(0, 2000 * BASE)
    state.reserve(1, 1000 * BASE)
    state.write([(market.cells.reserve, (reserve, "emode"), 1) for reserve in (0, 1)])
    state.write([(market.cells.emode, (1, "oracle"), int(source, 16)), (market.cells.asset, (source, "price"), 1900 * BASE)])
    state.emode(1, 9700, 10100)
    state.position({0: 10**18}, {1: 10**18}, category=1)
    supposed = Overlay(state, market.repriced(state, {source: 1800 * BASE}))
    legs = market.health(supposed, ACCOUNT, NOW_S).legs
    assert [(leg.price, leg.priced_as) for leg in legs] == [(1800 * BASE, source)] * 2
