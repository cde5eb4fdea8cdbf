"""The book on disk: rebuildable from the chain, so that a restart takes a second instead of a back-fill.

One row per cell of the tables, one per journalled block, one per source's cursor. The tables of accounts are kept as an image of their
columns, a file beside, and a log of the cells changed since. A block is saved in one transaction, and so is a change of image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from keeper.book.book import JournalEntry
from keeper.book.codec import decode_key, decode_undo, encode_key, encode_undo
from keeper.book.image import Image, ImageError, read
from keeper.book.images import LOG_CELLS, Images
from keeper.book.state import Tables
from keeper.errors import Halt
from keeper.storage.database import Database, FileKind, Integer256
from keeper.types import Hash, Head, Write

JOURNAL_BLOCKS = 256
BATCH = 5000
"""Rows a statement binds at once: bounds how long the event loop is held."""

METADATA = MetaData()

CELLS = Table(
    "cells",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)
JOURNAL = Table(
    "journal",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    Column("parent_hash", Text, nullable=False),
    Column("timestamp_s", BigInteger, nullable=False),
    Column("base_fee_wei", Integer256, nullable=False),
    Column("gas_limit", BigInteger, nullable=False),
    Column("gas_used", BigInteger, nullable=False),
    Column("undo", Text),  # NULL: the base, below which nothing can be undone
)
LOG = Table(
    "log",  # cells of accounts changed since the image was begun
    METADATA,
    Column("name", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
IMAGE = Table(
    "image",  # one row, or none
    METADATA,
    Column("name", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
)
CURSORS = Table(
    "cursors",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)

BOOK_FILE = FileKind(
    name="book",
    schema_version=2,
    tables=METADATA,
    synchronous="NORMAL",
    remedy="move it away and restart; it is rebuilt from the chain",
)

Cursors = Mapping[str, tuple[int, Hash]]
"""Source name → the block up to which it is complete. The hash is "" where a back-fill knows only the number."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a restart needs besides the cells, which are the state at `head`; `base` is the block under the journal's oldest."""

    journal: tuple[JournalEntry, ...]
    base: Head | None
    cursors: dict[str, tuple[int, Hash]]

    @property
    def head(self) -> Head | None:
        return self.journal[-1].head if self.journal else self.base


class BookStore:
    """`book.sqlite`, and the image that it names. `log_cells`: how many changed cells of accounts make a new image worth while."""

    def __init__(
        self, database: Database, journal_blocks: int = JOURNAL_BLOCKS, log_cells: int = LOG_CELLS, read_only: bool = False
    ) -> None:
        self.database = database
        self._read_only = read_only
        self._journal_blocks = journal_blocks
        self._tables = Tables()
        self._images = Images(database.path, log_cells)

    @classmethod
    async def open(cls, path: Path, chain_id: int, read_only: bool = False) -> Self:
        """Raises ConfigError (another chain's file), Halt (in use, broken, no room)."""
        return cls(await Database.open(path, chain_id, BOOK_FILE, read_only), read_only=read_only)

    async def close(self) -> None:
        await self._images.close()
        await self.database.close()

    async def load(self, tables: Tables) -> Snapshot:
        """Fill empty tables, which are the ones whose changes are saved from now on. Raises Halt when the content is corrupt."""
        self._tables = tables
        try:
            stored = await self._with_image(tables)
            if any(tables.is_columned(name) for name, _, _ in stored.cells):
                raise self.database.broken("keeps tables as another version did")
            tables.write((name, decode_key(key), int(value)) for name, key, value in (*stored.cells, *(row[:3] for row in stored.log)))
            if not self._read_only:
                await self._images.resume(tables, stored.image, stored.log)
            return Snapshot(
                tuple(JournalEntry(_head(block), decode_undo(block.undo)) for block in stored.blocks if block.undo is not None),
                next((_head(block) for block in reversed(stored.blocks) if block.undo is None), None),
                {source: (number, Hash(hash_)) for source, number, hash_ in stored.cursors},
            )
        except (ValueError, TypeError, LookupError):
            raise self.database.broken("is corrupt") from None

    async def _with_image(self, tables: Tables) -> _Stored:
        """What is stored, its image read. An owner may put a newer image in place of it meanwhile: then all is read once more."""
        stored = await self.database.read(_stored)
        while image := stored.image:
            try:
                await asyncio.to_thread(read, self.database.path.with_name(image.name), image.digest, tables)
                break
            except FileNotFoundError:
                again = await self.database.read(_stored)
                if again.image == image:
                    raise self.database.broken(f"is corrupt, {image.name} is missing") from None
                stored = again
            except ImageError as damage:
                raise self.database.broken(f"is corrupt, {damage}") from None
            except OSError as error:
                raise Halt(f"{image.name} of {self.database.path} cannot be read: {error.strerror}") from None
        return stored

    async def save_update(self, undone: Sequence[Head], applied: Sequence[JournalEntry], cells: Sequence[Write], cursors: Cursors) -> None:
        """One transaction: undone blocks leave the journal, applied ones join it, `cells` get the values they have now."""

        async def save(connection: AsyncConnection) -> None:
            await _remove_blocks(connection, undone)
            await _add_blocks(connection, applied)
            await self._prune(connection, applied)

        await self._save(save, cells, cursors)

    async def save_backfill(self, writes: Iterable[Write], cursors: Cursors, base: Head | None = None, whole: bool = False) -> None:
        """One transaction for many cells. With `base`, the journal starts anew on that block. `whole`: the tables of accounts have changed
        by more than these cells, so they are kept as a whole."""

        async def save(connection: AsyncConnection) -> None:
            if base is not None:
                await connection.execute(delete(JOURNAL))
                await connection.execute(insert(JOURNAL), [_block(base, None)])

        if whole:
            await self._images.take_now()
        await self._save(save, writes, cursors)

    async def _save(self, blocks: Callable[[AsyncConnection], Awaitable[None]], writes: Iterable[Write], cursors: Cursors) -> None:
        """An image that is ready by now has seen nothing that this save, or one before, does not keep: from here on it can be relied on."""
        image, epoch = self._images.ready, self._images.epoch
        net = {(name, encode_key(key)): value for name, key, value in writes}
        logged = {cell: value for cell, value in net.items() if self._tables.is_columned(cell[0])}
        for cell in logged:
            del net[cell]

        async def save(connection: AsyncConnection) -> None:
            await blocks(connection)
            await _put(connection, net, logged, epoch, cursors)
            if image:
                await _rely_on(connection, image)

        await self.database.write(save)
        self._images.saved(image, len(logged))

    async def _prune(self, connection: AsyncConnection, applied: Sequence[JournalEntry]) -> None:
        """The newest block out of reach becomes the base; the ones below it go."""
        if not applied:
            return
        last = applied[-1].head.number - self._journal_blocks
        await connection.execute(delete(JOURNAL).where(JOURNAL.c.number < last))
        await connection.execute(update(JOURNAL).where(JOURNAL.c.number == last).values(undo=None))


class Glimpse:
    """A book seen while its owner runs: loaded from the file if there is one, never saved."""

    def __init__(self, path: Path | None, chain_id: int) -> None:
        self._path, self._chain_id = path, chain_id

    async def load(self, tables: Tables) -> Snapshot:
        if self._path is None or not self._path.exists():
            return Snapshot((), None, {})
        store = await BookStore.open(self._path, self._chain_id, read_only=True)
        try:
            return await store.load(tables)
        finally:
            await store.close()

    async def save_update(self, undone: Sequence[Head], applied: Sequence[JournalEntry], cells: Sequence[Write], cursors: Cursors) -> None:
        return None

    async def save_backfill(self, writes: Iterable[Write], cursors: Cursors, base: Head | None = None, whole: bool = False) -> None:
        return None

    async def close(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class _Stored:
    """Rows as they are."""

    cells: Sequence[Any]
    log: Sequence[Any]
    blocks: Sequence[Any]
    cursors: Sequence[Any]
    image: Image | None


async def _stored(connection: AsyncConnection) -> _Stored:
    async def rows(wanted: Any) -> Sequence[Any]:
        return (await connection.execute(wanted)).all()

    images = [Image(*row) for row in await rows(select(IMAGE))]
    blocks = await rows(select(JOURNAL).order_by(JOURNAL.c.number))
    return _Stored(await rows(select(CELLS)), await rows(select(LOG)), blocks, await rows(select(CURSORS)), next(iter(images), None))


Net = Mapping[tuple[str, str], int]
"""(table, key as text) → value"""


async def _put(connection: AsyncConnection, net: Net, logged: Net, epoch: int, cursors: Cursors) -> None:
    """A cell of the log says 0 when it is 0: the image may say otherwise."""
    present = ({"name": name, "key": key, "value": str(value)} for (name, key), value in net.items() if value)
    absent = ({"name_": name, "key_": key} for (name, key), value in net.items() if not value)
    await _in_batches(connection, _upsert(CELLS, "name", "key"), present)
    await _in_batches(connection, _DELETE_CELL, absent)
    changed = ({"name": name, "key": key, "value": str(value), "epoch": epoch} for (name, key), value in logged.items())
    await _in_batches(connection, _upsert(LOG, "name", "key"), changed)
    places = ({"source": source, "number": number, "hash": hash_} for source, (number, hash_) in cursors.items())
    await _in_batches(connection, _upsert(CURSORS, "source"), places)


async def _rely_on(connection: AsyncConnection, image: Image) -> None:
    """It has what was logged before it was begun."""
    await connection.execute(delete(LOG).where(LOG.c.epoch < image.since))
    await connection.execute(delete(IMAGE))
    await connection.execute(insert(IMAGE), [{"name": image.name, "since": image.since, "digest": image.digest}])


async def _remove_blocks(connection: AsyncConnection, heads: Sequence[Head]) -> None:
    if heads:
        await connection.execute(delete(JOURNAL).where(JOURNAL.c.hash.in_([head.hash for head in heads])))


async def _add_blocks(connection: AsyncConnection, entries: Sequence[JournalEntry]) -> None:
    await _in_batches(connection, _upsert(JOURNAL, "number"), (_block(entry.head, encode_undo(entry.undo)) for entry in entries))


async def _in_batches(connection: AsyncConnection, statement: Any, rows: Iterable[dict[str, Any]]) -> None:
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        await connection.execute(statement, batch)


def _upsert(table: Table, *key: str) -> Any:
    statement = insert(table)
    changed = {column.name: statement.excluded[column.name] for column in table.c if column.name not in key}
    return statement.on_conflict_do_update(index_elements=list(key), set_=changed)


_DELETE_CELL = delete(CELLS).where(CELLS.c.name == bindparam("name_"), CELLS.c.key == bindparam("key_"))


def _block(head: Head, undo: str | None) -> dict[str, Any]:
    return {
        "number": head.number,
        "hash": head.hash,
        "parent_hash": head.parent_hash,
        "timestamp_s": head.timestamp_s,
        "base_fee_wei": head.base_fee_wei,
        "gas_limit": head.gas_limit,
        "gas_used": head.gas_used,
        "undo": undo,
    }


def _head(row: Any) -> Head:
    return Head(row.number, Hash(row.hash), Hash(row.parent_hash), row.timestamp_s, row.base_fee_wei, row.gas_limit, row.gas_used)
