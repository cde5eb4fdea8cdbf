"""`keeper run`: the daemon, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from keeper.app import halt_file
from keeper.commands.progress import backfill_progress
from keeper.config import Settings
from keeper.daemon import Listeners, one_chain
from keeper.daemon import run as run_daemon
from keeper.recording.record import Recorder
from keeper.recording.tape import Tape


async def run(settings: Settings, live: bool = False, blocks: int | None = None, record: Path | None = None) -> None:
    """Ends at SIGTERM or SIGINT, or after `blocks` blocks of each chain; SIGUSR1 throws the kill file. `record`: a file for
    `keeper replay`."""
    if record:
        one_chain(settings)
    tape = Tape(record) if record else None
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, partial(_throw, settings))
    try:
        with backfill_progress() as progress:
            recorder = Recorder(tape) if tape else None
            await until_stopped(run_daemon(settings, live, blocks, Listeners(progress=progress), recorder))
    finally:
        if tape:
            tape.close()


def _throw(settings: Settings) -> None:
    for chain in settings.chains:
        halt_file(settings, chain).halt("signal SIGUSR1")


async def until_stopped(work: Coroutine[Any, Any, None], ready: Callable[[], None] = lambda: None) -> None:
    """Run until done or signalled; a signal is a clean end. `ready` is called once a signal would be."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    ready()
    try:
        await task
    except asyncio.CancelledError:
        if not stopped:
            raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
