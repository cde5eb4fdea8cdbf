"""A progress bar for the back-fill, on stderr and only for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from keeper.book.indexer import Progress

WORTH_A_BAR_BLOCKS = 10_000


@contextmanager
def backfill_progress() -> Iterator[Progress]:
    """Gives the callback; the bar appears at the first source that has many blocks to go."""
    if not sys.stderr.isatty():
        yield lambda source, block, target: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("indexing {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        shown: dict[str, TaskID] = {}

        def progress(source: str, block: int, target: int) -> None:
            if source not in shown and target < WORTH_A_BAR_BLOCKS:
                return
            task = shown.get(source)
            if task is None:
                task = shown[source] = bars.add_task(source, total=target)
            bars.update(task, completed=block)

        yield progress
