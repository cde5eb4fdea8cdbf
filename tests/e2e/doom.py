"""Death at an await: the k-th time that a process begins to wait is its last.

What it has handed over by then is done all the same, so that to die as it begins to wait, and as it comes back, are one: bytes on the wire
arrive. A transaction of the file is one await with two ends, whichever of its statements is the last: undone, or whole.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from keeper.chain.rpc import Rpc
from keeper.storage.database import Database

T = TypeVar("T")


class Killed(BaseException):
    """The process is no more."""


class Doom:
    """Counts every await of the work given to `over`, and of the tasks that it starts; dead, none of them waits for another thing."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._mortal: list[asyncio.Task[Any]] = []
        self._outside: list[asyncio.Task[Any]] = []
        self._abandoned: list[asyncio.Future[Any]] = []

    async def over(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this work unless death comes first. Raises Killed."""
        loop = asyncio.get_running_loop()
        loop.set_task_factory(self._task)
        try:
            return await self._begin(work)
        finally:
            loop.set_task_factory(None)
            await asyncio.gather(*self._mortal, *self._outside, return_exceptions=True)
            self._bury()

    def _bury(self) -> None:
        """What death left unheard would be logged whenever the garbage is collected: it is heard now."""
        for future in self._abandoned:
            if future.done() and not future.cancelled():
                future.exception()

    async def handed_over(self, work: Coroutine[Any, Any, T]) -> T:
        """One await, whatever the work is made of."""
        self._outside.append(task := asyncio.Task(work))
        return await asyncio.shield(task)

    def cross(self) -> None:
        """One step nearer to death. Raises Killed."""
        self._left -= 1
        self._live_on()

    def _live_on(self) -> None:
        if self._left < 0:
            raise Killed

    def _task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        if asyncio.current_task() not in self._mortal:
            return asyncio.Task(work, loop=loop, **options)
        return self._begin(work, **options)

    def _begin(self, work: Coroutine[Any, Any, T], **options: Any) -> asyncio.Task[T]:
        self._mortal.append(task := asyncio.Task(self._life(work), **options))
        return task

    async def _life(self, work: Coroutine[Any, Any, T]) -> T:
        return await self._steps(work)

    @types.coroutine
    def _steps(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        value: Any = None
        error: BaseException | None = Killed() if self._left < 0 else None
        while True:
            try:
                waits_for = work.send(value) if error is None else work.throw(error)
            except StopIteration as done:
                result: T = done.value
                return result
            value, error = None, None
            try:
                self.cross()
                value = yield waits_for
                self._live_on()
            except BaseException as thrown:
                error = thrown
                if isinstance(waits_for, asyncio.Future):
                    self._abandoned.append(waits_for)


def over_node_and_file(doom: Doom, patch: pytest.MonkeyPatch) -> None:
    """From here on every exchange with a node and every transaction of a file is one await of the doomed."""
    post, transact = Rpc._post, Database._transact

    async def exchange(self: Rpc, body: object, method: str) -> Any:
        return await doom.handed_over(post(self, body, method))

    async def transaction(self: Database, work: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:
        async def undone_or_whole(connection: AsyncConnection) -> Any:
            result = await work(connection)
            doom.cross()
            return result

        return await doom.handed_over(transact(self, undone_or_whole))

    patch.setattr(Rpc, "_post", exchange)
    patch.setattr(Database, "_transact", transaction)
