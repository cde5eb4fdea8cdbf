"""`keeper check`: is this config able to run? Each line is ok, or says the fix."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from keeper.app import Chain, book_path, halt_file, ledger_path, open_chain, unpriced
from keeper.book.store import BOOK_FILE
from keeper.chain.capabilities import Capabilities, probe
from keeper.chain.node import Node
from keeper.chain.rpc import Rpc
from keeper.commands.endpoints import endpoints
from keeper.commands.prices import guard_check
from keeper.commands.progress import backfill_progress
from keeper.config import Settings
from keeper.config.endpoints import SignerSettings
from keeper.config.settings import ChainSettings
from keeper.errors import ConfigError, KeeperError
from keeper.execution.hand import open_hand
from keeper.execution.keys import load_key
from keeper.execution.model import program
from keeper.ledger.schema import LEDGER_FILE
from keeper.ports import Market, Selective
from keeper.storage.database import check as check_file
from keeper.types import Address

Row = dict[str, Any]

LAG_BLOCKS = 5
LOW_BALANCE_WEI = 10**16
LOW_ROOM_BYTES = 64 * 2**20
DEVNETS = ("anvil", "hardhat")
"""Their clocks are their own."""


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


async def _chain(settings: Settings, chain: ChainSettings, rpc: Node) -> AsyncIterator[Row]:
    data = await asyncio.to_thread(_data, settings, chain)
    yield data
    why = halt_file(settings, chain).why()
    yield _row("sending", not why, f"halted: {why}" if why else "not halted", "see to that, then `keeper resume`")
    for row in _models(settings, chain):
        yield row
    ws_url = chain.ws_url.reveal() if chain.ws_url else None
    try:
        found = await probe(rpc, time.time(), ws_url)
    except KeeperError as error:
        yield _row("node", False, str(error), "start the node, or correct rpc_url")
        return
    for row in (*_node(chain, found), *await endpoints(chain)):
        yield row
    if found.chain_id != chain.chain_id:
        return
    keys = await _key(settings, chain, rpc)
    for row in keys:
        yield row
    if data["ok"]:
        for row in await _sources(settings, chain, keyed=keys[0]["ok"]):
            yield row


# --- the machine --------------------------------------------------------------------------------------------------


def _data(settings: Settings, chain: ChainSettings) -> Row:
    """The data folder: sound files, the right to write, room."""
    try:
        check_file(book_path(settings, chain), chain.chain_id, BOOK_FILE, read_only=False)
        check_file(ledger_path(settings, chain), chain.chain_id, LEDGER_FILE, read_only=False)
    except KeeperError as error:
        return _row("data", False, str(error), "as it says")
    folder = _existing(settings.data_dir)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return _row("data", False, f"{folder} cannot be written", "correct its permissions, or use another data_dir")
    free_bytes = shutil.disk_usage(folder).free
    return _row("data", free_bytes >= LOW_ROOM_BYTES, f"{settings.data_dir}, {free_bytes // 2**20} MiB free", "make room")


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _models(settings: Settings, chain: ChainSettings) -> Iterator[Row]:
    """The user's own programs."""
    for section, command in (("auctions", chain.auctions.model), ("bidding", chain.bidding.model)):
        if command:
            try:
                yield _row("bidding model", True, program(command, settings.path.parent, f"{section}.model"), "")
            except ConfigError as error:
                advice = f"install it, correct [chains.{section}], or leave the word to the keeper's own"
                yield _row("bidding model", False, str(error), advice)


# --- the node -----------------------------------------------------------------------------------------------------


def _node(chain: ChainSettings, found: Capabilities) -> list[Row]:
    able = found.simulate_v1 or found.call_overrides
    rows = [
        _row("node", True, found.client, ""),
        _row("chain id", found.chain_id == chain.chain_id, str(found.chain_id), f"set chain_id = {found.chain_id}, or use another node"),
        _head(chain, found),
        _row("simulation", able, _simulation(found), "use a node with eth_simulateV1 or eth_call overrides"),
        _row("logs by block hash", found.logs_by_hash, "yes" if found.logs_by_hash else "no", "use a node that supports EIP-234"),
    ]
    if found.ws_heads is not None:
        subscribed = bool(found.ws_heads and found.ws_logs)
        rows.append(_row("websocket", subscribed, "heads and logs" if subscribed else "no subscriptions", "correct ws_url, or remove it"))
    return rows


def _head(chain: ChainSettings, found: Capabilities) -> Row:
    lag_s = max(0, round(found.head_lag_s))
    devnet = found.client.lower().startswith(DEVNETS)
    fresh = devnet or (lag_s <= LAG_BLOCKS * chain.block_time_s and not found.syncing)
    age = "a devnet's clock" if devnet else f"{lag_s} s old" + (", the node is syncing" if found.syncing else "")
    return _row("head", fresh, f"block {found.head.number}, {age}", "wait until the node has synced, or use another")


def _simulation(found: Capabilities) -> str:
    return "eth_simulateV1" if found.simulate_v1 else "eth_call with overrides" if found.call_overrides else "none"


# --- the operator -------------------------------------------------------------------------------------------------


async def _key(settings: Settings, chain: ChainSettings, rpc: Node) -> list[Row]:
    if chain.signer is None:
        return [_row("key", settings.mode == "dry-run", "none: dry-run needs none", "add [chains.signer]")]
    rows = await _signer(settings, chain, chain.signer, rpc, "")
    for number, signer in enumerate(chain.more_signers, 2):
        rows += await _signer(settings, chain, signer, rpc, f" {number}")
    return rows


async def _signer(settings: Settings, chain: ChainSettings, signer: SignerSettings, rpc: Node, which: str) -> list[Row]:
    try:
        key = await load_key(signer, os.environ)
    except KeeperError as error:
        return [_row(f"key{which}", False, str(error), "correct [[chains.more_signers]]" if which else "correct [chains.signer]")]
    return [_row(f"key{which}", True, key.address, ""), await _balance(settings, chain, key.address, rpc, which)]


async def _balance(settings: Settings, chain: ChainSettings, address: Address, rpc: Node, which: str) -> Row:
    balance_wei = int(await rpc.request("eth_getBalance", address, "latest"), 16)
    least_wei = chain.gas_money.least_wei if chain.gas_money else LOW_BALANCE_WEI
    enough = settings.mode == "dry-run" or balance_wei >= least_wei
    return _row(f"balance{which}", enough, f"{balance_wei / 1e18:.4f} eth", f"send eth for gas to {address}")


# --- what is watched ----------------------------------------------------------------------------------------------


async def _sources(settings: Settings, chain: ChainSettings, keyed: bool) -> list[Row]:
    try:
        with backfill_progress() as progress:
            async with open_chain(settings, chain, progress, owned=False) as opened:
                await opened.catch_up()
                return [*_watched(opened), *([await _executor(settings, opened)] if keyed else [])]
    except KeeperError as error:
        return [_row("markets", False, str(error), "correct the address" if isinstance(error, ConfigError) else "as it says")]


def _watched(chain: Chain) -> list[Row]:
    rows = [_market(m, chain) for m in chain.markets]
    rows += [
        _row(f"venue {v.name}", bool(n := len(v.pools(chain.view))), f"{n} pools", "no pool trades these tokens") for v in chain.venues
    ]
    problem = unpriced(chain)
    return [
        *rows,
        _row("prices", *guard_check(chain)),
        _row("native token", problem is None, problem or chain.settings.native_token, "correct native_token"),
    ]


def _market(market: Market, chain: Chain) -> Row:
    left_out = market.left_out(chain.view) if isinstance(market, Selective) else None
    found = f"{sum(1 for _ in market.accounts(chain.view))} accounts, {len(market.tokens(chain.view))} tokens"
    return _row(f"market {market.name}", left_out is None, left_out or found, "correct its options, or name its markets one by one")


async def _executor(settings: Settings, chain: Chain) -> Row:
    live = settings.mode == "live"
    try:
        hand = await open_hand(chain.settings, chain.rpc, chain.reader, live)
    except KeeperError as error:
        return _row("executor", False, str(error), "correct [chains.executor], or deploy one with `keeper deploy`")
    return _row("executor", True, hand.executor if live else f"{hand.executor} (dry-run)", "")


def _row(check: str, ok: bool, detail: str, fix: str) -> Row:
    return {"check": check, "ok": ok, "detail": detail, "fix": "" if ok else fix}
