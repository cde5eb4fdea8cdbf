"""Protocols that ship as source only: what is compiled of them, with which compiler and how. Each unit is compiled once and cached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from keeper.devnet import cache
from keeper.devnet.tools import Report, run, tool
from keeper.errors import KeeperError

IMPORT = re.compile(r"""^\s*import\s[^;]*?["']([^"']+)["']\s*;""", re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """`package` and its source `folder` hold the `roots`; `compiler`: the npm package of solcjs; `remappings`: prefix → prefix."""

    package: str
    folder: str
    roots: tuple[str, ...]
    compiler: str
    evm: str
    remappings: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        return {
            "optimizer": {"enabled": True, "runs": 200},
            "viaIR": False,
            "evmVersion": self.evm,
            "metadata": {"bytecodeHash": "none", "appendCBOR": False},
            "remappings": [f"{prefix}={target}" for prefix, target in self.remappings.items()],
            "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences"]}},
        }


UNITS = {
    "v36": Unit(
        "@aave-dao/aave-v3-origin",
        "src/contracts",
        (
            "instances/PoolInstance",
            "instances/PoolConfiguratorInstance",
            "instances/ATokenInstance",
            "instances/VariableDebtTokenInstance",
            "protocol/configuration/PoolAddressesProvider",
            "protocol/configuration/ACLManager",
            "misc/AaveOracle",
            "misc/DefaultReserveInterestRateStrategyV2",
            "misc/PriceOracleSentinel",
            "helpers/AaveProtocolDataProvider",
            "helpers/LiquidationDataProvider",
        ),
        "solc",
        "shanghai",
        {
            "openzeppelin-contracts/contracts/": "@openzeppelin/contracts/",
            "openzeppelin-contracts-upgradeable/contracts/": "@openzeppelin/contracts-upgradeable/",
            "solidity-utils/": "@bgd-labs/solidity-utils/src/",
        },
    ),
    "morpho": Unit("@morpho-org/morpho-blue", "src", ("Morpho",), "solc-0.8.19", "paris"),
    "yield": Unit(
        "@yield-protocol/vault-v2",
        "contracts",
        (
            *("Cauldron", "Ladle", "Witch", "Join", "FYToken"),
            "oracles/chainlink/ChainlinkUSDMultiOracle",
            "oracles/accumulator/AccumulatorMultiOracle",
        ),
        "solc-0.8.19",
        "paris",
    ),
}
"""By the family that artifacts are named by: "v36:PoolInstance"."""


async def compiled(name: str, modules: Path, report: Report) -> Path:
    """A unit's `contracts.json`, by contract name. Raises KeeperError when the compiler refuses it."""
    unit = UNITS[name]

    async def build(target: Path) -> None:
        report("compiling")
        await _compile(unit, modules, target / "contracts.json")

    versions = [(modules / package / "package.json").read_bytes() for package in (unit.package, unit.compiler)]
    return await cache.entry(f"solc-{cache.digest([*versions, orjson.dumps(asdict(unit))])}", build) / "contracts.json"


async def _compile(unit: Unit, modules: Path, target: Path) -> None:
    request, reply = target.with_name("request.json"), target.with_name("reply.json")
    request.write_bytes(orjson.dumps({"language": "Solidity", "sources": _sources(unit, modules), "settings": unit.settings()}))
    await run([tool("node"), str(modules / unit.compiler / "solc.js"), "--standard-json"], target.parent, request, reply)
    _extract(unit, reply, target)
    request.unlink()
    reply.unlink()


def _extract(unit: Unit, reply: Path, target: Path) -> None:
    target.write_bytes(orjson.dumps(_contracts(_output(unit, reply.read_bytes()))))


def _output(unit: Unit, reply: bytes) -> dict[str, dict[str, Any]]:
    output = orjson.loads(reply[reply.index(b"{") :])  # solcjs may say something before
    if errors := [e["formattedMessage"] for e in output.get("errors", ()) if e["severity"] == "error"]:
        raise KeeperError(f"solcjs refuses {unit.package}: {errors[0].splitlines()[0]}")
    contracts: dict[str, dict[str, Any]] = output["contracts"]
    return contracts


def _contracts(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    named = ((name, contract) for file in files.values() for name, contract in file.items())
    return {name: {"abi": c["abi"], **_bytecode(c["evm"]["bytecode"])} for name, c in named if c["evm"]["bytecode"]["object"]}


def _bytecode(bytecode: dict[str, Any]) -> dict[str, Any]:
    return {"bytecode": "0x" + bytecode["object"], "linkReferences": bytecode["linkReferences"]}


def _sources(unit: Unit, modules: Path) -> dict[str, dict[str, str]]:
    pending = [f"{unit.package}/{unit.folder}/{root}.sol" for root in unit.roots]
    sources: dict[str, dict[str, str]] = {}
    while pending:
        name = pending.pop()
        if name not in sources:
            text = (modules / name).read_text()
            sources[name] = {"content": text}
            pending += [_resolve(unit, name, path) for path in IMPORT.findall(text)]
    return sources


def _resolve(unit: Unit, importer: str, path: str) -> str:
    if path.startswith("."):
        parts = importer.split("/")[:-1]
        for part in path.split("/"):
            parts = parts[:-1] if part == ".." else parts if part == "." else [*parts, part]
        return "/".join(parts)
    for prefix, target in unit.remappings.items():
        if path.startswith(prefix):
            return target + path.removeprefix(prefix)
    return path
