"""`keeper devnet`: a devnet that tells where it is and stays until it is asked to go."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import orjson

from keeper.devnet.devnet import Devnet, DevnetOptions


async def serve(options: DevnetOptions, *, json: bool, on_step: Callable[[str], None]) -> None:
    """Run until SIGTERM or SIGINT. Prints one JSON line, or a few readable ones, when ready. Raises KeeperError when it cannot start or
    the node dies."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with Devnet.start(options, on_step) as net:
            print(orjson.dumps(_facts(net)).decode() if json else _text(net), flush=True)
            await _until(stop, net)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _until(stop: asyncio.Event, net: Devnet) -> None:
    waits = [asyncio.create_task(stop.wait()), asyncio.create_task(net.failure())]
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in waits:
            task.cancel()


def _facts(net: Devnet) -> dict[str, Any]:
    return {
        "rpc": net.rpc,
        "ws": net.ws,
        "ipc": net.ipc,
        "chain_id": net.chain_id,
        "config": str(net.config),
        "addresses": net.addresses,
    }


def _text(net: Devnet) -> str:
    lines = [f"{key:9} {value}" for key, value in _facts(net).items() if key != "addresses"]
    return "\n".join([*lines, f"{'borrowers':9} {len(net.borrowers)}", "stop it with Ctrl-C"])
