"""`kill -9` in the middle of a crash, again and again: nothing is missed, nothing is done twice, nothing is written down wrong."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from keeper.devnet import Devnet
from keeper.devnet.names import MARKETS
from keeper.devnet.paths import path
from keeper.types import Address
from tests.e2e.checker import check, liquidatable
from tests.e2e.cli import Daemon, Folder
from tests.e2e.world import (
    PATIENCE_S,
    QUIET_MOST,
    TIP_WEI,
    World,
    assert_ledger_is_the_chain,
    drop,
    keeper_on,
    ours,
    query,
    step,
    waiting,
    world,
)

START_S = (0.3, 1.2)
"""A start takes about a second: this is in the middle of it, or after it."""

SEEDS = (1, 2)
Account = tuple[str, Address]


@dataclass
class Story:
    """A devnet, a user's folder, and who has ever been liquidatable."""

    here: World
    folder: Folder
    chance: random.Random
    prey: set[Account] = field(default_factory=set)

    @property
    def net(self) -> Devnet:
        return self.here.net

    async def mine(self) -> int:
        block = await self.net.mine()
        self.prey |= await liquidatable(self.net)
        return block

    async def head(self) -> int:
        return int(await self.net.request("eth_blockNumber"), 16)


# --- when it is killed --------------------------------------------------------------------------------------------


async def at_once(story: Story, keeper: Daemon, fell: int) -> None:
    """The block has just come; it may be reading, planning or simulating."""


async def while_sending(story: Story, keeper: Daemon, fell: int) -> None:
    """The first of its transactions has just reached the mempool."""
    before = await waiting(story.net)
    worked = asyncio.create_task(keeper.block(fell))
    async with asyncio.timeout(PATIENCE_S):
        while not worked.done() and await waiting(story.net) == before:
            pass
    worked.cancel()
    with suppress(asyncio.CancelledError):
        await worked


async def in_the_mempool(story: Story, keeper: Daemon, fell: int) -> None:
    """All is sent, nothing is mined."""
    await keeper.block(fell)


async def mined_and_not_settled(story: Story, keeper: Daemon, fell: int) -> None:
    """All is sent and mined, and it has not seen that block."""
    await keeper.block(fell)
    os.kill(keeper.pid, signal.SIGSTOP)
    await story.mine()


async def while_starting(story: Story, keeper: Daemon, fell: int) -> None:
    """All is sent; it is killed, and the next one, which has to make sense of that, is killed at some moment of its start."""
    await keeper.block(fell)
    await keeper.stop(signal.SIGKILL)
    async with story.folder.daemon("--live") as again:
        with suppress(TimeoutError):
            await asyncio.wait_for(again.block(fell), story.chance.uniform(*START_S))
        await again.stop(signal.SIGKILL)


Moment = Callable[[Story, Daemon, int], Awaitable[None]]
MOMENTS: tuple[Moment, ...] = (at_once, while_sending, in_the_mempool, mined_and_not_settled, while_starting)


# --- the story ----------------------------------------------------------------------------------------------------


async def crash(story: Story, moments: list[Moment]) -> None:
    """One life and one violent death for each step of a falling market; half of the time a block comes while nobody is there."""
    for moment, prices in zip(moments, path("crash", len(moments), 1, await story.net.prices()), strict=True):
        async with story.folder.daemon("--live") as keeper:
            await keeper.block(await story.head())
            await story.net.set_prices(prices)
            await moment(story, keeper, await story.mine())
            if not keeper.ended:
                await keeper.stop(signal.SIGKILL)
        if story.chance.random() < 0.5:
            await story.mine()


async def aftermath(story: Story) -> None:
    """A last life, until nothing is left to do."""
    async with story.folder.daemon("--live") as keeper:
        await keeper.block(await story.head())
        await keeper.block(await story.mine())
        for _ in range(QUIET_MOST):
            if not await waiting(story.net):
                break
            await keeper.block(await story.mine())
        assert (await keeper.stop()).status == 0


async def liquidations(here: World) -> Counter[Account]:
    """In how many transactions the executor liquidated whom, by the markets' own events."""
    found: set[tuple[Account, str]] = set()
    for market in MARKETS:
        pool = here.net.contract(f"{market}.pool")
        wanted = {"address": here.net.addresses[f"{market}.pool"], "topics": [pool.topic("LiquidationCall")], "fromBlock": "0x0"}
        for log in await here.net.request("eth_getLogs", wanted):
            if pool.decode_log("LiquidationCall", bytes.fromhex(log["data"][2:]))[2].lower() == here.executor:
                found.add(((market, Address("0x" + log["topics"][3][-40:])), log["transactionHash"]))
    return Counter(account for account, _ in found)


async def assert_nothing_twice(here: World) -> None:
    """Nonces without a gap, no call sent in two transactions, one decided entry per nonce, and as many liquidations as rows."""
    landed = await ours(here)
    assert [receipt["nonce"] for receipt in landed] == list(range(len(landed)))
    assert max(Counter(receipt["input"] for receipt in landed).values()) == 1
    decided = query(here, "select nonce, tx, acknowledged from outbox where state in ('included', 'reverted') order by nonce")
    assert decided == [(receipt["nonce"], receipt["transactionHash"], 1) for receipt in landed]
    assert query(here, "select state from outbox where state not in ('included', 'reverted', 'replaced', 'cancelled', 'dropped')") == []


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_keeper_killed_at_any_moment_of_a_crash_misses_nobody_and_sends_nothing_twice(seed: int) -> None:
    async with world(accounts=60, seed=seed) as here:
        story = Story(here, Folder(here.net.config.parent, here.net), random.Random(seed))
        moments = story.chance.sample(MOMENTS, len(MOMENTS))
        print("killed", *(moment.__name__ for moment in moments))
        await crash(story, moments)
        await aftermath(story)
        written = await assert_ledger_is_the_chain(here)
        await assert_nothing_twice(here)
        assert [row for row in written if row["result"] != "won" or row["predicted_profit"] != row["realised_profit"]] == []
        assert Counter((row["market"].replace("-", "_"), row["account"]) for row in written) == await liquidations(here)
        heard_of = {(market.replace("-", "_"), account) for market, account in query(here, "select distinct market, account from outcomes")}
        assert story.prey - heard_of == set()
        assert len(written) >= 30
        assert (await check(here.net, here.executor, TIP_WEI)).profitable == []


async def test_a_keeper_that_starts_where_another_stopped_acts_without_waiting_for_a_block() -> None:
    async with world(accounts=60, seed=1) as here:
        async with keeper_on(here, live=False) as watcher:
            await step(here, watcher, await drop(here, percent=5))
        assert await waiting(here.net) == 0
        async with keeper_on(here):
            assert await waiting(here.net) >= 10
