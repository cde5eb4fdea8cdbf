"""The pools are built once; each test works on a branch of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from keeper.chain.reader import NodeReader
from keeper.chain.rpc import Rpc
from keeper.devnet import Devnet
from keeper.types import Address
from keeper.venues.uniswap_v3 import UniswapV3
from tests.venues.world import World, build


@pytest.fixture(scope="session")
async def reader(devnet: Devnet) -> AsyncIterator[NodeReader]:
    rpc = Rpc(devnet.rpc, "devnet")
    yield NodeReader(rpc)
    await rpc.close()


@pytest.fixture(scope="module")
async def built(devnet: Devnet, reader: NodeReader) -> AsyncIterator[World]:
    snapshot = await devnet.snapshot()
    factory = Address(devnet.addresses["uniswap.factory"])
    yield await build(devnet, await UniswapV3().open(reader, "uni", factory, None), reader)
    await devnet.revert(snapshot)


@pytest.fixture
async def world(built: World, net: Devnet) -> World:
    """A branch of the pools; the chain returns to where it was, too."""
    return built.branch(seed=2)
