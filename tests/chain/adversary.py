"""A model of the worst node there can be: reorgs between any two replies, wrong and missing notices, lost answers, a head that lags.

The only fake node in the tests: no real one can be made to do all this at every point in between.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence

from keeper.chain.codec import address_word, to_address, topic
from keeper.chain.heads import Mailbox
from keeper.errors import Transient
from keeper.types import Address, Block, ChainUpdate, Hash, Head, Log, LogFilter

FACTORY = to_address(0xFAC)
CREATED = topic("Created(address)")
MOVED = topic("Moved()")

Change = tuple[int, int]
"""Take back so many blocks, then add so many."""


class Chain:
    """All branches there ever were, and which of them is the chain."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._children = 0
        self.blocks: dict[Hash, Block] = {}
        self.canonical: list[Hash] = []
        self.extend(Hash("0x" + "00" * 32))

    @property
    def heads(self) -> list[Head]:
        return [self.blocks[block].head for block in self.canonical]

    def change(self, back: int, forth: int) -> None:
        """Never back beyond the first block."""
        del self.canonical[max(1, len(self.canonical) - back) :]
        for _ in range(forth):
            self.extend(self.canonical[-1])

    def extend(self, parent: Hash) -> None:
        number = len(self.canonical)
        block_hash = Hash(f"0x{len(self.blocks) + 1:064x}")
        head = Head(number, block_hash, parent, 1000 + number, 7, 30_000_000, 0)
        self.blocks[block_hash] = Block(head, tuple(self._logs(head)))
        self.canonical.append(block_hash)

    def _logs(self, head: Head) -> Iterable[Log]:
        """Announcements, and moves of contracts announced before, in this block or never."""
        for index in range(self._rng.randint(0, 4)):
            if self._rng.random() < 0.3:
                self._children += 1
                yield _log(head, index, FACTORY, CREATED, address_word(_child(self._children)))
            else:
                yield _log(head, index, _child(self._rng.randint(1, self._children + 1)), MOVED, b"")


def _child(number: int) -> Address:
    return to_address(0xC0000 + number)


def _log(head: Head, index: int, address: Address, topic0: str, data: bytes) -> Log:
    return Log(address, (topic0,), data, head.number, head.hash, head.timestamp_s, Hash("0x" + "11" * 32), 0, index)


def wanted(logs: Iterable[Log], filters: Sequence[LogFilter]) -> tuple[Log, ...]:
    by_address = {f.address: f for f in filters}
    mine = [(log, by_address[log.address]) for log in logs if log.address in by_address]
    return tuple(log for log, f in mine if log.topics[0] in f.topics and log.block_number >= f.since_block)


class AdversarialNode:
    """Answers from whatever the chain is at that instant; `changes` happen between its answers."""

    def __init__(self, chain: Chain, changes: Sequence[Change], rng: random.Random) -> None:
        self.chain = chain
        self._changes = list(changes)
        self._rng = rng
        self.mailbox: Mailbox | None = None
        self._listened = asyncio.Event()

    @property
    def settled(self) -> bool:
        return not self._changes

    async def run(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        mailbox.put(None)
        self._listened.set()
        await asyncio.Event().wait()

    async def announce(self, head: Head) -> None:
        """One notice, and time for the feed to act on it."""
        await self._listened.wait()
        assert self.mailbox is not None
        self.mailbox.put(head)
        for _ in range(20):
            await asyncio.sleep(0)

    async def _instant(self) -> None:
        """Time passes: the chain may change, with a right, a wrong or no notice."""
        await asyncio.sleep(0)
        if self._changes and self._rng.random() < 0.4:
            self.chain.change(*self._changes.pop(0))
            self._notify()

    def _notify(self) -> None:
        assert self.mailbox is not None
        newest = self.chain.heads[-1]
        stale = self._rng.choice(list(self.chain.blocks.values())).head
        notices: list[list[Head | None]] = [[], [None], [newest], [newest], [stale], [newest, stale], [stale, newest], [newest, newest]]
        for notice in self._rng.choice(notices):
            self.mailbox.put(notice)

    def _fail_sometimes(self) -> None:
        if not self.settled and self._rng.random() < 0.1:
            raise Transient("the node is away")

    async def head(self) -> Head:
        await self._instant()
        self._fail_sometimes()
        lag = self._rng.choice([0, 0, 0, 1, 2]) if not self.settled else 0
        heads = self.chain.heads
        return heads[max(0, len(heads) - 1 - lag)]

    async def headers(self, numbers: Sequence[int]) -> list[Head | None]:
        found: list[Head | None] = []
        for number in numbers:
            await self._instant()
            found.append(self.chain.heads[number] if number < len(self.chain.heads) else None)
        self._fail_sometimes()
        return found

    async def logs_of_blocks(self, filters: Sequence[LogFilter], heads: Sequence[Head]) -> list[tuple[Log, ...]]:
        found = []
        for head in heads:
            await self._instant()
            if head.hash not in self.chain.canonical and self._rng.random() < 0.5:
                raise Transient("unknown block")
            found.append(wanted(self.chain.blocks[head.hash].logs, filters))
        self._fail_sometimes()
        return found


class StrictBook:
    """Applies steps and refuses any that does not fit; follows what the factory announces, and forgets it when that is undone."""

    def __init__(self, base: Head) -> None:
        self.base = base
        self.blocks: list[Block] = []

    @property
    def tip(self) -> Head:
        return self.blocks[-1].head if self.blocks else self.base

    def filters(self) -> tuple[LogFilter, ...]:
        children = [
            LogFilter(to_address(log.data), frozenset({MOVED}), log.block_number)
            for block in self.blocks
            for log in block.logs
            if log.address == FACTORY
        ]
        return (LogFilter(FACTORY, frozenset({CREATED}), 0), *children)

    def apply(self, update: ChainUpdate, node: AdversarialNode) -> None:
        """As the bookkeeper does: a block that announces contracts, and those after it, are read again with the newcomers' logs."""
        for head in update.undo:
            assert self.blocks.pop().head == head
        grown = False
        for block in update.blocks:
            assert block.head.parent_hash == self.tip.hash
            logs = node.chain.blocks[block.head.hash].logs if grown else block.logs
            self.blocks.append(Block(block.head, wanted(logs, self.filters())))
            if any(log.address == FACTORY for log in block.logs):
                grown = True
                self.blocks[-1] = Block(block.head, wanted(node.chain.blocks[block.head.hash].logs, self.filters()))


def replayed(chain: Chain) -> list[Block]:
    """What a book must hold that saw nothing but the final chain, block by block."""
    book = StrictBook(chain.heads[0])
    for block_hash in chain.canonical[1:]:
        block = chain.blocks[block_hash]
        book.blocks.append(Block(block.head, wanted(block.logs, book.filters())))
        book.blocks[-1] = Block(block.head, wanted(block.logs, book.filters()))
    return book.blocks
