"""Third-party contracts and tools, installed by npm by name and lock into the cache."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from keeper.devnet import cache
from keeper.devnet.tools import Report, run, tool
from keeper.errors import KeeperError

NPM = Path(__file__).with_name("npm")
NPM_CI = ("ci", "--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund")


async def packages(report: Report) -> Path:
    """The `node_modules` of our lock file. Raises KeeperError when node or npm is missing or npm fails."""

    async def build(target: Path) -> None:
        report("installing contracts")
        for name in ("package.json", "package-lock.json"):
            shutil.copy(NPM / name, target / name)
        await run([tool("npm"), *NPM_CI], target)

    return await cache.entry(f"npm-{cache.digest([lock()])}", build) / "node_modules"


def lock() -> bytes:
    return (NPM / "package-lock.json").read_bytes()


def anvil_binary(modules: Path) -> Path:
    """This machine's anvil. Raises KeeperError when its package has none."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    binary = modules / "@foundry-rs" / f"anvil-{platform.system().lower()}-{machine}" / "bin" / "anvil"
    if not binary.exists():
        raise KeeperError(f"there is no anvil for {platform.system()} on {platform.machine()}")
    return binary
