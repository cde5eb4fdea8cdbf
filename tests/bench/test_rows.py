"""The synthetic book as rows and as cells says the same, in the words of a real adapter."""

from __future__ import annotations

import numpy as np
import pytest

from keeper.adapters.aave_v3.cells import Deployment, Era
from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.adapters.aave_v3.versions import V3_6
from keeper.bench import rows
from keeper.bench.cells import FIRST_TIMESTAMP_S, account, account_cells, entries, market_cells
from keeper.bench.population import Population, Spec, populate
from keeper.bench.reserves import COUNT
from keeper.book.state import Tables
from keeper.types import ZERO_ADDRESS

ACCOUNTS = 400


@pytest.fixture(scope="module")
def book() -> Population:
    return populate(Spec(ACCOUNTS, seed=5))


@pytest.fixture(scope="module")
def market() -> AaveV3Market:
    return AaveV3Market(Deployment(rows.NAME, ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, 0, (Era((0, 0), V3_6),), "usd-8"))


@pytest.fixture(scope="module")
def state(book: Population, market: AaveV3Market) -> Tables:
    tables = Tables({market.name: market.columns})
    tables.write(market_cells(market.cells))
    tables.write(account_cells(book, market.cells))
    return tables


def test_an_adapter_compiles_the_cells_to_these_rows(book: Population, market: AaveV3Market, state: Tables) -> None:
    block = rows.block(book)
    for number in range(ACCOUNTS):
        (row,) = market.rows(state, account(number))
        weights = {rows.FACTORS[c]: w for c, w in zip(block.column[number].tolist(), block.weight[number].tolist(), strict=True) if w}
        assert set(row.weights) == set(weights)
        assert row.weights == {factor: pytest.approx(weight, rel=1e-12) for factor, weight in weights.items()}
        assert (row.constant, row.slack) == (block.constant[number], block.slack[number])


def test_its_factors_have_the_adapters_values_and_widths(market: AaveV3Market, state: Tables) -> None:
    theirs = market.factors(state, FIRST_TIMESTAMP_S, rows.FACTORS)
    for factor, quote in rows.quotes().items():
        assert theirs[factor].value == pytest.approx(quote.value, rel=1e-9)
        assert theirs[factor].width == pytest.approx(quote.width, rel=1e-6)


def test_accounts_have_the_health_that_was_aimed_at(book: Population, market: AaveV3Market, state: Tables) -> None:
    for number in range(ACCOUNTS):
        health = market.health(state, account(number), FIRST_TIMESTAMP_S)
        assert health.health_factor_wad / 1e18 == pytest.approx(book.health[number], rel=1e-3)
        assert health.liquidatable == (book.health[number] < 1.0)


def test_the_cells_as_columns_are_the_cells_one_by_one(book: Population, market: AaveV3Market, state: Tables) -> None:
    for table, found in entries(book, market.cells).items():
        single = table == market.cells.category
        arrays = (found.number.tolist(), found.slot.tolist(), found.low.tolist(), found.high.tolist())
        cells = {
            ((account(slot),) if single else (number, account(slot))): low | high << 64
            for number, slot, low, high in zip(*arrays, strict=True)
        }
        assert cells == {key: state.get(table, key) for key in state.keys(table)}


def test_prices_move_the_factors_of_their_reserve_and_no_others() -> None:
    prices = np.ones(COUNT)
    prices[3] = 1.5
    moved = np.flatnonzero(rows.values(prices) != rows.values())
    assert [rows.FACTORS[number][1:4] for number in moved] == [("c", "3", "0"), ("c", "3", "1"), ("d", "3", "0")]
    assert rows.values(prices)[moved] == pytest.approx(1.5 * rows.values()[moved])


def test_staked_ether_is_of_ethers_family_and_both_sides_of_a_reserve_are_of_one() -> None:
    assert {rows.family(("bench", "c", str(number), "0", "alone")) for number in range(6)} == {"eth"}
    assert rows.family(("bench", "c", "21", "0", "alone")) == rows.family(("bench", "d", "21", "0")) == "LINK"


def test_a_volatile_reserve_has_a_wider_scale_than_a_dollar() -> None:
    scale = dict(zip(rows.FACTORS, rows.scales().tolist(), strict=True))
    assert 0.0 < scale[("bench", "d", "10", "0")] < scale[("bench", "d", "0", "0")] < scale[("bench", "d", "29", "0")] < 0.05
