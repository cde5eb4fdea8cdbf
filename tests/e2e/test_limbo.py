"""Transactions that are on their way for several blocks: what is planned meanwhile is planned behind them."""

from __future__ import annotations

from keeper.devnet.names import OPERATOR
from keeper.devnet.paths import path
from tests.e2e.checker import check
from tests.e2e.world import TIP_WEI, World, assert_ledger_is_the_chain, keeper_on, query, settle_down, step, waiting, world

SEED = 2
LIMBO_BLOCKS = 3


async def forget(here: World) -> int:
    """The node loses all transactions of ours that wait. Returns how many."""
    lost = await waiting(here.net)
    await here.net.request("anvil_removePoolTransactions", OPERATOR)
    assert await waiting(here.net) == 0
    return lost


async def test_what_is_planned_while_the_node_has_lost_our_transactions_comes_true_behind_them() -> None:
    async with world(accounts=60, seed=SEED) as here:
        prices = path("crash", 8, SEED, await here.net.prices())
        async with keeper_on(here) as keeper:
            fell = await step(here, keeper, prices[2])
            lost = await forget(here)
            await step(here, keeper, prices[3])
            assert await waiting(here.net) == 0, "what comes behind a lost nonce cannot land"
            await settle_down(here, keeper, at_least=LIMBO_BLOCKS + 1)
        written = await assert_ledger_is_the_chain(here)
        first = query(here, f"select count(*) from outbox where created_block = {fell + 1} and attempts > 1 and state = 'included'")
        later = query(here, f"select count(*) from outbox where created_block = {fell + 2} and state = 'included'")
        print(lost, first, later)
        assert lost >= 5
        assert first == [(lost,)]
        assert later[0][0] >= 5
        assert [row for row in written if row["result"] != "won" or row["predicted_profit"] != row["realised_profit"]] == []
        assert (await check(here.net, here.executor, TIP_WEI)).profitable == []
