"""Transactions that wait in a node's mempool, as they come, over a WebSocket that is used for nothing else.

Where the node sends hashes alone they are asked for, all that came meanwhile together. What nobody wants is dropped at once: a mempool is
wide.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any

import aiohttp
import orjson
import structlog

from keeper.chain.node import Call, Node
from keeper.chain.rpc_errors import RpcError, is_rate_limit, rpc_error
from keeper.chain.scrub import Scrubber
from keeper.chain.wire import from_hex
from keeper.errors import ConfigError, Transient
from keeper.types import Address, Hash, Waiting

log = structlog.get_logger("keeper.chain")

CONNECT_TIMEOUT_S = 10.0
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.5, 30.0
HEARTBEAT_S = 30.0
MOST_ASKED = 1_000
MOST_KNOWN = 10_000
FULL, HASHES = ("newPendingTransactions", True), ("newPendingTransactions",)

Take = Callable[[Waiting], None]


class PendingFeed:
    """`rpc`: asked for transactions of which only the hash is told; `name`: of the node behind `url`, where that is another."""

    def __init__(self, url: str, rpc: Node, name: str = "") -> None:
        self._url, self._rpc, self._scrub, self._name = url, rpc, Scrubber(url), name or rpc.name
        self._wanted: tuple[Any, ...] = FULL
        self._hashes: deque[str] = deque(maxlen=MOST_ASKED)
        self._some = asyncio.Event()

    async def run(self, take: Take) -> None:
        """Until cancelled; a connection that ends is made again. Raises ConfigError for a node that tells of nothing that waits."""
        asking = asyncio.create_task(self._ask(take))
        try:
            await self._listen(take)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _listen(self, take: Take) -> None:
        delay_s = BACKOFF_FIRST_S
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with aclosing(self._connected(session)) as told:
                        async for raw in told:
                            delay_s = BACKOFF_FIRST_S
                            self._read(raw, take)
                except (Transient, aiohttp.ClientError, OSError, TimeoutError) as problem:
                    log.warning(
                        "pending_lost", node=self._name, problem=self._scrub(str(problem) or type(problem).__name__), retry_s=delay_s
                    )
                await asyncio.sleep(delay_s * (0.5 + random.random()))
                delay_s = min(2 * delay_s, BACKOFF_MOST_S)

    async def _connected(self, session: aiohttp.ClientSession) -> AsyncGenerator[Any, None]:
        """What one connection tells of each: a transaction, or its hash."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            socket = await session.ws_connect(self._url, heartbeat=HEARTBEAT_S, max_msg_size=0)
        async with socket:
            ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": list(self._wanted)}
            await socket.send_str(orjson.dumps(ask).decode())
            async for message in socket:
                if message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
                    told, error = _told(message.data)
                    if error:
                        self._refused(rpc_error("eth_subscribe", error, self._scrub))
                        return
                    if told:
                        yield told

    def _refused(self, error: RpcError) -> None:
        """Some nodes know hashes only; one that is asked too often says so, and is asked again later."""
        if is_rate_limit(error):
            raise Transient(f"{self._name}: {error.message}")
        if self._wanted is HASHES:
            raise ConfigError(f"{self._name}: tells of no transactions that wait: {error.message[:200]}")
        self._wanted = HASHES

    def _read(self, raw: Any, take: Take) -> None:
        if isinstance(raw, str):
            self._hashes.append(raw)
            self._some.set()
        elif isinstance(raw, dict) and (waiting := waiting_of(raw)):
            take(waiting)

    async def _ask(self, take: Take) -> None:
        """For what only hashes were told of: all that came meanwhile at once."""
        while True:
            await self._some.wait()
            self._some.clear()
            calls: list[Call] = [("eth_getTransactionByHash", [tx]) for tx in self._hashes]
            self._hashes.clear()
            with suppress(Transient, RpcError):  # what waits is gone soon: it is not asked for again
                for raw in await self._rpc.batch(calls):
                    if isinstance(raw, dict) and (waiting := waiting_of(raw)):
                        take(waiting)


class AnyPending:
    """What any of these nodes tells of, each once: no two hear the same mempool. One that tells of nothing is done without."""

    def __init__(self, feeds: Sequence[PendingFeed]) -> None:
        self._feeds = tuple(feeds)
        self._known: dict[Hash, None] = {}

    async def run(self, take: Take) -> None:
        """Until cancelled. Raises ConfigError where no node tells of what waits."""

        def once(waiting: Waiting) -> None:
            if waiting.tx not in self._known:
                self._known[waiting.tx] = None
                if len(self._known) > MOST_KNOWN:
                    del self._known[next(iter(self._known))]
                take(waiting)

        running = {asyncio.create_task(feed.run(once)) for feed in self._feeds}
        try:
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    try:
                        task.result()
                    except ConfigError as silent:
                        if not running:
                            raise
                        log.warning("pending_silent", problem=str(silent))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def _told(text: str | bytes) -> tuple[Any, Any]:
    """What a message tells of, and what it refuses; either may be None. Raises Transient for what is no message."""
    try:
        said = orjson.loads(text)
        told = said["params"]["result"] if said.get("method") == "eth_subscription" else None
        return told, said.get("error")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise Transient("the node sent something that is not a notice") from None


def waiting_of(raw: dict[str, Any]) -> Waiting | None:
    """None for a creation, and for what is no transaction."""
    try:
        if not raw["to"]:
            return None
        most = int(raw.get("maxFeePerGas") or raw["gasPrice"], 16)
        return Waiting(
            tx=Hash(raw["hash"].lower()),
            sender=Address(raw["from"].lower()),
            nonce=int(raw["nonce"], 16),
            to=Address(raw["to"].lower()),
            gas=int(raw["gas"], 16),
            value_wei=int(raw["value"], 16),
            data=from_hex(raw["input"]),
            max_fee_wei=most,
            priority_fee_wei=int(raw.get("maxPriorityFeePerGas") or hex(most), 16),
            told=raw,
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
