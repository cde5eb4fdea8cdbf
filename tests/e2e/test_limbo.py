"""Transactions that are on their way for several blocks: what is planned meanwhile is planned behind them."""

from __future__ import annotations

from keeper.devnet.names import OPERATOR
from tests.e2e.checker import check
from tests.e2e.world import TIP_WEI, World, assert_ledger_is_the_chain, drop, keeper_on, query, settle_down, step, waiting, world

SEED = 3
LIMBO_BLOCKS = 3
"""After so many blocks a transaction is sent again."""


async def forget(here: World) -> int:
    """The node loses all transactions of ours that wait. Returns how many."""
    lost = await waiting(here.net)
    await here.net.request("anvil_removePoolTransactions", OPERATOR)
    assert await waiting(here.net) == 0
    return lost


async def test_what_is_planned_while_others_of_ours_are_on_their_way_comes_true_behind_them() -> None:
    async with world(accounts=60, seed=SEED) as here:
        async with keeper_on(here) as keeper:
            fell = await step(here, keeper, await drop(here, percent=4))
            lost = await forget(here)
            await step(here, keeper, await drop(here, percent=1))
            assert await waiting(here.net) == 0, "what comes behind a lost nonce cannot land"
            await settle_down(here, keeper, at_least=LIMBO_BLOCKS + 1)
        written = {row["tx"]: row for row in await assert_ledger_is_the_chain(here)}
        sent = query(here, "select created_block, attempts, state, tx from outbox where created_block <= block_number order by nonce")
        assert (await check(here.net, here.executor, TIP_WEI)).profitable == []
    first = [(attempts, state) for block, attempts, state, _ in sent if block == fell + 1]
    behind = [written[tx] for block, _, _, tx in sent if block == fell + 2]
    assert len(first) == lost >= 15
    assert {state for _, state in first} <= {"included", "cancelled"}, "what would fail by now is not sent again"
    assert {attempts for attempts, state in first if state == "included"} == {2}
    assert len(behind) >= 5
    assert [row for row in behind if row["result"] != "won" or row["predicted_profit"] != row["realised_profit"]] == []
    assert {row["result"] for row in written.values()} <= {"won", "cancelled"}
