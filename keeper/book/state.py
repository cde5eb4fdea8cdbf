"""State as tables of integers, with overlays: what every market and venue reads and writes.

`Tables` is the truth at one block. An `Overlay` is "what if": the state plus some writes, without touching it. Both are views.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keeper.ports import View
from keeper.types import Key, Write

DIVERGED = "diverged"
"""Table of (market): its book and the chain were seen to differ, so it is not traded until the book is rebuilt."""


class Tables:
    """Named tables of integers held in memory. A cell that is 0 takes no room."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[Key, int]] = {}

    def get(self, table: str, key: Key) -> int:
        rows = self._tables.get(table)
        return rows.get(key, 0) if rows else 0

    def keys(self, table: str) -> Iterator[Key]:
        return iter(tuple(self._tables.get(table, ())))

    def put(self, table: str, key: Key, value: int) -> int:
        """Set one cell; returns the value it had."""
        rows = self._tables.setdefault(table, {})
        before = rows.get(key, 0)
        if value:
            rows[key] = value
        else:
            rows.pop(key, None)
        return before

    def write(self, writes: Iterable[Write]) -> list[Write]:
        """Apply in order; returns the writes that undo it, to be applied in the order given."""
        undo = [(table, key, self.put(table, key, value)) for table, key, value in writes]
        undo.reverse()
        return undo

    def cells(self) -> Iterator[Write]:
        for table, rows in self._tables.items():
            for key, value in rows.items():
                yield table, key, value


class Overlay:
    """A view and some writes on top of it; the view below is never touched."""

    def __init__(self, below: View, writes: Iterable[Write] = ()) -> None:
        self._below = below
        self._cells: dict[str, dict[Key, int]] = {}
        self.write(writes)

    def get(self, table: str, key: Key) -> int:
        rows = self._cells.get(table)
        if rows is not None and key in rows:
            return rows[key]
        return self._below.get(table, key)

    def keys(self, table: str) -> Iterator[Key]:
        rows = self._cells.get(table)
        if not rows:
            return self._below.keys(table)
        return self._merged(rows, table)

    def _merged(self, rows: dict[Key, int], table: str) -> Iterator[Key]:
        yield from [key for key, value in rows.items() if value]
        yield from [key for key in self._below.keys(table) if key not in rows]

    def write(self, writes: Iterable[Write]) -> None:
        for table, key, value in writes:
            self._cells.setdefault(table, {})[key] = value

    def writes(self) -> list[Write]:
        """The net change: each cell once, with its last value."""
        return [(table, key, value) for table, rows in self._cells.items() for key, value in rows.items()]
