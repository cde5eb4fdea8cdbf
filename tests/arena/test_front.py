"""The builder on a real node, asked as participants ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from keeper.arena.barrier import Barrier
from keeper.arena.builder import Builder
from keeper.arena.front import Front
from keeper.arena.score import Scores
from keeper.chain.rpc import Rpc, RpcError
from keeper.chain.wire import hex_bytes
from keeper.devnet import Devnet
from keeper.execution.signer import Signer, Tx1559
from keeper.secret import Secret
from keeper.types import Address

GWEI = 10**9
NOWHERE = Address("0x" + "01" * 20)
ALICE, BOB = (Signer(Secret(f"{n:064x}")) for n in (0xA11CE, 0xB0B))


@dataclass
class Arena:
    net: Devnet
    builder: Builder
    front: Front
    port: int
    alice: Rpc
    bob: Rpc

    async def landed(self, block: int) -> list[str]:
        block_of = await self.net.request("eth_getBlockByNumber", hex(block), False)
        return list(block_of["transactions"])

    def raw(self, signer: Signer, nonce: int, tip: int, to: Address = NOWHERE, data: bytes = b"") -> tuple[str, str]:
        tx = Tx1559(self.net.chain_id, nonce, tip, 50 * GWEI, 100_000, to, 0, data)
        raw, name = signer.sign(tx)
        return hex_bytes(raw), name


@pytest.fixture
async def arena(net: Devnet) -> AsyncIterator[Arena]:
    for signer in (ALICE, BOB):
        await net.request("anvil_setBalance", signer.address, hex(10**18))
    builder = Builder(net, {"alice": 30, "bob": 60})
    front = Front(builder, Barrier(frozenset(), frozenset()), Scores(), net.rpc, net.ws)
    async with front.serving() as port:
        alice, bob = (Rpc(f"http://127.0.0.1:{port}/{name}", name) for name in ("alice", "bob"))
        yield Arena(net, builder, front, port, alice, bob)
        await alice.close()
        await bob.close()


async def test_the_higher_tip_lands_first_whoever_came_first(arena: Arena) -> None:
    cheap, low = arena.raw(ALICE, 0, GWEI)
    dear, high = arena.raw(BOB, 0, 2 * GWEI)
    await arena.alice.request("eth_sendRawTransaction", cheap)
    await arena.bob.request("eth_sendRawTransaction", dear)
    assert (await arena.landed(await arena.builder.build()))[:2] == [high, low]


async def test_a_bundle_of_which_one_fails_does_not_land_and_costs_nothing(arena: Arena) -> None:
    first, _ = arena.raw(ALICE, 0, GWEI)
    fails, _ = arena.raw(ALICE, 1, GWEI, arena.net.addresses["token.WETH"], bytes.fromhex("a9059cbb") + b"\0" * 31 + b"\1" + b"\xff" * 32)
    good, lands = arena.raw(BOB, 0, GWEI)
    block = int(await arena.bob.request("eth_blockNumber"), 16) + 1
    await arena.alice.request("eth_sendBundle", {"txs": [first, fails], "blockNumber": hex(block)})
    await arena.bob.request("eth_sendBundle", {"txs": [good], "blockNumber": hex(block)})
    landed = await arena.landed(await arena.builder.build())
    assert landed[0] == lands
    assert int(await arena.alice.request("eth_getTransactionCount", ALICE.address, "latest"), 16) == 0


async def test_a_bundle_lands_in_its_blocks_and_in_no_other(arena: Arena) -> None:
    block = int(await arena.alice.request("eth_blockNumber"), 16) + 2
    raw, name = arena.raw(ALICE, 0, GWEI)
    await arena.alice.request("eth_sendBundle", {"txs": [raw], "blockNumber": hex(block), "maxBlockNumber": hex(block + 1)})
    assert name not in await arena.landed(await arena.builder.build())
    assert name in await arena.landed(await arena.builder.build())


async def test_others_see_what_is_public_once_it_is_there_and_never_what_is_private(arena: Arena) -> None:
    public, seen = arena.raw(ALICE, 0, GWEI)
    private, hidden = arena.raw(ALICE, 1, GWEI)
    await arena.alice.request("eth_sendRawTransaction", public)
    await arena.alice.request("eth_sendPrivateTransaction", {"tx": private})

    async def visible(rpc: Rpc) -> set[str]:
        content: dict[str, dict[str, Any]] = (await rpc.request("txpool_content"))["pending"]
        return {tx["hash"] for of in content.values() for tx in of.values()}

    assert await visible(arena.bob) == set()
    arena.builder.now_ms = 30
    assert (await visible(arena.bob), await visible(arena.alice)) == ({seen}, {seen, hidden})
    assert await arena.bob.request("eth_getTransactionByHash", hidden) is None
    assert int(await arena.alice.request("eth_getTransactionCount", ALICE.address, "pending"), 16) == 2
    assert (await arena.landed(await arena.builder.build()))[:2] == [seen, hidden]


async def test_the_pending_subscription_tells_of_public_transactions_whole_and_of_blocks_like_the_node(arena: Arena) -> None:
    raw, name = arena.raw(ALICE, 0, GWEI)
    async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://127.0.0.1:{arena.port}/bob") as socket:
        for number, params in enumerate((["newPendingTransactions", True], ["newHeads"])):
            await socket.send_json({"jsonrpc": "2.0", "id": number, "method": "eth_subscribe", "params": params})
            assert (await socket.receive_json())["id"] == number
        arena.builder.now_ms = 100
        await arena.alice.request("eth_sendRawTransaction", raw)
        arena.builder.now_ms = 200
        await arena.front.show(arena.builder.visible())
        told = (await socket.receive_json())["params"]["result"]
        assert (told["hash"], told["from"], told["maxPriorityFeePerGas"]) == (name, ALICE.address, hex(GWEI))
        number = await arena.builder.build()
        assert int((await socket.receive_json())["params"]["result"]["number"], 16) == number


async def test_an_underpriced_replacement_and_nonsense_are_refused_in_a_nodes_words(arena: Arena) -> None:
    await arena.alice.request("eth_sendRawTransaction", arena.raw(ALICE, 0, GWEI)[0])
    with pytest.raises(RpcError, match="replacement transaction underpriced"):
        await arena.alice.request("eth_sendRawTransaction", arena.raw(ALICE, 0, GWEI + 1)[0])
    for nonsense in ("0x02", "0x02c0", "hello"):
        with pytest.raises(RpcError, match="invalid transaction"):
            await arena.alice.request("eth_sendRawTransaction", nonsense)
