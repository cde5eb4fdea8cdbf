"""The devnet's singleton followed, for tests of its adapter."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import pytest

from keeper.adapters.morpho_blue import MorphoBlue
from keeper.adapters.morpho_blue.market import MorphoBlueMarket
from keeper.book.state import Tables
from keeper.devnet import Devnet
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.options import Options
from keeper.types import Address
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.morpho.world import World
from tests.adapters.world import Action

NAME = "morpho"


@dataclass
class Followed:
    """A singleton of the devnet, its tables kept up with the chain."""

    net: Devnet
    reader: NodeReader
    market: MorphoBlueMarket
    indexer: Indexer
    world: World
    now_s: int
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def tables(self) -> Tables:
        return self.indexer.tables

    def numbers(self) -> dict[str, int]:
        """Id → number of the markets that are followed."""
        cells = self.market.cells
        return {cells.id_of(self.tables, number): number for number in cells.numbers(self.tables)}

    async def prepare(self) -> None:
        """Everyone may act."""
        await self.world.prepare()
        self.now_s = (await self.indexer.sync()).timestamp_s

    async def mine(self, actions: Sequence[Action] = (), step_s: int = 12) -> list[dict[str, object]]:
        await self.world.send(actions)
        self.now_s += step_s
        await self.net.mine(self.now_s)
        await self.indexer.sync()
        receipts: list[dict[str, object]] = await self.reader.request("eth_getBlockReceipts", "latest")
        self.seen.update("succeeded" if receipt["status"] == "0x1" else "reverted" for receipt in receipts)
        return receipts


def trusted(net: Devnet) -> dict[str, object]:
    """The options that allow every honest market of the devnet."""
    names = net.addresses
    return {
        "feeds": {names[f"token.{symbol}"]: [names[f"feed.{symbol}"]] for symbol in BY_SYMBOL},
        "dollars": [names["token.USDC"], names["token.DAI"]],
    }


async def followed_by(net: Devnet, reader: NodeReader, options: dict[str, object], seed: int = 1) -> Followed:
    market = await MorphoBlue().open(reader, NAME, net.addresses["morpho.blue"], None, Options(options))
    assert isinstance(market, MorphoBlueMarket)
    indexer = Indexer(reader, market)
    indexer.tables = Tables({market.name: market.columns})
    head = await indexer.sync()
    return Followed(net, reader, market, indexer, World(net, random.Random(seed)), head.timestamp_s)


@pytest.fixture
async def reader(net: Devnet) -> AsyncIterator[NodeReader]:
    async with aiohttp.ClientSession() as session:
        yield NodeReader(net.rpc, session)


@pytest.fixture
async def followed(net: Devnet, reader: NodeReader) -> Followed:
    return await followed_by(net, reader, trusted(net))


@pytest.fixture
def borrowers(net: Devnet) -> list[Address]:
    return list(dict.fromkeys(entry.address for entry in net.isolated))
