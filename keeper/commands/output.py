"""How commands print: one JSON object a line for programs (integers as strings), a table for people."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

from keeper.fixedpoint import MAX_UINT256

_WIDEST: Final = 1000
_UNIT: Final = re.compile(r"([a-z]+)-([0-9]+)")
_IN_UNIT: Final = {"weighted_collateral", "debt", "collateral", "value"}

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
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    names = columns or list(dict.fromkeys(key for row in rows for key in row))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        numeric = bool(rows) and all(_numeric(row.get(name)) for row in rows)
        table.add_column(heading(name), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell(name, row)) for name in names))
    console = Console(file=out, highlight=False)
    whole = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    console.width = max(console.width, whole)  # never cut: an address is there to be copied
    console.print(table if rows else "nothing to show")


def heading(name: str) -> str:
    return name.removesuffix("_wad").replace("_wei", " (eth)").replace("eth (eth)", "(eth)").replace("_", " ")


def cell(name: str, row: Row) -> str:
    """A value in a table: wads, wei and values in the row's unit as decimals, cut off (not rounded)."""
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return percent(value) if name.startswith("hazard") else f"{value:,.2f}"
    if not isinstance(value, int):
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    if name.endswith(("_wad", "_wei")):
        return decimal(value, 18, 6)
    return in_unit(value, str(row.get("unit"))) if name in _IN_UNIT else f"{value:,}"


def percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def in_unit(value: int, unit: str, places: int = 2) -> str:
    """A value in a market's unit, such as "usd-8", for people."""
    scale = _UNIT.fullmatch(unit)
    return f"{decimal(value, int(scale[2]), places)} {scale[1]}" if scale else f"{value:,} {unit}"


def price_in_unit(price: int, unit: str) -> str:
    """Of a whole token: as `in_unit`, with more places for one that is worth little."""
    scale = _UNIT.fullmatch(unit)
    return in_unit(price, unit, 4 if scale and price < 100 * 10 ** int(scale[2]) else 2)


def decimal(value: int, decimals: int, places: int) -> str:
    """Fixed point for people, towards zero; "∞" for the largest integer, which protocols use for it."""
    if value == MAX_UINT256:
        return "∞"
    units, rest = divmod(abs(value) * 10**places // 10**decimals, 10**places)
    return f"{'-' if value < 0 else ''}{units:,}.{rest:0{places}d}"


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
