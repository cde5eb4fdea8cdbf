"""Back-fill: bring a source from its first block to a target by its own events, in order, resumably.

The way is cut into chunks; while one is applied the next are being fetched. A chunk is staged as a block is: when contracts are announced
in it, their logs alone are fetched and it is applied again with them, until none is missing. Only then it is kept, as a whole. A contract
older than its announcement (a pool whose token was listed later) is caught up by itself: its state depends on its own logs only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import groupby

from keeper.book.book import FOLLOWED, Follow, Routes, apply_logs, followed, merge_filters, unfollowed
from keeper.book.state import Overlay
from keeper.chain.logs import in_order
from keeper.ports import LogSource, Reader, View
from keeper.types import Log, LogFilter, Write

FIRST_BLOCKS = 200
"""The first chunk: nothing is known of how much happens there."""

CHUNK_BLOCKS = 50_000
CHUNK_LOGS = 20_000
"""A chunk's largest range, and how many logs it aims at: they bound memory and the work lost to a kill."""

AHEAD = 3
"""Chunks in memory: the one being applied, and those being fetched meanwhile."""

ADOPTED_AT_ONCE = 100
"""Contracts caught up together: one pass over the past for all of them, kept when it is complete."""

Save = Callable[[list[Write], int], Awaitable[None]]
"""Keeps the cells and the block up to which the source is complete."""

Progress = Callable[[str, int, int], None]
"""(source name, block reached, target block)"""


class Chunk:
    """The logs of blocks first … last that these filters want."""

    def __init__(self, first: int, last: int, filters: Iterable[LogFilter], logs: Sequence[Log]) -> None:
        self.first, self.last = first, last
        self._asked = {f.address: f for f in merge_filters(filters)}
        self.logs = logs

    def lacks(self, f: LogFilter) -> bool:
        asked = self._asked.get(f.address)
        known = asked is not None and f.topics <= asked.topics and asked.since_block <= max(f.since_block, self.first)
        return not known and f.since_block <= self.last

    def add(self, filters: Iterable[LogFilter], logs: Sequence[Log]) -> None:
        self._asked = {f.address: f for f in merge_filters((*self._asked.values(), *filters))}
        self.logs = in_order((*self.logs, *logs))

    def blocks(self) -> Iterator[list[Log]]:
        return (list(group) for _, group in groupby(self.logs, key=lambda log: log.block_number))


async def chunks(reader: Reader, filters: Callable[[], Sequence[LogFilter]], first: int, last: int) -> AsyncGenerator[Chunk, None]:
    """Blocks first … last in order. `filters`: what is wanted when a chunk is asked for; news since then are not in it."""
    fetching: deque[asyncio.Task[Chunk]] = deque()
    size = min(FIRST_BLOCKS, CHUNK_BLOCKS)
    try:
        while fetching or first <= last:
            while first <= last and len(fetching) < AHEAD:
                end = min(first + size - 1, last)
                fetching.append(asyncio.create_task(_fetch(reader, tuple(filters()), first, end)))
                first = end + 1
            chunk = await fetching[0]
            fetching.popleft()
            size = _next_size(size, chunk)
            await asyncio.sleep(0)  # what was just asked for is under way before the chunk is worked on
            yield chunk
    finally:
        for task in fetching:
            task.cancel()
        await asyncio.gather(*fetching, return_exceptions=True)


async def _fetch(reader: Reader, filters: Sequence[LogFilter], first: int, last: int) -> Chunk:
    return Chunk(first, last, filters, await reader.logs(filters, first, last))


def _next_size(size: int, chunk: Chunk) -> int:
    """By what was found, not by how long it took: a replay has to ask what the recorded run asked."""
    aim = (chunk.last - chunk.first + 1) * CHUNK_LOGS // max(len(chunk.logs), 1)
    return max(1, min(max(aim, size // 4), size * 4, CHUNK_BLOCKS))


async def side_fetch(reader: Reader, source: LogSource, f: LogFilter, view: View, last_block: int) -> list[Write]:
    """The cells that one contract's logs up to `last_block` give, on top of `view`."""
    return await _past(reader, source, [f], view, last_block)


async def _past(reader: Reader, source: LogSource, filters: Sequence[LogFilter], view: View, last_block: int) -> list[Write]:
    overlay, follow = Overlay(view), [(source, f) for f in filters]
    start = min((f.since_block for f in filters), default=0)
    async with aclosing(chunks(reader, lambda: filters, start, last_block)) as past:
        async for chunk in past:
            apply_logs((), chunk.logs, overlay, follow)
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
        async with aclosing(chunks(self._reader, lambda: source.filters(self._view), cursor + 1, target)) as ahead:
            async for chunk in ahead:
                await self._keep(source, chunk)
                self._progress(source.name, chunk.last, target)

    async def _adopt(self, source: LogSource, cursor: int) -> None:
        """Follow what the source wants from the start, and what became wanted while the keeper was away."""
        wanted = unfollowed([source], self._view)
        for start in range(0, len(wanted), ADOPTED_AT_ONCE):
            part = wanted[start : start + ADOPTED_AT_ONCE]
            writes = await _past(self._reader, source, [f for _, f in part], self._view, cursor)
            await self._save([*writes, *followed(part)], cursor)

    async def _keep(self, source: LogSource, chunk: Chunk) -> None:
        """Apply a chunk with the logs of every contract announced before or in it, and save it."""
        await self._complete(chunk, source.filters(self._view))
        below, follow = Overlay(self._view), dict[str, Follow]()
        while True:
            overlay = Overlay(below)
            news = _stage(source, chunk, overlay, follow.values())
            if not news:
                return await self._save([*below.writes(), *overlay.writes()], chunk.last)
            await self._complete(chunk, news)
            strangers = [f for f in news if not below.get(FOLLOWED, (source.name, f.address))]
            below.write(await _past(self._reader, source, strangers, below, chunk.first - 1))
            below.write(followed((source, f) for f in strangers))
            follow |= {f.address: (source, f) for f in news}

    async def _complete(self, chunk: Chunk, wanted: Sequence[LogFilter]) -> None:
        lacking = [f for f in wanted if chunk.lacks(f)]
        if lacking:
            chunk.add(lacking, await self._reader.logs(lacking, chunk.first, chunk.last))


def _stage(source: LogSource, chunk: Chunk, overlay: Overlay, follow: Iterable[Follow]) -> tuple[LogFilter, ...]:
    """Apply a chunk block by block; returns the contracts wanted after any of its blocks whose logs it has not been given."""
    news: list[LogFilter] = []
    routes = Routes([source], overlay, follow)
    for in_block in chunk.blocks():
        if routes.apply(in_block, overlay):
            routes = Routes([source], overlay, follow)
            strangers = {f.address for _, f in routes.missing(overlay)}
            news += [f for _, f in routes.follows if f.address in strangers or chunk.lacks(f)]
    return merge_filters(news)
