"""Blocks' logs are read again: nodes are known to answer before they have indexed a block, and some forget.

It costs one request a block, beside the work. Where that finds something, every block that is remembered is read again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Protocol

import structlog

from keeper.chain.logs import in_order
from keeper.errors import KeeperError
from keeper.types import Block, Hash, Head, Log, LogFilter

log = structlog.get_logger("keeper.chain")

Filters = tuple[LogFilter, ...]
Seen = tuple[Filters, Block]

AGES = (1, 2, 5, 16)
"""In blocks, at which a block is read again: a gap of a few blocks is found soon after its end, whichever of them had logs."""

REMEMBERED = 64


class LogReader(Protocol):
    async def logs_of_blocks(self, filters: Filters, heads: Sequence[Head]) -> list[tuple[Log, ...]]: ...


class SecondLook:
    """`reader`: best another node than the blocks were read from. `fresh`: it is, so that the newest block is worth a look at once.
    `wake`: called when blocks turn out to have more logs than they were read with."""

    def __init__(self, reader: LogReader, wake: Callable[[], None], fresh: bool = False) -> None:
        self._reader, self._wake = reader, wake
        self._ages = (0, *AGES) if fresh else AGES
        self._seen = deque[Seen](maxlen=REMEMBERED)
        self._due = False
        self._missed: dict[Hash, Block] = {}
        self._task: asyncio.Task[None] | None = None

    def after(self, blocks: Sequence[Block], filters: Filters) -> None:
        """The newest blocks, as they were read with these filters; what was there above the first of them is no more."""
        while self._seen and self._seen[-1][1].head.number >= blocks[0].head.number:
            self._seen.pop()
        self._seen.extend((filters, block) for block in blocks)
        self._due = True

    def look(self) -> None:
        """If there is something new. A look that is still under way is let go: so slow a node has other troubles."""
        if self._due:
            self.close()
            self._due, self._task = False, asyncio.create_task(self._look())

    def missed(self) -> dict[Hash, Block]:
        """Blocks with all their logs that were read without some of them; told once."""
        missed, self._missed = self._missed, {}
        return missed

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        seen = [*self._seen]
        try:
            missed = await self._incomplete(seen[-1 - age] for age in self._ages if age < len(seen))
            if missed:
                missed = await self._incomplete(seen)
        except KeeperError:  # a look beside the work: the work will meet it itself
            return
        if missed:
            log.warning("logs_were_missing", blocks=[block.head.number for block in missed])
            self._missed = {block.head.hash: block for block in missed}
            self._wake()

    async def _incomplete(self, seen: Iterable[Seen]) -> list[Block]:
        """What each of them has now, of those that have more now."""
        found = list[Block]()
        for filters, group in groupby(seen, itemgetter(0)):
            blocks = [block for _, block in group]
            again = await self._reader.logs_of_blocks(filters, [block.head for block in blocks])
            complete = [Block(block.head, tuple(in_order([*block.logs, *logs]))) for block, logs in zip(blocks, again, strict=True)]
            found += [now for before, now in zip(blocks, complete, strict=True) if now != before]
        return found
