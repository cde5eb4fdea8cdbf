"""Several nodes of one chain, asked as one: the best of them first, the next when it fails, lacks the block or takes its time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from keeper.chain.member import NEWEST, Lacking, Member, NodeStatus, number_of
from keeper.chain.node import Call, Node, repeatable
from keeper.chain.rpc_errors import RpcError
from keeper.errors import Transient

HEDGE_FACTOR = 4
"""A question goes to the next node too once it has taken so many times as long as is usual for its kind."""

HEDGE_LEAST_S, HEDGE_MOST_S = 0.05, 1.0
HASTE = 0.2
"""The weight of the newest answer in what is usual."""


class Pool:
    """A `Node` over several. A node that is behind the others is asked after them: what it says of "latest" is old. What is no read goes
    to the best one alone, for who sends knows where to. `retries`: further rounds when nobody has an answer."""

    def __init__(
        self,
        nodes: Sequence[Node],
        name: str,
        chain_id: int,
        retries: int = 5,
        backoff_s: float = 0.1,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._retries, self._backoff_s, self._now_s = retries, backoff_s, now_s
        self._members = [Member(node, chain_id, now_s) for node in nodes]
        self._usual_s: dict[tuple[str, int], float] = {}
        self._left = set[asyncio.Task[Any]]()

    async def close(self) -> None:
        for task in self._left:
            task.cancel()
        await asyncio.gather(*self._left, return_exceptions=True)
        await asyncio.gather(*(member.node.close() for member in self._members))

    def statuses(self) -> list[NodeStatus]:
        """In the order they were given."""
        return [member.status(self._best()) for member in self._members]

    async def watch(self, every_s: float) -> None:
        """Keep an eye on all of them, until cancelled."""
        while True:
            with suppress(Transient):
                await self._newest()
            await asyncio.sleep(every_s)

    async def request(self, method: str, *params: Any) -> Any:
        return one(await self.batch([(method, params)]))

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        if not all(repeatable(method) for method, _ in calls):
            return await self._ranked()[0].node.batch(calls)
        if not calls:
            return []
        newest = [(method, list(params)) for method, params in calls] == [NEWEST]
        delays = self._delays()
        while True:
            try:
                return [await self._newest()] if newest else await self._first(calls, self._ranked())
            except Transient:
                delay_s = next(delays, None)
                if delay_s is None:
                    raise
            await asyncio.sleep(delay_s)

    async def second(self, calls: Sequence[Call]) -> list[Any]:
        """For a second opinion: whoever would be asked first is asked last. Raises Transient at once when nobody answers."""
        first, *others = self._ranked()
        return await self._first(calls, [*others, first]) if calls else []

    def _best(self) -> int:
        return max(member.newest for member in self._members)

    def _ranked(self) -> list[Member]:
        best = self._best()
        return sorted(self._members, key=lambda member: (member.shunned, 0 <= member.newest < best))

    def _delays(self) -> Iterator[float]:
        return (self._backoff_s * 2**i * (0.5 + random.random()) for i in range(self._retries))

    async def _first(self, calls: Sequence[Call], queue: list[Member]) -> list[Any]:
        """The first good answer, asked for in this order; without any, what a node has said that lacks the block. Raises Transient when
        nobody says anything."""
        kind, started_s = (calls[0][0], len(calls).bit_length()), self._now_s()
        running = dict[asyncio.Task[list[Any]], Member]()
        lacking, problem = list[Any](), Transient(f"{self.name}: no node answers")
        try:
            while queue or running:
                if queue:
                    member = queue.pop(0)
                    running[asyncio.create_task(member.ask(calls))] = member
                done, _ = await asyncio.wait(
                    running, timeout=self._patience_s(kind) if queue else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    del running[task]
                    try:
                        results = task.result()
                    except Lacking as found:
                        lacking = lacking or found.results
                    except Transient as away:
                        problem = away
                    else:
                        self._learn(kind, self._now_s() - started_s, [*running.values()])
                        return results
        finally:
            for task in running:
                task.cancel()
        if lacking:
            return lacking
        raise problem

    async def _newest(self) -> Any:
        """The highest block that any of them has; of several, the one of who is asked first. Who takes long is not waited for, but
        heard."""
        kind, started_s, problem = (NEWEST[0], 0), self._now_s(), Transient(f"{self.name}: no node answers")
        tasks = [asyncio.create_task(member.head(self._best())) for member in self._ranked()]
        pending, found = set(tasks), dict[int, Any]()
        while pending:
            patience_s = self._patience_s(kind) if found else None
            done, pending = await asyncio.wait(pending, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                self._leave(pending)
                break
            for task in done:
                try:
                    found[tasks.index(task)] = task.result()
                except Transient as away:
                    problem = away
        if not found:
            raise problem
        self._learn(kind, self._now_s() - started_s)
        return found[max(found, key=lambda rank: (number_of(found[rank]), -rank))]

    def _leave(self, tasks: set[asyncio.Task[Any]]) -> None:
        """To end by themselves."""
        for task in tasks:
            self._left.add(task)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()

    def _patience_s(self, kind: tuple[str, int]) -> float:
        usual_s = self._usual_s.get(kind, HEDGE_MOST_S)
        return min(max(HEDGE_FACTOR * usual_s, HEDGE_LEAST_S), HEDGE_MOST_S)

    def _learn(self, kind: tuple[str, int], took_s: float, beaten: Sequence[Member] = ()) -> None:
        """Questions of one kind are alike in method and in size."""
        before_s = self._usual_s.get(kind, took_s)
        self._usual_s[kind] = before_s + (took_s - before_s) * HASTE
        for member in beaten:
            member.shun(f"slow to answer {kind[0]}")


class Second:
    """A `Node` that asks a pool for its second opinion."""

    def __init__(self, pool: Pool) -> None:
        self.name, self._pool = pool.name, pool

    async def request(self, method: str, *params: Any) -> Any:
        return one(await self._pool.second([(method, params)]))

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        return await self._pool.second(calls)

    async def close(self) -> None:
        """The pool is not its own."""


def one(results: Sequence[Any]) -> Any:
    """Raises RpcError."""
    if isinstance(results[0], RpcError):
        raise results[0]
    return results[0]
