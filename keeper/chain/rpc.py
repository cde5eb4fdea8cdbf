"""A thin JSON-RPC client over keep-alive HTTP: what the hot path pays for, and nothing more.

The node's URL is a secret: every message names the node by its name, and parts of the URL that a node echoes are struck out.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import aiohttp
import orjson

from keeper.chain.node import Call, repeatable
from keeper.chain.rpc_errors import RpcError, TimedOut, Unreachable, is_rate_limit, rpc_error
from keeper.chain.scrub import Scrubber
from keeper.chain.shapes import plausible
from keeper.errors import ConfigError, Transient

__all__ = ["Call", "Rpc", "RpcError"]

HEADERS = {"content-type": "application/json"}

MAX_BODY_BYTES = 512 * 1024
"""Of one batch: nodes refuse larger ones, each at a size of its own."""


BATCH_WORDS = ("batch", "too large", "too big", "too many", "limit", "exceed", "size", "array")
"""In the refusal of a batch for what it is; any other error is the node's trouble of the moment."""


class Rpc:
    """One node over HTTP. `retries`: further attempts for reads; `backoff_s` doubles from one to the next, with jitter. `sign`:
    further headers for a body."""

    def __init__(
        self,
        url: str,
        name: str,
        timeout_s: float = 10.0,
        retries: int = 5,
        backoff_s: float = 0.1,
        max_batch: int = 100,
        jitter: Callable[[], float] = random.random,
        sign: Callable[[bytes], Mapping[str, str]] = lambda body: {},
    ) -> None:
        self.name = name
        self._url = url
        self._timeout_s = timeout_s
        self._retries = retries
        self._backoff_s = backoff_s
        self._max_batch = max_batch
        self._jitter = jitter
        self._sign = sign
        self._ids = itertools.count(1)
        self._scrub = Scrubber(url)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"Rpc({self.name})"

    async def close(self) -> None:
        """For good: who still asks, asks nobody."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(self, method: str, *params: Any) -> Any:
        """One call's result. Raises RpcError on the node's error reply, Transient when the node is away, slow or over its limit."""
        result = (await self._ask([(method, params)]))[0]
        if isinstance(result, RpcError):
            raise result
        return result

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Many calls' results in order, an RpcError in the place of each that failed. Raises Transient like `request`."""
        results: list[Any] = []
        while len(results) < len(calls):
            part = self._part(calls[len(results) : len(results) + self._max_batch])
            try:
                results += await self._ask(part)
            except _BatchRefused as refused:
                if len(part) == 1:
                    raise refused.error from None
                self._max_batch = len(part) // 2
        return results

    def _part(self, calls: Sequence[Call]) -> Sequence[Call]:
        """As many as one body holds; at least one."""
        sizes = itertools.accumulate(len(orjson.dumps(params)) for _, params in calls)
        return calls[: max(sum(1 for _ in itertools.takewhile(lambda size: size <= MAX_BODY_BYTES, sizes)), 1)]

    async def _ask(self, calls: Sequence[Call]) -> list[Any]:
        """Ask until every call has its answer; only what is missing is asked again."""
        answers: dict[int, Any] = {}
        delays = self._delays(calls)
        while True:
            missing = [i for i in range(len(calls)) if i not in answers]
            problem = await self._attempt(calls, missing, answers)
            if len(answers) == len(calls):
                return [answers[i] for i in range(len(calls))]
            delay = next(delays, None)
            if delay is None:
                raise type(problem)(f"{self.name}: {problem}")
            await asyncio.sleep(delay)

    def _delays(self, calls: Sequence[Call]) -> Iterator[float]:
        attempts = self._retries if all(repeatable(method) for method, _ in calls) else 0
        return (self._backoff_s * 2**i * (0.5 + self._jitter()) for i in range(attempts))

    async def _attempt(self, calls: Sequence[Call], missing: Sequence[int], answers: dict[int, Any]) -> Transient:
        """One exchange. Fills in the answers it got; returns what went wrong with the rest."""
        ids = {next(self._ids): i for i in missing}
        bodies = [{"jsonrpc": "2.0", "id": id_, "method": calls[i][0], "params": list(calls[i][1])} for id_, i in ids.items()]
        try:
            reply = await self._post(bodies[0] if len(bodies) == 1 else bodies, calls[missing[0]][0])
        except TimedOut:
            if any(calls[i][0] == "eth_getLogs" for i in missing):  # would time out again: the reader asks for less
                raise
            return Transient(f"no answer to {calls[missing[0]][0]} within {self._timeout_s:g} s")
        except Transient as away:
            return away
        if isinstance(reply, dict) and len(bodies) > 1:
            return Transient(self._refused(reply, calls[missing[0]][0]))
        return Transient(self._sort(reply, ids, calls, answers))

    def _refused(self, reply: dict[str, Any], method: str) -> str:
        error = self._error(reply, method)
        if is_rate_limit(error) or not any(word in error.words for word in BATCH_WORDS):
            return error.message
        raise _BatchRefused(error)

    def _sort(self, reply: Any, ids: dict[int, int], calls: Sequence[Call], answers: dict[int, Any]) -> str:
        problem = f"no answer to {calls[0][0]}"
        for item in reply if isinstance(reply, list) else [reply]:
            index = _index(item, ids)
            if index is None:
                problem = f"an answer to {calls[0][0]} that is not JSON-RPC"
            elif item.get("error") is None:
                if plausible(calls[index][0], item.get("result")):
                    answers[index] = item.get("result")
                else:
                    problem = f"an answer to {calls[index][0]} that is none"
            elif is_rate_limit(error := self._error(item, calls[index][0])):
                problem = error.message
            else:
                answers[index] = error
        return problem

    def _error(self, item: dict[str, Any], method: str) -> RpcError:
        return rpc_error(method, item.get("error"), self._scrub)

    async def _post(self, body: object, method: str) -> Any:
        """The parsed reply. Raises Transient without any trace of the URL."""
        try:
            data = orjson.dumps(body)
            async with self._open().post(self._url, data=data, headers={**HEADERS, **self._sign(data)}) as response:
                raw = await response.read()
                status = response.status
        except TimeoutError:
            raise TimedOut(f"{self.name}: no answer to {method} within {self._timeout_s:g} s") from None
        except aiohttp.InvalidURL:
            raise ConfigError(f"{self.name}: the RPC URL is not an http:// or https:// URL") from None
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"cannot be reached ({_cause(error)})") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"cannot be reached ({_cause(error)})") from None
        return _parse(raw, status, method)

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Transient(f"{self.name}: is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s), connector=aiohttp.TCPConnector(limit=32)
            )
        return self._session


class _BatchRefused(Exception):
    """The node does not take a batch of this size."""

    def __init__(self, error: RpcError) -> None:
        super().__init__(str(error))
        self.error = error


def _cause(error: Exception) -> str:
    """The system's word for it: a library's own text quotes host and port."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "unknown host"
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number else type(error).__name__


def _parse(raw: bytes, status: int, method: str) -> Any:
    """Nodes send JSON-RPC errors under many a status: the body decides, except for those that mean "not now"."""
    if status == 429 or status >= 500:
        raise Transient(f"HTTP {status} to {method}")
    try:
        reply = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Transient(f"HTTP {status} and no JSON in answer to {method}") from None
    first = reply[0] if isinstance(reply, list) and reply else reply
    if status >= 400 and not (isinstance(first, dict) and "jsonrpc" in first):
        raise Transient(f"HTTP {status} to {method}")
    return reply


def _index(item: Any, ids: dict[int, int]) -> int | None:
    """Which call an answer belongs to. An error without an id belongs to the only call there is."""
    if not isinstance(item, dict) or ("result" not in item and "error" not in item):
        return None
    if item.get("id") is None and len(ids) == 1:
        return next(iter(ids.values()))
    id_ = item.get("id")
    return ids.get(id_) if isinstance(id_, int) else None
