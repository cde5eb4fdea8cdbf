"""Each fault on the running keeper, alone and mixed: no double send, no lost nonce, ledger = chain, back at work two blocks after its end.

With a second node that is well, a fault of the first is nothing: the keeper works on as if it were not there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.config import NodeSettings
from keeper.storage.database import BUSY_MS
from keeper.testing.faults import FaultProxy
from tests.e2e import faults
from tests.e2e.checker import check
from tests.e2e.faults import CHAIN, FAULTS, MACHINE, NODE, Ground
from tests.e2e.test_reorg import assert_nothing_counted_twice
from tests.e2e.world import (
    PATIENCE_S,
    TIP_WEI,
    Keeper,
    World,
    assert_ledger_is_the_chain,
    drop,
    keeper_on,
    ours,
    query,
    settle_down,
    step,
    waiting,
    world,
)

SEED, ACCOUNTS, FALL_PERCENT = 3, 12, 6
GRACE_S = 1.0
"""How long a block of the fault lasts, unless the keeper is done with it before."""

UNDECIDED = "select state from outbox where state in ('signed', 'sent', 'unknown', 'reorged-out')"


@pytest.fixture(scope="module")
async def prepared() -> AsyncIterator[World]:
    async with world(ACCOUNTS, SEED) as made:
        yield made


@pytest.fixture
async def devnet(prepared: World, tmp_path: Path) -> AsyncIterator[World]:
    """As it was at first, and nothing written down."""
    snapshot = await prepared.net.snapshot()
    yield replace(prepared, settings=prepared.settings.model_copy(update={"data_dir": tmp_path}))
    await prepared.net.revert(snapshot)


@asynccontextmanager
async def standing(devnet: World, nodes: int, seed: int) -> AsyncIterator[tuple[Ground, Keeper]]:
    """A keeper whose every node is the devnet's, behind a proxy of its own."""
    print(f"seed {seed}")
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(FaultProxy(devnet.net.rpc, devnet.net.ws)) for _ in range(nodes)]
        here = behind(devnet, proxies)
        keeper = await stack.enter_async_context(keeper_on(here))
        yield Ground(here, proxies[0], random.Random(seed)), keeper


def behind(devnet: World, proxies: list[FaultProxy]) -> World:
    (chain,) = devnet.settings.chains
    described = [{"name": f"node-{i}", "rpc_url": proxy.url, "ws_url": proxy.ws_url} for i, proxy in enumerate(proxies)]
    first, *others = [NodeSettings.model_validate(node) for node in described]
    told = chain.model_copy(update={"rpc_url": first.rpc_url, "ws_url": first.ws_url, "nodes": tuple(others)})
    return replace(devnet, settings=devnet.settings.model_copy(update={"chains": (told,)}))


async def meanwhile(ground: Ground, keeper: Keeper) -> None:
    """Prices fall, and two blocks come, while something is wrong."""
    await ground.here.net.set_prices(await drop(ground.here, FALL_PERCENT))
    for _ in range(2):
        block = await ground.here.net.mine()
        with suppress(TimeoutError):
            await keeper.worked_on(block, GRACE_S)


async def sent(ground: Ground) -> None:
    """Until something is: what is read again is acted on before the next block, but after the work on the newest one."""
    async with asyncio.timeout(PATIENCE_S):
        while not await waiting(ground.here.net):
            pass


async def two_blocks(ground: Ground, keeper: Keeper, fault: str = "") -> None:
    """After which nothing that pays is left."""
    await step(ground.here, keeper)
    if fault == "logs_missing":
        await sent(ground)
    await step(ground.here, keeper)
    assert (await check(ground.here.net, ground.here.executor, TIP_WEI)).profitable == []


async def assert_in_order(here: World) -> None:
    """Every transaction is in the ledger once and to the wei, every nonce is used once and in order, nothing is undecided."""
    written = await assert_ledger_is_the_chain(here)
    assert_nothing_counted_twice(here, written)
    assert "won" in {row["result"] for row in written}
    landed = await ours(here)
    assert [receipt["nonce"] for receipt in landed] == list(range(len(landed)))
    assert await waiting(here.net) == 0
    assert query(here, UNDECIDED) == []


@pytest.mark.parametrize("name", FAULTS)
async def test_two_blocks_after_its_end_everything_is_done(devnet: World, name: str) -> None:
    async with standing(devnet, 1, SEED) as (ground, keeper):
        async with FAULTS[name](ground):
            await meanwhile(ground, keeper)
        if name == "reorg":  # what came back to the mempool is settled first; then prices fall again
            await step(ground.here, keeper)
            await ground.here.net.set_prices(await drop(ground.here, FALL_PERCENT))
        await two_blocks(ground, keeper, name)
        await settle_down(ground.here, keeper, at_least=2)
    await assert_in_order(ground.here)


async def test_a_database_that_is_locked_for_longer_than_sqlite_waits_restarts_the_chain(
    devnet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "LOCKED_S", 1.5 * BUSY_MS / 1000)
    async with standing(devnet, 1, SEED) as (ground, keeper):
        async with MACHINE["database_locked"](ground):
            await meanwhile(ground, keeper)
        await two_blocks(ground, keeper)
        await settle_down(ground.here, keeper, at_least=2)
    await assert_in_order(ground.here)


@pytest.mark.parametrize("name", NODE)
async def test_with_a_second_node_nobody_notices(devnet: World, name: str) -> None:
    async with standing(devnet, 2, SEED) as (ground, keeper):
        async with NODE[name](ground):
            await ground.here.net.set_prices(await drop(ground.here, FALL_PERCENT))
            await two_blocks(ground, keeper, name)
        await settle_down(ground.here, keeper, at_least=2)
    await assert_in_order(ground.here)


@pytest.mark.parametrize("seed", range(3))
async def test_any_mixture_of_them_is_survived(devnet: World, seed: int) -> None:
    async with standing(devnet, 2, seed) as (ground, keeper):
        for _ in range(4):
            async with AsyncExitStack() as together:
                for kinds in ground.chance.sample([NODE, CHAIN, MACHINE], k=2):
                    await together.enter_async_context(kinds[ground.chance.choice(sorted(kinds))](ground))
                await ground.here.net.set_prices(await drop(ground.here, 2))
                block = await ground.here.net.mine()
                with suppress(TimeoutError):
                    await keeper.worked_on(block, GRACE_S)
            await step(ground.here, keeper, await drop(ground.here, 1))
        await two_blocks(ground, keeper)
        await settle_down(ground.here, keeper, at_least=2)
    await assert_in_order(ground.here)
