"""A source's tables of accounts as columns: four numbers a cell, instead of four Python objects.

A cell is (kind, slot, low, high): kind = table · 4096 + number, value = low + high · 2^64. The cells of an account are chained. The numbers
of a cell lie together: whoever needs one of them needs the others, and memory is slow. A cell belongs to its account for good; when its
value becomes 0 it is free for another of the same account. What does not fit, which no protocol known here ever stores (a value from 2^128
on or below 0, another key), is kept exactly as it is, beside.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keeper.book.roll import FIRST, RECORD, Roll, chain, raw_address
from keeper.errors import Halt
from keeper.types import Address, Entries, Key

MOST_CELLS = 1 << 26
NUMBERS = 4096
MOST_TABLES = 15
FREE = 0xFFFF
"""The kind of a cell that is 0: of the sixteenth table, which is never given out."""

WORDS, KIND, SLOT, NEXT = 8, 0, 1, 2
"""Words of 32 bits in a cell's record, and which is which; the last four are the value."""

HALVES, LOW, HIGH = 4, 2, 3
"""The same in 64 bits."""

MASK, MOST = 2**64 - 1, 2**128 - 1


def owners(keys: Iterable[Key]) -> Iterator[Address]:
    """The accounts in which these keys end."""
    return (Address(key[-1]) for key in keys if key and isinstance(key[-1], str))


class Cells(NamedTuple):
    """Cells as they lie in the columns: uint16, int32, uint64, uint64."""

    kind: NDArray[np.uint16]
    slot: NDArray[np.int32]
    low: NDArray[np.uint64]
    high: NDArray[np.uint64]


class Columns:
    """The cells of all tables of accounts of one source. Arrays are reserved as address space, so none is ever moved or copied to grow."""

    def __init__(self, tables: Sequence[str]) -> None:
        if len(tables) > MOST_TABLES:
            raise ValueError(f"a source may have {MOST_TABLES} tables of accounts, had {len(tables)}")
        self.roll = Roll()
        self.count = 0
        self._record: NDArray[np.uint64] = np.zeros((MOST_CELLS + 1, 4), np.uint64)
        words = self._record.view(np.uint32)
        self._kind, self._slot, self._next = words[:, KIND], words[:, SLOT].view(np.int32), words[:, NEXT]
        self._value = self._record[:, LOW:]
        self._kind[0] = FREE  # where chains end
        self.words, self.halves = self._record.data.cast("B").cast("I"), self._record.data.cast("B").cast("Q")
        self.tables = {name: ColumnTable(self, index) for index, name in enumerate(tables)}

    @property
    def nbytes(self) -> int:
        """Memory in use."""
        return self.roll.nbytes + 32 * self.count

    def append(self, kind: int, account: int, value: int) -> None:
        """One more cell of the account with this slot + 1, which must have none of that kind. Raises Halt when there is no room."""
        self._need(1)
        first, words = RECORD * account + FIRST, self.words
        self.count += 1
        at = WORDS * self.count
        words[at + KIND], words[at + SLOT], words[at + NEXT] = kind, account - 1, self.roll.records[first]
        self.halves[at // 2 + LOW], self.halves[at // 2 + HIGH] = value & MASK, value >> 64
        self.roll.records[first] = self.count

    def fill(self, table: str, entries: Entries, key_parts: int = 2) -> None:
        """Many cells at once, of accounts that have slots, none of them 0 or there before. Raises Halt when there is no room."""
        self.tables[table].key_parts = key_parts
        kind = (self.tables[table].base + entries.number).astype(np.uint16)
        self.extend(Cells(kind, entries.slot, entries.low, entries.high))

    def extend(self, cells: Cells) -> None:
        """Many cells of accounts that have slots, none of them there before. Raises Halt when there is no room."""
        first, count = self.count + 1, len(cells.kind)
        self._need(count)
        fresh = slice(first, first + count)
        self._kind[fresh], self._slot[fresh] = cells.kind, cells.slot
        self._value[fresh, 0], self._value[fresh, 1] = cells.low, cells.high
        self.count += count
        chain(self.roll.first[1:], self._next, cells.slot, first)

    def part(self, start: int, stop: int) -> Cells:
        """A copy of the cells start … stop - 1, free ones too."""
        at = slice(start + 1, stop + 1)
        return Cells(self._kind[at].astype(np.uint16), self._slot[at].copy(), self._value[at, 0].copy(), self._value[at, 1].copy())

    def restore(self, addresses: NDArray[np.uint8], cells: Cells) -> None:
        """Fill empty columns with what `part` and the roll gave: account by account, without free cells and accounts that have none. Of a
        cell that comes twice one is taken. One array after the other: memory peaks here. Raises Halt."""
        order = _sorted(cells)
        used = np.zeros(len(addresses), bool)
        used[cells.slot[order]] = True
        self.roll.extend(addresses[used])
        self._need(len(order))
        fresh = slice(1, len(order) + 1)
        self._kind[fresh] = cells.kind[order]
        self._slot[fresh] = (np.cumsum(used, dtype=np.int32) - 1)[cells.slot[order]]
        self._value[fresh, 0] = cells.low[order]
        self._value[fresh, 1] = cells.high[order]
        self.count = len(order)
        chain(self.roll.first[1:], self._next, self._slot[fresh], 1)

    def of_table(self, index: int) -> NDArray[np.intp]:
        """Where a table's cells lie."""
        return np.flatnonzero(self._kind[1 : self.count + 1] >> 12 == index) + 1

    def entries(self, index: int) -> Entries:
        at = self.of_table(index)
        return Entries((self._kind[at] & (NUMBERS - 1)).astype(np.int32), self._slot[at], self._value[at, 0], self._value[at, 1])

    def held(self) -> Entries:
        """All cells of all tables; kinds for numbers."""
        at = np.flatnonzero(self._kind[: self.count + 1] != FREE)
        return Entries(self._kind[at].astype(np.int32), self._slot[at], *self._value[at].T)

    def held_by(self, slots: NDArray[np.int32]) -> Entries:
        """The same of these accounts, account by account; `slot` is the place among them."""
        chained = [self.roll.first[slots + 1]]
        while np.count_nonzero(chained[-1]):
            chained.append(self._next[chained[-1]])
        cell = np.array(chained).T.ravel()
        kind = self._kind[cell]
        used = np.flatnonzero(kind != FREE)
        place = (used // len(chained)).astype(np.int32)
        return Entries(kind.take(used).astype(np.int32), place, *self._value[cell.take(used)].T)

    def holders(self, index: int) -> NDArray[np.intp]:
        """The slots with a cell in the table, ascending."""
        held = np.zeros(self.roll.count, bool)
        held[self._slot[self.of_table(index)]] = True
        return np.flatnonzero(held)

    def _need(self, count: int) -> None:
        if self.count + count > MOST_CELLS:
            raise Halt(f"a market has more than {MOST_CELLS:,} positions: the book has no room for more")


class ColumnTable:
    """One table of a source's columns. Its first cell decides if its keys are (account) or (number, account)."""

    def __init__(self, columns: Columns, index: int) -> None:
        self.columns, self.roll, self.index, self.base = columns, columns.roll, index, index * NUMBERS
        self.words, self.halves = columns.words, columns.halves
        self.key_parts = -1
        self.odd: dict[Key, int] = {}
        """Cells that are no columns."""

    def get(self, key: Key) -> int:
        kind = self._kind(key)
        if kind >= 0:
            words, at = self.words, self.roll.records[RECORD * self.roll.find(key[-1]) + FIRST]
            while at:
                if words[WORDS * at] == kind:
                    return self.halves[HALVES * at + LOW] | self.halves[HALVES * at + HIGH] << 64
                at = words[WORDS * at + NEXT]
        return self.odd.get(key, 0) if self.odd else 0

    def put(self, key: Key, value: int) -> int:
        """Set one cell; returns the value it had."""
        kind = self._kind(key)
        if kind < 0 and value and self._learn(key):
            kind = self._kind(key)
        if kind < 0:
            return self._put_odd(key, value)
        account = self.roll.find(key[-1])
        if account and not self.odd and 0 <= value <= MOST:
            return self._set(kind, account, value)
        return self._put(kind, account, key, value)

    def entries(self) -> Entries:
        return self.columns.entries(self.index)

    def keys(self) -> Iterator[Key]:
        """Those of this moment, while the state goes on."""
        return (key for key, _ in self.cells())

    def cells(self) -> Iterator[tuple[Key, int]]:
        """(key, value) of this moment, while the state goes on."""
        odd, alone, account = tuple(self.odd.items()), self.key_parts == 1, self.roll.account
        for number, slot, low, high in zip(*(column.tolist() for column in self.entries()), strict=True):
            yield (account(slot),) if alone else (number, account(slot)), low | high << 64
        yield from odd

    def keys_of(self, account: Address) -> Iterator[Key]:
        found: list[Key] = [key for key in self.odd if key[-1:] == (account,)]
        at = self.roll.records[RECORD * self.roll.find(account) + FIRST]
        while at:
            table, number = divmod(self.words[WORDS * at], NUMBERS)
            if table == self.index:
                found.append((account,) if self.key_parts == 1 else (number, account))
            at = self.words[WORDS * at + NEXT]
        return iter(found)

    def accounts(self) -> Iterator[Address]:
        """Those of this moment, each once."""
        apart = set(owners(self.odd))
        held = (self.roll.account(int(slot)) for slot in self.columns.holders(self.index))
        return itertools.chain(apart, (account for account in held if account not in apart) if apart else held)

    def _kind(self, key: Key) -> int:
        """-1 for a key that no column has."""
        if len(key) != self.key_parts:
            return -1
        if self.key_parts == 1:
            return self.base
        number = key[0]
        return self.base + number if number.__class__ is int and 0 <= number < NUMBERS else -1

    def _learn(self, key: Key) -> bool:
        """Whether this is the first key, and of a shape for columns."""
        if self.key_parts > 0 or len(key) not in (1, 2) or raw_address(key[-1]) is None:
            return False
        self.key_parts = len(key)
        return True

    def _put(self, kind: int, account: int, key: Key, value: int) -> int:
        """Of an account that is new here, or a value that no column holds or held."""
        if not account:
            raw = raw_address(key[-1]) if value else None
            if raw is None:
                return self._put_odd(key, value)
            account = self.roll.add(key[-1], raw)
        before = self.odd.pop(key, 0) if self.odd else 0
        fits = 0 <= value <= MOST
        if not fits:
            self.odd[key] = value
        return self._set(kind, account, value if fits else 0) or before  # an image may have a cell both ways, seen at two moments

    def _set(self, kind: int, account: int, value: int) -> int:
        words, free = self.words, 0
        at = self.roll.records[RECORD * account + FIRST]
        while at and (found := words[WORDS * at]) != kind:
            if found == FREE:
                free = at
            at = words[WORDS * at + NEXT]
        if at or (value and free):
            return self._change(at or free, kind if value else FREE, value)
        if value:
            self.columns.append(kind, account, value)
        return 0

    def _change(self, at: int, kind: int, value: int) -> int:
        halves, half = self.halves, HALVES * at
        before = halves[half + LOW] | halves[half + HIGH] << 64
        self.words[WORDS * at], halves[half + LOW], halves[half + HIGH] = kind, value & MASK, value >> 64
        return before

    def _put_odd(self, key: Key, value: int) -> int:
        before = self.odd.pop(key, 0)
        if value:
            self.odd[key] = value
        return before


def _sorted(cells: Cells) -> NDArray[np.intp]:
    """Where each cell that is not free lies, account by account, each once."""
    code = cells.slot.astype(np.int64) << 16 | cells.kind
    order = np.argsort(code)
    code = code[order]
    wanted = code & FREE != FREE
    wanted[1:] &= code[1:] != code[:-1]
    found: NDArray[np.intp] = order[wanted]
    return found
