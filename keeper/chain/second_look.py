"""Blocks' logs are read again: nodes are known to answer before they have indexed a block, and some forget.

It costs one request a block, beside the work. Where that finds something, every block that is remembered is read again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
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
LOOK_MOST_S = 30.0


class LogReader(Protocol):
    async def logs_of_blocks(self, filters: Filters, heads: Sequence[Head]) -> list[tuple[Log, ...]]: ...


class SecondLook:
    """`reader`: best another node than the blocks were read from. `fresh`: it is, so that the newest block is worth a look at once.
    `wake`: called when blocks turn out to have more logs than they were read with."""

    def __init__(self, reader: LogReader, wake: Callable[[], None], fresh: bool = False) -> None:
        self._reader, self._wake = reader, wake
        self._ages = (0, *AGES) if fresh else AGES
        self._seen = deque[Seen](maxlen=REMEMBERED)
        self._looked: int | None = None
        self.missed: dict[Hash, Block] = {}
        """Blocks with all their logs that were read without some of them, until they are seen again."""
        self._task: asyncio.Task[None] | None = None

    def after(self, blocks: Sequence[Block], filters: Filters) -> None:
        """The newest blocks, as they were read with these filters; what was there from the first of them on is no more."""
        while self._seen and self._seen[-1][1].head.number >= blocks[0].head.number:
            self._seen.pop()
        self._seen.extend((filters, block) for block in blocks)
        if self._looked is None or self._looked >= blocks[0].head.number:
            self._looked = blocks[0].head.number - 1

    def complete(self, block: Block) -> Block:
        """With what is known of it from before."""
        known = [seen for _, seen in self._seen if seen.head.hash == block.head.hash] + [self.missed.get(block.head.hash, block)]
        for other in known:
            block = _more(block, other.logs) or block
        return block

    def forget(self) -> None:
        """What was missed has been put right."""
        self.missed = {}

    def look(self) -> None:
        """If there is something new, and no look is under way."""
        due = self._looked is not None and bool(self._seen) and self._seen[-1][1].head.number > self._looked
        if due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._look())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _look(self) -> None:
        seen, newest, looked = [*self._seen], self._seen[-1][1].head.number, self._looked or 0
        self._looked = newest
        due = [one for one in seen if self._is_due(one[1].head.number, looked, newest)]
        try:
            async with asyncio.timeout(LOOK_MOST_S):
                missed = await self._incomplete([one for one in due if one[1].head.number < newest])
                missed += await self._incomplete([one for one in due if one[1].head.number == newest])
                if missed:
                    missed = await self._incomplete(seen) or missed
        except TimeoutError:
            return
        if missed:
            log.warning("logs_were_missing", blocks=[block.head.number for block in missed])
            self.missed = {block.head.hash: block for block in missed}
            self._wake()

    def _is_due(self, number: int, looked: int, newest: int) -> bool:
        """Whether it has come to one of the ages since the last look."""
        return any(looked - number < age <= newest - number for age in self._ages)

    async def _incomplete(self, seen: Sequence[Seen]) -> list[Block]:
        """What each of them has now, of those that have more now; none when the node does not say."""
        found = list[Block]()
        for filters, group in groupby(seen, itemgetter(0)):
            blocks = [block for _, block in group]
            try:
                again = await self._reader.logs_of_blocks(filters, [block.head for block in blocks])
            except KeeperError:  # a look beside the work: the work will meet it itself
                continue
            found += [more for block, logs in zip(blocks, again, strict=True) if (more := _more(block, logs))]
        return found


def _more(block: Block, logs: Sequence[Log]) -> Block | None:
    """With these, if they are what it has and more. Two nodes that number or read logs differently are told of, not mixed."""
    have, found = set(block.logs), set(logs)
    if have < found:
        return Block(block.head, tuple(in_order(logs)))
    if not have >= found:
        log.error("logs_disagree", block=block.head.number, block_hash=block.head.hash)
    return None
