"""Back-fill: bring a source from its first block to a target by its own events, in order, resumably.

When an event announces a contract, everything up to the block before is kept, and that block is fetched again with the contract's logs
in it. A contract older than its announcement (a pool whose token was listed later) is caught up by itself: its state depends on its own
logs only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby

from keeper.book.book import Follow, apply_logs, followed, unfollowed
from keeper.book.state import Overlay
from keeper.ports import LogSource, Reader, View
from keeper.types import Log, LogFilter, Write

CHUNK_BLOCKS = 50_000
"""Largest range applied at once: bounds memory and the work lost to a kill."""

Save = Callable[[list[Write], int], Awaitable[None]]
"""Keeps the cells and the block up to which the source is complete."""

Progress = Callable[[str, int, int], None]
"""(source name, block reached, target block)"""


async def side_fetch(reader: Reader, source: LogSource, f: LogFilter, view: View, last_block: int) -> list[Write]:
    """The cells that one contract's logs up to `last_block` give, on top of `view`."""
    overlay = Overlay(view)
    if f.since_block <= last_block:
        apply_logs((), await reader.logs([f], f.since_block, last_block), overlay, [(source, f)])
    return overlay.writes()


class Indexer:
    """Back-fills one source after another into one view."""

    def __init__(self, reader: Reader, view: View, save: Save, progress: Progress) -> None:
        self._reader = reader
        self._view = view
        self._save = save
        self._progress = progress

    async def catch_up(self, source: LogSource, cursor: int, target: int) -> None:
        """Apply blocks cursor + 1 … target. `save` must have written the cells to the view when it returns."""
        await self._adopt(source, cursor)
        while cursor < target:
            last = min(cursor + CHUNK_BLOCKS, target)
            logs = await self._reader.logs(source.filters(self._view), cursor + 1, last)
            cursor = await self._apply(source, logs, cursor, last)
            self._progress(source.name, cursor, target)

    async def _adopt(self, source: LogSource, cursor: int) -> None:
        """Follow what the source wants from the start, and what became wanted while the keeper was away."""
        for _, f in unfollowed([source], self._view):
            writes = await side_fetch(self._reader, source, f, self._view, cursor)
            await self._save([*writes, *followed([(source, f)])], cursor)

    async def _apply(self, source: LogSource, logs: Sequence[Log], cursor: int, last: int) -> int:
        """Apply until the end, or until a block announces contracts; returns the block reached."""
        overlay = Overlay(self._view)
        for number, in_block in _by_block(logs):
            staged = Overlay(overlay)
            apply_logs([source], in_block, staged)
            news = unfollowed([source], staged)
            if news:
                if number - 1 > cursor:
                    await self._save(overlay.writes(), number - 1)
                await self._announced(source, news, number)
                return number
            overlay.write(staged.writes())
        await self._save(overlay.writes(), last)
        return last

    async def _announced(self, source: LogSource, news: Sequence[Follow], number: int) -> None:
        """Apply one block with the logs of the contracts announced in it, until it announces no more."""
        while True:
            overlay = Overlay(self._view)
            for _, f in news:
                overlay.write(await side_fetch(self._reader, source, f, overlay, number - 1))
            filters = [*source.filters(self._view), *(f for _, f in news)]
            apply_logs([source], await self._reader.logs(filters, number, number), overlay, news)
            overlay.write(followed(news))
            more = unfollowed([source], overlay)
            if not more:
                return await self._save(overlay.writes(), number)
            news = [*news, *more]


def _by_block(logs: Sequence[Log]) -> Iterator[tuple[int, list[Log]]]:
    for number, group in groupby(logs, key=lambda log: log.block_number):
        yield number, list(group)
