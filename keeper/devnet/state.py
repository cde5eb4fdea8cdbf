"""The saved chain a devnet boots from: built once per sources, lock, accounts and seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from keeper.devnet import cache, install, solc
from keeper.devnet.anvil import anvil
from keeper.devnet.artifacts import OWN, Artifacts
from keeper.devnet.genesis import chain
from keeper.devnet.rpc import Rpc
from keeper.devnet.tools import Report
from keeper.errors import KeeperError
from keeper.types import Address

HERE = Path(__file__).parent
SOURCES = ("anvil.py", "artifacts.py", "install.py", "names.py", "oracle.py", "rpc.py", "solc.py", "state.py", "uniswap.py")

POPULATIONS = ("borrowers", "isolated", "vaults", "traders")


@dataclass(frozen=True, slots=True)
class Saved:
    """A chain to load: anvil's state file, and what lives on it."""

    anvil: Path
    state: Path
    artifacts: Artifacts
    addresses: dict[str, Address]
    borrowers: tuple[Borrower, ...]
    isolated: tuple[Borrower, ...]
    vaults: tuple[Borrower, ...]
    traders: tuple[Borrower, ...]


@dataclass(frozen=True, slots=True)
class Borrower:
    """Whose position it is, in which market ("aave_v36", "morpho.WETH-USDC", "yield"), of what kind, and its eMode (0: none)."""

    address: Address
    market: str
    archetype: str
    emode: int


async def saved(accounts: int, seed: int, report: Report) -> Saved:
    """The saved chain of these options, installed, compiled and built if it is not cached yet."""
    modules = await install.packages(report)
    units = {name: await solc.compiled(name, modules, report) for name in solc.UNITS}
    binary, artifacts = install.anvil_binary(modules), Artifacts(modules, units)

    async def build(target: Path) -> None:
        report("deploying")
        manifest = await build_chain(binary, artifacts, target, accounts, seed)
        (target / "manifest.json").write_bytes(orjson.dumps(manifest))

    folder = await cache.entry(f"chain-{_key(accounts, seed)}", build)
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    populations = (tuple(Borrower(**entry) for entry in manifest[name]) for name in POPULATIONS)
    return Saved(binary, folder / "state.json", artifacts, manifest["addresses"], *populations)


async def build_chain(binary: Path, artifacts: Artifacts, target: Path, accounts: int, seed: int) -> dict[str, Any]:
    """Build the chain on a fresh node, save it as `state.json` in `target` and return its manifest."""
    state = target / "state.json"
    flags = ("--timestamp", str(chain.GENESIS_S), "--gas-limit", str(chain.BUILD_GAS_LIMIT), "--dump-state", str(state))
    async with anvil(binary, 0, *flags) as node, Rpc(f"http://127.0.0.1:{node.port}") as rpc:
        manifest = await chain.build(rpc, artifacts, accounts, seed)
    if not state.exists():
        raise KeeperError("anvil did not save the chain it built")
    return manifest


def _key(accounts: int, seed: int) -> str:
    files = [HERE / name for name in SOURCES] + sorted((HERE / "genesis").glob("*.py")) + sorted(OWN.glob("*.json"))
    return cache.digest([install.lock(), f"{accounts}/{seed}".encode(), *(file.read_bytes() for file in files)])
