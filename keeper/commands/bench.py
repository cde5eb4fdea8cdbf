"""`keeper bench`: what the keeper takes on this machine, each figure beside its baseline in the same run."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from keeper.bench.session import Options, chosen, results, setting
from keeper.commands.output import Row

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("measure", "accounts", "n", "median", "p99", "baseline", "takes", "ratio")
MS, S = 1e3, 1e6
_WIDEST = 1000


async def bench(accounts: tuple[int, ...], only: tuple[str, ...], seed: int, devnet: bool, as_json: bool) -> AsyncIterator[Row] | None:
    """Rows as they come, the machine and the book first; or, for people, a table at the end."""
    options = Options(accounts, only, seed, devnet)
    rows = _rows(options)
    if as_json:
        return rows
    await _show(rows)
    return None


async def _rows(options: Options) -> AsyncIterator[Row]:
    measures = chosen(options)
    yield setting(options)
    async for result in results(options, measures, _say):
        yield result.row()


async def _show(rows: AsyncIterator[Row]) -> None:
    """What is there is shown, also when a measure fails."""
    from rich.text import Text

    _describe(await anext(rows))
    table = _table()
    try:
        async for row in rows:
            table.add_row(*map(Text, cells(row)))
    finally:
        _print(table)


def _describe(where: Row) -> None:
    print(_sentence(where["machine"]))
    print(_sentence(where["versions"]))
    book = dict(where["book"])
    held = book.pop("held_by")
    print(f"book: {_sentence(book)}")
    print(f"held by (share of accounts): {', '.join(f'{symbol} {share:.1%}' for symbol, share in held.items())}")


def _sentence(facts: Mapping[str, Any]) -> str:
    return "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())


def _table() -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, caption="takes: the baseline's median; ratio: how many times ours that is")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("measure", "baseline") else "right", no_wrap=True)
    return table


def _print(table: Table) -> None:
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(highlight=False)
    whole = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    console.width = max(console.width, whole)
    console.print(table)


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table: times and sizes in units that fit them."""
    unit = "us" if "median_us" in row else "mb"
    median, p99, baseline = (_amount(row[f"{name}_{unit}"], unit) for name in ("median", "p99", "baseline"))
    ratio = "" if row["ratio"] is None else f"{row['ratio']:,.3g}" if row["ratio"] < MS else f"{row['ratio']:,.0f}"
    accounts = f"{row['accounts']:,}" if row["accounts"] else ""
    return row["measure"], accounts, f"{row['n']:,}", median, p99, row["baseline"] or "", baseline, ratio


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "mb":
        return f"{value:,.3g} MB"
    if value < 1:
        return f"{value * 1000:.3g} ns"
    if value < MS:
        return f"{value:.3g} us"
    return f"{value / MS:.3g} ms" if value < S else f"{value / S:.3g} s"


def _say(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)
