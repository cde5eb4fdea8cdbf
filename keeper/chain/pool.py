"""Several nodes of one chain, asked as one: the best of them first, the next when it fails, lacks the block or takes its time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from keeper.chain.member import LAGS, NEWEST, Member, NodeStatus, lacking, number_of
from keeper.chain.node import Call, Node, repeatable
from keeper.chain.rpc_errors import RpcError, TimedOut
from keeper.errors import Transient

HEDGE_FACTOR = 4
"""A question goes to the next node too once it has taken so many times as long as is usual for its kind."""

HEDGE_LEAST_S, HEDGE_MOST_S = 0.05, 1.0
HASTE = 0.2
"""The weight of the newest answer in what is usual."""


class Pool:
    """A `Node` over several. A node that is behind the others is asked after them: what it says of "latest" is old. What is no read goes
    to the first of the list alone. `retries`: further rounds when nobody has an answer."""

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

    async def look(self) -> None:
        """At all of them."""
        with suppress(Transient):
            await self._newest()

    async def watch(self, every_s: float) -> None:
        """Keep an eye on all of them, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(every_s)

    async def request(self, method: str, *params: Any) -> Any:
        return one(await self.batch([(method, params)]))

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        if not all(repeatable(method) for method, _ in calls):
            return await self._members[0].node.batch(calls)
        if not calls:
            return []
        newest = [(method, list(params)) for method, params in calls] == [NEWEST]
        logs = any(method == "eth_getLogs" for method, _ in calls)
        delays = self._delays()
        while True:
            try:
                return [await self._newest()] if newest else await self._first(calls, self._ranked())
            except Transient as problem:
                delay_s = next(delays, None)
                if delay_s is None or (logs and isinstance(problem, TimedOut)):  # logs would time out again: the reader asks for less
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
        return sorted(self._members, key=lambda member: (0 <= member.newest <= best - LAGS, member.shunned, 0 <= member.newest < best))

    def _delays(self) -> Iterator[float]:
        return (self._backoff_s * 2**i * (0.5 + random.random()) for i in range(self._retries))

    async def _first(self, calls: Sequence[Call], queue: list[Member]) -> list[Any]:
        """What the first to say it says to each call; what nobody has, once one has said so who is not behind. Raises Transient."""
        kind, running, merged = (calls[0][0], len(calls).bit_length()), dict[asyncio.Task[list[Any]], _Asked](), _Merged(calls)
        problem = Transient(f"{self.name}: no node answers")
        try:
            while queue or running:
                if queue:
                    member = queue.pop(0)
                    running[asyncio.create_task(member.ask(calls))] = _Asked(member, time.monotonic())
                patience_s = self._patience_s(kind)
                waits_s = patience_s if queue or merged.said else None
                done, _ = await asyncio.wait(running, timeout=waits_s, return_when=asyncio.FIRST_COMPLETED)
                if not done and not queue:
                    break
                for task, asked in [(task, running.pop(task)) for task in done]:
                    try:
                        merged.take(task.result(), asked.member)
                    except Transient as away:
                        problem = problem if isinstance(problem, TimedOut) else away
                    else:
                        if merged.complete:
                            self._learn(kind, time.monotonic() - asked.since_s)
                            self._shun_slow(running.values(), kind, patience_s)
                            return merged.results
        finally:
            for task in running:
                task.cancel()
        if any(member.newest >= self._best() for member in merged.said):
            return merged.results
        raise problem

    async def _newest(self) -> Any:
        """The highest block that any of them has; of several, the one of who is asked first. Who takes long is not waited for unless
        he is known to be ahead. Raises Transient, also when who is ahead does not answer."""
        kind, started_s, problem = (NEWEST[0], 0), time.monotonic(), Transient(f"{self.name}: no node answers")
        members, found = self._ranked(), dict[int, Any]()
        tasks = [asyncio.create_task(member.head(self._best())) for member in members]
        self._leave(tasks)
        pending, highest = set(tasks), -1
        while pending:
            there = highest > self._best() - LAGS
            if there and all(members[tasks.index(task)].shunned for task in pending):
                break
            waits_s = self._patience_s(kind) if there and found else None
            done, pending = await asyncio.wait(pending, timeout=waits_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for task in done:
                try:
                    found[tasks.index(task)] = raw = task.result()
                except Transient as away:
                    problem = away
                else:
                    if number_of(raw) > highest:
                        highest, took_s = number_of(raw), time.monotonic() - started_s
        if not found:
            raise problem
        if highest <= self._best() - LAGS:
            raise Transient(f"{self.name}: who has the newest block does not answer")
        self._learn(kind, took_s)
        return found[max(found, key=lambda rank: (number_of(found[rank]), -rank))]

    def _leave(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        """To end by themselves, or with the pool."""
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

    def _learn(self, kind: tuple[str, int], took_s: float) -> None:
        """Questions of one kind are alike in method and in size."""
        before_s = self._usual_s.get(kind, took_s)
        self._usual_s[kind] = before_s + (took_s - before_s) * HASTE

    def _shun_slow(self, running: Iterable[_Asked], kind: tuple[str, int], patience_s: float) -> None:
        """Who had as long as anybody gets, and somebody else was faster."""
        for asked in running:
            if time.monotonic() - asked.since_s >= patience_s:
                asked.member.shun(f"slow to answer {kind[0]}", kind[0])


@dataclass(frozen=True, slots=True)
class _Asked:
    member: Member
    since_s: float


class _Merged:
    """The answers to several calls, each from the first node that has one."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls
        self.results: list[Any] = []
        self.said = list[Member]()

    def take(self, results: list[Any], member: Member) -> None:
        known = self.results or results
        self.results = [theirs if lacking(call, ours) else ours for call, ours, theirs in zip(self._calls, known, results, strict=True)]
        self.said.append(member)

    @property
    def complete(self) -> bool:
        return not any(lacking(call, result) for call, result in zip(self._calls, self.results, strict=True))


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
