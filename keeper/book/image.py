"""The columns on disk: one file with their raw arrays, read back at the speed of the disk.

It is taken while the book goes on. Each slice of it is copied at one moment, different slices at different moments, so alone it is the
state of no block. It is true together with every cell changed since it was begun: those are in the store's log, and win.

Layout: a line of JSON (what follows), then for each source its addresses and its cells, slice by slice, and a digest of all that.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from keeper.book.codec import decode_key, encode_key
from keeper.book.columns import Cells, Columns
from keeper.book.roll import ADDRESS_BYTES
from keeper.book.state import Tables
from keeper.storage.database import uncancelled
from keeper.types import Key

VERSION = 1
SLICE = 1 << 16
"""Cells or addresses copied at once: under 2 MB, well under a millisecond."""

DIGEST_BYTES = 32
KINDS = (np.uint16, np.int32, np.uint64, np.uint64)


class ImageError(Exception):
    """The file is not the image that it should be."""


@dataclass(frozen=True, slots=True)
class Image:
    """A finished file. `since`: the log is needed from this epoch on; `digest` in hex."""

    name: str
    since: int
    digest: str


async def take(tables: Tables, path: Path) -> str:
    """Write the columns as they are in the course of this call; returns the digest. Until it returns there is no file of that name.
    Raises OSError."""
    writer = _Writer(path)
    try:
        for data in _parts(tables):
            await _aside(writer.write, data)
        return str(await _aside(writer.finish))
    except BaseException:
        await _aside(writer.abandon)
        raise


def read(path: Path, digest: str, tables: Tables) -> None:
    """Fill empty columns. Raises ImageError, OSError."""
    with path.open("rb") as file:
        source = _Reader(file)
        try:
            header = orjson.loads(source.line())
            if header["version"] != VERSION:
                raise ImageError(f"{path.name} has version {header['version']}, this keeper writes {VERSION}")
            held = [(item, _slices(source, item)) for item in header["sources"]]
        except (ValueError, LookupError, TypeError):
            raise ImageError(f"{path.name} is damaged") from None
        if source.digest() != digest or file.read(DIGEST_BYTES).hex() != digest or file.read(1):
            raise ImageError(f"{path.name} is damaged")
    for item, (addresses, cells) in held:
        _restore(tables, item, addresses, cells)


def sweep(path: Path, keep: str | None) -> None:
    """Remove what earlier images of this book have left. Raises OSError."""
    for old in path.parent.glob(f"{path.stem}.*.image*"):
        if old.name != keep:
            old.unlink(missing_ok=True)


def _parts(tables: Tables) -> Iterator[bytes]:
    """What there was when it began, slice by slice: whatever joins later is a change, and so in the log."""
    sources = [(name, columns, columns.roll.count, columns.count) for name, columns in tables.columns.items()]
    header = {"version": VERSION, "sources": [_about(*source) for source in sources]}
    yield orjson.dumps(header) + b"\n"
    for _, columns, slots, cells in sources:
        for start, stop in _ranges(slots):
            yield columns.roll.addresses(start, stop).tobytes()
        for start, stop in _ranges(cells):
            yield b"".join(column.tobytes() for column in columns.part(start, stop))


def _about(name: str, columns: Columns, slots: int, cells: int) -> dict[str, Any]:
    held = [{"name": table, "key_parts": column.key_parts, "odd": _plain(column.odd)} for table, column in columns.tables.items()]
    return {"name": name, "slots": slots, "cells": cells, "tables": held}


def _plain(odd: Mapping[Key, int]) -> list[tuple[str, str]]:
    return [(encode_key(key), str(value)) for key, value in odd.items()]


def _slices(source: _Reader, item: dict[str, Any]) -> tuple[NDArray[np.uint8], Cells]:
    addresses = source.array(np.uint8, item["slots"] * ADDRESS_BYTES).reshape(-1, ADDRESS_BYTES)
    columns = [np.empty(item["cells"], kind) for kind in KINDS]
    for start, stop in _ranges(item["cells"]):
        for column in columns:
            column[start:stop] = source.array(column.dtype.type, stop - start)
    return addresses, Cells(*columns)


def _restore(tables: Tables, item: Mapping[str, Any], addresses: NDArray[np.uint8], cells: Cells) -> None:
    """A source that is not in the config any more keeps what it has: it may come back."""
    names = [table["name"] for table in item["tables"]]
    columns = tables.columns.get(item["name"]) or tables.keep_columns(item["name"], names)
    if columns is None or list(columns.tables) != names:
        raise ImageError(f"the tables of {item['name']} were other ones when it was saved")
    columns.restore(addresses, cells)
    for table, column in zip(item["tables"], columns.tables.values(), strict=True):
        column.key_parts = table["key_parts"]
        column.odd.update((decode_key(key), int(value)) for key, value in table["odd"])


def _ranges(count: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + SLICE, count)) for start in range(0, count, SLICE))


async def _aside(work: Any, *arguments: Any) -> Any:
    """In a thread, and not left alone there when the caller is cancelled."""
    return await uncancelled(asyncio.to_thread(work, *arguments))


class _Writer:
    """One image file on its way. Opened by its first write, for that is in a thread."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._file: IO[bytes] | None = None
        self._sum = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def write(self, data: bytes) -> None:
        self._file = self._file or self._part.open("wb")
        self._sum.update(data)
        self._file.write(data)

    def finish(self) -> str:
        """On the disk before it has its name, and the name on the disk before anybody relies on it; returns the digest."""
        with self._file or self._part.open("wb") as file:
            file.write(self._sum.digest())
            file.flush()
            os.fsync(file.fileno())
        self._part.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self._sum.hexdigest()

    def abandon(self) -> None:
        """Whatever went wrong, or nothing more is wanted: leave nothing behind."""
        with suppress(OSError):
            if self._file:
                self._file.close()
            self._part.unlink(missing_ok=True)


class _Reader:
    """Reads exactly what is asked for, and sums it up."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sum = file, hashlib.blake2b(digest_size=DIGEST_BYTES)
        self._left = os.fstat(file.fileno()).st_size

    def line(self) -> bytes:
        return self._summed(self._file.readline())

    def array(self, kind: Any, count: int) -> Any:
        """Raises ValueError when the file is shorter."""
        wanted = count * np.dtype(kind).itemsize
        if not 0 <= wanted <= self._left:
            raise ValueError("the file is too short")
        return np.frombuffer(self._summed(self._file.read(wanted)), kind, count)

    def digest(self) -> str:
        return self._sum.hexdigest()

    def _summed(self, data: bytes) -> bytes:
        self._sum.update(data)
        self._left -= len(data)
        return data
