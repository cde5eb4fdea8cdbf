"""Rows never miss and are never far off, whatever the numbers; all at once they are the rows one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from keeper.adapters.morpho_blue.cells import Totals
from keeper.adapters.morpho_blue.irm import INITIAL, Model
from keeper.adapters.morpho_blue.market import MorphoBlueMarket
from keeper.fixedpoint import WAD
from keeper.types import Address, Row, Write
from tests.adapters.morpho.synthetic import ACCOUNT, IRM, LOAN, NAME, NOW_S, SECURITY, State, account, id_of, market_of

AMOUNT = st.integers(0, 90).flatmap(lambda bits: st.integers(1, 2 ** (bits + 1)))
LLTV = st.sampled_from([385, 625, 770, 860, 915, 945, 965, 980]).map(lambda per_mille: per_mille * WAD // 1000)
SUPPLIED = 10**24


def totals(borrowed: int, shares: int, target: int = INITIAL) -> Totals:
    return Totals(max(borrowed, SUPPLIED), SUPPLIED * 10**6, borrowed, shares, NOW_S - 3600, 0, target, 0)


def bounds(market: MorphoBlueMarket, state: State, at_s: int) -> tuple[float, float]:
    (row,) = market.rows(state, ACCOUNT)
    quotes = market.factors(state, at_s, row.weights)
    low = row.constant + sum(weight * quotes[factor].value for factor, weight in row.weights.items())
    return low, low + row.slack + sum(abs(w) * quotes[factor].width + quotes[factor].slack for factor, w in row.weights.items())


@settings(max_examples=400)
@given(
    borrowed=AMOUNT,
    ratio=st.integers(1, 10**9),
    shares=AMOUNT,
    price=st.integers(0, 200).flatmap(lambda bits: st.integers(1, 2 ** (bits + 1))),
    lltv_wad=LLTV,
    nudge=st.integers(-4, 4),
    dollars=st.integers(1, 10**14),
    later_s=st.integers(0, 10**7),
)
def test_the_contracts_surplus_is_within_the_bounds_of_its_row_at_the_very_edge_too(
    borrowed: int, ratio: int, shares: int, price: int, lltv_wad: int, nudge: int, dollars: int, later_s: int
) -> None:
    market = market_of()
    state = State(market)
    state.listed(0, totals(borrowed, borrowed * 10**6 * ratio // 10**9), price, lltv_wad, dollars=dollars)
    state.position(0, shares, 0)
    (position,) = market.positions(state, ACCOUNT, NOW_S + later_s)
    collateral = position.owed * WAD // lltv_wad * 10**36 // price + nudge
    assume(0 < collateral < 2**128)
    state.position(0, shares, collateral)
    (position,) = market.positions(state, ACCOUNT, NOW_S + later_s)
    low, high = bounds(market, state, NOW_S + later_s)
    surplus = (position.limit - position.owed) * dollars / 10**18
    assert low <= surplus <= high
    assert position.liquidatable == (position.limit < position.owed)


def test_a_loan_token_nobody_values_makes_no_debt_too_small_to_be_looked_at() -> None:
    market = market_of()
    state = State(market)
    state.listed(0, totals(10**20, 10**26), 10**36, 86 * WAD // 100, dollars=0)
    state.position(0, 10**6, 10**18)
    (row,) = market.rows(state, ACCOUNT)
    quotes = market.factors(state, NOW_S, row.weights)
    owed = -sum(weight * quotes[factor].value for factor, weight in row.weights.items() if weight < 0)
    assert owed > 10**8


def test_a_market_without_a_price_gives_its_factors_no_value_and_its_accounts_no_verdict() -> None:
    market = market_of()
    state = State(market)
    state.listed(0, totals(10**20, 10**26), 0, 86 * WAD // 100)
    state.position(0, 10**24, 1)
    (row,) = market.rows(state, ACCOUNT)
    assert market.factors(state, NOW_S, row.weights) == {}
    assert not market.health(state, ACCOUNT, NOW_S).liquidatable


def test_only_an_accounts_own_cells_change_its_rows() -> None:
    market = market_of()
    cells = market.cells
    own: list[Write] = [(cells.borrow, (0, "a"), 1), (cells.collateral, (7, "b"), 1)]
    shared: list[Write] = [
        (cells.total, (id_of(0), "borrowed"), 5),
        (cells.oracle, (ACCOUNT, "price"), 7),
        (cells.waiting, (id_of(1), 0, "c"), 1),
    ]
    assert market.touched([*own, *shared, ("another/borrow", (0, "d"), 1)]) == {"a", "b"}


def test_a_factor_moves_only_with_its_drivers() -> None:
    market, rng = market_of(), random.Random(1)
    state = random_state(market, rng)
    rows = [row for owner in list(market.accounts(state))[:20] for row in market.rows(state, owner)]
    wanted = {factor for row in rows for factor in row.weights}
    before = market.factors(state, NOW_S, wanted)
    for table, key, value in list(state.cells_apart()):
        undo = state.write([(table, key, value + 1 if table != market.cells.slot else value)])
        after = market.factors(state, NOW_S, wanted)
        moved = {factor for factor in wanted if after.get(factor) != before.get(factor)}
        assert moved <= {factor for factor in wanted if (table, key) in market.drivers(state, factor)} or table in (market.cells.param,)
        state.write(undo)


def test_tokens_of_markets_with_a_high_lltv_are_one_family() -> None:
    market = market_of()
    state = State(market)
    state.listed(0, totals(10**20, 10**26), 10**36, 945 * WAD // 1000)
    state.position(0, 1, 1)
    (row,) = market.rows(state, ACCOUNT)
    assert {market.family(state, factor) for factor in row.weights} == {min(LOAN, SECURITY)}
    assert {market.token_of(state, factor) for factor in row.weights} == {LOAN, SECURITY}
    state.listed(1, totals(10**20, 10**26), 10**36, 77 * WAD // 100)
    assert market.family(state, (NAME, "c", "1")) == min(LOAN, SECURITY)
    market = market_of()
    apart = State(market)
    apart.listed(0, totals(10**20, 10**26), 10**36, 77 * WAD // 100)
    apart.listed(1, totals(10**20, 10**26), 10**36, 77 * WAD // 100)
    apart.listed(2, totals(10**20, 10**26), 10**36, 77 * WAD // 100)
    assert market.family(apart, (NAME, "c", "1")) == SECURITY


# --- all at once --------------------------------------------------------------------------------------------------


def random_state(market: MorphoBlueMarket, rng: random.Random) -> State:
    """Accounts in none, one or many markets; collateral without debt and debt without collateral."""
    state = State(market)
    for number in range(50):
        borrowed = rng.randrange(1, 10**24)
        state.listed(
            number,
            totals(borrowed, borrowed * rng.randrange(9 * 10**5, 10**6)),
            rng.randrange(1, 10**40),
            rng.choice([86, 94]) * WAD // 100,
            refuted=Model.NONE,
        )
    for owner in range(300):
        for number in rng.sample(range(50), rng.choice([1, 1, 2, 3, 20])):
            shares, collateral = (rng.choice([0, 1, 10**18, 2**70, rng.getrandbits(120)]) for _ in range(2))
            state.position(number, shares, collateral, account(owner))
    return state


def compiled_rows(market: MorphoBlueMarket, state: State, slots: NDArray[np.int32] | None = None) -> dict[Address, list[Row]]:
    found: dict[Address, list[Row]] = {}
    for block in market.compiled(state, slots):
        assert len(set(block.slot.tolist())) == len(block.slot)
        for number, slot in enumerate(block.slot.tolist()):
            used = [(block.factors[c], w) for c, w in zip(block.column[number], block.weight[number], strict=True) if w]
            row = Row(dict(used), float(block.constant[number]), float(block.slack[number]))
            found.setdefault(state.account(NAME, slot), []).append(row)
    return found


def test_compiled_rows_are_the_rows_of_every_account_in_their_order() -> None:
    market = market_of()
    state = random_state(market, random.Random(5))
    expected = {owner: market.rows(state, owner) for owner in market.accounts(state)}
    found = compiled_rows(market, state)
    assert found.keys() == expected.keys()
    assert max(map(len, expected.values())) > 5
    for owner, rows in expected.items():
        assert len(found[owner]) == len(rows)
        for own, row in zip(found[owner], rows, strict=True):
            assert (own.constant, own.slack) == (row.constant, row.slack)
            assert own.weights == pytest.approx(row.weights, rel=1e-14)


def test_some_accounts_compiled_are_the_same_rows_and_no_others() -> None:
    market, rng = market_of(), random.Random(6)
    state = random_state(market, rng)
    everyone = compiled_rows(market, state)
    for count in (1, 7, 150):
        slots = np.array(sorted(rng.sample(range(state.slots(NAME)), count)), np.int32)
        owners = {state.account(NAME, slot) for slot in slots.tolist()}
        assert compiled_rows(market, state, slots) == {owner: rows for owner, rows in everyone.items() if owner in owners}
    assert compiled_rows(market, state, np.zeros(0, np.int32)) == {}
    assert compiled_rows(market, State(market)) == {}


def test_the_margin_is_the_largest_incentive() -> None:
    market = market_of()
    state = State(market)
    assert market.margin(state) == 0.0
    for number, (percent, expected) in enumerate([(98, 0.006), (86, 0.0438), (385, 0.15)]):
        state.listed(number, totals(1, 1), 1, percent * WAD // (1000 if percent > 100 else 100))
        assert market.margin(state) == pytest.approx(expected, abs=1e-3)
    assert state.get(market.cells.irm, (IRM, "seen")) == 1
