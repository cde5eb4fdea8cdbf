"""Debts of a few units, whose shares rounding has made cheaper than they were born: more is repaid than everybody owed."""

from __future__ import annotations

import pytest

from keeper.adapters.morpho_blue.liquidation import SEIZE
from keeper.adapters.morpho_blue.position import Position
from keeper.book.state import Overlay
from keeper.devnet.genesis import morpho
from keeper.devnet.genesis.morpho import Market
from keeper.types import LIQUIDATE, Pair
from tests.adapters.morpho import truth
from tests.adapters.morpho.conftest import Followed
from tests.adapters.morpho.world import LIQUIDATOR

DUST = Market("WETH", "USDC", 7700, 0)
BORROWED, REPAYMENTS = 10, 3


async def dusty(run: Followed, collateral: int) -> Position:
    """A market with one borrower, who has repaid single shares, each for a whole unit."""
    await run.prepare()
    user, call = run.world.users[-1], run.world.call
    opened = [call(user, "createMarket", DUST), call(user, "supply", DUST, 10**9, 0, user, b"")]
    await run.mine(
        [*opened, call(user, "supplyCollateral", DUST, collateral, user, b""), call(user, "borrow", DUST, BORROWED, 0, user, user)]
    )
    await run.mine([call(user, "repay", DUST, 0, 1, user, b"") for _ in range(REPAYMENTS)])
    (position,) = [p for p in run.market.positions(run.tables, user, run.now_s) if p.params.id == morpho.market_id(run.net.addresses, DUST)]
    return position


async def test_repaying_more_than_everybody_owed_leaves_nothing_owed(followed: Followed) -> None:
    position = await dusty(followed, 10**18)
    assert position.owed > truth.totals_of(followed, DUST).borrowed == BORROWED - REPAYMENTS
    await followed.mine([followed.world.call(LIQUIDATOR, "repay", DUST, 0, position.shares, position.account, b"")])
    await truth.check_markets(followed)
    assert truth.totals_of(followed, DUST).borrowed == 0


@pytest.mark.parametrize(("kind", "price"), [(LIQUIDATE, 1500), (SEIZE, 600)])
async def test_a_liquidation_of_dust_moves_and_writes_off_what_the_contract_does(followed: Followed, kind: str, price: int) -> None:
    run, collateral = followed, 7 * 10**9
    position = await dusty(run, collateral)
    await run.mine([run.world.set_price("WETH", 10**8 * price)])
    at_s, state = run.now_s + 12, Overlay(run.tables)
    pair = Pair(position.account, position.params.loan, position.params.collateral, (1,), kind, position.params.id)
    cover = collateral if kind == SEIZE else position.shares
    fill = run.market.fill(state, pair, cover, at_s)
    state.write(fill.writes)
    (receipt,) = await run.mine([run.world.liquidate(DUST, position.account, *((cover, 0) if kind == SEIZE else (0, cover)))])
    assert receipt["status"] == "0x1"
    await truth.check_markets(run)
    assert truth.cells_that_differ(state, run.tables) == {}
