from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from keeper.chain.heads import HeadSource, Mailbox, PollHeads
from keeper.chain.reader import NodeReader
from keeper.chain.rpc import Rpc
from keeper.chain.ws import WsHeads
from keeper.devnet import Devnet
from keeper.errors import ConfigError
from keeper.testing.faults import Fault, FaultProxy
from keeper.types import Head, LogFilter
from tests.chain.emitter import Emitter, pings


class Recorder(Mailbox):
    """A mailbox that also keeps everything put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.notices: list[Head | None] = []

    def put(self, head: Head | None) -> None:
        self.notices.append(head)
        super().put(head)

    async def until(self, number: int) -> Head:
        """The announced head of that number."""
        async with asyncio.timeout(5):
            while True:
                head = await self.take()
                if head is not None and head.number == number:
                    return head


async def at_once(_: float) -> None:
    await asyncio.sleep(0.001)


@asynccontextmanager
async def listening(source: HeadSource) -> AsyncIterator[Recorder]:
    """Started, and past its first notice."""
    mailbox = Recorder()
    task = asyncio.create_task(source.run(mailbox))
    try:
        async with asyncio.timeout(5):
            await mailbox.take()
        yield mailbox
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def connected(source: WsHeads, mailbox: Mailbox, times: int) -> None:
    async with asyncio.timeout(5):
        while source.connections < times:
            await mailbox.take()


def heads_of(proxy: FaultProxy, stall_s: float = 5.0, oracles: Sequence[LogFilter] = ()) -> WsHeads:
    return WsHeads(proxy.ws_url, "node", stall_s, lambda: oracles, sleep=at_once)


async def test_a_notice_is_the_whole_new_head(net: Devnet, reader: NodeReader) -> None:
    async with listening(WsHeads(net.ws, "node", 5.0)) as mailbox:
        number = await net.mine()
        assert await mailbox.until(number) == await reader.head()


async def test_only_the_newest_notice_is_kept_and_putting_never_waits(reader: NodeReader) -> None:
    mailbox = Mailbox()
    first, second = [head for head in await reader.headers([1, 2]) if head]
    mailbox.put(first)
    mailbox.put(second)
    assert await mailbox.take() == second
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await mailbox.take()


async def test_a_cut_connection_is_made_again_with_its_subscriptions(net: Devnet, proxy: FaultProxy) -> None:
    source = heads_of(proxy)
    async with listening(source) as mailbox:
        for times in (2, 3):
            await proxy.cut_websockets()
            await connected(source, mailbox, times)
            await mailbox.until(await net.mine())


async def test_a_node_that_lets_nobody_in_is_tried_until_it_does(net: Devnet, proxy: FaultProxy) -> None:
    source = heads_of(proxy)
    async with listening(source) as mailbox:
        await proxy.cut_websockets(refuse=True)
        async with asyncio.timeout(5):
            while mailbox.notices.count(None) < 6:
                await mailbox.take()
        assert not source.connected
        proxy.heal()
        await connected(source, mailbox, 2)
        await mailbox.until(await net.mine())


async def test_a_silent_connection_is_given_up(net: Devnet, proxy: FaultProxy) -> None:
    source = heads_of(proxy, stall_s=0.1)
    async with listening(source) as mailbox:
        proxy.mute()
        await connected(source, mailbox, 2)
        await mailbox.until(await net.mine())


async def test_every_lost_and_every_new_connection_wakes_the_feed(proxy: FaultProxy) -> None:
    source = heads_of(proxy)
    async with listening(source) as mailbox:
        before = len(mailbox.notices)
        await proxy.cut_websockets()
        await connected(source, mailbox, 2)
        assert mailbox.notices[before:] == [None, None]


async def test_an_oracles_log_in_a_block_that_was_not_announced_wakes_the_feed(net: Devnet, proxy: FaultProxy, emitter: Emitter) -> None:
    address = await emitter.place()
    proxy.drop_notices("newHeads")
    async with listening(heads_of(proxy, oracles=[pings(address)])) as mailbox:
        await proxy.until_subscribed("logs")
        before = len(mailbox.notices)
        await emitter.emit(address, 1)
        await net.mine()
        async with asyncio.timeout(5):
            await mailbox.take()
        assert mailbox.notices[before:] == [None]


async def test_oracles_that_come_later_are_followed_too(net: Devnet, proxy: FaultProxy, emitter: Emitter) -> None:
    one, two = await emitter.place(1), await emitter.place(2)
    followed = [pings(one)]
    source = WsHeads(proxy.ws_url, "node", 5.0, lambda: followed, sleep=at_once)
    async with listening(source) as mailbox:
        followed.append(pings(two))
        await mailbox.until(await net.mine())
        await proxy.until_subscribed("logs", 2)
    assert sorted(proxy.sent[-1]["params"][1]["address"]) == [one, two]
    assert [call["method"] for call in proxy.sent[-2:]] == ["eth_unsubscribe", "eth_subscribe"]


async def test_a_url_that_is_none_is_the_users_mistake() -> None:
    with pytest.raises(ConfigError, match="node: the WebSocket URL"):
        await WsHeads("nonsense", "node", 5.0).run(Mailbox())


async def test_polling_announces_each_new_head_once_and_survives_a_node_that_is_away(net: Devnet, proxy: FaultProxy) -> None:
    rpc = Rpc(proxy.url, "node", retries=0)
    async with listening(PollHeads(NodeReader(rpc), 0.0, sleep=at_once)) as mailbox:
        first = await net.mine()
        await mailbox.until(first)
        proxy.fail(Fault.CUT, times=3)
        second = await net.mine()
        await mailbox.until(second)
    await rpc.close()
    numbers = [head.number for head in mailbox.notices if head]
    assert numbers == sorted(set(numbers))
    assert numbers[-2:] == [first, second]
