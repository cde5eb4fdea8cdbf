"""Transactions that wait are told of as they come, in full or by hash, over connections that break; what they would do the node says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from keeper.chain.fees import landing
from keeper.chain.pending import AnyPending, PendingFeed, waiting_of
from keeper.chain.reader import NodeReader
from keeper.chain.rehearse import rehearse
from keeper.chain.rpc import Rpc
from keeper.devnet import Devnet
from keeper.devnet.names import TRADER
from keeper.errors import ConfigError
from keeper.types import Address, Hash, Waiting

SINK = Address("0x" + "5e" * 20)
RAW: dict[str, Any] = {
    "hash": "0x" + "AB" * 32,
    "from": "0x" + "Cd" * 20,
    "to": SINK,
    "nonce": "0x7",
    "gas": "0x5208",
    "value": "0x1",
    "input": "0x01",
    "maxFeePerGas": "0x64",
    "maxPriorityFeePerGas": "0xa",
}


@asynccontextmanager
async def told(feed: PendingFeed | AnyPending) -> AsyncIterator[asyncio.Queue[Waiting]]:
    found: asyncio.Queue[Waiting] = asyncio.Queue()
    task = asyncio.create_task(feed.run(found.put_nowait))
    try:
        async with asyncio.timeout(20):
            yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def node(net: Devnet) -> AsyncIterator[Rpc]:
    rpc = Rpc(net.rpc, "devnet", retries=0)
    try:
        yield rpc
    finally:
        await rpc.close()


async def sent_until_told(net: Devnet, found: asyncio.Queue[Waiting]) -> tuple[list[str], Waiting]:
    """A subscription takes its time: transactions until the first is told of."""
    txs: list[str] = []
    while True:
        txs.append(await net.send(TRADER, SINK, len(txs).to_bytes(2), gas=30_000))
        with suppress(TimeoutError):
            return txs, await asyncio.wait_for(found.get(), 0.1)


# --- as they come -------------------------------------------------------------------------------------------------


async def test_a_transaction_that_waits_is_told_of_in_full(net: Devnet) -> None:
    async with node(net) as rpc, told(PendingFeed(net.ws, rpc)) as found:
        txs, first = await sent_until_told(net, found)
    assert first.tx in txs
    assert (first.sender, first.to, first.gas) == (TRADER, SINK, 30_000)
    assert first.data == txs.index(first.tx).to_bytes(2)


@asynccontextmanager
async def stingy(net: Devnet, knows: int, busy: int = 0) -> AsyncIterator[tuple[str, list[Any]]]:
    """A node that refuses subscriptions with more than so many words, and so many at first as one too many; it ends each connection after
    what it told. `asked` for."""
    asked: list[Any] = []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            params = message.json()["params"]
            asked.append(params)
            if len(asked) <= busy:
                await socket.send_json({"jsonrpc": "2.0", "id": 1, "error": {"code": 429, "message": "too many requests"}})
                break
            if len(params) > knows:
                await socket.send_json({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "unsupported"}})
                continue
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "result": "0x1"})
            if len(asked) % 2:  # cut short
                await socket.send_str('{"jsonrpc": "2.0", "method": "eth_subscr')
            tx = await net.send(TRADER, SINK, b"", gas=30_000)
            await socket.send_json({"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1", "result": tx}})
            break
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/", asked
    finally:
        await runner.cleanup()


async def test_where_hashes_alone_are_told_each_is_asked_for_and_a_lost_connection_is_made_again(net: Devnet) -> None:
    async with node(net) as rpc, stingy(net, knows=1) as (url, asked), told(PendingFeed(url, rpc)) as found:
        first, second = await found.get(), await found.get()
    assert (first.sender, second.nonce > first.nonce) == (TRADER, True)
    assert asked[:2] == [["newPendingTransactions", True], ["newPendingTransactions"]]
    assert {tuple(one) for one in asked[1:]} == {("newPendingTransactions",)}


async def test_a_node_that_tells_of_nothing_is_a_mistake_in_the_config(net: Devnet) -> None:
    async with node(net) as rpc, stingy(net, knows=0) as (url, _):
        with pytest.raises(ConfigError, match="tells of no transactions that wait"):
            await PendingFeed(url, rpc).run(lambda waiting: None)


async def test_a_node_that_is_asked_too_often_is_asked_again_for_whole_transactions(net: Devnet) -> None:
    async with node(net) as rpc, stingy(net, knows=2, busy=2) as (url, asked), told(PendingFeed(url, rpc)) as found:
        assert (await found.get()).sender == TRADER
    assert asked[:3] == [["newPendingTransactions", True]] * 3


async def test_of_several_nodes_each_transaction_is_told_once_and_one_that_tells_of_nothing_is_done_without(net: Devnet) -> None:
    async with node(net) as rpc, stingy(net, knows=0) as (silent, _):
        feeds = [PendingFeed(silent, rpc, "mute"), PendingFeed(net.ws, rpc, "a"), PendingFeed(net.ws, rpc, "b")]
        async with told(AnyPending(feeds)) as found:
            txs, first = await sent_until_told(net, found)
            txs.append(await net.send(TRADER, SINK, b"last", gas=30_000))
            heard = [first.tx]
            while heard[-1] != txs[-1]:
                heard.append((await found.get()).tx)
    assert len(heard) == len(set(heard))
    assert heard == txs[txs.index(first.tx) :]


async def test_where_no_node_tells_of_anything_that_is_a_mistake_in_the_config(net: Devnet) -> None:
    async with node(net) as rpc, stingy(net, knows=0) as (one, _), stingy(net, knows=0) as (other, _):
        with pytest.raises(ConfigError, match="tells of no transactions that wait"):
            await AnyPending([PendingFeed(one, rpc), PendingFeed(other, rpc)]).run(lambda waiting: None)


def test_it_is_read_as_it_is() -> None:
    made = waiting_of(RAW)
    assert made is not None
    assert (made.tx, made.sender, made.nonce, made.data, made.value_wei) == ("0x" + "ab" * 32, "0x" + "cd" * 20, 7, b"\1", 1)
    assert [made.tip_wei(base) for base in (0, 90, 95, 101)] == [10, 10, 5, -1]
    old = waiting_of({**{k: v for k, v in RAW.items() if not k.startswith("max")}, "gasPrice": "0x64"})
    assert old is not None
    assert old.tip_wei(40) == 60


@pytest.mark.parametrize("wrong", [{"to": None}, {"hash": 7}, {"gas": "many"}, {"maxFeePerGas": None}, {"input": None}])
def test_what_is_no_call_is_none(wrong: dict[str, Any]) -> None:
    assert waiting_of(RAW | wrong) is None
    assert waiting_of({}) is None


# --- what they would do -------------------------------------------------------------------------------------------


async def test_a_rehearsal_gives_the_logs_of_what_is_next_and_nothing_of_what_has_landed_waits_for_another_or_fails(net: Devnet) -> None:
    prices = await net.prices()
    before = int(await net.request("eth_blockNumber"), 16)
    await net.set_answers({"WETH": prices["WETH"] * 99 // 100, "LINK": prices["LINK"] * 98 // 100})
    raw = (await net.request("eth_getBlockByNumber", "pending", True))["transactions"]
    first, second = [item for tx in raw if (item := waiting_of(tx))]
    gap = Waiting(**{**{name: getattr(second, name) for name in second.__slots__}, "nonce": second.nonce + 2})
    async with node(net) as rpc:
        at = landing(await NodeReader(rpc).head(), 12)
        both = await rehearse(rpc, [first, second], at)
        assert [bool(logs) for logs in both] == [True, True]
        assert {log.tx_hash for logs in both for log in logs or ()} == {first.tx, second.tx}
        assert await rehearse(rpc, [first, gap], at) == [both[0], None]
        broken = Waiting(**{**{name: getattr(first, name) for name in first.__slots__}, "data": first.data[:100]})
        assert await rehearse(rpc, [broken], at) == [None]
        await net.mine()
        after = landing(await NodeReader(rpc).head(), 12)
        assert after.number == before + 2
        assert await rehearse(rpc, [first, second], after) == [None, None]
        receipt = await net.request("eth_getTransactionReceipt", Hash(first.tx))
        assert [log.data.hex() for log in both[0] or ()] == [raw["data"][2:] for raw in receipt["logs"]]
