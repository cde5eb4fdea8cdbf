"""Who takes part: an executor, keys and a config for each, and its process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eth_utils.crypto import keccak

from keeper.arena.tactics import RIVALS, Tactic, tactics
from keeper.devnet import Devnet
from keeper.devnet.anvil import GUARD, end
from keeper.devnet.configfile import without_auctions
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.names import DEPLOYER, derived
from keeper.errors import ConfigError, Halt
from keeper.execution import executor
from keeper.execution.signer import Signer
from keeper.secret import Secret
from keeper.types import Address

US, COPY, TWIN = "us", "copy", "twin"
"""The copy has default settings: it neither looks ahead nor sends bundles. The twin has ours."""

DAEMONS = (US, COPY, TWIN)
LOOKING = (US, TWIN)
KNOWN = (*RIVALS, COPY, TWIN)
DAEMON_MS = 50
FUNDS_WEI = 100 * 10**18
TAIL = 400
SIGNERS = 16
BIDDING, AHEAD = "[chains.bidding]\n", "[chains.lookahead]\n"
BIDS = f"""{BIDDING}max_priority_fee_wei = "900000 gwei"
max_fee_wei = "1000000 gwei"
max_bid_wei = "20 ether"
max_bid_per_block_wei = "200 ether"
max_bid_per_day_wei = "1000 ether"

[chains.breakers]
gas_per_day_wei = "1000 ether"

"""
"""A keeper with deep pockets, so that no cap decides a race."""
LOOKS = f"""{AHEAD}enabled = true

[[chains.channels]]
name = "builder"
kind = "bundle"
"""


@dataclass(frozen=True, slots=True)
class Entrant:
    """`seat`: whose keys are its. `share_bps`: it bids this share of every profit, whatever it learns; None: as it is."""

    name: str
    seat: int
    latency_ms: int
    quick: bool
    executor: Address
    beneficiary: Address
    share_bps: int | None = None


def latency_ms(name: str, seed: int) -> int:
    """Declared."""
    return DAEMON_MS if name in DAEMONS else _tactic(name, seed).latency_ms


def rivals(names: Sequence[str]) -> tuple[str, ...]:
    """Each once. Raises ConfigError for one that is none of ours."""
    for name in names:
        if name not in KNOWN:
            raise ConfigError(f"--against must name some of {', '.join(KNOWN)}, was {name!r}")
    return tuple(dict.fromkeys(names))


def _tactic(name: str, seed: int) -> Tactic:
    return tactics(seed)[name]


def _keys(seat: int) -> list[str]:
    """One a signer."""
    return [_key(f"{seat} {lane}") for lane in range(SIGNERS)]


def _key(whose: str) -> str:
    return keccak(text=f"keeper arena: {whose}").hex()


async def enter(net: Devnet, name: str, seed: int, seat: int, share_bps: int | None = None) -> Entrant:
    """Deploy its executor and fund its keys. Nothing but what it does sets it apart: to everybody a token comes as one that is held
    already, and names an executor at the same cost of calldata."""
    signers = [Signer(Secret(key)).address for key in _keys(seat)]
    beneficiary = Signer(Secret(_key(f"{seat} beneficiary"))).address
    for signer in signers:
        await net.request("anvil_setBalance", signer, hex(FUNDS_WEI))
    for symbol in BY_SYMBOL:
        await net.request("anvil_dealERC20", beneficiary, net.addresses[f"token.{symbol}"], "0x1")
    quick = name in LOOKING or (name not in DAEMONS and _tactic(name, seed).quick)
    deployed = await _deployed(net, f"{seed} {seat}", executor.deploy_data(DEPLOYER, beneficiary, signers))
    return Entrant(name, seat, latency_ms(name, seed), quick, deployed, beneficiary, share_bps)


async def _deployed(net: Devnet, label: str, data: bytes) -> Address:
    """At an address without a zero byte: in calldata one costs less than any other."""
    sender = derived(f"arena {label}")
    await net.request("anvil_setBalance", sender, hex(FUNDS_WEI))
    while True:
        address = Address((await net.transact(sender, None, data))["contractAddress"].lower())
        if 0 not in bytes.fromhex(address[2:]):
            return address


def write_config(net: Devnet, entrant: Entrant, port: int, folder: Path) -> Path:
    """The devnet's own, with this one's node, executor and keys."""
    folder.mkdir(parents=True)
    first, *more_keys = _keys(entrant.seat)
    files = {"operator.key": first} | {f"signer{lane}.key": key for lane, key in enumerate(more_keys, 1)}
    for file, key in files.items():
        with os.fdopen(os.open(folder / file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
            out.write(key + "\n")
    text = without_auctions(net.config.read_text()).replace('mode = "dry-run"', 'mode = "live"')
    text = text.replace(f'"{net.rpc}"', f'"http://127.0.0.1:{port}/{entrant.name}"').replace(
        f'"{net.ws}"', f'"ws://127.0.0.1:{port}/{entrant.name}"'
    )
    text = text.replace("[chains.executor]\n", f'[chains.executor]\naddress = "{entrant.executor}"\n')
    signers = "".join(f'[[chains.more_signers]]\nkey_file = "{file}"\n\n' for file in list(files)[1:])
    more = _bids(entrant) + signers + (_looks(entrant) if entrant.name in LOOKING else "")
    text = text.replace("[chains.guard]\n", f"{more}\n[chains.guard]\n")
    path = folder / "keeper.toml"
    path.write_text(text)
    return path


def _bids(entrant: Entrant) -> str:
    if entrant.share_bps is None:
        return BIDS
    return BIDS.replace(BIDDING, f'{BIDDING}policy = "share"\nprofit_share_bps = {entrant.share_bps}\n')


def _looks(entrant: Entrant) -> str:
    """Who bids a fixed share answers nobody."""
    return LOOKS if entrant.share_bps is None else LOOKS.replace(AHEAD, f"{AHEAD}answer_bps = 0\n")


@contextlib.asynccontextmanager
async def running(entrant: Entrant, config: Path, seed: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Its process, gone with the context."""
    words = ["keeper.arena.us", str(config)] if entrant.name in DAEMONS else ["keeper.arena.rival", str(config), entrant.name, str(seed)]
    with (config.parent / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), sys.executable, "-m", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            await end(process)


async def watched(entrant: Entrant, process: asyncio.subprocess.Process, config: Path) -> None:
    """Returns never; raises Halt when it ends on its own."""
    status = await process.wait()
    tail = (config.parent / "log").read_text(errors="replace")[-TAIL:].strip()
    raise Halt(f"arena: {entrant.name} ended with status {status}: {tail}")
