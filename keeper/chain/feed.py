"""The chain as an unbroken sequence of steps: whatever the node announces, drops or takes back, no block is lost or applied twice.

A notice never moves the feed by itself. It wakes a walk from the node's newest head back, by parent hash, to a block the book knows.
Missed heads, replaced heads, reconnects and duplicates are all that same walk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol

import structlog

from keeper.chain.branch import Branch
from keeper.chain.heads import HeadSource, Mailbox
from keeper.chain.second_look import LogReader, SecondLook
from keeper.errors import Halt, Transient
from keeper.types import Block, ChainUpdate, Hash, Head, Log, LogFilter

log = structlog.get_logger("keeper.chain")

RETRY_MOST_S = 5.0

HINT_TRIES = 6
"""A head that was announced but that the node does not give is forgotten after so many looks."""

Filters = Callable[[], Sequence[LogFilter]]


class BranchReader(Protocol):
    """A node, as far as the feed needs it. All raise Transient."""

    async def head(self) -> Head: ...

    async def headers(self, numbers: Sequence[int]) -> list[Head | None]: ...

    async def logs_of_blocks(self, filters: Sequence[LogFilter], heads: Sequence[Head]) -> list[tuple[Log, ...]]: ...


class ChainFeed:
    """The `Feed` port over one node.

    `known`: the recent heads the book can go back to, oldest first; the last is where it stands. `filters` is asked again for every step,
    so a step must have been applied before the next is asked for. A step has the logs that were wanted before it: those of contracts
    announced in it are the book's to fetch, and after blocks were undone it may have some that only they made wanted.

    `depth`: the longest reorg followed, in blocks. `chunk`: the most blocks in one step. `patience`: how often in a row a node must say
    that it is behind the book before it is believed. `poll_s`: the longest time without a look at the node.
    `second`: reads blocks' logs again, from another node."""

    def __init__(
        self,
        reader: BranchReader,
        source: HeadSource,
        known: Sequence[Head],
        filters: Filters,
        depth: int = 256,
        chunk: int = 100,
        patience: int = 8,
        poll_s: float = 15.0,
        retry_s: float = 0.05,
        second: LogReader | None = None,
    ) -> None:
        self._reader = reader
        self._source = source
        self._branch = Branch(known, depth)
        self._filters = filters
        self._chunk = chunk
        self._patience = patience
        self._poll_s = poll_s
        self._retry_s = retry_s
        self._mailbox = Mailbox()
        self._second = SecondLook(second or reader, lambda: self._mailbox.put(None), fresh=second is not None)
        self._doubts = 0

    @property
    def tip(self) -> Head:
        """The block the next step starts from."""
        return self._branch.tip

    async def updates(self) -> AsyncGenerator[ChainUpdate, None]:
        """Steps, each from the end of the last, for ever. Raises Halt when the chain has left every block the book can go back to."""
        self._mailbox.put(None)  # look at once: the source may take its time to connect
        listening = asyncio.create_task(self._source.run(self._mailbox))
        hint: Head | None = None
        failures = 0
        try:
            while True:
                self._second.look()
                hint = await self._notice(listening, failures) or (hint if 0 < failures < HINT_TRIES else None)
                try:
                    async with contextlib.aclosing(self._catch_up(hint, trusted=failures == 0)) as steps:
                        async for step in steps:
                            yield step
                    failures = 0
                except Transient as problem:
                    failures += 1
                    log.warning("feed_waits", block=self.tip.number, problem=str(problem))
        finally:
            self._second.close()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _notice(self, listening: asyncio.Task[None], failures: int) -> Head | None:
        """The next notice; None also when it is time to look again without one."""
        patience_s = self._poll_s if failures == 0 else min(RETRY_MOST_S, self._poll_s, self._retry_s * 2.0 ** min(failures - 1, 20))
        waiting = asyncio.ensure_future(self._mailbox.take())
        try:
            await asyncio.wait({waiting, listening}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        finally:
            waiting.cancel()
        if listening.done():
            listening.result()
            raise Halt("the source of new blocks has ended")
        return None

    async def _catch_up(self, hint: Head | None, trusted: bool) -> AsyncGenerator[ChainUpdate, None]:
        """Steps to the node's newest block. A head that extends ours is taken at its word: its logs are pinned to its hash."""
        extends = trusted and hint is not None and hint.parent_hash == self.tip.hash
        target = hint if extends and hint is not None else await self._reader.head()
        while target.hash != self.tip.hash:
            yield await self._step(target)
        self._doubts = 0
        if self._second.missed:
            again = await self._again(self._second.missed)
            self._second.forget()
            if again:
                yield again
        if hint is not None and hint.number > self.tip.number:
            raise Transient(f"block {hint.number} was announced, but the node does not have it yet")

    async def _step(self, target: Head) -> ChainUpdate:
        heads, wanted = await self._heads_to(target), tuple(self._filters())
        blocks = await self._blocks(heads, wanted)
        ancestor = heads[0].parent_hash if heads else target.hash
        undo = self._branch.move(ancestor, heads)
        self._doubts = 0
        newest = not heads or heads[-1].hash == target.hash
        if blocks:
            self._second.after(blocks, wanted)
        return ChainUpdate(undo, blocks, newest)

    async def _again(self, missed: Mapping[Hash, Block]) -> ChainUpdate | None:
        """Back to before the first of these blocks, and on from there with all of their logs; None when they have left the chain."""
        first = min(missed.values(), key=lambda block: block.head.number).head
        if not (self._branch.has(first.parent_hash) and self._branch.has(first.hash)):
            return None
        heads, wanted = self._branch.since(first.hash), tuple(self._filters())
        blocks = tuple(self._second.complete(block) for block in await self._blocks(heads, wanted))
        self._second.after(blocks, wanted)
        return ChainUpdate(self._branch.move(first.parent_hash, heads), blocks)

    async def _blocks(self, heads: Sequence[Head], wanted: tuple[LogFilter, ...]) -> tuple[Block, ...]:
        if not heads:
            return ()
        logs = await self._reader.logs_of_blocks(wanted, heads)
        return tuple(Block(head, found) for head, found in zip(heads, logs, strict=True))

    # --- the walk

    async def _heads_to(self, target: Head) -> list[Head]:
        """The blocks from one of ours (exclusive) up to the target, or up to a chunk on the way there; oldest first."""
        if self._branch.has(target.hash):
            if target.hash != self.tip.hash:
                self._doubt(Transient(f"the node is at block {target.number}, behind the book's {self.tip.number}"))
            return []
        if target.number > self.tip.number + self._chunk:
            target = (await self._headers([self.tip.number + self._chunk]))[0]
        return await self._walk(target)

    async def _walk(self, target: Head) -> list[Head]:
        found = [target]
        reach = 1
        while not self._branch.has(found[-1].parent_hash):
            below = found[-1].number
            if below <= self._branch.oldest.number:
                self._doubt(
                    Halt(f"the chain has left every block the book can go back to (from {self._branch.oldest.number} on): rebuild it")
                )
            bottom = self.tip.number + 1 if below > self.tip.number + 1 else max(below - reach, 0)
            self._link(found, await self._headers(range(bottom, below)))
            reach *= 2
        found.reverse()
        return found

    def _link(self, found: list[Head], below: Sequence[Head]) -> None:
        """Go down while parent hashes agree, until a block of ours."""
        for head in reversed(below):
            if head.hash != found[-1].parent_hash:
                raise Transient(f"block {head.number} was replaced while it was read")
            if self._branch.has(head.hash):
                return
            found.append(head)

    async def _headers(self, numbers: Sequence[int]) -> list[Head]:
        heads = [head for head in await self._reader.headers(numbers) if head is not None]
        if len(heads) != len(numbers):
            raise Transient(f"the node does not have all blocks from {numbers[0]} to {numbers[-1]}")
        return heads

    def _doubt(self, conclusion: Halt | Transient) -> None:
        """A node that lags or restarts looks like a chain that went back: ask some more times before believing it."""
        self._doubts += 1
        if self._doubts < self._patience:
            raise Transient(str(conclusion))
        if isinstance(conclusion, Halt):
            raise conclusion
