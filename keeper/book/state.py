"""State as tables of integers, with overlays: what every market and venue reads and writes.

`Tables` is the truth at one block. An `Overlay` is "what if": the state plus some writes, without touching it. Both are views.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keeper.book.columns import Columns, ColumnTable, owners
from keeper.ports import View
from keeper.types import Address, Entries, Key, Write

CELL_BYTES = 200
"""Twice what a cell takes at most in a dictionary that has as much room as it needs."""

DIVERGED = "diverged"
"""Table of (market): its book and the chain were seen to differ, so it is not traded until the book is rebuilt."""


class Tables:
    """Named tables of integers held in memory. A cell that is 0 takes no room.

    `columns`: source → its tables with a cell per account, which are kept as columns; all others are dictionaries."""

    def __init__(self, columns: Mapping[str, Sequence[str]] | None = None) -> None:
        self.version = 0
        self._tables: dict[str, dict[Key, int]] = {}
        self._columned: dict[str, ColumnTable] = {}
        self.columns: dict[str, Columns] = {}
        for source, names in (columns or {}).items():
            self.keep_columns(source, names)

    def keep_columns(self, source: str, names: Sequence[str]) -> Columns | None:
        """These tables of a source are columns from now on, and empty; None when there are no such tables."""
        if not names:
            return None
        fresh = self.columns[source] = Columns(names)
        self._columned.update(fresh.tables)
        return fresh

    def get(self, table: str, key: Key) -> int:
        column = self._columned.get(table)
        if column is not None:
            return column.get(key)
        rows = self._tables.get(table)
        return rows.get(key, 0) if rows else 0

    def keys(self, table: str) -> Iterator[Key]:
        column = self._columned.get(table)
        return iter(tuple(self._tables.get(table, ()))) if column is None else column.keys()

    def keys_of(self, table: str, account: Address) -> Iterator[Key]:
        column = self._columned.get(table)
        if column is not None:
            return column.keys_of(account)
        return iter([key for key in self._tables.get(table, ()) if key[-1:] == (account,)])

    def accounts(self, table: str) -> Iterator[Address]:
        column = self._columned.get(table)
        if column is not None:
            return column.accounts()
        return iter(dict.fromkeys(owners(self._tables.get(table, ()))))

    def put(self, table: str, key: Key, value: int) -> int:
        """Set one cell; returns the value it had."""
        self.version += 1
        column = self._columned.get(table)
        if column is not None:
            return column.put(key, value)
        rows = self._tables.setdefault(table, {})
        before = rows.get(key, 0)
        if value:
            rows[key] = value
        else:
            rows.pop(key, None)
            self._shrink(table, rows)
        return before

    def _shrink(self, table: str, rows: dict[Key, int]) -> None:
        """A dictionary is looked through as far as it ever reached. Asked at powers of two, so that the copying never costs more than the
        writing did."""
        count = len(rows)
        if not count & (count - 1) and sys.getsizeof(rows) > CELL_BYTES * (count + 8):
            self._tables[table] = dict(rows)

    def write(self, writes: Iterable[Write]) -> list[Write]:
        """Apply in order; returns the writes that undo it, to be applied in the order given."""
        put = self.put
        undo = [(table, key, put(table, key, value)) for table, key, value in writes]
        undo.reverse()
        return undo

    def cells(self) -> Iterator[Write]:
        """All of them, those of accounts last."""
        yield from self.cells_apart()
        for name, column in self._columned.items():
            yield from ((name, key, value) for key, value in column.cells())

    def cells_apart(self) -> Iterator[Write]:
        """All that are in no table of accounts."""
        for table, rows in self._tables.items():
            for key, value in rows.items():
                yield table, key, value

    def is_columned(self, table: str) -> bool:
        return table in self._columned

    # --- tables of accounts

    def slots(self, source: str) -> int:
        columns = self.columns.get(source)
        return columns.roll.count if columns else 0

    def slot(self, source: str, account: Address) -> int | None:
        columns = self.columns.get(source)
        found = columns.roll.find(account) if columns else 0
        return found - 1 if found else None

    def account(self, source: str, slot: int) -> Address:
        """Raises LookupError for a slot that was not handed out."""
        return self.columns[source].roll.account(slot)

    def entries(self, table: str) -> Entries:
        """Raises LookupError for a table that is not kept as columns. Cells that no column can hold are in `apart` alone."""
        return self._columned[table].entries()

    def held(self, source: str, slots: NDArray[np.int32] | None = None) -> Entries:
        """Every cell of a source's accounts, or of these account by account; then `slot` is the place among them. `number` is that of the
        key + 4096 · that of the table. Raises LookupError. Cells that no column can hold are in `apart` alone."""
        columns = self.columns[source]
        return columns.held() if slots is None else columns.held_by(slots)

    def apart(self, table: str) -> Mapping[Key, int]:
        """The cells of a table of accounts that no column can hold: values from 2^128 on or below 0, other keys."""
        return self._columned[table].odd


class Overlay:
    """A view and some writes on top of it; the view below is never touched."""

    def __init__(self, below: View, writes: Iterable[Write] = ()) -> None:
        self._below = below
        self._get_below = below.get
        self._writes = 0
        self._cells: dict[str, dict[Key, int]] = defaultdict(dict)
        self.write(writes)

    def get(self, table: str, key: Key) -> int:
        rows = self._cells.get(table)
        if rows is not None:
            value = rows.get(key)
            if value is not None:
                return value
        return self._get_below(table, key)

    @property
    def version(self) -> int:
        return self._writes + self._below.version

    def keys(self, table: str) -> Iterator[Key]:
        rows = self._cells.get(table)
        if not rows:
            return self._below.keys(table)
        return self._merged(dict(rows), table)

    def _merged(self, rows: dict[Key, int], table: str) -> Iterator[Key]:
        yield from (key for key, value in rows.items() if value)
        yield from (key for key in self._below.keys(table) if key not in rows)

    def keys_of(self, table: str, account: Address) -> Iterator[Key]:
        rows = self._cells.get(table)
        if not rows:
            return self._below.keys_of(table, account)
        mine = [key for key, value in rows.items() if value and key[-1:] == (account,)]
        return iter([*mine, *(key for key in self._below.keys_of(table, account) if key not in rows)])

    def accounts(self, table: str) -> Iterator[Address]:
        rows = self._cells.get(table)
        if not rows:
            return self._below.accounts(table)
        return self._holders(dict(rows), table)

    def _holders(self, rows: dict[Key, int], table: str) -> Iterator[Address]:
        """Only an account from which a write took a cell needs a look at the others it has."""
        written = dict.fromkeys(owners(rows), False)
        written.update(dict.fromkeys(owners(key for key, value in rows.items() if value), True))
        for account, held in written.items():
            if held or any(key not in rows for key in self._below.keys_of(table, account)):
                yield account
        yield from (account for account in self._below.accounts(table) if account not in written)

    def write(self, writes: Iterable[Write]) -> None:
        self._writes += 1
        cells = self._cells
        for table, key, value in writes:
            cells[table][key] = value

    def writes(self) -> list[Write]:
        """The net change: each cell once, with its last value."""
        return [(table, key, value) for table, rows in self._cells.items() for key, value in rows.items()]
