"""The integer rules: tokens whose events can be turned around, close factors at their edges, versions as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.adapters.aave_v3 import rules
from keeper.adapters.aave_v3.interest import accrue, debt_index, income
from keeper.adapters.aave_v3.rules import Emptying, Exposure
from keeper.adapters.aave_v3.versions import DIRECTED, HALF_UP, V3_0, V3_3, V3_6, V3_7, VERSIONS, RuleSet, TokenRounding, rule_set
from keeper.errors import ConfigError
from keeper.fixedpoint import RAY, ray_div_down, ray_div_half_up, ray_div_up
from tests.adapters.synthetic import NOW_S, State, market_of

GROWTH = st.integers(0, RAY // 10)
AMOUNT = st.integers(0, 10**30)
ACTIONS = st.lists(st.tuples(st.booleans(), AMOUNT, GROWTH), min_size=1, max_size=30)


@dataclass
class Token:
    """A scaled balance token as `ScaledBalanceTokenBase` writes it: what it holds, and what its events say."""

    rounding: TokenRounding
    is_debt: bool
    scaled: int = 0
    last_index: int = RAY

    def act(self, adds: bool, amount: int, index: int) -> tuple[int, int]:
        """(signed change as the event tells it, scaled balance after)."""
        balance = self.rounding.debt_balance if self.is_debt else self.rounding.supply_balance
        amount = amount if adds else min(amount, balance(self.scaled, index))
        moved = min(self._scaled(adds, amount, index), self.scaled if not adds else 2**200)
        after = self.scaled + moved if adds else self.scaled - moved
        previous, increase = balance(self.scaled, self.last_index), balance(self.scaled, index) - balance(self.scaled, self.last_index)
        value = balance(after, index) - previous if self.rounding is DIRECTED else (amount if adds else -amount) + increase
        self.scaled, self.last_index = after, index
        return value - increase, after

    def _scaled(self, adds: bool, amount: int, index: int) -> int:
        if self.rounding is HALF_UP:
            return ray_div_half_up(amount, index)
        return ray_div_up(amount, index) if adds is self.is_debt else ray_div_down(amount, index)


def events(token: Token, actions: list[tuple[bool, int, int]]) -> Iterator[tuple[int, int, int, int]]:
    index = RAY
    for adds, amount, growth in actions:
        index += growth
        before = token.scaled
        change, after = token.act(adds, amount, index)
        yield before, change, index, after


@pytest.mark.parametrize("rounding", [HALF_UP, DIRECTED])
@pytest.mark.parametrize("is_debt", [False, True])
@given(actions=ACTIONS)
def test_every_scaled_balance_follows_from_its_events(rounding: TokenRounding, is_debt: bool, actions: list[tuple[bool, int, int]]) -> None:
    turned_around = rounding.debt_after if is_debt else rounding.supply_after
    for before, change, index, after in events(Token(rounding, is_debt), actions):
        assert turned_around(before, change, index) == after


@pytest.mark.parametrize("row", VERSIONS, ids=lambda row: row.version)
@given(scaled=st.integers(1, 10**30), index=st.integers(RAY, 10 * RAY))
def test_a_whole_balance_burns_to_exactly_nothing(row: RuleSet, scaled: int, index: int) -> None:
    assert row.tokens.debt_burnt(row.tokens.debt_balance(scaled, index), index) == scaled
    assert row.tokens.supply_taken(row.tokens.supply_balance(scaled, index), index) <= scaled


@given(rate=st.integers(0, RAY), elapsed_s=st.integers(0, 10**8))
def test_both_compound_formulas_agree_to_a_millionth_within_a_month(rate: int, elapsed_s: int) -> None:
    short_s = elapsed_s % (30 * 86_400)
    old, new = rules.compound_binomial(rate, short_s), rules.compound_taylor(rate, short_s)
    assert abs(old - new) <= RAY // 10**6
    assert min(old, new) >= RAY


def exposure(debt: int, collateral: int, total: int, health_factor_wad: int) -> Exposure:
    """Dollar amounts of a six-decimals dollar."""
    base = 10**8
    return Exposure(debt * 10**6, debt * base, collateral * base, total * base, base, 10**6, health_factor_wad)


@pytest.mark.parametrize(
    ("debt", "collateral", "total", "health_factor_wad", "most"),
    [
        pytest.param(3000, 4000, 3000, 95 * 10**16 + 1, 1500, id="large and above 0.95: half of all debt"),
        pytest.param(3000, 4000, 3000, 95 * 10**16, 3000, id="exactly 0.95: everything"),
        pytest.param(1999, 4000, 1999, 10**18 - 1, 1999, id="debt under 2000: everything"),
        pytest.param(3000, 1999, 3000, 10**18 - 1, 3000, id="collateral under 2000: everything"),
        pytest.param(2000, 2000, 2000, 10**18 - 1, 1000, id="exactly 2000 is large"),
        pytest.param(2500, 9000, 6000, 10**18 - 1, 2500, id="half of all debt covers this reserve's"),
        pytest.param(5000, 9000, 6000, 10**18 - 1, 3000, id="this reserve's debt beyond half of all"),
    ],
)
def test_the_close_factor_by_position(debt: int, collateral: int, total: int, health_factor_wad: int, most: int) -> None:
    assert rules.close_factor_by_position(exposure(debt, collateral, total, health_factor_wad)) == most * 10**6


@pytest.mark.parametrize(("health_factor_wad", "share"), [(95 * 10**16 + 1, 2), (95 * 10**16, 1), (1, 1)])
def test_the_close_factor_by_reserve(health_factor_wad: int, share: int) -> None:
    assert rules.close_factor_by_reserve(exposure(3000, 1, 9000, health_factor_wad)) == 3000 * 10**6 // share


def test_an_average_threshold_is_floored_up_to_3_4_and_exact_from_3_5() -> None:
    values = [(10**12, 8000), (1, 7999)]
    floored, exact = V3_0.health(values, 8 * 10**11), V3_6.health(values, 8 * 10**11)
    assert floored.average_bps == exact.average_bps == 7999
    assert floored.health_factor_wad < 10**18 <= exact.health_factor_wad


def test_collateral_is_gone_by_amounts_up_to_3_6_and_by_the_atokens_that_leave_from_3_7() -> None:
    """A unit left of a dear token is a unit left up to 3.6, and worth nothing from 3.7."""
    whole = Emptying(gross=100, balance=100, scaled_taken=99, scaled=100, index=RAY, price=1, unit=1000, total_base=0)
    one_left = replace(whole, gross=99)
    assert V3_6.emptied(whole) == (True, True)
    assert V3_6.emptied(one_left) == (False, True)
    assert V3_6.emptied(replace(one_left, total_base=1)) == (False, False)
    assert V3_7.emptied(replace(one_left, total_base=1)) == (False, False)
    assert V3_7.emptied(one_left) == (True, True)
    assert V3_7.emptied(replace(one_left, scaled_taken=100, total_base=1)) == (True, False)


@pytest.mark.parametrize("row", VERSIONS, ids=lambda row: row.version)
def test_a_state_update_moves_only_indexes_that_somebody_pays_for(row: RuleSet) -> None:
    market = market_of(row)
    state = State(market)
    state.reserve(0, 10**8)
    before = market.cells.index_of(state, 0)
    state.write(accrue(market.cells, row, state, 0, NOW_S))
    unpaid = market.cells.index_of(state, 0)
    assert (unpaid.bi, unpaid.ts) == (before.bi, NOW_S)
    assert unpaid.li == income(before, NOW_S) > before.li
    state.position({}, {0: 10**20})
    state.write([(market.cells.index, (0, "lr"), 0)])
    state.write(accrue(market.cells, row, state, 0, NOW_S + 60))
    paid = market.cells.index_of(state, 0)
    assert paid.bi == debt_index(row, unpaid, NOW_S + 60) > unpaid.bi
    assert paid.li == unpaid.li
    assert accrue(market.cells, row, state, 0, NOW_S + 60) == []


def test_a_premium_raises_the_index_by_its_share_of_the_liquidity() -> None:
    assert rules.index_with_premium(2 * RAY, 10**20, 10**17) == 2 * RAY * 1001 // 1000


def test_every_revision_has_one_row_and_an_unknown_one_names_the_known() -> None:
    revisions = [revision for row in VERSIONS for revision in row.revisions]
    assert len(set(revisions)) == len(revisions)
    assert rule_set(1) is V3_0
    assert rule_set(10) is V3_6
    with pytest.raises(ConfigError, match=r"must be one of .*1/2/3 \(v3.0\).*11 \(v3.7\), was 99"):
        rule_set(99)


def test_the_rows_differ_only_where_the_versions_do() -> None:
    """A change of a rule is a change of one row: the neighbours tell the whole difference."""
    names = [field.name for field in fields(RuleSet) if field.name not in ("version", "revisions", "gas_liquidation", "gas_bad_debt")]
    changes = [{n for n in names if getattr(a, n) != getattr(b, n)} for a, b in pairwise(VERSIONS)]
    assert changes == [
        {"grace_period", "virtual_cash"},
        {"emode_by_bitmap", "emode_has_oracle"},
        {"close_factor", "must_not_leave_dust", "burns_bad_debt"},
        {"compound", "debt_free", "flash_to_suppliers"},
        {"tokens", "seizure", "health", "average_floored", "silent_index", "flash_premium"},
        {"zero_threshold_counts"},
        {"seizure", "emptied", "sentinel"},
    ]
    assert V3_3.gas_bad_debt > 0
