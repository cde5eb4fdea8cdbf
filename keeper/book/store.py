"""The book on disk: rebuildable from the chain, so that a restart takes a second instead of a back-fill.

One row per cell of the tables, one per journalled block, one per source's cursor. A block is saved in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import orjson
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from keeper.book.book import JournalEntry
from keeper.storage.database import Database, FileKind, Integer256
from keeper.types import Hash, Head, Key, Write

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
CURSORS = Table(
    "cursors",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)

BOOK_FILE = FileKind(
    name="book",
    schema_version=1,
    tables=METADATA,
    synchronous="NORMAL",
    remedy="move it away and restart; it is rebuilt from the chain",
)

Cursors = Mapping[str, tuple[int, Hash]]
"""Source name → the block up to which it is complete. The hash is "" where a back-fill knows only the number."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a restart needs. `cells` are the state at `head`; `base` is the block under the journal's oldest."""

    cells: list[Write]
    journal: tuple[JournalEntry, ...]
    base: Head | None
    cursors: dict[str, tuple[int, Hash]]

    @property
    def head(self) -> Head | None:
        return self.journal[-1].head if self.journal else self.base


class BookStore:
    """`book.sqlite`."""

    def __init__(self, database: Database, journal_blocks: int = JOURNAL_BLOCKS) -> None:
        self.database = database
        self._journal_blocks = journal_blocks

    @classmethod
    async def open(cls, path: Path, chain_id: int, read_only: bool = False) -> Self:
        """Raises ConfigError (another chain's file), Halt (in use, broken, no room)."""
        return cls(await Database.open(path, chain_id, BOOK_FILE, read_only))

    async def close(self) -> None:
        await self.database.close()

    async def load(self) -> Snapshot:
        """Raises Halt when the content is corrupt."""
        try:
            cells, blocks, cursors = await self.database.read(_rows)
            return Snapshot(
                [(name, decode_key(key), int(value)) for name, key, value in cells],
                tuple(JournalEntry(_head(block), decode_undo(block.undo)) for block in blocks if block.undo is not None),
                next((_head(block) for block in reversed(blocks) if block.undo is None), None),
                {source: (number, Hash(hash_)) for source, number, hash_ in cursors},
            )
        except (ValueError, TypeError, LookupError):
            raise self.database.broken("is corrupt") from None

    async def save_update(self, undone: Sequence[Head], applied: Sequence[JournalEntry], cells: Sequence[Write], cursors: Cursors) -> None:
        """One transaction: undone blocks leave the journal, applied ones join it, `cells` get the values they have now."""

        async def save(connection: AsyncConnection) -> None:
            await _remove_blocks(connection, undone)
            await _add_blocks(connection, applied)
            await self._prune(connection, applied)
            await _put(connection, cells, cursors)

        await self.database.write(save)

    async def save_backfill(self, writes: Iterable[Write], cursors: Cursors, base: Head | None = None) -> None:
        """One transaction for many cells. With `base`, the journal starts anew on that block."""

        async def save(connection: AsyncConnection) -> None:
            if base is not None:
                await connection.execute(delete(JOURNAL))
                await connection.execute(insert(JOURNAL), [_block(base, None)])
            await _put(connection, writes, cursors)

        await self.database.write(save)

    async def _prune(self, connection: AsyncConnection, applied: Sequence[JournalEntry]) -> None:
        """The newest block out of reach becomes the base; the ones below it go."""
        if not applied:
            return
        last = applied[-1].head.number - self._journal_blocks
        await connection.execute(delete(JOURNAL).where(JOURNAL.c.number < last))
        await connection.execute(update(JOURNAL).where(JOURNAL.c.number == last).values(undo=None))


class Glimpse:
    """A book seen while its owner runs: loaded from the file if there is one, never saved."""

    def __init__(self, path: Path, chain_id: int) -> None:
        self._path, self._chain_id = path, chain_id

    async def load(self) -> Snapshot:
        if not self._path.exists():
            return Snapshot([], (), None, {})
        store = await BookStore.open(self._path, self._chain_id, read_only=True)
        try:
            return await store.load()
        finally:
            await store.close()

    async def save_update(self, undone: Sequence[Head], applied: Sequence[JournalEntry], cells: Sequence[Write], cursors: Cursors) -> None:
        return None

    async def save_backfill(self, writes: Iterable[Write], cursors: Cursors, base: Head | None = None) -> None:
        return None

    async def close(self) -> None:
        return None


def encode_key(key: Key) -> str:
    """A JSON array; an integer beyond 64 bits is nested, as decimal text, since orjson would lose its digits."""
    return orjson.dumps([_part(part) for part in key]).decode()


def _part(part: int | str) -> int | str | list[str]:
    if isinstance(part, str):
        return part
    return int(part) if -(2**63) <= part < 2**63 else [str(int(part))]


def decode_key(text: str) -> Key:
    return tuple(int(part[0]) if isinstance(part, list) else part for part in orjson.loads(text))


def encode_undo(undo: Iterable[Write]) -> str:
    return orjson.dumps([[name, encode_key(key), str(value)] for name, key, value in undo]).decode()


def decode_undo(text: str) -> tuple[Write, ...]:
    return tuple((name, decode_key(key), int(value)) for name, key, value in orjson.loads(text))


async def _rows(connection: AsyncConnection) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
    cells = (await connection.execute(select(CELLS))).all()
    blocks = (await connection.execute(select(JOURNAL).order_by(JOURNAL.c.number))).all()
    return cells, blocks, (await connection.execute(select(CURSORS))).all()


async def _put(connection: AsyncConnection, writes: Iterable[Write], cursors: Cursors) -> None:
    net = {(name, encode_key(key)): value for name, key, value in writes}
    present = ({"name": name, "key": key, "value": str(value)} for (name, key), value in net.items() if value)
    absent = ({"name_": name, "key_": key} for (name, key), value in net.items() if not value)
    await _in_batches(connection, _upsert(CELLS, "name", "key"), present)
    await _in_batches(connection, _DELETE_CELL, absent)
    places = ({"source": source, "number": number, "hash": hash_} for source, (number, hash_) in cursors.items())
    await _in_batches(connection, _upsert(CURSORS, "source"), places)


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
