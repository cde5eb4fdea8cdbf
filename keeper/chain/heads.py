"""Where the feed hears of new blocks. A notice is only a hint: the feed asks the node what is true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from keeper.errors import Transient
from keeper.types import Hash, Head


class Mailbox:
    """Room for one notice: "something is new", with the newest head if one was announced. Putting never waits."""

    def __init__(self) -> None:
        self._full = asyncio.Event()
        self._head: Head | None = None

    def put(self, head: Head | None) -> None:
        """None: something is new, ask the node what."""
        self._head = head
        self._full.set()

    async def take(self) -> Head | None:
        await self._full.wait()
        self._full.clear()
        return self._head


class HeadSource(Protocol):
    async def run(self, mailbox: Mailbox) -> None:
        """Keep putting notices until cancelled. Survives a node that goes away."""
        ...


class HeadReader(Protocol):
    async def head(self) -> Head: ...


class _NewsOnly(Mailbox):
    """Passes on what the others have not told yet."""

    def __init__(self, inner: Mailbox) -> None:
        super().__init__()
        self._inner = inner
        self._last: Head | None = None

    def put(self, head: Head | None) -> None:
        if head is None or head != self._last:
            self._inner.put(head)
        self._last = head or self._last


class AnyHeads:
    """Several sources at once."""

    def __init__(self, sources: Sequence[HeadSource]) -> None:
        self._sources = tuple(sources)

    async def run(self, mailbox: Mailbox) -> None:
        news = _NewsOnly(mailbox)
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(source.run(news))


Sleep = Callable[[float], Awaitable[None]]


class PollHeads:
    """Asks for the newest head again and again: for nodes without a WebSocket."""

    def __init__(self, reader: HeadReader, interval_s: float, sleep: Sleep = asyncio.sleep) -> None:
        self._reader = reader
        self._interval_s = interval_s
        self._sleep = sleep

    async def run(self, mailbox: Mailbox) -> None:
        last: Hash | None = None
        while True:
            try:
                head = await self._reader.head()
            except Transient:
                head = None
            if head is not None and head.hash != last:
                last = head.hash
                mailbox.put(head)
            await self._sleep(self._interval_s)
