"""The node that participants see: the builder where a transaction or the mempool is meant, anvil for everything else.

Each has a URL of its own, so that it is known who sends and what is to be shown to whom.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import orjson
from aiohttp import WSMsgType, web

from keeper.arena.barrier import Barrier
from keeper.arena.builder import Builder
from keeper.arena.entrants import US
from keeper.arena.mempool import Refused, Tx
from keeper.arena.raw import shown
from keeper.arena.score import Scores, Told
from keeper.types import Address, Hash

Answer = Callable[[str, list[Any]], Awaitable[Any]]
REFUSED = -32003
PASSED_ON = object()
BODY_BYTES = 2**26


class Front:
    """`http`, `ws`: of the real node."""

    def __init__(self, builder: Builder, barrier: Barrier, scores: Scores, http: str, ws: str) -> None:
        self._builder, self._barrier, self._scores, self._http, self._ws = builder, barrier, scores, http, ws
        self._listeners: dict[str, tuple[web.WebSocketResponse, str, bool]] = {}
        self._ids = itertools.count(1)
        self._own: dict[str, Answer] = {
            "eth_sendRawTransaction": self._send,
            "eth_sendPrivateTransaction": self._send_private,
            "eth_sendPrivateRawTransaction": self._send_private,
            "eth_sendBundle": self._send_bundle,
            "eth_getTransactionCount": self._count,
            "eth_getTransactionByHash": self._by_hash,
            "txpool_content": self._content,
            "arena_wait": self._wait,
            "arena_done": self._done,
            "arena_tell": self._tell,
            "arena_worked": self._worked,
        }

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """The port where it listens, until the context ends."""
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_post("/{who}", self._post)
        app.router.add_get("/{who}", self._socket)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._session = aiohttp.ClientSession()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        try:
            await site.start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()
            await self._session.close()

    # --- over HTTP

    async def _post(self, request: web.Request) -> web.Response:
        body, who = orjson.loads(await request.read()), request.match_info["who"]
        calls = body if isinstance(body, list) else [body]
        if not any(call.get("method") in self._own for call in calls):
            return web.Response(body=await self._forward(body), content_type="application/json")
        replies = [await self._reply(who, call) for call in calls]
        return web.Response(body=orjson.dumps(replies if isinstance(body, list) else replies[0]), content_type="application/json")

    async def _reply(self, who: str, call: dict[str, Any]) -> dict[str, Any]:
        method, head = call.get("method", ""), {"jsonrpc": "2.0", "id": call.get("id")}
        own = self._own.get(method)
        try:
            result = await own(who, call.get("params") or []) if own else PASSED_ON
        except Refused as refused:
            return head | {"error": {"code": REFUSED, "message": str(refused)}}
        except (IndexError, KeyError, TypeError, ValueError):
            return head | {"error": {"code": -32602, "message": f"invalid params of {method}"}}
        if result is not PASSED_ON:
            return head | {"result": result}
        answer: dict[str, Any] = orjson.loads(await self._forward(call))
        return answer

    async def _forward(self, body: Any) -> bytes:
        headers = {"content-type": "application/json"}
        async with self._session.post(self._http, data=orjson.dumps(body), headers=headers) as reply:
            return await reply.read()

    # --- the methods that are the builder's

    async def _send(self, who: str, params: list[Any]) -> str:
        return self._builder.send(who, params[0]).hash

    async def _send_private(self, who: str, params: list[Any]) -> str:
        raw = params[0]["tx"] if isinstance(params[0], dict) else params[0]
        return self._builder.send(who, raw, private=True).hash

    async def _send_bundle(self, who: str, params: list[Any]) -> dict[str, str]:
        said = params[0]
        first = int(said["blockNumber"], 16)
        last = int(said.get("maxBlockNumber") or said["blockNumber"], 16)
        dropping, reverting = (frozenset(said.get(spare, ())) for spare in ("droppingTxHashes", "revertingTxHashes"))
        bundle = self._builder.send_bundle(who, said["txs"], first, last, dropping, reverting, said.get("replacementUuid", ""))
        return {"bundleHash": bundle.txs[-1].hash}

    async def _count(self, who: str, params: list[Any]) -> Any:
        if params[1:] != ["pending"]:
            return PASSED_ON
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionCount", "params": [params[0], "latest"]}
        landed = orjson.loads(await self._forward(call))
        return hex(self._builder.pool.next_nonce(Address(params[0].lower()), int(landed["result"], 16)))

    async def _by_hash(self, who: str, params: list[Any]) -> Any:
        waiting = self._builder.pool.find(Hash(params[0].lower()))
        return shown(waiting) if waiting and (not waiting.private or waiting.owner == who) else PASSED_ON

    async def _content(self, who: str, params: list[Any]) -> Any:
        pending: dict[str, dict[str, Any]] = {}
        for tx in self._builder.visible(who):
            pending.setdefault(tx.sender, {})[str(tx.nonce)] = shown(tx)
        return {"pending": pending, "queued": {}}

    async def _wait(self, who: str, params: list[Any]) -> Any:
        return await self._barrier.after(params[0])

    async def _done(self, who: str, params: list[Any]) -> bool:
        await self._barrier.done(who, *params)
        return True

    async def _tell(self, who: str, params: list[Any]) -> bool:
        if who == US:
            self._scores.told.append(Told(*params[:4]))
        return True

    async def _worked(self, who: str, params: list[Any]) -> bool:
        if who == US:
            self._scores.work_s.append(params[1])
            for stage, seconds in params[2].items():
                self._scores.stages_s.setdefault(stage, []).append(seconds)
        return True

    # --- over WebSocket: as the node's own, but for the subscription to what is pending

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        here = web.WebSocketResponse()
        await here.prepare(request)
        async with self._session.ws_connect(self._ws, max_msg_size=0) as there:
            back = asyncio.create_task(_copy(there, here))
            try:
                async for message in here:
                    if message.type is WSMsgType.TEXT and not await self._subscribed(here, message.data):
                        await there.send_str(message.data)
            finally:
                back.cancel()
                self._listeners = {key: item for key, item in self._listeners.items() if item[0] is not here}
        return here

    async def _subscribed(self, socket: web.WebSocketResponse, text: str) -> bool:
        call = orjson.loads(text)
        if not isinstance(call, dict) or call.get("method") != "eth_subscribe" or call["params"][0] != "newPendingTransactions":
            return False
        key = hex(0xA0000000 + next(self._ids))
        self._listeners[key] = (socket, key, call["params"][1:] == [True])
        await socket.send_str(orjson.dumps({"jsonrpc": "2.0", "id": call.get("id"), "result": key}).decode())
        return True

    async def show(self, txs: list[Tx]) -> None:
        """Tell those who listen of public transactions."""
        for socket, key, full in list(self._listeners.values()):
            for tx in (one for one in txs if not one.private):
                params = {"subscription": key, "result": shown(tx) if full else tx.hash}
                with contextlib.suppress(ConnectionError):
                    await socket.send_str(orjson.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}).decode())


async def _copy(there: aiohttp.ClientWebSocketResponse, here: web.WebSocketResponse) -> None:
    async for message in there:
        if message.type is WSMsgType.TEXT:
            await here.send_str(message.data)
