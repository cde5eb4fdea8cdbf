"""One SQLite file: opened by one process, checked before it is trusted, and whose every failure is one line a user can act on.

All work runs in whole transactions that a cancelled caller cannot tear.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from sqlalchemy import URL, Column, Connection, DefaultClause, MetaData, NullPool, Table, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import Text, TypeDecorator

from keeper.errors import ConfigError, Halt, Transient
from keeper.storage.lock import FileLock

T = TypeVar("T")

BUSY_MS = 5000


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file: its tables, how durable a commit is, and what a user does about a broken one."""

    name: str
    schema_version: int
    tables: MetaData
    synchronous: Literal["NORMAL", "FULL"]
    remedy: str


class Integer256(TypeDecorator[int]):
    """An integer of any size, exact, as decimal text: as fast as a blob (0.13 µs a value) and legible in any SQLite shell."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> int | None:
        return None if value is None else int(value)


class Database:
    """A checked, open file. `write` and `read` run one transaction each, one at a time."""

    def __init__(self, path: Path, kind: FileKind, engine: AsyncEngine, connection: AsyncConnection, lock: FileLock | None) -> None:
        self.path = path
        self._kind = kind
        self._engine = engine
        self._connection = connection
        self._file_lock = lock
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, chain_id: int, kind: FileKind, read_only: bool = False) -> Self:
        """Open or create. A read-only one leaves the file as it is and works beside the process that owns it.

        Raises ConfigError when the file belongs to another chain; Halt when it is in use, broken, of another version or absent."""
        lock = None if read_only else FileLock(path)
        try:
            await asyncio.to_thread(check, path, chain_id, kind, read_only)
            if not read_only and _is_empty(path):
                await asyncio.to_thread(_begin, path, chain_id, kind)
            engine = _engine(path, kind, read_only)
            database = cls(path, kind, engine, await _connect(path, kind, engine), lock)
        except BaseException:
            if lock:
                lock.release()
            raise
        if not read_only:
            await database._create(chain_id)
        return database

    async def close(self) -> None:
        await uncancelled(self._close())

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `work` in one transaction: all of it is durable when this returns, or none ever. Raises Halt (disk full, corrupt, …),
        Transient while another program keeps it locked."""
        return await uncancelled(self._transact(work))

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `work` on one consistent state of the file. Raises Halt, Transient."""
        return await uncancelled(self._transact(work))

    def broken(self, what: str) -> Halt:
        """The error for content that cannot be understood."""
        return _broken(self.path, self._kind, what)

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self._turn:
            try:
                async with self._connection.begin():
                    return await work(self._connection)
            except SQLAlchemyError as error:
                raise explain(self.path, self._kind, error) from None

    async def _create(self, chain_id: int) -> None:
        try:
            await self.write(lambda connection: connection.run_sync(partial(_fill, chain_id=chain_id, kind=self._kind)))
        except BaseException:
            await self.close()
            raise

    async def _close(self) -> None:
        async with self._turn:
            await self._connection.close()
            await self._engine.dispose()
        if self._file_lock:
            self._file_lock.release()


async def uncancelled(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end even when the caller is cancelled, which then takes effect."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()
        raise


def check(path: Path, chain_id: int, kind: FileKind, read_only: bool) -> None:
    """Look at a file without changing it. Raises ConfigError, Halt."""
    try:
        if _is_empty(path):
            if read_only:
                raise _absent(path)
            return
        meta = _meta(path)
        if read_only and meta == {}:
            raise _absent(path)
        _check_meta(meta, path, chain_id, kind)
    except sqlite3.Error as error:
        raise explain(path, kind, error) from None
    except OSError as error:
        raise Halt(f"{path} cannot be read: {error.strerror}") from None


def _is_empty(path: Path) -> bool:
    return not path.exists() or not path.stat().st_size


def _begin(path: Path, chain_id: int, kind: FileKind) -> None:
    """Make a new file aside and put it in place whole: whoever reads beside its owner never meets half of one."""
    aside = path.with_name(f"{path.name}.new")
    engine = create_engine(URL.create("sqlite", database=str(aside)), poolclass=NullPool)
    try:
        aside.unlink(missing_ok=True)
        with engine.begin() as connection:
            _fill(connection, chain_id, kind)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")  # once it is in place, that would need a moment without readers
        os.replace(aside, path)
        _sync_folder(path.parent)
    except SQLAlchemyError as error:
        raise explain(path, kind, error) from None
    except OSError as error:
        raise Halt(f"{path} cannot be created: {error.strerror}") from None


def _fill(connection: Connection, chain_id: int, kind: FileKind) -> None:
    rows = {"kind": kind.name, "schema_version": str(kind.schema_version), "chain_id": str(chain_id)}
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.exec_driver_sql("INSERT OR IGNORE INTO meta VALUES (?, ?)", list(rows.items()))
    kind.tables.create_all(connection)
    for table in kind.tables.sorted_tables:
        known = {row[1] for row in connection.exec_driver_sql(f'PRAGMA table_info("{table.name}")')}
        for column in _later(table, known):
            connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ADD COLUMN {CreateColumn(column).compile(connection)}')


def _later(table: Table, known: Collection[str]) -> list[Column[Any]]:
    """Columns that an older keeper did not have; each with a default."""
    return [column for column in table.columns if column.name not in known]


def _sync_folder(folder: Path) -> None:
    """So that a power cut cannot take the file's name and leave what was committed to it nowhere."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _meta(path: Path) -> dict[str, str] | None:
    """The meta rows; empty for a file without tables, None for one that is not ours."""
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000)
    try:
        [(verdict,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
        if verdict != "ok":
            raise sqlite3.DatabaseError("malformed")
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return {}
        return dict(connection.execute("SELECT name, value FROM meta")) if "meta" in tables else None
    finally:
        connection.close()


def _check_meta(meta: dict[str, str] | None, path: Path, chain_id: int, kind: FileKind) -> None:
    if meta is None or (meta and meta.get("kind") != kind.name):
        raise _broken(path, kind, f"is not a keeper {kind.name}")
    if not meta:
        return
    if meta.get("schema_version") != str(kind.schema_version):
        found = meta.get("schema_version", "none")
        raise _broken(path, kind, f"has schema version {found}, this keeper writes {kind.schema_version}")
    if meta.get("chain_id") != str(chain_id):
        raise ConfigError(
            f"{path} belongs to chain {meta.get('chain_id')}, but the config says chain {chain_id}: correct chain_id, or give this"
            " chain a data_dir of its own"
        )


def _engine(path: Path, kind: FileKind, read_only: bool) -> AsyncEngine:
    engine = create_async_engine(URL.create("sqlite+aiosqlite", database=str(path)))

    @event.listens_for(engine.sync_engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late: reads before the first write would not be covered
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        if read_only:
            _stand_in(cursor, kind)
        cursor.execute("PRAGMA query_only = ON" if read_only else "PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {kind.synchronous}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _stand_in(cursor: Any, kind: FileKind) -> None:
    """What a newer keeper is yet to add to the file: a table reads as empty, a column as its default."""
    for table in kind.tables.sorted_tables:
        cursor.execute(f'PRAGMA main.table_info("{table.name}")')
        known = {row[1] for row in cursor.fetchall()}
        if not known:
            columns = ", ".join(f'"{column.name}"' for column in table.columns)
            cursor.execute(f'CREATE TEMP TABLE "{table.name}" ({columns})')
        elif later := _later(table, known):
            defaults = ", ".join(f'{_default(column)} AS "{column.name}"' for column in later)
            cursor.execute(f'CREATE TEMP VIEW "{table.name}" AS SELECT *, {defaults} FROM main."{table.name}"')  # noqa: S608 our own names


def _default(column: Column[Any]) -> str:
    made = column.server_default
    if not isinstance(made, DefaultClause):
        raise TypeError(f"{column} came later and has no default")
    return str(made.arg)


async def _connect(path: Path, kind: FileKind, engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect()
    except SQLAlchemyError as error:
        await engine.dispose()
        raise explain(path, kind, error) from None


def explain(path: Path, kind: FileKind, error: Exception) -> Exception:
    """What a failure of SQLite means to the user; the error itself when it is a defect of ours."""
    cause = getattr(error, "orig", None) or error
    if not isinstance(cause, sqlite3.DatabaseError) or isinstance(cause, sqlite3.ProgrammingError | sqlite3.IntegrityError):
        return error
    name: str = getattr(cause, "sqlite_errorname", None) or "SQLITE_CORRUPT"  # without a code: text that is no UTF-8
    if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR"):
        return Halt(f"{path} cannot be written, the disk is full or failing: make room and restart; nothing was half-written")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return _broken(path, kind, "is not a database" if name == "SQLITE_NOTADB" else "is corrupt")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Transient(f"{path} is locked by another program: close it")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return Halt(f"{path} cannot be opened for writing: check the permissions of the file and its folder")
    return _broken(path, kind, f"cannot be used ({name})")


def _absent(path: Path) -> Halt:
    return Halt(f"{path} does not exist yet: `keeper run` creates it")


def _broken(path: Path, kind: FileKind, what: str) -> Halt:
    return Halt(f"{path} {what}: {kind.remedy}")
