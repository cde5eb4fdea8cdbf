"""The anvil process: started on a free port, known to be ready, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from keeper.errors import KeeperError

GUARD = Path(__file__).with_name("guard.py")
MNEMONIC = "test test test test test test test test test test test junk"
CHAIN_ID = 31337
READY_S = 30.0
OLD_STATES = 256
"""Older blocks can no longer be called. A state takes two megabytes on disk, and a devnet may run for weeks."""
STOP_S = 10.0


class Node:
    """A running anvil. `port`: where it listens."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self.pid = process.pid
        self._process = process

    async def failure(self) -> None:
        """Returns never; raises KeeperError when anvil ends on its own."""
        status = await self._process.wait()
        raise KeeperError(f"anvil ended unexpectedly with status {status}")


@contextlib.asynccontextmanager
async def anvil(binary: Path, port: int, *flags: str) -> AsyncIterator[Node]:
    """Run anvil, mining only when told. Raises KeeperError when it does not start."""
    with tempfile.TemporaryDirectory(prefix="keeper-anvil-") as old_states:  # by default they stay in the user's home for good
        process = await _spawn(binary, "--port", str(port), "--cache-path", old_states, "--max-persisted-states", str(OLD_STATES), *flags)
        drain: asyncio.Task[None] | None = None
        try:
            node = Node(process, await _ready(_output(process)))
            drain = asyncio.create_task(_drain(_output(process)))
            yield node
        finally:
            await end(process)
            if drain is not None:
                await drain


async def _spawn(binary: Path, *flags: str) -> asyncio.subprocess.Process:
    common = ["--no-mining", "--order", "fifo", "--chain-id", str(CHAIN_ID), "--mnemonic", MNEMONIC, "--auto-impersonate"]
    guard = [sys.executable, "-I", "-S", str(GUARD), str(os.getpid())]
    return await asyncio.create_subprocess_exec(
        *(*guard, str(binary), *common, *flags),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in the terminal is ours to handle
    )


def _output(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise KeeperError("anvil has no output to read")
    return process.stdout


async def _ready(output: asyncio.StreamReader) -> int:
    try:
        return await asyncio.wait_for(_listening(output), READY_S)
    except TimeoutError:
        raise KeeperError(f"anvil was not ready within {READY_S:.0f} s") from None


async def _listening(output: asyncio.StreamReader) -> int:
    last = ""
    async for raw in output:
        line = raw.decode(errors="replace").strip()
        if line.startswith("Listening on "):
            return int(line.rsplit(":", 1)[1])
        last = line or last
    raise KeeperError(f"anvil did not start: {last}")


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.read(65536):
        pass


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask it to, and make it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()
