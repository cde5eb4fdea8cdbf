"""New blocks and oracle updates over a WebSocket that is used for nothing else.

A subscription dies silently in many ways: a closed socket, a half-open one, a node that stops sending. All end in the same place: a new
connection, all subscriptions made again, and a notice to the feed, which then looks for what was missed.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import aiohttp
import orjson
import structlog

from keeper.chain.heads import Mailbox, Sleep
from keeper.chain.rpc_errors import rpc_error
from keeper.chain.scrub import Scrubber
from keeper.chain.wire import head_of
from keeper.errors import ConfigError, Transient
from keeper.types import LogFilter

log = structlog.get_logger("keeper.chain")

CONNECT_TIMEOUT_S = 10.0
BACKOFF_FIRST_S = 0.1
BACKOFF_MOST_S = 10.0

Oracles = Callable[[], Sequence[LogFilter]]


def no_oracles() -> Sequence[LogFilter]:
    return ()


class WsHeads:
    """`newHeads`, and `logs` of the oracles. `stall_s`: silence after which the connection is given up, a few block times."""

    def __init__(
        self,
        url: str,
        name: str,
        stall_s: float,
        oracles: Oracles = no_oracles,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.connected = False
        self.connections = 0
        self._url = url
        self._stall_s = stall_s
        self._oracles = oracles
        self._sleep = sleep
        self._jitter = jitter
        self._scrub = Scrubber(url)

    async def run(self, mailbox: Mailbox) -> None:
        """Listen until cancelled. Raises ConfigError for a URL that is none."""
        delays = self._delays()
        async with aiohttp.ClientSession() as session:
            while True:
                before = self.connections
                problem = await self._listen(session, mailbox)
                if self.connections > before:
                    delays = self._delays()
                delay = next(delays)
                log.warning("ws_lost", node=self.name, problem=problem, retry_s=round(delay, 2))
                mailbox.put(None)
                await self._sleep(delay)

    def _delays(self) -> Iterator[float]:
        return (min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(i, 20)) * (0.5 + self._jitter()) for i in itertools.count())

    async def _listen(self, session: aiohttp.ClientSession, mailbox: Mailbox) -> str:
        """One connection from its beginning to its end; returns why it ended."""
        try:
            timeout = aiohttp.ClientWSTimeout(ws_close=1.0)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = await session.ws_connect(self._url, timeout=timeout, heartbeat=max(1.0, self._stall_s / 2), max_msg_size=0)
            async with socket:
                return await _Connection(socket, mailbox, self._oracles, self._stall_s, self).serve()
        except aiohttp.InvalidURL:
            raise ConfigError(f"{self.name}: the WebSocket URL is not a ws:// or wss:// URL") from None
        except TimeoutError:
            return "no connection in time"
        except (aiohttp.ClientError, OSError) as error:
            return f"cannot connect ({type(error).__name__})"
        except Transient as error:
            return self._scrub(str(error))
        finally:
            self.connected = False

    def subscribed(self) -> None:
        """All subscriptions stand."""
        self.connected = True
        self.connections += 1


class _Connection:
    """One socket: its requests, its subscriptions."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, mailbox: Mailbox, oracles: Oracles, stall_s: float, owner: WsHeads) -> None:
        self._socket = socket
        self._mailbox = mailbox
        self._oracles = oracles
        self._stall_s = stall_s
        self._owner = owner
        self._ids = itertools.count(1)
        self._asked: dict[int, str] = {}
        self._heads = ""
        self._logs = ""
        self._followed: frozenset[str] = frozenset()
        self._newest = ""

    async def serve(self) -> str:
        """Subscribe and listen. Returns why it ended."""
        await self._ask("newHeads", "eth_subscribe", ["newHeads"])
        await self._follow_oracles()
        while True:
            try:
                message = await self._socket.receive(timeout=self._stall_s)
            except TimeoutError:
                return f"silent for {self._stall_s:g} s"
            if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
                return "closed by the node"
            await self._take(message.data)

    async def _ask(self, kind: str, method: str, params: list[Any]) -> None:
        id_ = next(self._ids)
        self._asked[id_] = kind
        await self._socket.send_str(orjson.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params}).decode())

    async def _follow_oracles(self) -> None:
        """Subscribe to the oracles' logs, again whenever there are others to follow."""
        filters = self._oracles()
        wanted = frozenset(f.address for f in filters)
        if wanted == self._followed:
            return
        self._followed = wanted
        if self._logs:
            await self._ask("unsubscribe", "eth_unsubscribe", [self._logs])
        topics = sorted({topic for f in filters for topic in f.topics})
        if wanted:
            await self._ask("logs", "eth_subscribe", ["logs", {"address": sorted(wanted), "topics": [topics]}])

    async def _take(self, raw: str | bytes) -> None:
        try:
            message = orjson.loads(raw)
            if message.get("method") == "eth_subscription":
                await self._notice(message["params"]["subscription"], message["params"]["result"])
            else:
                self._answer(self._asked.pop(message.get("id"), ""), message)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise Transient("the node sent something that is not a notice") from None

    async def _notice(self, subscription: str, result: dict[str, Any]) -> None:
        if subscription == self._heads:
            head = head_of(result)
            self._newest = head.hash if head else ""
            self._mailbox.put(head)
            await self._follow_oracles()
        elif result.get("blockHash") != self._newest or result.get("removed"):
            self._mailbox.put(None)

    def _answer(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "newHeads":
            self._heads = self._accepted(message)
            self._owner.subscribed()
            self._mailbox.put(None)
        elif kind == "logs" and "result" in message:
            self._logs = message["result"]

    def _accepted(self, message: dict[str, Any]) -> str:
        if "result" not in message:
            raise Transient(f"the node refuses newHeads: {rpc_error('eth_subscribe', message.get('error')).message}")
        return str(message["result"])
