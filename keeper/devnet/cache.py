"""What is built once and kept outside the repository: each entry is complete or absent, however many processes build at a time."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import TextIO

from keeper.errors import KeeperError

POLL_S = 0.05


def cache_dir() -> Path:
    """KEEPER_CACHE_DIR, else `keeper` under XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("KEEPER_CACHE_DIR"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keeper"


def digest(parts: Iterable[bytes]) -> str:
    """A short key for an entry made from these inputs."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()[:20]


async def entry(name: str, build: Callable[[Path], Awaitable[None]]) -> Path:
    """The cached directory `name`; `build` fills it when it is not there. Raises KeeperError when the cache cannot be written."""
    path = cache_dir() / name
    if path.is_dir():
        return path
    try:
        async with _locked(path.with_name(f"{name}.lock")):
            if not path.is_dir():
                await _build(path, build)
    except OSError as error:
        raise KeeperError(f"cannot write the cache {cache_dir()}: {error.strerror}") from error
    return path


async def _build(path: Path, build: Callable[[Path], Awaitable[None]]) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f"{path.name}.tmp-", dir=path.parent))
    try:
        await build(scratch)
        os.rename(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        while not _lock(file):  # noqa: ASYNC110 - another process holds it; waiting must stay cancellable
            await asyncio.sleep(POLL_S)
        yield


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
