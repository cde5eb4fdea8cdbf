"""Killed at every await between plan and settlement: nothing is sent twice, no nonce is lost, and the ledger is the chain.

Markets and book are opened once, for they are read from the chain again anyway; engine, desk, outbox and ledger are a new process's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from keeper import daemon
from keeper.app import Chain, open_chain
from keeper.chain.feed import ChainFeed
from keeper.chain.heads import PollHeads
from keeper.daemon import Listeners, open_pipeline
from keeper.devnet.names import OPERATOR
from keeper.monitor.report import Metrics
from keeper.pipeline import Parts, Pipeline
from keeper.types import ChainUpdate
from tests.e2e.doom import Doom, Killed, over_node_and_file
from tests.e2e.world import World, assert_ledger_is_the_chain, drop, ours, query, waiting, world

SEED = 3
ACCOUNTS = 12
FALL_PERCENT = 6
BLOCKS_MOST = 6
NEVER = 10**9


@dataclass(frozen=True)
class Process:
    """One keeper on a chain that others share, and its own files."""

    here: World
    chain: Chain
    pipeline: Pipeline
    doom: Doom

    @property
    def parts(self) -> Parts:
        return self.pipeline._parts

    async def block(self) -> None:
        """Work on the newest head, then hear of the next."""
        await self.doom.over(self.pipeline.on_newest())
        await self.here.net.mine()
        update = await step_of(self.chain)
        await self.doom.over(self._settle(update))

    async def _settle(self, update: ChainUpdate) -> None:
        await self.parts.sink.record(await self.parts.settling.settle(update))


async def step_of(chain: Chain) -> ChainUpdate:
    """One step of the chain, and the book with it."""
    feed = ChainFeed(chain.reader, PollHeads(chain.reader, 1.0), chain.book.ancestors(), chain.book.filters)
    async with aclosing(feed.updates()) as updates:
        update = await anext(updates)
        await chain.advance(update)
        return update


@asynccontextmanager
async def process(here: World, chain: Chain, doom: Doom, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    @asynccontextmanager
    async def given(*_: Any, **__: Any) -> AsyncIterator[Chain]:
        yield chain

    with monkeypatch.context() as patch:
        patch.setattr(daemon, "open_chain", given)
        metrics = Metrics(CollectorRegistry())
        async with open_pipeline(here.settings, here.settings.chains[0], True, metrics, Listeners()) as pipeline:
            over_node_and_file(doom, patch)
            yield Process(here, chain, pipeline, doom)


async def lives(here: World, chain: Chain, at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A block's whole work and its settlement; whether it survived."""
    try:
        async with process(here, chain, Doom(at), monkeypatch) as doomed:
            await doomed.block()
    except Killed:
        return False
    return True


async def finishes(here: World, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process goes on until nothing is left to do."""
    async with process(here, chain, Doom(NEVER), monkeypatch) as heir:
        for _ in range(BLOCKS_MOST):
            await heir.block()
            if not await waiting(here.net):
                await heir.block()
                return
    raise AssertionError(f"after {BLOCKS_MOST} blocks there are still transactions of ours in the mempool")


async def goes_back(here: World, chain: Chain, snapshot: str, height: int) -> None:
    """Chain and book are where they were."""
    await here.net.revert(snapshot)
    heads = [head for head in chain.book.ancestors() if head.number > height]
    await chain.advance(ChainUpdate(undo=tuple(reversed(heads)), blocks=()))


async def wei(here: World) -> int:
    return int(await here.net.request("eth_getBalance", OPERATOR, "latest"), 16)


async def assert_right(here: World, prey: set[str] | None, before_wei: int) -> set[str]:
    """Each account was liquidated once, by nonces without a gap; outbox, ledger and chain agree on each, and on every sum."""
    written = await assert_ledger_is_the_chain(here)
    assert {row["result"] for row in written} == {"won"}
    assert [row for row in written if row["predicted_profit"] != row["realised_profit"]] == []
    taken = Counter(f"{row['market']} {row['account']}" for row in written)
    assert prey in (None, set(taken))
    assert set(taken.values()) == {1}
    landed = await ours(here)
    assert [receipt["nonce"] for receipt in landed] == list(range(len(written)))
    decided = query(here, "select nonce, tx, acknowledged from outbox where state = 'included' order by nonce")
    assert decided == [(receipt["nonce"], receipt["transactionHash"], 1) for receipt in landed]
    assert query(here, "select count(*) from outbox where state != 'included'") == [(0,)]
    assert before_wei - await wei(here) == sum(int(gas) for (gas,) in query(here, "select gas_paid_wei from ledger"))
    return set(taken)


async def test_a_keeper_killed_at_any_await_between_plan_and_settlement_sends_nothing_twice_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block comes while nobody is there: what was sent lands, and what was not written down before is nobody's."""
    async with world(ACCOUNTS, SEED) as here:
        await here.net.set_prices(await drop(here, FALL_PERCENT))
        height, before_wei = await here.net.mine(), await wei(here)
        async with open_chain(here.settings, here.settings.chains[0], lambda *_: None, owned=True) as chain:
            await chain.catch_up()
            prey, at, survived = None, 0, False
            while not survived:
                snapshot = await here.net.snapshot()
                mine = World(here.net, here.executor, here.settings.model_copy(update={"data_dir": tmp_path / str(at)}))
                survived = await lives(mine, chain, at, monkeypatch)
                await here.net.mine()
                await step_of(chain)
                await finishes(mine, chain, monkeypatch)
                prey = await assert_right(mine, prey, before_wei)
                await goes_back(here, chain, snapshot, height)
                at += 1
    assert len(prey or ()) >= 2
    assert at > 40
