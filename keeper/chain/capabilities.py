"""What a node can do, found by asking: for `keeper check`."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from keeper.chain.node import Node
from keeper.chain.rpc_errors import RpcError
from keeper.chain.wire import head_of
from keeper.errors import Transient
from keeper.types import Head

PROBE = "0x" + "00" * 17 + "0ca11e"
TIMESTAMP_CODE = "0x4260005260206000f3"
"""Returns block.timestamp."""

PROBE_TIME = 2**33
WS_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`ws_heads`, `ws_logs`: None without a WebSocket URL. `head_lag_s`: age of the newest block by the caller's clock."""

    client: str
    chain_id: int
    simulate_v1: bool
    call_overrides: bool
    logs_by_hash: bool
    ws_heads: bool | None
    ws_logs: bool | None
    syncing: bool
    head: Head
    head_lag_s: float


async def probe(rpc: Node, now_s: float, ws_url: str | None = None) -> Capabilities:
    """Ask one node everything. Raises Transient when it is away; a WebSocket that does not work is a finding, not an error."""
    results = await rpc.batch(
        [("web3_clientVersion", []), ("eth_chainId", []), ("eth_syncing", []), ("eth_getBlockByNumber", ["latest", False])]
    )
    client, chain_id, syncing, raw = results
    head = None if isinstance(raw, RpcError) else head_of(raw)
    if isinstance(chain_id, RpcError) or head is None:
        raise Transient(f"{rpc.name}: the node gives no chain id or no newest block")
    simulate, call, logs = await rpc.batch([_simulate(head), _call(head), ("eth_getLogs", [{"blockHash": head.hash, "address": PROBE}])])
    ws_heads, ws_logs = await _ws(ws_url) if ws_url else (None, None)
    return Capabilities(
        client="unknown" if isinstance(client, RpcError) else str(client),
        chain_id=int(chain_id, 16),
        simulate_v1=_told_time(_returned(simulate)),
        call_overrides=_told_time(call),
        logs_by_hash=isinstance(logs, list),
        ws_heads=ws_heads,
        ws_logs=ws_logs,
        syncing=not isinstance(syncing, RpcError) and bool(syncing),
        head=head,
        head_lag_s=now_s - head.timestamp_s,
    )


def _simulate(head: Head) -> tuple[str, list[Any]]:
    """Not just present: number, time and code must be taken over."""
    block = {
        "blockOverrides": {"number": hex(head.number + 1), "time": hex(PROBE_TIME), "baseFeePerGas": "0x1"},
        "stateOverrides": {PROBE: {"code": TIMESTAMP_CODE}},
        "calls": [{"to": PROBE}],
    }
    return "eth_simulateV1", [{"blockStateCalls": [block], "validation": False}, hex(head.number)]


def _call(head: Head) -> tuple[str, list[Any]]:
    return "eth_call", [{"to": PROBE}, hex(head.number), {PROBE: {"code": TIMESTAMP_CODE}}, {"time": hex(PROBE_TIME)}]


def _returned(result: Any) -> Any:
    try:
        return result[0]["calls"][0]["returnData"]
    except (TypeError, KeyError, IndexError):
        return None


def _told_time(reply: Any) -> bool:
    return isinstance(reply, str) and reply.startswith("0x") and len(reply) == 66 and int(reply, 16) == PROBE_TIME


async def _ws(url: str) -> tuple[bool, bool]:
    """Whether newHeads and logs can be subscribed to."""
    try:
        async with asyncio.timeout(WS_TIMEOUT_S), aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
            heads = await _subscribes(socket, 1, ["newHeads"])
            return heads, await _subscribes(socket, 2, ["logs", {"address": PROBE}])
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError):
        return False, False


async def _subscribes(socket: aiohttp.ClientWebSocketResponse, id_: int, params: list[Any]) -> bool:
    """Notices of the first subscription may come in between."""
    await socket.send_str(orjson.dumps({"jsonrpc": "2.0", "id": id_, "method": "eth_subscribe", "params": params}).decode())
    for _ in itertools.repeat(None, 100):
        answer = orjson.loads(await socket.receive_str())
        if answer.get("id") == id_:
            return "result" in answer
    return False
