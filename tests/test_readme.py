"""The README is true: its commands run, its settings exist, its links lead somewhere."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keeper.config import schema
from keeper.devnet import Devnet
from keeper.devnet.names import TRADER

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
KEEPER = Path(sys.executable).with_name("keeper")
COMMANDS = [line.split("#")[0].strip() for block in re.findall(r"```sh\n(.*?)```", README, re.S) for line in block.splitlines()]
MAKE = [command for command in COMMANDS if command.startswith("make ")]
LONG_LIVED = {"keeper devnet --block-time 1", "keeper demo --keep"}
DEMO = {command for command in COMMANDS if command.startswith("keeper demo")}
ON_A_DEVNET = [command for command in COMMANDS if command.startswith("keeper ") and command not in LONG_LIVED | DEMO]


async def sh(command: str, cwd: Path, **env: str) -> tuple[int, str]:
    """Run as the README's reader would; returns the status and all output."""
    words = [str(KEEPER) if word == "keeper" else os.path.expandvars(word) for word in shlex.split(command)]
    words = [env.get(word.removeprefix("$"), word) for word in words]
    process = await asyncio.create_subprocess_exec(
        *words, cwd=cwd, env={**os.environ, **env}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def test_every_command_of_the_readme_is_one_that_a_test_runs() -> None:
    assert len(COMMANDS) >= 15
    assert set(COMMANDS) == {*MAKE, *LONG_LIVED, *DEMO, *ON_A_DEVNET}


@pytest.mark.parametrize("command", MAKE)
def test_make_knows_the_target(command: str) -> None:
    assert subprocess.run([*command.split(), "-n"], cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.mark.timeout(300)
async def test_the_commands_for_a_devnet_run_in_the_readmes_order(net: Devnet, tmp_path: Path) -> None:
    """`keeper run --blocks` needs blocks to come."""
    env = {"KEEPER_CONFIG": str(net.config), "ACCOUNT": net.borrowers[0], "KEEPER_DATA_DIR": str(tmp_path / "data")}
    for command in ON_A_DEVNET:
        tx = await net.send(TRADER, TRADER, b"", gas=21_000)
        await net.mine()
        running = asyncio.create_task(sh(command, tmp_path, TX=tx, **env))
        while not running.done():
            await asyncio.wait({running}, timeout=0.5)
            await net.mine()
        status, output = await running
        assert status == 0, f"{command}: {output}"
        assert "Traceback" not in output


async def test_the_devnet_serves_until_it_is_stopped(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        KEEPER, "devnet", "--block-time", "1", cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    lines = [(await asyncio.wait_for(process.stdout.readline(), 60)).decode() for _ in range(5)]
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 20) == 0
    config = next(line.split()[1] for line in lines if line.startswith("config"))
    assert config.endswith(".toml")


@pytest.fixture(scope="session")
async def demos(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, asyncio.Task[tuple[int, str]]]]:
    """All ways to run the demo, side by side: they mostly wait for blocks."""
    folder = tmp_path_factory.mktemp("demos")
    run = {"keeper demo": sh, "keeper demo --dry-run": sh, "keeper demo --keep": until_it_stays}
    tasks = {command: asyncio.create_task(how(command, folder)) for command, how in run.items()}
    yield tasks
    await asyncio.gather(*tasks.values(), return_exceptions=True)


async def until_it_stays(command: str, cwd: Path) -> tuple[int, str]:
    """Stop it once it says that it stays; returns the status and what it said."""
    process = await asyncio.create_subprocess_exec(
        KEEPER, *command.split()[1:], cwd=cwd, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said = ""
    while "stay up" not in said and (line := (await process.stderr.readline()).decode()):
        said += line
    assert "stay up" in said
    process.terminate()
    return await asyncio.wait_for(process.wait(), 20), said


async def test_the_demo_earns_to_the_wei_and_ends_well(demos: dict[str, asyncio.Task[tuple[int, str]]]) -> None:
    """Three at once on a busy machine: a transaction may land blocks late, where its profit is gone; then it costs its gas."""
    status, output = await demos["keeper demo"]
    assert status == 0, output
    won, sent, exact = (int(n) for n in re.findall(r"(\d+) liquidations won of (\d+) sent, (\d+) predicted to the wei", output)[0])
    assert won == exact >= max(0.95 * sent, 20), output


async def test_the_dry_demo_decides_and_sends_nothing(demos: dict[str, asyncio.Task[tuple[int, str]]]) -> None:
    status, output = await demos["keeper demo --dry-run"]
    assert status == 0, output
    assert int(re.findall(r"(\d+) accounts would have been liquidated; nothing was sent", output)[0]) > 10


async def test_the_kept_demo_stays_until_it_is_stopped(demos: dict[str, asyncio.Task[tuple[int, str]]]) -> None:
    status, output = await demos["keeper demo --keep"]
    assert status == 0, output


def test_every_setting_is_in_the_reference_with_its_name() -> None:
    tables = [schema(), *schema()["$defs"].values()]
    keys = {key for table in tables for key in table.get("properties", {})} - {"chains"}
    assert {key for key in keys if f"`{key}`" not in README and f"chains.{key}`" not in README} == set()


def test_the_defaults_named_in_the_reference_are_those_in_force() -> None:
    limits = schema()["$defs"]["LimitSettings"]["properties"]
    for key, value in {key: field["default"] for key, field in limits.items()}.items():
        assert f"`{key}` {value:,}" in README
    assert "`mode` | `dry-run`" in README


def test_links_lead_to_files_that_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_version_of_python_asked_for_is_the_packages_own() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f"Python {wanted.removeprefix('>=')} or newer" in README


# --- reasons ------------------------------------------------------------------------------------------------------

TABLE = README.partition("### Reasons")[2].partition("\n## ")[0]
TOLD = set(re.findall(r"`([a-z_]+)`", "\n".join(line.split("|")[1] for line in TABLE.splitlines() if line.startswith("| `"))))
SAID = re.compile(r'(?:raise|=|return) Skip\("([a-z_]+)"')
OF_THE_PIPELINE = re.compile(r'(?:landing, |Verdict\.[A-Z]+, |Verdict\.[A-Z]+, reason=|Rejected\(candidate, )"([a-z_]+)"')


def test_every_reason_of_an_outcome_is_in_the_readmes_table() -> None:
    sources = [path.read_text() for path in (ROOT / "keeper").rglob("*.py") if "testing" not in path.parts]
    said = {reason for text in sources for pattern in (SAID, OF_THE_PIPELINE) for reason in pattern.findall(text)}
    assert len(said) > 50
    assert said - TOLD == set()


def test_the_readmes_table_of_reasons_has_none_that_nobody_gives() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "keeper").rglob("*.py"))
    assert {reason for reason in TOLD if f'"{reason}"' not in sources} == set()
