"""A book whose every block is known beforehand: what it must hold after any of them. Run as a program it writes until it is killed."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from keeper.book.book import JournalEntry
from keeper.book.state import Tables
from keeper.book.store import BookStore, Snapshot
from keeper.types import Address, Hash, Head, Key, Write

SOURCES = {"m": ("m/held", "m/alone"), "n": ("n/held",)}
LOG_CELLS = 200
CELLS_A_BLOCK = 60
JOURNAL = 8


def head(number: int, fork: int = 0) -> Head:
    return Head(number, Hash(f"0x{number:062x}{fork:02x}"), Hash(f"0x{number - 1:064x}"), 12 * number, 1, 1, 1)


def block(number: int, fork: int = 0) -> list[Write]:
    """Balances that come, go and grow past what a column holds; a few in a table of its own."""
    source = random.Random(number << 8 | fork)

    def cell() -> Write:
        account = Address(f"0x{source.randrange(300) * 10**40:040x}")
        key: Key = (account,) if (alone := source.random() < 0.2) else (source.randrange(6), account)
        table = "m/alone" if alone else source.choice(("m/held", "n/held", "m/other"))
        return table, key, source.choice((0, 0, source.getrandbits(60), source.getrandbits(127), source.getrandbits(140), -5))

    return [*(cell() for _ in range(CELLS_A_BLOCK)), ("m/other", ("height",), number)]


def state_at(number: int, fork: int = 0) -> set[Write]:
    """`fork`: of the newest block."""
    tables = Tables()
    for n in range(1, number):
        tables.write(block(n))
    tables.write(block(number, fork) if number else ())
    return set(tables.cells())


def fork_of(reached: Head) -> int:
    return int(reached.hash[-2:], 16)


async def open_store(path: Path) -> BookStore:
    kind = await BookStore.open(path, 1)
    return BookStore(kind.database, JOURNAL, LOG_CELLS)


class Life:
    """One run of a keeper on the book's file."""

    def __init__(self, store: BookStore, tables: Tables, snapshot: Snapshot) -> None:
        self.store, self.tables, self.journal = store, tables, list(snapshot.journal)
        self.number = snapshot.head.number if snapshot.head else 0

    @classmethod
    async def begin(cls, path: Path) -> Life:
        """Where the last one ended, without a block that was the wrong one."""
        store, tables = await open_store(path), Tables(SOURCES)
        snapshot = await store.load(tables)
        if snapshot.base is None:
            await store.save_backfill((), {}, head(0))
        life = cls(store, tables, snapshot)
        if snapshot.head and fork_of(snapshot.head):
            await store.save_update([snapshot.head], (), life._undo(), {})
        return life

    async def step(self, fork: int = 0) -> None:
        """Now and then half of a block is in memory before it is saved."""
        entry, writes = self._apply(self.number + 1, fork)
        await asyncio.sleep(0)
        await self.store.save_update((), [entry], writes, {"m": (self.number, entry.head.hash)})

    async def reorg(self) -> None:
        """One block the wrong way, and back."""
        await self.step(fork=1)
        wrong, undone = self.journal[-1].head, self._undo()
        entry, writes = self._apply(self.number + 1)
        now = [(table, key, self.tables.get(table, key)) for table, key, _ in (*undone, *writes)]
        await self.store.save_update([wrong], [entry], now, {"m": (self.number, entry.head.hash)})

    def _undo(self) -> list[Write]:
        """Take back the newest block; returns the cells as they are now."""
        wrong = self.journal.pop()
        self.tables.write(wrong.undo)
        self.number -= 1
        return [(table, key, self.tables.get(table, key)) for table, key, _ in wrong.undo]

    def _apply(self, number: int, fork: int = 0) -> tuple[JournalEntry, list[Write]]:
        writes = block(number, fork)
        entry = JournalEntry(head(number, fork), tuple(self.tables.write(writes)))
        self.journal.append(entry)
        self.number = number
        return entry, [(table, key, self.tables.get(table, key)) for table, key, _ in writes]


async def main(path: Path) -> None:
    life = await Life.begin(path)
    while True:
        await (life.reorg() if life.number % 5 == 0 else life.step())
        sys.stdout.write(f"{life.number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
