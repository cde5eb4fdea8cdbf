"""The devnet as a process: quick, deterministic, clean to leave, clear when it cannot start."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from keeper.config import load
from keeper.devnet import Devnet, DevnetOptions, cache, install, solc
from keeper.devnet.artifacts import Artifacts
from keeper.devnet.names import BENEFICIARY, DEPLOYER
from keeper.devnet.state import build_chain
from keeper.errors import KeeperError

SERVE = """
import asyncio
from keeper.devnet import DevnetOptions
from keeper.devnet.serve import serve

asyncio.run(serve(DevnetOptions(), json=True, on_step=lambda step: None))
"""


async def test_boots_from_the_cache_in_well_under_a_second(devnet: Devnet) -> None:
    started = time.perf_counter()
    async with Devnet.start(DevnetOptions()) as net:
        assert await net.prices() == await devnet.prices()
    assert time.perf_counter() - started < 1


async def test_the_same_seed_builds_the_same_chain_to_the_block_hash(tmp_path: Path) -> None:
    manifests = [await _build(tmp_path / str(i), seed=7) for i in range(2)]
    assert manifests[0] == manifests[1]


async def test_another_seed_builds_another_chain(tmp_path: Path) -> None:
    first, second = [await _build(tmp_path / str(seed), seed=seed) for seed in (7, 8)]
    assert first["borrowers"] != second["borrowers"]
    assert first["head"] != second["head"]


async def test_tells_where_it_is_in_one_json_line_and_ends_cleanly_on_sigterm() -> None:
    process, facts = await _served()
    reader, writer = await _connect(facts["rpc"])
    assert set(facts) == {"rpc", "ws", "ipc", "chain_id", "config", "addresses"}
    assert facts["chain_id"] == 31337
    assert _exists(facts["config"])
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0
    await _hangs_up(reader)
    assert not _exists(facts["config"])
    writer.close()


async def test_leaves_no_node_behind_when_its_parent_is_killed() -> None:
    process, facts = await _served()
    reader, writer = await _connect(facts["rpc"])
    process.kill()
    await process.wait()
    await _hangs_up(reader)
    writer.close()
    shutil.rmtree(Path(facts["config"]).parent)


async def test_the_config_it_writes_is_accepted_and_names_every_market_and_the_venue(devnet: Devnet) -> None:
    chain = load(devnet.config, {}).chains[0]
    assert [market.address for market in chain.markets] == [
        devnet.addresses[name] for name in ("aave_v36.provider", "aave_v302.provider", "morpho.blue", "perp.clearing_house", "yield.witch")
    ]
    assert [venue.address for venue in chain.venues] == [devnet.addresses["uniswap.factory"]]
    assert chain.executor is not None
    assert (chain.executor.owner, chain.executor.beneficiary) == (DEPLOYER, BENEFICIARY)
    assert chain.signer is not None


async def test_its_key_file_is_readable_by_the_owner_only(devnet: Devnet) -> None:
    assert devnet.config.with_name("operator.key").stat().st_mode & 0o077 == 0


async def test_says_what_to_install_when_npm_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPER_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KeeperError, match=r"^the devnet needs npm, .* install Node\.js"):
        async with Devnet.start():
            pass


async def test_says_so_when_the_cache_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KEEPER_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(KeeperError, match="cannot write the cache"):
        async with Devnet.start():
            pass


async def test_says_so_when_the_port_is_taken(devnet: Devnet) -> None:
    port = int(devnet.rpc.rpartition(":")[2])
    with pytest.raises(KeeperError, match="anvil did not start"):
        async with Devnet.start(DevnetOptions(port=port)):
            pass


async def test_a_cache_entry_is_built_once_however_many_ask_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPER_CACHE_DIR", str(tmp_path))
    builds = 0

    async def build(target: Path) -> None:
        nonlocal builds
        builds += 1
        await asyncio.to_thread((target / "x").write_text, "whole")

    paths = await asyncio.gather(*(cache.entry("name", build) for _ in range(5)))
    assert builds == 1
    assert {(path / "x").read_text() for path in paths} == {"whole"}


async def test_a_build_that_fails_leaves_no_cache_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPER_CACHE_DIR", str(tmp_path))

    async def build(target: Path) -> None:
        await asyncio.to_thread((target / "x").write_text, "half")
        raise KeeperError("no")

    with pytest.raises(KeeperError, match="no"):
        await cache.entry("name", build)
    assert os.listdir(tmp_path) == ["name.lock"]


async def _build(target: Path, seed: int) -> dict[str, Any]:
    await asyncio.to_thread(target.mkdir)
    modules = await install.packages(print)
    artifacts = Artifacts(modules, {name: await solc.compiled(name, modules, print) for name in solc.UNITS})
    return await build_chain(install.anvil_binary(modules), artifacts, target, 6, seed)


async def _served() -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVE, stdout=asyncio.subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    facts: dict[str, Any] = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    return process, facts


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


async def _hangs_up(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 10) == b""


def _exists(path: str) -> bool:
    return Path(path).exists()
