"""`keeper check`: is this config able to run? Each line is ok, or says the fix."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from typing import Any

from keeper.app import open_chain
from keeper.chain.capabilities import Capabilities, probe
from keeper.chain.rpc import Rpc
from keeper.commands.progress import backfill_progress
from keeper.config import Settings
from keeper.config.settings import ChainSettings
from keeper.daemon import open_hand
from keeper.errors import KeeperError
from keeper.execution.keys import load_key
from keeper.types import Address

Row = dict[str, Any]

LAG_BLOCKS = 5
LOW_BALANCE_WEI = 10**16


async def check(settings: Settings) -> AsyncIterator[Row]:
    """One row per question and chain: chain, check, ok, detail, fix."""
    return _rows(settings)


async def _rows(settings: Settings) -> AsyncIterator[Row]:
    for chain in settings.chains:
        rpc = Rpc(chain.rpc_url.reveal(), f"node of {chain.name}", timeout_s=5.0, retries=1)
        try:
            async for row in _chain(settings, chain, rpc):
                yield {"chain": chain.name, **row}
        finally:
            await rpc.close()


async def _chain(settings: Settings, chain: ChainSettings, rpc: Rpc) -> AsyncIterator[Row]:
    ws_url = chain.ws_url.reveal() if chain.ws_url else None
    try:
        found = await probe(rpc, time.time(), ws_url)
    except KeeperError as error:
        yield _row("node", False, str(error), "start the node, or correct rpc_url")
        return
    for row in _node(chain, found):
        yield row
    if found.chain_id != chain.chain_id:
        return
    for row in await _key(settings, chain, rpc):
        yield row
    for row in await _sources(settings, chain):
        yield row


def _node(chain: ChainSettings, found: Capabilities) -> list[Row]:
    lag_s = max(0, round(found.head_lag_s))
    fresh = lag_s <= LAG_BLOCKS * chain.block_time_s and not found.syncing
    rows = [
        _row("node", True, found.client, ""),
        _row("chain id", found.chain_id == chain.chain_id, str(found.chain_id), f"set chain_id = {found.chain_id}, or use another node"),
        _row("head", True, f"block {found.head.number}, {lag_s} s old" + ("" if fresh else ": a stalled node, or a devnet"), ""),
        _row(
            "simulation",
            found.simulate_v1 or found.call_overrides,
            _simulation(found),
            "use a node with eth_simulateV1 or eth_call overrides",
        ),
        _row("logs by block hash", found.logs_by_hash, "yes" if found.logs_by_hash else "no", "use a node that supports EIP-234"),
    ]
    if found.ws_heads is not None:
        rows.append(
            _row(
                "websocket",
                bool(found.ws_heads and found.ws_logs),
                "heads and logs" if found.ws_logs else "no",
                "correct ws_url, or remove it",
            )
        )
    return rows


def _simulation(found: Capabilities) -> str:
    return "eth_simulateV1" if found.simulate_v1 else "eth_call with overrides" if found.call_overrides else "none"


async def _key(settings: Settings, chain: ChainSettings, rpc: Rpc) -> list[Row]:
    if chain.signer is None:
        return [_row("key", settings.mode == "dry-run", "none: dry-run needs none", "add [chains.signer]")]
    try:
        key = await load_key(chain.signer, os.environ)
    except KeeperError as error:
        return [_row("key", False, str(error), "correct [chains.signer]")]
    return [_row("key", True, key.address, ""), await _balance(key.address, rpc)]


async def _balance(address: Address, rpc: Rpc) -> Row:
    balance_wei = int(await rpc.request("eth_getBalance", address, "latest"), 16)
    return _row("balance", balance_wei >= LOW_BALANCE_WEI, f"{balance_wei / 1e18:.4f} eth", f"send eth for gas to {address}")


async def _sources(settings: Settings, chain: ChainSettings) -> list[Row]:
    try:
        with backfill_progress() as progress:
            async with open_chain(settings, chain, progress, owned=False) as opened:
                await opened.catch_up()
                rows = [
                    _row(
                        f"market {m.name}",
                        True,
                        f"{sum(1 for _ in m.accounts(opened.view))} accounts, {len(m.tokens(opened.view))} tokens",
                        "",
                    )
                    for m in opened.markets
                ]
                rows += [
                    _row(f"venue {v.name}", bool(n := len(v.pools(opened.view))), f"{n} pools", "no pool trades the markets' tokens")
                    for v in opened.venues
                ]
                listed = any(chain.native_token in m.tokens(opened.view) for m in opened.markets)
                rows.append(_row("native token", listed, chain.native_token, "native_token must be listed by a market: it prices gas"))
                try:
                    hand = await open_hand(opened, settings.mode == "live")
                    rows.append(_row("executor", True, hand.executor if not hand.overrides else f"{hand.executor} (dry-run)", ""))
                except KeeperError as error:
                    rows.append(_row("executor", False, str(error), "keeper deploy"))
                return rows
    except KeeperError as error:
        return [_row("markets", False, str(error), "correct the address")]


def _row(check: str, ok: bool, detail: str, fix: str) -> Row:
    return {"check": check, "ok": ok, "detail": detail, "fix": "" if ok else fix}
