"""The daemon as it is, in its own process; besides its work it tells the arena when a block's is done, and how each candidate ended.

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
from keeper.types import Outcome


async def play(config: Path) -> None:
    """Until it is stopped."""
    setup("error")
    settings = load(config, {})
    rpc = Rpc(chain_named(settings).rpc_url.reveal(), "the arena")
    news: asyncio.Queue[tuple[str, list[Any]]] = asyncio.Queue()

    def outcomes(chain: str, ended: Sequence[Outcome]) -> None:
        for one in ended:
            news.put_nowait(("arena_tell", [one.block, one.account, str(one.verdict), one.reason, one.tx, hex(max(one.net_wei, 0))]))

    def block(chain: str, report: BlockReport) -> None:
        news.put_nowait(("arena_worked", [report.head.number, report.seconds]))
        news.put_nowait(("arena_done", ["head", report.head.number]))

    async def tell() -> None:
        while True:
            method, params = await news.get()
            await rpc.request(method, *params)

    async with asyncio.TaskGroup() as group:
        group.create_task(tell())
        group.create_task(run(settings, live=True, listeners=Listeners(block=(block,), outcomes=(outcomes,))))


if __name__ == "__main__":
    asyncio.run(play(Path(sys.argv[1])))
