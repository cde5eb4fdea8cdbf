"""docs/first-adapter.md is true: its blocks run, in order, as they stand."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from keeper.testing import AdapterSuite
from tests.e2e.test_scaffold import BIN, OFFLINE, run

GUIDE = (Path(__file__).parents[2] / "docs" / "first-adapter.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", GUIDE, re.S)
NAME = "lemonade"


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """Whose interpreter finds the package, and forgets it afterwards."""
    monkeypatch.syspath_prepend(tmp_path / NAME)
    yield Reader(tmp_path)
    for module in [module for module in sys.modules if module.partition(".")[0] == NAME]:
        del sys.modules[module]


class Reader:
    """Somebody with two terminals: a shell, and a Python that can wait."""

    def __init__(self, folder: Path) -> None:
        self.cwd, self._site, self.names = folder, folder / "site", dict[str, Any]()
        self.said: dict[str, str] = {}

    async def shell(self, block: str) -> None:
        for line in block.splitlines():
            words = re.findall(r'"[^"]*"|\S+', line)
            if words[0] == "cd":
                self.cwd = self.cwd / words[1]
            else:
                self.said[line] = await self._run([word.strip('"') for word in words])

    async def _run(self, words: list[str]) -> str:
        """Blocks come while it runs, once there is a chain."""
        net = self.names.get("net")
        env = {"KEEPER_CONFIG": str(net.config)} if net else {}
        env |= {**OFFLINE, "PIP_TARGET": str(self._site), "PYTHONPATH": str(self._site), "KEEPER_DATA_DIR": str(self._site / "data")}
        running = asyncio.create_task(run(self.cwd, str(BIN / words[0]), *words[1:], **env))
        while not (await asyncio.wait({running}, timeout=0.5))[0]:
            if net and words[:2] == ["keeper", "run"]:
                await net.mine()
        status, output = running.result()
        assert status == 0, f"{words}: {output}"
        return output

    async def python(self, block: str) -> None:
        code = compile(block, "first-adapter.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        await _evaluated(code, self.names)


async def _evaluated(code: CodeType, names: dict[str, Any]) -> None:
    found = eval(code, names)  # noqa: S307 our own page
    if inspect.isawaitable(found):
        await found


@pytest.mark.timeout(300)
async def test_every_block_of_the_guide_runs_in_order(reader: Reader, capsys: pytest.CaptureFixture[str]) -> None:
    for language, block in BLOCKS:
        await {"sh": reader.shell, "python": reader.python}[language](block)
    assert "word 0 of the audit as of" in capsys.readouterr().out
    assert NAME in reader.said["keeper adapters"]
    rows = [json.loads(line) for line in reader.said["keeper scan --json"].splitlines()]
    assert any(row["market"] == "our-bank" and row["liquidatable"] for row in rows)
    assert re.search(r"\bdry\b.*market=our-bank", reader.said["keeper run --blocks 1"])


def test_every_check_that_the_guide_names_is_one() -> None:
    checks = [name.removeprefix("test_") for name in dir(AdapterSuite) if name.startswith("test_")]
    table = GUIDE.partition("| mistake | check |")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)…?`", table)
    assert len(named) >= 7
    assert [name for name in named if not any(check.startswith(name) for check in checks)] == []


def test_every_selection_of_checks_in_the_guide_selects_some_and_all_together_most() -> None:
    checks = [name for name in dir(AdapterSuite) if name.startswith("test_")]
    selections = [words.split(" or ") for words in re.findall(r'pytest -k "([^"]+)"', GUIDE)]
    chosen = [{check for check in checks if any(word in check for word in words)} for words in selections]
    assert all(len(found) >= 3 for found in chosen)
    assert len(set().union(*chosen)) > len(checks) * 3 // 4
