"""Back-fill in ranges comes to the same cells as following block by block, wherever it is cut and however often it is killed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keeper.app import Chain
from keeper.book import indexer
from keeper.book.book import TOKENS, Book
from keeper.book.bookkeeper import Bookkeeper
from keeper.book.indexer import Indexer
from keeper.book.resume import IDENTITY
from keeper.book.state import Tables
from keeper.book.store import Glimpse
from keeper.devnet import Devnet, DevnetOptions
from keeper.ports import LogSource, Market, Venue
from keeper.types import Address, ChainUpdate, Write
from tests.book.world import Cells, cells, create_pool, in_step, life, list_token, settings_of, trade


@dataclass(frozen=True, slots=True)
class Told:
    """A devnet with a history, and a book that followed it block by block."""

    net: Devnet
    chain: Chain
    new: Address
    """A token that was listed long after there was a pool of it."""


@pytest.fixture(scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    async with Devnet.start(DevnetOptions()) as net:
        await create_pool(net)
        await life(net, 1)
        await list_token(net)
        await trade(net)
        await life(net, 1)
        async with in_step(settings_of(net, tmp_path_factory.mktemp("told") / "data")) as chain:
            yield Told(net, chain, net.addresses["token.NEW"])


class Killed(Exception):
    """A life is over."""


@dataclass
class Disk:
    """What outlives a kill. `saves`: how many are left to this life."""

    cells: Cells = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    saves: int = 10**9

    def load(self) -> Tables:
        tables = Tables()
        tables.write([(table, key, value) for (table, key), value in self.cells.items()])
        return tables

    def keep(self, source: str, writes: Sequence[Write], block: int) -> None:
        if not self.saves:
            raise Killed
        self.saves -= 1
        self.cells.update(((table, key), value) for table, key, value in writes)
        self.cursors[source] = block


def listed(markets: Sequence[Market], view: Tables) -> list[Write]:
    return [(TOKENS, (token,), 1) for market in markets for token in market.tokens(view)]


async def fill(chain: Chain, disk: Disk, sources: Sequence[LogSource]) -> Tables:
    """One life of a back-fill up to the newest block, from what the disk has. Raises Killed."""
    tables = disk.load()
    for source in sources:

        async def save(writes: list[Write], block: int, name: str = source.name) -> None:
            tables.write(writes)
            disk.keep(name, writes, block)

        start = disk.cursors.get(source.name, source.first_block - 1)
        await Indexer(chain.reader, tables, save, lambda *_: None).catch_up(source, start, chain.head.number)
        if news := [write for write in listed(chain.markets, tables) if not tables.get(TOKENS, write[1])]:
            await save(news, chain.head.number)
    return tables


async def finished(chain: Chain, tables: Tables) -> Cells:
    """The cells with what is read at the head: all that a book says."""
    book = Book((*chain.markets, *chain.venues))
    book.start(chain.head, (), tables.cells())
    await Bookkeeper(book, chain.reader, Glimpse(Path(), 1)).advance(ChainUpdate((), ()))
    return cells(book)


def followed(chain: Chain) -> Cells:
    return {cell: value for cell, value in cells(chain.book).items() if cell[0] != IDENTITY}


@pytest.mark.parametrize("chunk", [1, 2, 7, 10_000])
async def test_ranges_of_any_length_come_to_what_following_block_by_block_comes_to(
    told: Told, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(indexer, "CHUNK_BLOCKS", chunk)
    chain = told.chain
    tables = await fill(chain, Disk(), (*chain.markets, *chain.venues))
    assert await finished(chain, tables) == followed(chain)


@pytest.mark.parametrize("chunk", [3, 10_000])
async def test_a_back_fill_killed_at_every_save_ends_with_the_same_cells(told: Told, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(indexer, "CHUNK_BLOCKS", chunk)
    chain, disk, lives = told.chain, Disk(), 0
    tables: Tables | None = None
    while tables is None:
        disk.saves, lives = 1, lives + 1
        with suppress(Killed):
            tables = await fill(chain, disk, (*chain.markets, *chain.venues))
    assert lives > (10 if chunk == 3 else 6)
    assert await finished(chain, tables) == followed(chain)


async def test_a_pool_older_than_the_listing_of_its_token_is_caught_up_by_itself(told: Told) -> None:
    chain, disk, (venue,) = told.chain, Disk(), told.chain.venues
    await fill(chain, disk, chain.markets)
    disk.cells.pop((TOKENS, (told.new,)))
    tables = await fill(chain, disk, [venue])
    assert told.new not in sold_by(venue, tables)
    disk.cells[TOKENS, (told.new,)] = 1
    tables = await fill(chain, disk, [venue])
    assert told.new in sold_by(venue, tables)
    assert await finished(chain, tables) == followed(chain)


def sold_by(venue: Venue, view: Tables) -> set[Address]:
    return {token for pool in venue.pools(view) for token in (pool.token0, pool.token1)}


async def test_what_was_followed_is_what_the_pools_say(told: Told) -> None:
    """Among them the one announced long before its token was listed."""
    pools = {pool.address: pool for pool in told.chain.venues[0].pools(told.chain.view)}
    assert any(told.new in (pool.token0, pool.token1) for pool in pools.values())
    for address in pools:
        told.net.addresses["pool.it"] = address
        price, tick, *_ = await told.net.read("pool.it", "slot0")
        (liquidity,) = await told.net.read("pool.it", "liquidity")
        seen = [told.chain.view.get(f"uniswap.{field}", (address,)) for field in ("price", "tick", "liquidity")]
        assert seen == [price, tick, liquidity]
