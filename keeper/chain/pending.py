"""Transactions that wait in a node's mempool, as they come, over a WebSocket that is used for nothing else.

Where the node sends hashes alone each is asked for. What nobody wants is dropped at once: a mempool is wide.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import aiohttp
import orjson
import structlog

from keeper.chain.node import Node
from keeper.chain.rpc_errors import RpcError
from keeper.chain.scrub import Scrubber
from keeper.chain.wire import from_hex
from keeper.errors import ConfigError, Transient
from keeper.types import Address, Hash, Waiting

log = structlog.get_logger("keeper.chain")

CONNECT_TIMEOUT_S = 10.0
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.5, 30.0
HEARTBEAT_S = 30.0
FULL, HASHES = ("newPendingTransactions", True), ("newPendingTransactions",)


class PendingFeed:
    """`rpc`: asked for transactions of which only the hash is told."""

    def __init__(self, url: str, rpc: Node) -> None:
        self._url, self._rpc, self._scrub = url, rpc, Scrubber(url)
        self._wanted: tuple[Any, ...] = FULL

    async def run(self, take: Callable[[Waiting], None]) -> None:
        """Until cancelled; a connection that ends is made again. Raises ConfigError for a node that tells of nothing that waits."""
        delay_s = BACKOFF_FIRST_S
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with aclosing(self._connected(session)) as told:
                        async for raw in told:
                            delay_s = BACKOFF_FIRST_S
                            if waiting := await self._read(raw):
                                take(waiting)
                except (Transient, aiohttp.ClientError, OSError, TimeoutError) as problem:
                    log.warning("pending_lost", problem=self._scrub(str(problem) or type(problem).__name__), retry_s=delay_s)
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
                        self._refused(error)
                        return
                    if told:
                        yield told

    def _refused(self, error: Any) -> None:
        """Some nodes know hashes only."""
        if self._wanted is HASHES:
            raise ConfigError(f"{self._rpc.name}: tells of no transactions that wait: {str(error)[:200]}")
        self._wanted = HASHES

    async def _read(self, raw: Any) -> Waiting | None:
        if isinstance(raw, str):
            try:
                raw = await self._rpc.request("eth_getTransactionByHash", raw)
            except RpcError:
                return None
        return waiting_of(raw) if isinstance(raw, dict) else None


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
