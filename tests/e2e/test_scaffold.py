"""`keeper adapter new` and `keeper adapters`: what is written works as it is, and what is installed is listed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from keeper.adapters.morpho_blue.cells import MOST_MARKETS
from keeper.commands.adapters import adapters, options
from keeper.errors import ConfigError
from keeper.scaffold import write
from keeper.scaffold.build import EXAMPLE, TEMPLATE, render

BIN = Path(sys.executable).parent
OFFLINE = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
"""pip's own word for "no isolation" is 0."""


async def run(cwd: Path, *words: str, **env: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *words, cwd=cwd, env={**os.environ, "COLUMNS": "200", **env}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def test_the_template_is_the_example_as_it_is_tested_here() -> None:
    assert TEMPLATE.read_text() == render(), "run python -m keeper.scaffold.build"


def test_an_adapter_called_as_the_example_is_the_example(tmp_path: Path) -> None:
    files = json.loads(TEMPLATE.read_text())
    assert {path: (EXAMPLE / path).read_text() for path in files} == files
    with pytest.raises(ConfigError, match="Python has a module 'tiny_bank' already"):
        write("tiny-bank", tmp_path)


async def test_a_new_adapter_passes_its_own_tests(tmp_path: Path) -> None:
    status, output = await run(tmp_path, str(BIN / "keeper"), "adapter", "new", "my-protocol", "--json")
    assert (status, json.loads(output)["folder"]) == (0, "my-protocol")
    status, output = await run(tmp_path / "my-protocol", str(BIN / "pytest"), "-q", "-p", "no:cacheprovider")
    assert status == 0, output
    assert int(output.rsplit(" passed", 1)[0].split()[-1]) > 45
    names = [path.read_text() + path.name for path in (tmp_path / "my-protocol").rglob("*.py")]
    assert not any("tiny" in text.lower() for text in names)


async def test_an_installed_adapter_is_listed_with_its_package_and_what_it_says_of_itself(tmp_path: Path) -> None:
    write("my-protocol", tmp_path)
    status, output = await run(
        tmp_path, str(BIN / "pip"), "install", "./my-protocol", "--quiet", "--target", str(tmp_path / "site"), **OFFLINE
    )
    assert status == 0, output
    (tmp_path / "site" / "my_protocol" / "rules.py").unlink()
    status, output = await run(tmp_path, str(BIN / "keeper"), "adapters", "--json", PYTHONPATH=str(tmp_path / "site"))
    rows = {row["name"]: row for row in map(json.loads, output.splitlines())}
    assert status == 0
    assert rows["tiny-bank"] == {
        "name": "tiny-bank",
        "for": "market",
        "package": "keeper-tiny-bank",
        "version": "0.1.0",
        "about": "Tiny bank: one collateral, one debt. Its address is the bank's.",
        "can": [],
        "options": [],
    }
    assert rows["my-protocol"]["about"].startswith("cannot be loaded: ModuleNotFoundError: No module named 'my_protocol.rules'")


async def test_every_adapter_of_ours_says_which_address_it_wants() -> None:
    ours = [row async for row in adapters() if row["package"] == "keeper"]
    assert {row["for"] for row in ours} == {"market", "venue"}
    assert [row["name"] for row in ours if "Its address is" not in row["about"]] == []


async def test_what_it_can_do_and_be_told_is_listed_as_the_daemon_has_it() -> None:
    rows = [row async for row in adapters()]
    assert {row["name"]: row["can"] for row in rows if row["can"]} == {
        "perp-v2": ["positions can be kept", "changes at set times"],
        "yield-v2": ["auctions", "changes at set times"],
        "uniswap-v3": ["remembers prices"],
    }
    told = list(options(rows))
    assert {(one["adapter"], one["option"]): one["default"] for one in told} == {
        ("morpho-blue", "markets"): [],
        ("morpho-blue", "feeds"): {},
        ("morpho-blue", "dollars"): [],
        ("morpho-blue", "least_lltv_bps"): 0,
        ("morpho-blue", "most_lltv_bps"): 10_000,
        ("morpho-blue", "most_markets"): MOST_MARKETS,
        ("morpho-blue", "least_borrowed_usd"): 0,
        ("perp-v2", "accounts"): [],
        ("yield-v2", "reward_to"): [],
    }
    assert [one["option"] for one in told if not one["about"] or not one["is"]] == []


def test_an_adapter_whose_options_cannot_be_known_says_so() -> None:
    (row,) = options([{"name": "other", "options": None}])
    assert (row["adapter"], row["about"]) == ("other", "not told: it asks a node before it has read them")


@pytest.mark.parametrize("name", ["", "My", "my_protocol", "1st", "a--b", "../x", "class", "json", "keeper", "pytest"])
def test_a_name_that_cannot_be_used_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        write(name, tmp_path)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigError, match="is there already"):
        write("mine", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        write("other", tmp_path / "file")
