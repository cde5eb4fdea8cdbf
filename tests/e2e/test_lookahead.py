"""Oracle updates that wait in the mempool: whom they make due is liquidated in their very block, and one that never comes costs little."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from keeper.config import load
from keeper.devnet.names import OPERATOR, TRANSMITTER
from tests.e2e.world import (
    Keeper,
    World,
    assert_ledger_is_the_chain,
    keeper_on,
    ours,
    settle_down,
    step,
    succeeded,
    waiting,
    world,
)

ACCOUNTS, SEED = 60, 3
UPDATES, FALL_PERCENT = 18, 2
AT_STAKE_WEI = 10**16
ETHER_LIKE = ("WETH", "wstETH", "WBTC", "LINK")


@asynccontextmanager
async def looking(more: str = "") -> AsyncIterator[tuple[World, Keeper]]:
    """A world in which the keeper looks ahead, and the keeper."""
    async with world(ACCOUNTS, SEED) as made:
        text = made.net.config.read_text().replace("[chains.guard]\n", f"[chains.lookahead]\nenabled = true\n{more}\n\n[chains.guard]\n")
        made.net.config.write_text(text)
        here = World(made.net, made.executor, load(made.net.config, {}))
        async with keeper_on(here) as keeper:
            yield here, keeper


async def fall(here: World, percent: int) -> None:
    """Oracles report it; their transactions wait."""
    prices = await here.net.prices()
    await here.net.set_answers({symbol: prices[symbol] * (100 - percent) // 100 for symbol in ETHER_LIKE})


async def looked(here: World, keeper: Keeper) -> None:
    """All that waits has been looked at."""
    newest = await here.net.request("eth_getBlockByNumber", "latest", False)
    await keeper.looked(len(ETHER_LIKE), newest["hash"])


async def test_what_an_update_makes_due_is_liquidated_in_its_block() -> None:
    async with looking() as (here, keeper):
        same, later = 0, 0
        for number in range(UPDATES):
            if number % 2:  # whoever reports has something else on its way, too
                await here.net.send(TRANSMITTER, OPERATOR, b"", gas=30_000)
            await fall(here, FALL_PERCENT)
            await looked(here, keeper)
            updated = await step(here, keeper)
            await settle_down(here, keeper, at_least=1)
            won = [r for r in await ours(here, since=updated) if succeeded(r)]
            same += sum(int(r["blockNumber"], 16) == updated for r in won)
            later += sum(int(r["blockNumber"], 16) > updated for r in won)
            await here.net.set_prices(await here.net.prices())  # the pools follow
            await step(here, keeper)
            await settle_down(here, keeper)
        print(f"{same} in the block of the update, {later} later")
        written = await assert_ledger_is_the_chain(here)
        assert {row["result"] for row in written} == {"won"}
        assert same >= 100
        assert same >= 0.99 * (same + later)


async def test_an_update_that_never_comes_costs_no_more_than_is_at_stake() -> None:
    """What was sent to be behind it finds everybody healthy, and leaves early."""
    async with looking(f"max_at_stake_per_day_wei = {AT_STAKE_WEI}") as (here, keeper):
        await fall(here, 3 * FALL_PERCENT)
        await looked(here, keeper)
        count = await waiting(here.net)
        assert count >= 3
        await here.net.request("anvil_removePoolTransactions", TRANSMITTER)
        await step(here, keeper)
        await settle_down(here, keeper)
        written = await assert_ledger_is_the_chain(here)
        assert [(row["result"], row["reason"]) for row in written] == [("lost", "healthy")] * count
        assert 0 < -sum(row["net_eth_wei"] for row in written) <= AT_STAKE_WEI


async def test_what_is_at_stake_is_bounded() -> None:
    async with looking("max_at_stake_per_day_wei = 1") as (here, keeper):
        await fall(here, 3 * FALL_PERCENT)
        await looked(here, keeper)
        assert await waiting(here.net) == 0
        await step(here, keeper)
        assert await waiting(here.net) >= 3
        await settle_down(here, keeper)
        assert {row["result"] for row in await assert_ledger_is_the_chain(here)} == {"won"}
