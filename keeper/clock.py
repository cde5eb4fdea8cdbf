"""Time as an argument: the system's in production, one moved by hand in tests and replays."""

from __future__ import annotations

import asyncio
import heapq
import time
from itertools import count


class SystemClock:
    """The machine's wall clock."""

    def now_s(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """Stands still until `advance` is called; sleepers wake in the order of their times."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def now_s(self) -> float:
        return self._now_s

    @property
    def sleepers(self) -> int:
        """How many wait right now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_s + seconds, next(self._order), future))
        await future

    def advance(self, seconds: float) -> None:
        """Move time on. Those due run when the caller next yields to the event loop. Raises ValueError for a step back."""
        if seconds < 0:
            raise ValueError(f"seconds must be 0 or more, was {seconds}")
        self._now_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now_s:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
