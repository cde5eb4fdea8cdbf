"""Third-party contracts and tools: npm installs them by name and lock, solcjs compiles what ships as source only; both are cached."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from keeper.devnet import cache
from keeper.errors import KeeperError

NULL = Path(os.devnull)
NPM = Path(__file__).with_name("npm")
NPM_CI = ("ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund")
AAVE_V36 = "@aave-dao/aave-v3-origin"
ROOTS = (
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
)
REMAPPINGS = {
    "openzeppelin-contracts/contracts/": "@openzeppelin/contracts/",
    "openzeppelin-contracts-upgradeable/contracts/": "@openzeppelin/contracts-upgradeable/",
    "solidity-utils/": "@bgd-labs/solidity-utils/src/",
}
SETTINGS: dict[str, Any] = {
    "optimizer": {"enabled": True, "runs": 200},
    "viaIR": False,
    "evmVersion": "shanghai",
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
    "remappings": [f"{prefix}={target}" for prefix, target in REMAPPINGS.items()],
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences"]}},
}
IMPORT = re.compile(r"""^\s*import\s[^;]*?["']([^"']+)["']\s*;""", re.MULTILINE)

Report = Callable[[str], None]


async def packages(report: Report) -> Path:
    """The `node_modules` of our lock file. Raises KeeperError when node or npm is missing or npm fails."""

    async def build(target: Path) -> None:
        report("installing contracts")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(NPM / name, target / name)
        await _run([_tool("npm"), *NPM_CI], target)

    return await cache.entry(f"npm-{cache.digest([lock()])}", build) / "node_modules"


async def compiled(modules: Path, report: Report) -> Path:
    """Aave v3.6 as compiled by solcjs: `contracts.json`, by contract name."""

    async def build(target: Path) -> None:
        report("compiling")
        await _compile(modules, target / "contracts.json")

    versions = [(modules / name / "package.json").read_bytes() for name in (AAVE_V36, "solc")]
    return await cache.entry(f"solc-{cache.digest([*versions, orjson.dumps([SETTINGS, ROOTS])])}", build) / "contracts.json"


def lock() -> bytes:
    return (NPM / "package-lock.json").read_bytes()


def anvil_binary(modules: Path) -> Path:
    """This machine's anvil. Raises KeeperError when its package has none."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    binary = modules / "@foundry-rs" / f"anvil-{platform.system().lower()}-{machine}" / "bin" / "anvil"
    if not binary.exists():
        raise KeeperError(f"there is no anvil for {platform.system()} on {platform.machine()}")
    return binary


async def _compile(modules: Path, target: Path) -> None:
    request, reply = target.with_name("request.json"), target.with_name("reply.json")
    request.write_bytes(orjson.dumps({"language": "Solidity", "sources": _sources(modules), "settings": SETTINGS}))
    await _run([_tool("node"), str(modules / "solc" / "solc.js"), "--standard-json"], target.parent, request, reply)
    _extract(reply, target)
    request.unlink()
    reply.unlink()


def _extract(reply: Path, target: Path) -> None:
    target.write_bytes(orjson.dumps(_contracts(_output(reply.read_bytes()))))


def _output(reply: bytes) -> dict[str, dict[str, Any]]:
    output = orjson.loads(reply[reply.index(b"{") :])  # solcjs may say something before
    if errors := [e["formattedMessage"] for e in output.get("errors", ()) if e["severity"] == "error"]:
        raise KeeperError(f"solcjs refuses Aave v3.6: {errors[0].splitlines()[0]}")
    contracts: dict[str, dict[str, Any]] = output["contracts"]
    return contracts


def _contracts(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    named = ((name, contract) for file in files.values() for name, contract in file.items())
    return {name: {"abi": c["abi"], **_bytecode(c["evm"]["bytecode"])} for name, c in named if c["evm"]["bytecode"]["object"]}


def _bytecode(bytecode: dict[str, Any]) -> dict[str, Any]:
    return {"bytecode": "0x" + bytecode["object"], "linkReferences": bytecode["linkReferences"]}


def _sources(modules: Path) -> dict[str, dict[str, str]]:
    pending = [f"{AAVE_V36}/src/contracts/{root}.sol" for root in ROOTS]
    sources: dict[str, dict[str, str]] = {}
    while pending:
        name = pending.pop()
        if name not in sources:
            text = (modules / name).read_text()
            sources[name] = {"content": text}
            pending += [_resolve(name, path) for path in IMPORT.findall(text)]
    return sources


def _resolve(importer: str, path: str) -> str:
    if path.startswith("."):
        parts = importer.split("/")[:-1]
        for part in path.split("/"):
            parts = parts[:-1] if part == ".." else parts if part == "." else [*parts, part]
        return "/".join(parts)
    for prefix, target in REMAPPINGS.items():
        if path.startswith(prefix):
            return target + path.removeprefix(prefix)
    return path


def _tool(name: str) -> str:
    if found := shutil.which(name):
        return found
    raise KeeperError(f"the devnet needs {name}, which is not on the PATH: install Node.js 20 or newer with npm")


async def _run(command: list[str], cwd: Path, stdin: Path = NULL, stdout: Path = NULL) -> None:
    # files, not pipes: solcjs reads and writes its standard streams in one go, and Node's pipes lose what does not fit
    with stdin.open("rb") as source, stdout.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdin=source, stdout=sink, stderr=asyncio.subprocess.PIPE)
        try:
            _, errors = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
    if process.returncode:
        raise KeeperError(f"{Path(command[0]).name} failed with status {process.returncode}: {_reason(errors.decode(errors='replace'))}")


def _reason(errors: str) -> str:
    lines = [line.removeprefix("npm error").strip() for line in errors.splitlines() if "warn" not in line]
    return next((line for line in lines if line and not line.startswith("code ")), "no message")
