"""The keeper as a process, over thousands of blocks with random faults: `make soak`. CI runs a slice.

Memory stays where it is, no task is left behind, every outcome is explained, and in the end ledger and chain agree to the wei.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import statistics
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from keeper.config import load
from keeper.testing.faults import FaultProxy
from tests.e2e.checker import check
from tests.e2e.cli import Daemon, Ended, Folder
from tests.e2e.faults import FAULTS, Ground
from tests.e2e.life import Life
from tests.e2e.test_fault_matrix import assert_in_order
from tests.e2e.world import TIP_WEI, World, rows, waiting, world

BLOCKS = int(os.environ.get("SOAK_BLOCKS", "150"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
ACCOUNTS = 24
WARM_SHARE = 0.25
"""Of the blocks, before memory is compared with."""

GROWTH_MOST = 0.05 if BLOCKS >= 1000 else 0.2
"""A slice is over before everything that fills up is full: the journal alone has 256 blocks."""

GRACE_S, PATIENCE_S, STUCK_S = 1.0, 60.0, 240.0
FAULT_EVERY, FAULT_MOST = 12, 4
"""A fault begins every so many blocks, and lasts so many at most."""

UNEXPLAINED = re.compile(r"unexplained|unpredicted")
FATAL = {"market_diverged", "halted"}
LAST_LINES = 20


@dataclass
class Watched:
    """The process, its log read as it comes."""

    daemon: Daemon
    port: int
    newest: int = -1
    events: Counter[str] = field(default_factory=Counter)
    fatal: list[dict[str, Any]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Task[None] | None = None
    last: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    ended: Ended | None = None

    async def stop(self) -> int:
        """Its exit status, all of its log having been read."""
        self.daemon.terminate()
        if self.reading is not None:
            await asyncio.wait_for(self.reading, PATIENCE_S)
        return (await self.daemon.end()).status

    async def read(self) -> None:
        while (line := await self.daemon.line()) is not None:
            self.daemon.log.clear()
            self.events[line.get("event", "")] += 1
            if line.get("event") in FATAL:
                self.fatal.append(line)
            if line.get("event") == "block":
                self.newest = line["number"]
            self.last.append(line)
            self.news.set()
        self.ended = await self.daemon.end()
        self.news.set()

    async def worked_on(self, block: int, patience_s: float) -> None:
        async with asyncio.timeout(patience_s):
            while self.newest != block:
                assert self.ended is None, f"{self.ended} after {list(self.last)}"
                self.news.clear()
                await self.news.wait()

    def resident_kib(self) -> int:
        return figure(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.daemon.pid}/status").read_text())

    async def tasks(self) -> int:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.port}/metrics") as reply:
            return figure(r"^keeper_tasks (\S+)", await reply.text())


def figure(pattern: str, text: str) -> int:
    found = re.search(pattern, text, re.M)
    assert found, f"nothing of {pattern} in {text[:200]}"
    return int(float(found[1]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def ground(tmp_path: Path) -> AsyncIterator[tuple[Ground, Watched]]:
    """A live keeper over two nodes; faults happen to the first."""
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(world(ACCOUNTS, SEED))
        proxies = [await stack.enter_async_context(FaultProxy(here.net.rpc, here.net.ws)) for _ in range(2)]
        folder, port = Folder(tmp_path, here.net), free_port()
        folder.edit(rpc_url=f'"{proxies[0].url}"', ws_url=f'"{proxies[0].ws_url}"')
        folder.config.write_text(f"metrics_port = {port}\n{folder.config.read_text()}")
        spare = f'[[chains.nodes]]\nname = "spare"\nrpc_url = "{proxies[1].url}"\nws_url = "{proxies[1].ws_url}"\n\n'
        folder.swap("[[chains.markets]]", spare + "[[chains.markets]]", times=1)
        watched = Watched(await stack.enter_async_context(folder.daemon("--live")), port)
        watched.reading = asyncio.create_task(watched.read())
        stack.callback(watched.reading.cancel)
        await watched.worked_on(int(await here.net.request("eth_blockNumber"), 16), PATIENCE_S)
        yield Ground(replace(here, settings=load(folder.config, {})), proxies[0], random.Random(SEED)), watched


@pytest.mark.timeout(24 * 3600)
async def test_it_goes_on_for_ever(tmp_path: Path) -> None:
    print(f"{BLOCKS} blocks, seed {SEED}")
    async with ground(tmp_path) as (place, keeper):
        net, chance = place.here.net, place.chance
        life, memory, tasks = Life(net, ACCOUNTS, SEED, await net.prices()), list[int](), list[int]()
        began_s, happened = time.monotonic(), Counter[str]()
        async with AsyncExitStack() as trouble:
            left = 0
            for done in range(BLOCKS):
                async with asyncio.timeout(STUCK_S):
                    if not left:
                        await trouble.aclose()
                    if not left and done % FAULT_EVERY == FAULT_EVERY // 2:
                        name, left = chance.choice(sorted(FAULTS)), chance.randint(1, FAULT_MOST)
                        happened[name] += 1
                        await trouble.enter_async_context(FAULTS[name](place))
                    await (life.move() if chance.random() < 0.5 else life.borrow())
                    block = await net.mine()
                    with suppress(TimeoutError):
                        await keeper.worked_on(block, GRACE_S if left else PATIENCE_S)
                    left = max(left - 1, 0)
                    if not left:
                        memory.append(keeper.resident_kib())
                        tasks.append(await keeper.tasks())
                    if done % 100 == 99 and not left:
                        await life.fund()
                    if done % 100 == 99:
                        tell(done + 1, time.monotonic() - began_s, memory, tasks, keeper, happened)
        for _ in range(8):
            await keeper.worked_on(await net.mine(), PATIENCE_S)
            if not await waiting(net):
                break
        assert (await check(net, place.here.executor, TIP_WEI)).profitable == []
        tell(BLOCKS, time.monotonic() - began_s, memory, tasks, keeper, happened)
        assert await keeper.stop() == 0
        await assert_explained(place.here, keeper)
    assert_flat(memory)
    assert statistics.median(tasks[-len(tasks) // 4 :]) <= statistics.median(tasks[: len(tasks) // 4])  # at times a few more are at work


def tell(done: int, took_s: float, memory: list[int], tasks: list[int], keeper: Watched, happened: Counter[str]) -> None:
    said = {name: keeper.events[name] for name in ("won", "lost", "reverted", "cancelled", "dropped", "chain_restarts")}
    print(f"block {done}: {took_s:.0f} s, {memory[-1] // 1024} MiB, {tasks[-1]} tasks, {said}, faults {dict(happened)}", flush=True)


async def assert_explained(here: World, keeper: Watched) -> None:
    assert keeper.fatal == []
    assert [row for row in await rows(here) if UNEXPLAINED.search(row["reason"])] == []
    await assert_in_order(here)


def assert_flat(memory: list[int]) -> None:
    """The median of the last tenth is within a few per cent of that after the warm-up."""
    part = max(len(memory) // 10, 1)
    warm = int(len(memory) * WARM_SHARE)
    before, after = statistics.median(memory[warm : warm + part]), statistics.median(memory[-part:])
    assert after <= before * (1 + GROWTH_MOST), (before, after)
