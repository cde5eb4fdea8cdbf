"""A market followed by the keeper's own book: back-filled to a block, then head by head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from keeper.book.book import Book, JournalEntry
from keeper.book.bookkeeper import BlockReader, Bookkeeper
from keeper.book.indexer import Indexer
from keeper.book.state import Tables
from keeper.ports import Market
from keeper.types import Block, Cell, ChainUpdate, Hash, Head, Write

JOURNAL_BLOCKS = 1024

Cells = dict[Cell, int]


class Follower:
    """`view`: the state at `head`."""

    def __init__(self, market: Market, reader: BlockReader, base: Head, cells: Iterable[Write] = ()) -> None:
        self.market = market
        self.book = Book([market], JOURNAL_BLOCKS, market.tokens)
        self.book.start(base, (), cells)
        self._reader = reader
        self._keeper = Bookkeeper(self.book, reader, _Nowhere())

    @classmethod
    async def start(cls, market: Market, reader: BlockReader, base: Head) -> Follower:
        """Back-filled by logs alone."""
        return cls(market, reader, base, (await backfilled(market, reader, [base.number])).cells())

    @property
    def view(self) -> Tables:
        return self.book.tables

    @property
    def head(self) -> Head:
        if self.book.head is None:
            raise RuntimeError("a follower starts on a block")
        return self.book.head

    async def advance(self, heads: Sequence[Head], undo: Sequence[Head] = ()) -> list[Write]:
        """First take back, newest first, then go on; returns every cell that may have changed, with its value now."""
        blocks = [Block(head, await self._reader.logs_of_block(self.book.filters(), head)) for head in heads]
        return await self._keeper.advance(ChainUpdate(tuple(undo), tuple(blocks)))

    def undo(self) -> Head:
        """Take the newest block back; returns it."""
        gone = self.head
        self.book.undo(gone)
        return gone

    def cells(self) -> Cells:
        return {(table, key): value for table, key, value in self.view.cells()}


async def backfilled(market: Market, reader: BlockReader, stops: Sequence[int]) -> Tables:
    """The market's tables from its logs alone, up to the last stop; the way is cut at the others."""
    tables = Tables({market.name: market.columns})

    async def keep(writes: list[Write], block: int) -> None:
        tables.write(writes)

    reached = market.first_block - 1
    for stop in stops:
        await Indexer(reader, tables, keep, lambda *_: None).catch_up(market, reached, stop)
        reached = stop
    return tables


def copied(market: Market, cells: Iterable[Write]) -> Tables:
    """The same state in tables of its own."""
    fresh = Tables({market.name: market.columns})
    fresh.write(cells)
    return fresh


class _Nowhere:
    """A store that keeps nothing."""

    async def save_update(
        self, undone: Sequence[Head], applied: Sequence[JournalEntry], cells: Sequence[Write], cursors: Mapping[str, tuple[int, Hash]]
    ) -> None:
        return
