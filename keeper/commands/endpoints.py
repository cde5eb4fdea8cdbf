"""For `keeper check`: the further nodes of a chain and its ways to the block builders. Nothing is sent."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from keeper.chain.capabilities import Capabilities, probe
from keeper.chain.rpc import Rpc, RpcError
from keeper.config import ChainSettings, NodeSettings
from keeper.config.endpoints import ChannelSettings
from keeper.errors import KeeperError, Transient
from keeper.nodes import called

Row = dict[str, Any]
TIMEOUT_S = 5.0


async def endpoints(chain: ChainSettings) -> list[Row]:
    """One row each: check, ok, detail, fix."""
    return await asyncio.gather(*(_node(chain, node) for node in chain.nodes), *(_channel(chain, item) for item in chain.channels))


async def _node(chain: ChainSettings, node: NodeSettings) -> Row:
    rpc = Rpc(node.rpc_url.reveal(), called(chain, node.name), TIMEOUT_S, retries=1)
    try:
        found = await probe(rpc, time.time(), node.ws_url.reveal() if node.ws_url else None)
    except KeeperError as error:
        return _row(f"node {node.name}", str(error), "start it, or correct its rpc_url")
    finally:
        await rpc.close()
    problem, fix = _wrong(chain, found)
    return _row(f"node {node.name}", problem, fix, f"{found.client}, block {found.head.number}")


def _wrong(chain: ChainSettings, found: Capabilities) -> tuple[str, str]:
    """What it cannot stand in for the chain's own with, and what to do; "" for nothing."""
    if found.chain_id != chain.chain_id:
        return f"is on chain {found.chain_id}", f"use a node of chain {chain.chain_id}"
    if not (found.simulate_v1 or found.call_overrides):
        return "cannot simulate", "use a node with eth_simulateV1 or eth_call overrides"
    if found.ws_heads is not None and not (found.ws_heads and found.ws_logs):
        return "its WebSocket grants no subscriptions", "correct its ws_url, or remove it"
    return "", ""


async def _channel(chain: ChainSettings, item: ChannelSettings) -> Row:
    """Whether somebody who speaks JSON-RPC is there: builders answer little else than what sends."""
    name, told = f"channel {item.name}", f"{item.kind}, {'signed' if item.auth else 'signed by a key made up at the start'}"
    if item.url is None:
        return _row(name, "", "", f"{item.kind}, by the chain's own node")
    rpc = Rpc(item.url.reveal(), name, TIMEOUT_S, retries=1)
    try:
        found = int(await rpc.request("eth_chainId"), 16)
    except RpcError:
        return _row(name, "", "", f"{told}; does not say of which chain")
    except Transient as away:
        return _row(name, str(away), "correct its url")
    finally:
        await rpc.close()
    wrong = "" if found == chain.chain_id else f"is on chain {found}"
    return _row(name, wrong, f"use one of chain {chain.chain_id}", told)


def _row(check: str, problem: str, fix: str, detail: str = "") -> Row:
    return {"check": check, "ok": not problem, "detail": problem or detail, "fix": fix if problem else ""}
