"""Moves the book with the chain: undo, apply, read what no event tells, save. Ordered and lossless."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

from keeper.book.book import Book, Follow, JournalEntry
from keeper.book.indexer import side_fetch
from keeper.book.state import Overlay
from keeper.chain.logs import in_order
from keeper.errors import KeeperError
from keeper.ports import Reader, View
from keeper.types import Block, ChainUpdate, Hash, Head, Log, LogFilter, Read, Write


class BlockReader(Reader, Protocol):
    """A node that can give one block's logs by its hash."""

    async def logs_of_block(self, filters: Sequence[LogFilter], head: Head) -> tuple[Log, ...]: ...

    async def logs_of_blocks(self, filters: Sequence[LogFilter], heads: Sequence[Head]) -> list[tuple[Log, ...]]: ...


class BlockStore(Protocol):
    """Where the book survives a restart."""

    async def save_update(
        self, undone: Sequence[Head], applied: Sequence[JournalEntry], cells: Sequence[Write], cursors: Mapping[str, tuple[int, Hash]]
    ) -> None:
        """One transaction: the cells as they are now, the journal, and each source's cursor."""
        ...


class Bookkeeper:
    """The only writer of a book."""

    def __init__(self, book: Book, reader: BlockReader, store: BlockStore, keep_blocks: int = 32) -> None:
        self.book = book
        self._reader = reader
        self._store = store
        self._unsaved: tuple[ChainUpdate, list[Write]] | None = None
        self._recent: OrderedDict[Hash, Block] = OrderedDict()
        self._keep_blocks = keep_blocks

    async def advance(self, update: ChainUpdate) -> list[Write]:
        """Bring the book to the update's last block; returns every cell that may have changed, with its value now. The file follows with
        `save`, or before the next step: it is never more than one behind, and never holds a part of one."""
        await self.save()
        changed = [write for head in update.undo for write in self.book.undo(head)]
        changed += await self._apply_all(update.blocks)
        changed += await self._read()
        self._unsaved = update, changed
        return [(table, key, self.book.tables.get(table, key)) for table, key, _ in changed]

    async def save(self) -> None:
        """Write down the last step, if that is still to be done."""
        if self._unsaved:
            await self._save(*self._unsaved)
            self._unsaved = None

    async def note(self, writes: Sequence[Write]) -> None:
        """Set and save cells of our own. They are no part of any block: no reorg takes them back."""
        if writes:
            await self.save()
            self.book.tables.write(writes)
            await self._save(ChainUpdate((), ()), writes)

    async def block(self, head: Head) -> Block:
        """A recent block with the logs the book follows."""
        known = self._recent.get(head.hash)
        return known or Block(head, await self._reader.logs_of_block(self.book.filters(), head))

    async def _apply_all(self, blocks: Sequence[Block]) -> list[Write]:
        """When a block announces contracts, the blocks after it are fetched again: their logs did not include the newcomers'."""
        changed: list[Write] = []
        rest = list(blocks)
        while rest:
            writes, grown = await self._apply(rest.pop(0))
            changed += writes
            if grown and rest:
                heads = [block.head for block in rest]
                logs = await self._reader.logs_of_blocks(self.book.filters(), heads)
                rest = [_united(block, found) for block, found in zip(rest, logs, strict=True)]
        return changed

    async def _apply(self, block: Block) -> tuple[list[Write], bool]:
        """Stage until no contract is missing, then commit; tells whether contracts were announced."""
        follow: tuple[Follow, ...] = ()
        staged = self.book.stage(block)
        while staged.news:
            follow = (*follow, *staged.news)
            block, past = await self._fetch_again(block, follow)
            staged = self.book.stage(block, follow, past)
        self._recent[block.head.hash] = block
        while len(self._recent) > self._keep_blocks:
            self._recent.popitem(last=False)
        return self.book.commit(staged), bool(follow)

    async def _fetch_again(self, block: Block, follow: Sequence[Follow]) -> tuple[Block, list[Write]]:
        filters = [*self.book.filters(), *(f for _, f in follow)]
        logs = await self._reader.logs_of_block(filters, block.head)
        past: list[Write] = []
        for source, f in follow:
            past += await side_fetch(self._reader, source, f, self.book.tables, block.head.number - 1)
        return _united(block, logs), past

    async def _read(self) -> list[Write]:
        """What no event tells, at the head."""
        head = self.book.head
        return self.book.amend(await self._ask(self.book.tables, head.hash)) if head else []

    async def read_before(self, head: Head, view: View) -> list[Write]:
        """What would have been read at a block's parent, had the book stopped there. Nothing when the node does not give it any more."""
        try:
            return await self._ask(view, head.parent_hash)
        except KeeperError:
            return []

    async def _ask(self, view: View, block: Hash) -> list[Write]:
        """The replies of every source's questions; once more when they raise new ones: which aggregator stands behind a price source just
        heard of."""
        overlay, asked = Overlay(view), set[tuple[str, Read]]()  # by whom: two sources may have the same question
        while True:
            questions = [(source, source.reads(overlay)) for source in self.book.sources]
            reads = [read for _, wanted in questions for read in wanted]
            new = {(source.name, read) for source, wanted in questions for read in wanted} - asked
            if not new:
                return overlay.writes()
            asked |= new
            replies = await self._reader.calls(reads, block)
            answers = Overlay(overlay)
            for source, wanted in questions:
                mine, replies = replies[: len(wanted)], replies[len(wanted) :]
                answers.write(source.absorb(mine, overlay))
            overlay.write(answers.writes())

    async def _save(self, update: ChainUpdate, changed: Sequence[Write]) -> None:
        head = self.book.head
        if head is None:
            return
        cells = {(table, key): self.book.tables.get(table, key) for table, key, _ in changed}
        fresh = {head.hash, *(block.head.hash for block in update.blocks)}  # the head's entry also has what was read there
        await self._store.save_update(
            update.undo,
            [entry for entry in self.book.journal if entry.head.hash in fresh],
            [(table, key, value) for (table, key), value in cells.items()],
            {source.name: (head.number, head.hash) for source in self.book.sources},
        )


def _united(block: Block, logs: Sequence[Log]) -> Block:
    """With logs that were read again: what was known of the block stays known, whatever the node says now."""
    return Block(block.head, tuple(in_order([*logs, *block.logs])))
