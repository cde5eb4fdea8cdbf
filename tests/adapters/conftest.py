"""One market followed on the devnet, for tests that need only that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from random import Random

import aiohttp
import pytest

from keeper.adapters.aave_v3 import AaveV3
from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.devnet import Devnet
from keeper.devnet.names import DEPLOYER
from keeper.types import Address
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.world import World


@dataclass
class Followed:
    """A market of the devnet, its tables kept up with the chain by `indexer.sync()`."""

    net: Devnet
    name: str
    reader: NodeReader
    market: AaveV3Market
    indexer: Indexer
    world: World

    @property
    def users(self) -> list[Address]:
        return [borrower.address for borrower in self.net.population if borrower.market == self.name]

    async def owner(self, contract: str, function: str, *arguments: object) -> None:
        """A call by the devnet's admin, mined and indexed."""
        await self.net.call(DEPLOYER, contract, function, *arguments)
        await self.indexer.sync()


Follow = Callable[[str], Awaitable[Followed]]


@pytest.fixture
async def reader(net: Devnet) -> AsyncIterator[NodeReader]:
    async with aiohttp.ClientSession() as session:
        yield NodeReader(net.rpc, session)


@pytest.fixture
def follow(net: Devnet, reader: NodeReader) -> Follow:
    async def start(name: str) -> Followed:
        market = await AaveV3().open(reader, name, net.addresses[f"{name}.provider"], None)
        assert isinstance(market, AaveV3Market)
        indexer = Indexer(reader, market)
        await indexer.sync()
        return Followed(net, name, reader, market, indexer, World(net, Random(7)))

    return start
