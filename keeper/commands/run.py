"""`keeper run`: the daemon, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from keeper.commands.progress import backfill_progress
from keeper.config import Settings
from keeper.daemon import Listeners
from keeper.daemon import run as run_daemon


async def run(settings: Settings, live: bool = False, blocks: int | None = None) -> None:
    """Ends at SIGTERM or SIGINT, or after `blocks` blocks of each chain."""
    with backfill_progress() as progress:
        await until_stopped(run_daemon(settings, live, blocks, Listeners(progress=progress)))


async def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run until done or signalled; a signal is a clean end."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopped:
            raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
