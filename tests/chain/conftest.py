"""The chain edge against the real node: a client, a reader, a fault proxy, and contracts that log what they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from keeper.chain.reader import NodeReader
from keeper.chain.rpc import Rpc
from keeper.devnet import Devnet
from keeper.testing.faults import FaultProxy
from tests.chain.emitter import Emitter


@pytest.fixture
async def rpc(net: Devnet) -> AsyncIterator[Rpc]:
    client = Rpc(net.rpc, "node")
    yield client
    await client.close()


@pytest.fixture
def reader(rpc: Rpc) -> NodeReader:
    return NodeReader(rpc)


@pytest.fixture
async def proxy(net: Devnet) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(net.rpc, net.ws) as running:
        yield running


@pytest.fixture
async def faulty(proxy: FaultProxy) -> AsyncIterator[Rpc]:
    """A client behind the fault proxy, quick to try again."""
    client = Rpc(proxy.url, "node", timeout_s=0.3, backoff_s=0.001)
    yield client
    await client.close()


@pytest.fixture
def emitter(net: Devnet) -> Emitter:
    return Emitter(net)
