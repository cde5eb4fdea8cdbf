from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from keeper.chain.feed import ChainFeed
from keeper.chain.heads import HeadSource, Mailbox
from keeper.chain.reader import NodeReader
from keeper.chain.rpc import Rpc
from keeper.chain.ws import WsHeads
from keeper.devnet import Devnet
from keeper.errors import ConfigError, Halt
from keeper.testing.faults import Fault, FaultProxy
from keeper.testing.lies import LogsMissing
from keeper.types import Block, ChainUpdate, Hash, Head, LogFilter
from tests.chain.emitter import Emitter, pings
from tests.chain.test_ws import at_once


class Follower:
    """Applies every step, refuses one that does not fit, and can be waited for."""

    def __init__(self, base: Head) -> None:
        self.blocks: list[Block] = []
        self.steps: list[ChainUpdate] = []
        self._base = base
        self._moved = asyncio.Event()

    @property
    def tip(self) -> Head:
        return self.blocks[-1].head if self.blocks else self._base

    @property
    def values(self) -> list[int]:
        return [int.from_bytes(log.data, "big") for block in self.blocks for log in block.logs]

    async def follow(self, feed: ChainFeed) -> None:
        async with aclosing(feed.updates()) as updates:
            async for step in updates:
                self._apply(step)

    def _apply(self, step: ChainUpdate) -> None:
        for head in step.undo:
            assert self.blocks.pop().head == head
        for block in step.blocks:
            assert block.head.parent_hash == self.tip.hash
            self.blocks.append(block)
        self.steps.append(step)
        self._moved.set()

    async def reaches(self, head: Head) -> None:
        async with asyncio.timeout(5):
            while self.tip != head:
                self._moved.clear()
                await self._moved.wait()

    async def holds(self, values: Sequence[int]) -> None:
        async with asyncio.timeout(5):
            while self.values != list(values):
                self._moved.clear()
                await self._moved.wait()


class Quiet:
    """A source that says nothing."""

    async def run(self, mailbox: Mailbox) -> None:
        await asyncio.Event().wait()


@asynccontextmanager
async def following(
    reader: NodeReader,
    source: HeadSource,
    filters: Sequence[LogFilter] = (),
    base: Head | None = None,
    poll_s: float = 5.0,
    second: NodeReader | None = None,
) -> AsyncIterator[Follower]:
    start = base or await reader.head()
    follower = Follower(start)
    feed = ChainFeed(reader, source, [start], lambda: filters, depth=20, chunk=10, patience=3, poll_s=poll_s, retry_s=0.002, second=second)
    task = asyncio.create_task(follower.follow(feed))
    try:
        yield follower
    finally:
        task.cancel()
        [result] = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError), result


def heads_of(net: Devnet | FaultProxy, oracles: Sequence[LogFilter] = ()) -> WsHeads:
    return WsHeads(net.ws if isinstance(net, Devnet) else net.ws_url, "node", 5.0, lambda: oracles, sleep=at_once)


async def emit_and_mine(net: Devnet, emitter: Emitter, f: LogFilter, *values: int) -> None:
    for value in values:
        await emitter.emit(f.address, value)
        await net.mine()


async def test_every_block_arrives_once_with_its_logs(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    f = pings(await emitter.place())
    async with following(reader, heads_of(net), [f]) as follower:
        await emit_and_mine(net, emitter, f, 1, 2, 3)
        await follower.reaches(await reader.head())
    assert follower.values == [1, 2, 3]
    assert all(not step.undo for step in follower.steps)


async def test_a_head_that_extends_ours_costs_one_request_and_the_second_look_at_the_one_before_it_another(
    net: Devnet, reader: NodeReader, proxy: FaultProxy, faulty: Rpc, emitter: Emitter
) -> None:
    f = pings(await emitter.place())
    async with following(NodeReader(faulty), heads_of(net), [f]) as follower:
        await emit_and_mine(net, emitter, f, 1)
        await follower.reaches(first := await reader.head())
        before = len(proxy.bodies)
        await emit_and_mine(net, emitter, f, 2)
        await follower.reaches(second := await reader.head())
        await emit_and_mine(net, emitter, f, 3)
        await follower.reaches(await reader.head())
    asked = [[call["params"][0]["blockHash"] for call in listed(body)] for body in proxy.bodies[before:]]
    assert asked[0] == [second.hash]
    assert asked[1][0] == first.hash
    assert asked[2] == [follower.tip.hash]


def listed(body: Any) -> list[dict[str, Any]]:
    """A request's calls, all of which ask for logs."""
    calls = body if isinstance(body, list) else [body]
    assert {call["method"] for call in calls} == {"eth_getLogs"}
    return calls


async def test_logs_missing_for_long_are_all_found_once_some_are(
    net: Devnet, reader: NodeReader, proxy: FaultProxy, faulty: Rpc, emitter: Emitter
) -> None:
    f = pings(await emitter.place())
    async with following(NodeReader(faulty), heads_of(net), [f]) as follower:
        proxy.lie(LogsMissing())
        for value in range(7):
            await emit_and_mine(net, emitter, f, value)
            await follower.reaches(await reader.head())
        proxy.heal()
        await emit_and_mine(net, emitter, f, 7)
        await follower.holds(range(8))
    assert follower.values == [*range(8)]


async def test_another_node_is_asked_at_once(net: Devnet, reader: NodeReader, proxy: FaultProxy, faulty: Rpc, emitter: Emitter) -> None:
    f = pings(await emitter.place())
    proxy.lie(LogsMissing())
    async with following(NodeReader(faulty), heads_of(net), [f], second=reader) as follower:
        await emit_and_mine(net, emitter, f, 1)
        await follower.holds([1])
    assert follower.values == [1]


async def test_logs_that_a_node_did_not_have_yet_are_there_a_block_later(
    net: Devnet, reader: NodeReader, proxy: FaultProxy, faulty: Rpc, emitter: Emitter
) -> None:
    f = pings(await emitter.place())
    async with following(NodeReader(faulty), heads_of(net), [f]) as follower:
        proxy.lie(LogsMissing())
        await emit_and_mine(net, emitter, f, 1)
        await follower.reaches(late := await reader.head())
        assert follower.values == []
        proxy.heal()
        await emit_and_mine(net, emitter, f, 2)
        await follower.holds([1, 2])
    assert [head.number for step in follower.steps for head in step.undo] == [late.number + 1, late.number]


async def test_a_reorg_is_undone_newest_first_and_replaced(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    f = pings(await emitter.place())
    async with following(reader, heads_of(net), [f]) as follower:
        await emit_and_mine(net, emitter, f, 1, 2, 3, 4)
        old = await reader.head()
        await follower.reaches(old)
        await net.request("anvil_reorg", 3, [])
        await follower.reaches(await reader.head())
    assert follower.values == [1]
    assert follower.tip.number == old.number
    assert follower.tip.hash != old.hash
    undone = [head.number for step in follower.steps for head in step.undo]
    assert undone == [old.number, old.number - 1, old.number - 2]


async def test_a_snapshot_restored_and_mined_on_is_a_reorg_to_a_lower_number(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    f = pings(await emitter.place())
    snapshot = await net.snapshot()
    async with following(reader, heads_of(net), [f]) as follower:
        await emit_and_mine(net, emitter, f, 1, 2, 3)
        await follower.reaches(await reader.head())
        await net.revert(snapshot)
        await emit_and_mine(net, emitter, f, 9)
        await follower.reaches(await reader.head())
    assert follower.values == [9]


async def test_a_chain_that_only_goes_back_is_believed_when_it_stays_there(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    f = pings(await emitter.place())
    async with following(reader, heads_of(net), [f], poll_s=0.02) as follower:
        await emit_and_mine(net, emitter, f, 1, 2, 3)
        await follower.reaches(await reader.head())
        await net.request("anvil_rollback", 2)
        await follower.reaches(await reader.head())
    assert follower.values == [1]
    assert [len(step.undo) for step in follower.steps if step.undo] == [2]


async def test_blocks_mined_while_the_connection_was_down_are_caught_up(
    net: Devnet, reader: NodeReader, proxy: FaultProxy, emitter: Emitter
) -> None:
    f = pings(await emitter.place())
    async with following(reader, heads_of(proxy), [f]) as follower:
        await proxy.until_subscribed("newHeads")
        await proxy.cut_websockets(refuse=True)
        await emit_and_mine(net, emitter, f, 1, 2, 3)
        proxy.heal()
        await follower.reaches(await reader.head())
        await proxy.until_subscribed("newHeads", 2)
        await emit_and_mine(net, emitter, f, 4)
        await follower.reaches(await reader.head())
    assert follower.values == [1, 2, 3, 4]


async def test_a_reorg_while_the_connection_was_down_is_found(net: Devnet, reader: NodeReader, proxy: FaultProxy, emitter: Emitter) -> None:
    f = pings(await emitter.place())
    async with following(reader, heads_of(proxy), [f]) as follower:
        await emit_and_mine(net, emitter, f, 1, 2, 3)
        await follower.reaches(await reader.head())
        await proxy.cut_websockets(refuse=True)
        await net.request("anvil_reorg", 2, [])
        await emit_and_mine(net, emitter, f, 7)
        proxy.heal()
        await follower.reaches(head := await reader.head())
        on_chain = [int.from_bytes(log.data) for log in await reader.logs([f], 0, head.number)]
    assert follower.values == on_chain
    assert on_chain in ([1, 7], [1])  # anvil may leave a transaction sent just after a reorg in its queue


@pytest.mark.parametrize("method", ["eth_getLogs", "eth_getBlockByNumber"])
@pytest.mark.parametrize("fault", [Fault.CUT, Fault.DROP_REPLY, Fault.BAD_JSON, Fault.STATUS])
async def test_a_node_that_fails_for_a_while_loses_no_block(
    net: Devnet, reader: NodeReader, proxy: FaultProxy, emitter: Emitter, fault: Fault, method: str
) -> None:
    f = pings(await emitter.place())
    impatient = Rpc(proxy.url, "node", retries=0)
    async with following(NodeReader(impatient), heads_of(net), [f]) as follower:
        proxy.fail(fault, method, times=4)
        await emit_and_mine(net, emitter, f, 1, 2, 3)
        await follower.reaches(await reader.head())
    await impatient.close()
    assert follower.values == [1, 2, 3]


async def test_an_oracles_log_alone_brings_its_block(net: Devnet, reader: NodeReader, proxy: FaultProxy, emitter: Emitter) -> None:
    f = pings(await emitter.place())
    proxy.drop_notices("newHeads")
    async with following(reader, heads_of(proxy, [f]), [f]) as follower:
        await proxy.until_subscribed("logs")
        await emit_and_mine(net, emitter, f, 5)
        await follower.reaches(await reader.head())
    assert follower.values == [5]


async def test_without_any_notice_the_node_is_asked_now_and_then(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    f = pings(await emitter.place())
    async with following(reader, Quiet(), [f], poll_s=0.01) as follower:
        await emit_and_mine(net, emitter, f, 1, 2)
        await follower.reaches(await reader.head())
    assert follower.values == [1, 2]


async def test_a_long_gap_is_caught_up_in_chunks(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    f = pings(await emitter.place())
    base = await reader.head()
    await emit_and_mine(net, emitter, f, *range(25))
    async with following(reader, Quiet(), [f], base, poll_s=0.01) as follower:
        await follower.reaches(await reader.head())
    assert follower.values == list(range(25))
    assert [len(step.blocks) for step in follower.steps] == [10, 10, 5]


async def test_filters_are_asked_again_for_every_step(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    one, two = pings(await emitter.place(1)), pings(await emitter.place(2))
    filters = [one]
    async with following(reader, heads_of(net), filters) as follower:
        for value in (1, 2):
            await emitter.emit(one.address, value)
            await emitter.emit(two.address, value * 10)
            await net.mine()
            await follower.reaches(await reader.head())
            filters.append(two)
    assert follower.values == [1, 2, 20]


async def test_a_reorg_deeper_than_the_book_can_undo_halts_with_what_to_do(net: Devnet, reader: NodeReader) -> None:
    for _ in range(4):
        await net.mine()
    known = [head for head in await reader.headers(range((await reader.head()).number - 1, (await reader.head()).number + 1)) if head]
    await net.request("anvil_reorg", 3, [])
    feed = ChainFeed(reader, Quiet(), known, tuple, patience=3, poll_s=0.001, retry_s=0.001)
    with pytest.raises(Halt, match="rebuild it"):
        await anext(feed.updates())


async def test_a_source_that_fails_ends_the_feed_with_its_error(reader: NodeReader) -> None:
    feed = ChainFeed(reader, WsHeads("nonsense", "node", 5.0), [await reader.head()], tuple)
    with pytest.raises(ConfigError, match="WebSocket URL"):
        await anext(feed.updates())


def test_a_book_whose_blocks_do_not_follow_one_another_is_refused() -> None:
    one = Head(1, Hash("0x1"), Hash("0x0"), 0, 0, 0, 0)
    three = Head(3, Hash("0x3"), Hash("0x2"), 0, 0, 0, 0)
    for known in ([], [one, three]):
        with pytest.raises(Halt):
            ChainFeed(NodeReader(Rpc("http://unused", "node")), Quiet(), known, tuple)
