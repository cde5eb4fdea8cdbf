"""Bring a book from what a restart finds to where the live feed takes over: load, drop what the config changed, back-fill the rest.

Back-fill stops a reorg's depth below the head: from there on every block has a journal entry, so a fork found later can be undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from keeper.book.book import FOLLOWED, Book
from keeper.book.bookkeeper import BlockReader, BlockStore
from keeper.book.indexer import Indexer, Progress
from keeper.book.state import DIVERGED, Tables
from keeper.book.store import Cursors, Snapshot
from keeper.errors import Transient
from keeper.types import Hash, Head, Write

IDENTITY = "source"
"""Table of (source, identity): which deployment a source's tables are about. A changed identity starts that source anew."""


class ResumeReader(BlockReader, Protocol):
    async def header(self, block: int | Hash) -> Head | None: ...


class ResumeStore(BlockStore, Protocol):
    async def load(self, tables: Tables) -> Snapshot: ...

    async def save_backfill(self, writes: Iterable[Write], cursors: Cursors, base: Head | None = None, whole: bool = False) -> None: ...


class Resume:
    """Runs once, before the feed starts."""

    def __init__(
        self, book: Book, reader: ResumeReader, store: ResumeStore, identities: Mapping[str, str], progress: Progress, depth: int = 64
    ) -> None:
        self._book, self._reader, self._store = book, reader, store
        self._identities, self._progress, self._depth = identities, progress, depth

    async def run(self) -> None:
        """Afterwards the book stands on a block with all its sources complete up to it."""
        saved = await self._store.load(self._book.tables)
        if saved.base and self._stands(saved, saved.base):
            self._book.start(saved.base, saved.journal)
            return
        base = await self._rewind(saved, saved.base) if saved.base else await self._first_base(saved.cursors)
        await self._backfill(base, await self._forget_changed(saved.cursors))
        self._book.start(base)

    def _stands(self, saved: Snapshot, base: Head) -> bool:
        """Every source is complete up to the head, and the journal holds no block of a source that has left the config: a reorg would take
        that back without its cursor."""
        names = {source.name for source in self._book.sources}
        complete = all(saved.head and saved.cursors.get(name, (0, ""))[1] == saved.head.hash for name in names)
        same = all(self._book.tables.get(IDENTITY, self._identity(name)) for name in names)
        return complete and same and all(number <= base.number for name, (number, _) in saved.cursors.items() if name not in names)

    def _identity(self, name: str) -> tuple[str, str]:
        return name, self._identities[name]

    async def _forget_changed(self, cursors: Cursors) -> Cursors:
        """Drop the tables of sources that now mean another deployment; note what each is about. The journal is empty by now: it could bring
        dropped cells back."""
        for source in self._book.sources:
            identity = self._identity(source.name)
            if self._book.tables.get(IDENTITY, identity):
                continue
            stale = [cell for cell in self._book.tables.cells_apart() if _about(cell, source.name)]
            cells: list[Write] = [*((table, key, 0) for table, key, _ in stale), (IDENTITY, identity, 1)]
            self._book.tables.write(cells)
            whole = self._book.tables.slots(source.name) > 0
            self._book.tables.keep_columns(source.name, source.columns)
            cursors = {name: cursor for name, cursor in cursors.items() if name != source.name}
            await self._store.save_backfill(cells, {source.name: (-1, Hash(""))}, whole=whole)
        return cursors

    async def _rewind(self, saved: Snapshot, base: Head) -> Head:
        """Take all journalled blocks back: a source that joins has no part in them. No source is then further than the base."""
        undone = [write for entry in reversed(saved.journal) for write in entry.undo]
        self._book.tables.write(undone)
        cells = [(table, key, self._book.tables.get(table, key)) for table, key, _ in undone]
        cursors = {name: (min(number, base.number), Hash("")) for name, (number, _) in saved.cursors.items()}
        await self._store.save_backfill(cells, cursors, base)
        return base

    async def _first_base(self, cursors: Cursors) -> Head:
        """The block to back-fill to: a reorg's depth below the head, but not below what an interrupted back-fill reached, for a node may
        lag behind the one asked then."""
        newest = await self._reader.head()
        number = max(0, newest.number - self._depth, *(reached for reached, _ in cursors.values()))
        base = await self._reader.header(number)
        if base is None:
            raise Transient(f"the node does not have block {number}")
        return base

    async def _backfill(self, base: Head, cursors: Cursors) -> None:
        for source in self._book.sources:

            async def save(cells: list[Write], block: int, name: str = source.name) -> None:
                self._book.tables.write(cells)
                await self._store.save_backfill(cells, {name: (block, Hash(""))})

            done = min(cursors.get(source.name, (-1, ""))[0], base.number)
            start = max(done, min(source.first_block, base.number + 1) - 1)
            indexer = Indexer(self._reader, self._book.tables, save, self._progress)
            await indexer.catch_up(source, start, base.number)
            await save(self._book.listed(self._book.tables), base.number)
        await self._store.save_backfill((), {source.name: (base.number, base.hash) for source in self._book.sources}, base)


def _about(cell: Write, source: str) -> bool:
    """A source's tables are its name, a separator and a plain word; names may have separators too."""
    table, key, _ = cell
    return table[: max(table.rfind("/"), table.rfind("."), 0)] == source or (table in {FOLLOWED, IDENTITY, DIVERGED} and key[0] == source)
