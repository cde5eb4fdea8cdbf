"""The daemon as it is, in its own process; besides its work it tells the arena when a step's is done, and how each candidate ended.

`python -m keeper.arena.us CONFIG`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keeper.app import chain_named
from keeper.chain.rpc import Rpc
from keeper.config import load
from keeper.daemon import Listeners, run
from keeper.log import setup
from keeper.pipeline import BlockReport
from keeper.types import Hash, Outcome, Upcoming, Verdict


class Watched:
    """What the daemon has done so far. `looks`: at the mempool too."""

    def __init__(self, rpc: Rpc, looks: bool) -> None:
        self._rpc, self._looks = rpc, looks
        self._news: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._heard: set[Hash] = set()
        self._behind = True
        self._worked = -1

    def listeners(self) -> Listeners:
        return Listeners(
            block=(self._block,), outcomes=(self._outcomes,), heard=(self._has_heard,), looked=(self._has_looked,), ahead=(self._unsent,)
        )

    def _outcomes(self, chain: str, ended: Sequence[Outcome]) -> None:
        for one in ended:
            self._news.put_nowait(("arena_tell", [one.block, one.account, str(one.verdict), one.reason, one.tx, hex(max(one.net_wei, 0))]))

    def _unsent(self, chain: str, ended: Sequence[Outcome]) -> None:
        self._outcomes(chain, [one for one in ended if one.verdict is Verdict.SKIPPED])

    def _block(self, chain: str, report: BlockReport) -> None:
        self._news.put_nowait(("arena_worked", [report.head.number, report.seconds, dict(report.stages) if report.planned else {}]))
        self._worked, self._behind = report.head.number, self._looks
        self._changed.set()

    def _has_heard(self, chain: str, tx: Hash, concerns: bool) -> None:
        self._heard.add(tx)
        self._behind = self._behind or concerns
        self._changed.set()

    def _has_looked(self, chain: str, upcoming: Upcoming | None) -> None:
        self._behind = False
        self._changed.set()

    async def tell(self) -> None:
        """The arena, of everything; for ever."""
        while True:
            method, params = await self._news.get()
            await self._rpc.request(method, *params)

    async def follow(self) -> None:
        """The arena's steps, until it ends."""
        seen = -1
        while True:
            step = await self._rpc.request("arena_wait", seen)
            if step and step["kind"] != "end":
                seen = step["number"]
                if self._looks or step["kind"] == "head":
                    await self._done(step["kind"], step["block"])

    async def _done(self, kind: str, block: int) -> None:
        """Wait until all work on this step is done, and say so."""
        waits = await self._waiting() if kind == "pending" else set()
        while self._worked < block or self._behind or waits - self._heard:
            self._changed.clear()
            await self._changed.wait()
        self._news.put_nowait(("arena_done", [kind, block]))

    async def _waiting(self) -> set[Hash]:
        """Everybody's public transactions, and our own."""
        pending = (await self._rpc.request("txpool_content"))["pending"]
        return {Hash(tx["hash"]) for of in pending.values() for tx in of.values()}


async def play(config: Path) -> None:
    """Until it is stopped."""
    setup("error")
    settings = load(config, {})
    chain = chain_named(settings)
    watched = Watched(Rpc(chain.rpc_url.reveal(), "the arena"), chain.lookahead.enabled)
    async with asyncio.TaskGroup() as group:
        group.create_task(watched.tell())
        group.create_task(watched.follow())
        group.create_task(run(settings, live=True, listeners=watched.listeners()))


if __name__ == "__main__":
    asyncio.run(play(Path(sys.argv[1])))
