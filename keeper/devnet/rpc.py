"""A tiny JSON-RPC client: the devnet is built and driven before, and independently of, the keeper's own node edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp
import orjson

from keeper.errors import KeeperError

BATCH = 50


class RpcError(KeeperError):
    """The node's error reply. `code` is JSON-RPC's, `data` the revert data as 0x-hex ("" when there is none)."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(f"{method}: {error.get('message', 'unknown error')}")
        self.code: int = error.get("code", 0)
        data = error.get("data")
        self.data: str = data if isinstance(data, str) else ""


class Rpc:
    """JSON-RPC over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession()
        self._id = 0

    async def __aenter__(self) -> Rpc:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(self, method: str, *params: Any) -> Any:
        """One call. Raises RpcError on an error reply, KeeperError when the node is away."""
        return _result(method, await self._post(self._call(method, params)))

    async def batch(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Many calls, in batches of a size the node likes; it runs a batch side by side. Raises RpcError for the first error reply."""
        results: list[Any] = []
        for start in range(0, len(calls), BATCH):
            part = calls[start : start + BATCH]
            requests = [self._call(method, params) for method, params in part]
            replies = {reply["id"]: reply for reply in await self._post(requests)}
            results += [_result(r["method"], replies[r["id"]]) for r in requests]
        return results

    def _call(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        self._id += 1
        return {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}

    async def _post(self, body: object) -> Any:
        try:
            async with self._session.post(self._url, data=orjson.dumps(body), headers={"content-type": "application/json"}) as reply:
                return orjson.loads(await reply.read())
        except (aiohttp.ClientError, orjson.JSONDecodeError, TimeoutError) as error:
            raise KeeperError(f"the devnet's node does not answer ({type(error).__name__})") from error


def _result(method: str, reply: dict[str, Any]) -> Any:
    if "error" in reply:
        raise RpcError(method, reply["error"])
    return reply["result"]
