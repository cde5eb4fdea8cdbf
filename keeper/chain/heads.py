"""Where the feed hears of new blocks. A notice is only a hint: the feed asks the node what is true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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
