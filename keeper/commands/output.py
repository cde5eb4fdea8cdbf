"""How commands print: one JSON object a line for programs (integers as strings), a table for people."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from keeper.fixedpoint import MAX_UINT256

Row = Mapping[str, Any]
Rows = Iterable[Row] | AsyncIterable[Row]


async def emit(rows: Rows | None, as_json: bool, columns: Sequence[str] = (), stream: TextIO | None = None) -> list[Row]:
    """Print rows, JSON as they come and a table at the end; returns them. `columns`: keys shown in the table, all if empty."""
    out = stream or sys.stdout
    seen = []
    async for row in _each(rows if rows is not None else ()):
        seen.append(row)
        if as_json:
            print(line(row), file=out, flush=True)
    if not as_json and rows is not None:
        _table(seen, columns, out)
    return seen


def line(row: Row) -> str:
    """One row as JSON: keys as they are, integers as strings, anything unknown as text."""
    return json.dumps(plain(row), ensure_ascii=False)


def plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return str(value)


async def _each(rows: Rows) -> AsyncIterable[Row]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row


def _table(rows: Sequence[Row], columns: Sequence[str], out: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names = columns or list(dict.fromkeys(key for row in rows for key in row))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        numeric = bool(rows) and all(_numeric(row.get(name)) for row in rows)
        table.add_column(heading(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(name, row.get(name))) for name in names))
    Console(file=out, highlight=False).print(table if rows else "nothing to show")


def heading(name: str) -> str:
    return name.removesuffix("_wad").replace("_wei", " (eth)").replace("eth (eth)", "(eth)").replace("_", " ")


def cell(name: str, value: Any) -> str:
    """A value in a table: wads and wei as decimals, cut off (not rounded) after six places."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return decimal(value) if name.endswith(("_wad", "_wei")) else f"{value:,}"
    return str(value)


def decimal(value: int, places: int = 6) -> str:
    """18-decimal fixed point for people, towards zero; "∞" for the largest integer, which protocols use for it."""
    if value == MAX_UINT256:
        return "∞"
    units, rest = divmod(abs(value) // 10 ** (18 - places), 10**places)
    return f"{'-' if value < 0 else ''}{units:,}.{rest:0{places}d}"


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
