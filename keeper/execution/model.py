"""A bidding model in a process of its own, speaking JSON lines, as keepers of Dutch auctions are used to.

One line in for each question, on its standard input:

    {"id": 7, "auction": "market 0xaccount", "timestamp": 1767225612, "lot": "5413816921945222555", "price": "…", "value": "…", "cost": "…",
     "gain": "…"}

One line out for each answer, the highest price at which to take the lot:

    {"id": 7, "price": "5210000000000000000"}

A model of bids (`[chains.bidding] model`) is asked about a plan that the node has vouched for, and answers with the priority fee in all:

    {"id": 8, "bid": "market 0xaccount", "block": 23000000, "timestamp": 1767225612, "value": "…", "cost": "…", "gas": 512000,
     "offered": "…"}
    {"id": 8, "price": "310000000000000000"}

`value` is what the plan earns, `cost` its gas at the base fee, `offered` what the policy would bid.

Amounts are decimal strings: `lot` in the collateral's smallest unit, the others in wei; `gain` is what waiting a block adds to what value
leaves after price and cost, below zero where it takes away. Answers may come in any order; one that is late, or
none, or garbage leaves the word to the in-process model, with a warning. A process that dies is started again, each time after a longer
pause; at the end it is killed with all it has started. It gets neither our environment nor anything but these lines, and runs in the folder
of the config.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from keeper.bidding.auction import AuctionModel, Decision, Standing
from keeper.errors import ConfigError
from keeper.log import get_logger

ANSWER_S = 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 30.0
LIVED_S = 10.0
"""A process that lived so long is started again without delay."""

LINE_BYTES = 64 * 1024
PASSED = ("PATH", "LANG", "LC_ALL", "TZ")
MOST_WEI = 2**256 - 1

log = get_logger("model")


Facts = Mapping[str, str | int]
"""A question, besides its number."""


class ModelProcess:
    """Start with `async with ModelProcess.start(command) as model`."""

    def __init__(self, command: Sequence[str], answer_s: float, first_pause_s: float, folder: Path) -> None:
        self._command, self._answer_s, self._folder = tuple(command), answer_s, folder
        self._first_pause_s = self._pause_s = first_pause_s
        self._process: asyncio.subprocess.Process | None = None
        self._asked: dict[int, asyncio.Future[int]] = {}
        self._count = 0
        self.starts = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls,
        command: Sequence[str],
        answer_s: float = ANSWER_S,
        first_pause_s: float = FIRST_PAUSE_S,
        folder: Path = Path(),
    ) -> AsyncIterator[ModelProcess]:
        """`answer_s`: how long it is waited for. `folder`: where it runs."""
        model = cls(command, answer_s, first_pause_s, folder)
        task = asyncio.create_task(model._run(), name="bidding model")
        try:
            yield model
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def pid(self) -> int | None:
        """Of the process that is running now."""
        return self._process.pid if self._process else None

    async def ask(self, facts: Facts) -> int:
        """The price the process answers with. Raises OSError where there is nobody to ask, TimeoutError where he is silent."""
        self._count += 1
        number, answer = self._count, asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self._say(number, facts)
            return await asyncio.wait_for(answer, self._answer_s)
        finally:
            del self._asked[number]

    def _say(self, number: int, facts: Facts) -> None:
        pipe = self._process.stdin if self._process else None
        if pipe is None or pipe.is_closing():
            raise OSError("the model is not running")
        if pipe.transport.get_write_buffer_size() > LINE_BYTES:
            raise OSError("the model does not read")
        pipe.write(orjson.dumps({"id": number, **facts}) + b"\n")

    # --- the process

    async def _run(self) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._live()
            except OSError as error:
                log.warning("model_not_started", why=error.strerror)
            if asyncio.get_running_loop().time() - began >= LIVED_S:
                self._pause_s = self._first_pause_s
            log.warning("model_died", again_in_s=self._pause_s)
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    async def _live(self) -> None:
        """One process, from its start to its end. Raises OSError when it cannot be started."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LINE_BYTES,
            cwd=self._folder,
            env={name: os.environ[name] for name in PASSED if name in os.environ},
            start_new_session=True,
        )
        self._process, self.starts = process, self.starts + 1
        try:
            await self._listen(process)
        finally:
            self._process = None
            self._give_up()
            _kill(process)
            await process.wait()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Until it says no more."""
        if process.stdout is None:
            return
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                log.warning("model_garbage", why="a line without end")
                return
            if not line:
                return
            self._hear(line)

    def _give_up(self) -> None:
        """What it was asked it will not answer."""
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(OSError("the model died"))

    def _hear(self, line: bytes) -> None:
        try:
            number, most_wei = _answer(orjson.loads(line))
        except (ValueError, TypeError, KeyError):
            log.warning("model_garbage", line=line[:80].decode("utf-8", errors="replace").rstrip())
            return
        answer = self._asked.get(number)
        if answer is not None and not answer.done():
            answer.set_result(most_wei)


class LotModel:
    """An `Outsider` for lots: the process has the word, and the in-process model where it gives none in time."""

    def __init__(self, process: ModelProcess, default: AuctionModel) -> None:
        self._process, self._default = process, default

    async def decide(self, standing: Standing) -> Decision:
        try:
            most_wei = await self._process.ask(_lot(standing))
        except (OSError, TimeoutError, ValueError) as error:
            log.warning("model_silent", market=standing.market, account=standing.account, why=str(error) or "no answer in time")
            return self._default.decide(standing)
        return Decision(standing.price_wei <= most_wei, most_wei, "model")


def program(command: Sequence[str], folder: Path, key: str = "auctions.model") -> str:
    """Where the command's program is; `key` names it. Raises ConfigError."""
    found = shutil.which(str(folder / command[0]) if os.sep in command[0] else command[0])
    if found is None:
        raise ConfigError(f"{key}: there is no program {command[0]!r} to run")
    return found


def _lot(standing: Standing) -> Facts:
    amounts = {
        "lot": standing.lot,
        "price": standing.price_wei,
        "value": standing.value_wei,
        "cost": standing.cost_wei,
        "gain": standing.gain_wei,
    }
    facts: dict[str, str | int] = {"auction": f"{standing.market} {standing.account}", "timestamp": standing.timestamp_s}
    return facts | {name: str(amount) for name, amount in amounts.items()}


def _answer(said: Any) -> tuple[int, int]:
    """(id, price). Raises ValueError, TypeError or KeyError for anything else."""
    number, price = said["id"], said["price"]
    if not isinstance(number, int) or not isinstance(price, str) or not price.isdecimal() or len(price) > len(str(MOST_WEI)):
        raise ValueError
    return number, int(price)


def _kill(process: asyncio.subprocess.Process) -> None:
    """With all it has started: it leads a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
