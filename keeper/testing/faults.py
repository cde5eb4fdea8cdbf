"""A proxy in front of a real node that fails on demand: what networks and nodes do to a keeper, without faking the node.

async with FaultProxy(devnet.rpc, devnet.ws) as proxy:
    rpc = Rpc(proxy.url, "node")
    proxy.fail(Fault.CUT, method="eth_getLogs", times=2)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from aiohttp import web

from keeper.testing.lies import Lie

JSON = "application/json"


class Fault(StrEnum):
    CUT = "cut"  # close without passing the request on
    DROP_REPLY = "drop_reply"  # the node does it, the answer is lost
    HANG = "hang"  # neither: the client's time-out decides
    DELAY = "delay"  # `seconds` late
    BAD_JSON = "bad_json"  # half an answer
    STATUS = "status"  # HTTP `status`
    ERROR = "error"  # a JSON-RPC error with `code` and `message`, for every call of a batch
    ERROR_ONE = "error_one"  # the same for the first call of a batch, the rest are answered
    BATCH_LIMIT = "batch_limit"  # the node takes no batch of this size


@dataclass(slots=True)
class Rule:
    """A fault for the next `times` requests with this method ("" for any)."""

    fault: Fault
    method: str
    times: int
    seconds: float
    status: int
    code: int
    message: str


@dataclass(slots=True, eq=False)
class Link:
    """One WebSocket to a client."""

    request: web.Request
    speaking: asyncio.Event


class FaultProxy:
    """HTTP and WebSocket on one port of its own.

    What it saw: `requests` counts methods over HTTP, `bodies` has each HTTP request; `sent` has each WebSocket request, `subscribed` the
    kind of every subscription the node granted."""

    def __init__(self, http_url: str, ws_url: str) -> None:
        self._http_url = http_url
        self._ws_url = ws_url
        self._rules: list[Rule] = []
        self._links: set[Link] = set()
        self._refuse_ws = False
        self._stripped = ""
        self._lie = Lie()
        self.requests: dict[str, int] = {}
        self.bodies: list[Any] = []
        self.sent: list[dict[str, Any]] = []
        self.subscribed: list[str] = []
        self._asked: dict[tuple[Link, int], str] = {}
        self._kinds: dict[str, str] = {}
        self._dropped: set[str] = set()
        self._granted = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        app = web.Application(client_max_size=2**30)
        app.router.add_get("/", self._websocket)
        app.router.add_post("/{path:.*}", self._http)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.cut_websockets()
        await self._runner.cleanup()
        await self._session.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/"

    # --- faults

    def fail(
        self, fault: Fault, method: str = "", times: int = 1, seconds: float = 0.0, status: int = 503, code: int = -32000, message: str = ""
    ) -> None:
        """Add a rule; rules are tried in the order they were added."""
        self._rules.append(Rule(fault, method, times, seconds, status, code, message))

    def heal(self) -> None:
        """Forget all rules, let WebSockets in again and pass everything on."""
        self._rules.clear()
        self._lie = Lie()
        self._dropped.clear()
        self._refuse_ws = False
        self.mute(False)

    async def cut_websockets(self, refuse: bool = False) -> None:
        """Close every WebSocket as a dying node does; `refuse`: let none in until `heal`."""
        self._refuse_ws = refuse
        for link in list(self._links):
            if link.request.transport is not None:
                link.request.transport.abort()

    def mute(self, silent: bool = True) -> None:
        """Hold back whatever the node sends over the WebSockets there are, without closing them."""
        for link in self._links:
            if silent:
                link.speaking.clear()
            else:
                link.speaking.set()

    def drop_notices(self, kind: str) -> None:
        """Lose the notices of subscriptions of this kind, "newHeads" or "logs"."""
        self._dropped.add(kind)

    async def until_subscribed(self, kind: str, times: int = 1) -> None:
        """Wait until so many subscriptions of a kind were granted, over all connections."""
        while self.subscribed.count(kind) < times:
            self._granted.clear()
            await self._granted.wait()

    def leave_out(self, member: str) -> None:
        """Take a member out of every object in every answer, as older nodes do not have it."""
        self._stripped = member

    def lie(self, lie: Lie) -> None:
        """Ask and answer over HTTP as the lie has it, until `heal`; a rule for the request comes first."""
        self._lie = lie

    def _rule(self, methods: Iterable[str]) -> Rule | None:
        wanted = set(methods)
        rule = next((r for r in self._rules if r.times > 0 and (not r.method or r.method in wanted)), None)
        if rule is not None:
            rule.times -= 1
        return rule

    # --- HTTP

    async def _http(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = orjson.loads(raw)
        self.bodies.append(body)
        calls = body if isinstance(body, list) else [body]
        for call in calls:
            self.requests[call["method"]] = self.requests.get(call["method"], 0) + 1
        rule = self._rule(call["method"] for call in calls)
        if rule is not None:
            return await self._misbehave(rule, request, raw, body)
        return web.Response(body=await self._forward(raw), content_type=JSON)

    async def _forward(self, raw: bytes) -> bytes:
        lie, asked = self._lie, orjson.loads(raw)
        data = orjson.dumps([lie.asked(call) for call in asked] if isinstance(asked, list) else lie.asked(asked))
        async with self._session.post(self._http_url, data=data, headers={"content-type": JSON}) as reply:
            told = orjson.loads(await reply.read())
        told = [*map(lie.told, asked, told)] if isinstance(asked, list) else lie.told(asked, told)
        return orjson.dumps(_without(told, self._stripped))

    async def _misbehave(self, rule: Rule, request: web.Request, raw: bytes, body: Any) -> web.StreamResponse:
        if rule.fault is Fault.HANG:
            await asyncio.Event().wait()
        if rule.fault is Fault.DROP_REPLY:
            await self._forward(raw)
        if rule.fault in {Fault.CUT, Fault.DROP_REPLY}:
            return _hang_up(request)
        if rule.fault is Fault.STATUS:
            return web.Response(status=rule.status, text="no")
        return web.Response(body=await self._wrong(rule, raw, body), content_type=JSON)

    async def _wrong(self, rule: Rule, raw: bytes, body: Any) -> bytes:
        """What to answer instead of the truth, or late."""
        match rule.fault:
            case Fault.ERROR:
                return orjson.dumps(_errors(rule, body))
            case Fault.ERROR_ONE:
                return orjson.dumps(_first_fails(rule, body, orjson.loads(await self._forward(raw))))
            case Fault.BATCH_LIMIT:
                return orjson.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch too large"}})
            case Fault.BAD_JSON:
                whole = await self._forward(raw)
                return whole[: len(whole) // 2]
        await asyncio.sleep(rule.seconds)
        return await self._forward(raw)

    # --- WebSocket

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if self._refuse_ws:
            return web.Response(status=503)
        client = web.WebSocketResponse(max_msg_size=0)
        await client.prepare(request)
        link = Link(request, asyncio.Event())
        link.speaking.set()
        self._links.add(link)
        try:
            async with self._session.ws_connect(self._ws_url, max_msg_size=0) as node:
                await _first_to_end(self._up(link, client, node), self._down(link, node, client))
        finally:
            self._links.discard(link)
        return client

    async def _up(self, link: Link, client: web.WebSocketResponse, node: aiohttp.ClientWebSocketResponse) -> None:
        async for message in client:
            call = orjson.loads(message.data)
            self.sent.append(call)
            if call["method"] == "eth_subscribe":
                self._asked[link, call["id"]] = call["params"][0]
            await node.send_str(message.data)

    async def _down(self, link: Link, node: aiohttp.ClientWebSocketResponse, client: web.WebSocketResponse) -> None:
        async for message in node:
            await link.speaking.wait()
            said = orjson.loads(message.data)
            if self._kinds.get(said.get("params", {}).get("subscription")) not in self._dropped:
                await client.send_str(message.data)
            kind = self._asked.pop((link, said.get("id", 0)), None)
            if kind is not None:
                self._kinds[said["result"]] = kind
                self.subscribed.append(kind)
                self._granted.set()


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _without(value: Any, member: str) -> Any:
    if not member:
        return value
    if isinstance(value, dict):
        return {key: _without(inner, member) for key, inner in value.items() if key != member}
    return [_without(inner, member) for inner in value] if isinstance(value, list) else value


def _error(rule: Rule, call: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": rule.code, "message": rule.message}}


def _errors(rule: Rule, body: Any) -> Any:
    return [_error(rule, call) for call in body] if isinstance(body, list) else _error(rule, body)


def _first_fails(rule: Rule, body: Any, replies: Any) -> Any:
    return [_error(rule, body[0]), *(r for r in replies if r["id"] != body[0]["id"])] if isinstance(body, list) else _error(rule, body)


async def _first_to_end(*ways: Any) -> None:
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            await asyncio.gather(*tasks, return_exceptions=True)
