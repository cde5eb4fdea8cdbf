"""Each block's logs are read once more when the next block is there: nodes are known to answer before they have indexed a block.

It costs one question a block, beside the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from keeper.chain.logs import in_order
from keeper.errors import KeeperError
from keeper.types import Block, Head, Log, LogFilter

log = structlog.get_logger("keeper.chain")

Filters = Sequence[LogFilter]


class LogReader(Protocol):
    async def logs_of_blocks(self, filters: Filters, heads: Sequence[Head]) -> list[tuple[Log, ...]]: ...


class SecondLook:
    """`wake`: called when a block turns out to have more logs than it was read with."""

    def __init__(self, reader: LogReader, wake: Callable[[], None]) -> None:
        self._reader, self._wake = reader, wake
        self._newest: tuple[Block, Filters] | None = None
        self._due: tuple[Block, Filters] | None = None
        self._missed: Block | None = None
        self._task: asyncio.Task[None] | None = None

    def after(self, block: Block, filters: Filters) -> None:
        """The newest block, as it was read with these filters."""
        self._due, self._newest = self._newest, (block, filters)

    def look(self) -> None:
        """At the block before the newest, if that has not been done. One that is still being looked at is let go: so slow a node has other
        troubles."""
        if self._due is not None:
            self.close()
            self._task, self._due = asyncio.create_task(self._look(*self._due)), None

    def missed(self) -> Block | None:
        """A block with all its logs that was read without some of them; told once."""
        missed, self._missed = self._missed, None
        return missed

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _look(self, block: Block, filters: Filters) -> None:
        try:
            (again,) = await self._reader.logs_of_blocks(filters, [block.head])
        except KeeperError:  # a look beside the work: the work will meet it itself
            return
        complete = tuple(in_order([*block.logs, *again]))
        if complete != block.logs:
            log.warning("logs_were_missing", block=block.head.number, logs=len(complete) - len(block.logs))
            self._missed = Block(block.head, complete)
            self._wake()
