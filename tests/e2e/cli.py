"""The `keeper` program as its user has it: a process, its arguments, its streams and its exit status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeper.devnet import Devnet
from keeper.devnet.names import BENEFICIARY, DEPLOYER, OPERATOR, OPERATOR_KEY
from keeper.types import Address
from tests.e2e.calls import EXECUTOR
from tests.markets import config_of

KEEPER = Path(sys.executable).with_name("keeper")
PATIENCE_S = 40.0
NOBODY = "0x" + "11" * 20
FALL = {"WETH": 85, "wstETH": 85, "WBTC": 88, "LINK": 85}
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("KEEPER_")}
AT_ONCE = asyncio.Semaphore(4)

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished run. `said`: what it told on stderr in the end, without the log."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[Row]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def said(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("keeper")]

    @property
    def failed(self) -> tuple[int, str]:
        """Status and message; the message must be one line."""
        assert self.out == ""
        assert len(self.said) == 1, self.err
        return self.status, self.said[0].removeprefix("keeper: ")

    def bad(self) -> dict[str, Row]:
        """Of `check --json`: the lines that are not ok, each of which must say what to do."""
        found = {row["check"]: row for row in self.rows if not row["ok"]}
        assert all(row["detail"] and row["fix"] for row in found.values())
        assert self.status == (1 if found else 0)
        return found


class Folder:
    """A user's folder with a config for a devnet. `edit` replaces a line of it by its first word, or adds one to a table."""

    def __init__(self, path: Path, net: Devnet) -> None:
        self.path = path
        self.config = path / "keeper.toml"
        self.data = path / "data"
        self.key = path / "operator.key"
        path.mkdir(parents=True, exist_ok=True)
        self.config.write_text(net.config.read_text())
        self.write_key(OPERATOR_KEY)
        self._secrets = [OPERATOR_KEY.removeprefix("0x"), net.rpc, net.ws, "Traceback"]

    @property
    def book(self) -> Path:
        return self.data / "devnet" / "book.sqlite"

    @property
    def ledger(self) -> Path:
        return self.data / "devnet" / "ledger.sqlite"

    def write_key(self, text: str) -> None:
        self.key.write_text(text)
        self.key.chmod(0o600)

    def edit(self, **lines: str) -> Folder:
        """Set keys of the config to TOML values, wherever they stand."""
        text = self.config.read_text()
        for key, value in lines.items():
            text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
            assert count, key
        self.config.write_text(text)
        return self

    def only(self, *markets: str) -> Folder:
        """With these markets and no others."""
        self.config.write_text(config_of(self.config.read_text(), *markets))
        return self

    def swap(self, old: str, new: str, times: int = -1) -> Folder:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new, times))
        return self

    def live(self, executor: str) -> Folder:
        return self.edit(mode='"live"').swap("[chains.executor]\n", f'[chains.executor]\naddress = "{executor}"\n')

    def like(self, other: Folder) -> Folder:
        """With a copy of its data."""
        shutil.copytree(other.data, self.data)
        return self

    def hide(self, secret: str) -> None:
        """This must never be seen in any output."""
        self._secrets.append(secret)

    # --- the program ----------------------------------------------------------------------------------------------

    async def keeper(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
        """Run it to its end, which must come."""
        async with AT_ONCE:
            process = await self.start(arguments, env or {})
            try:
                out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
            except TimeoutError:
                process.kill()
                raise AssertionError(f"keeper {' '.join(arguments)} did not end: {(await process.communicate())[1].decode()}") from None
        self.check_words(out.decode() + err.decode())
        return Ended(process.returncode or 0, out.decode(), err.decode())

    @contextlib.asynccontextmanager
    async def daemon(self, *arguments: str) -> AsyncIterator[Daemon]:
        """`keeper run --json` in the background, from its first block on."""
        process = await self.start(("run", "--json", *arguments), {})
        try:
            yield Daemon(self, process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def start(self, arguments: tuple[str, ...], env: Mapping[str, str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            env={**CLEAN, "COLUMNS": "200", "NO_COLOR": "1", **env},
            cwd=self.path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**24,
        )

    def command(self, *arguments: str) -> list[str]:
        return [str(KEEPER), *arguments, "--config", str(self.config)]

    def check_words(self, text: str) -> None:
        for secret in self._secrets:
            assert secret not in text, text


MakeFolder = Callable[[str], Folder]


class Daemon:
    """A running keeper and its log."""

    def __init__(self, folder: Folder, process: asyncio.subprocess.Process) -> None:
        self._folder, self._process = folder, process
        self.log: list[Row] = []
        self._rest: list[str] = []

    async def until(self, event: str, **values: Any) -> Row:
        """The next log entry of this event with these values."""
        async with asyncio.timeout(PATIENCE_S):
            while (line := await self.line()) is not None:
                if line.get("event") == event and all(line.get(key) == value for key, value in values.items()):
                    return line
        raise AssertionError(f"the keeper ended before {event}: {self._rest}")

    async def block(self, number: int) -> Row:
        """What it did at this block or a later one."""
        row = await self.until("block")
        while row["number"] < number:
            row = await self.until("block")
        return row

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        self.terminate(number)
        return await self.end()

    async def end(self) -> Ended:
        async with asyncio.timeout(PATIENCE_S):
            while await self.line() is not None:
                pass
            status = await self._process.wait()
        return Ended(status, "", "\n".join(self._rest))

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def line(self) -> Row | None:
        assert self._process.stderr is not None
        raw = (await self._process.stderr.readline()).decode()
        if not raw:
            return None
        self._folder.check_words(raw)
        if not raw.startswith("{"):
            self._rest.append(raw.rstrip())
            return {}
        self.log.append(json.loads(raw))
        return self.log[-1]


async def deployed(folder: Folder, net: Devnet) -> str:
    """The address of an executor deployed by `keeper deploy`."""
    process = await folder.start(("deploy", "--json"), {})
    assert process.stderr is not None
    assert b"deployment_sent" in await asyncio.wait_for(process.stderr.readline(), PATIENCE_S)
    await net.mine()
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0
    return str(json.loads(out)["executor"])


async def at_once(*runs: Awaitable[Ended]) -> list[Ended]:
    return await asyncio.gather(*runs)


async def placed(net: Devnet) -> Address:
    """An executor on the chain."""
    receipt = await net.transact(DEPLOYER, None, EXECUTOR.creation((DEPLOYER, BENEFICIARY, [OPERATOR]), {}))
    return Address(receipt["contractAddress"].lower())


async def crash(net: Devnet) -> int:
    """A block after which some accounts are liquidatable."""
    prices = await net.prices()
    await net.set_prices({symbol: prices[symbol] * percent // 100 for symbol, percent in FALL.items()})
    return await net.mine()
