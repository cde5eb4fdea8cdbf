"""Bidding models as processes: real ones, that answer, die, hang, talk nonsense, and leave children behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from keeper.bidding.auction import Decision, Standing
from keeper.execution.model import LotModel, ModelProcess

HEAD = """\
import json, os, subprocess, sys, time
def asked():
    for line in sys.stdin:
        yield json.loads(line)
def say(**words):
    print(json.dumps(words), flush=True)
"""
HALF = "for q in asked(): say(id=q['id'], price=str(int(q['value']) // 2))"
LOT = Standing("market", "0x1", 1_000, 5 * 10**18, 400, 1000, 30, 7)
WAIT_S = 10


class Default:
    """Says what it is asked, and never takes."""

    def decide(self, standing: Standing) -> Decision:
        return Decision(False, 7, "default")


class Model(LotModel):
    """With a look at its process."""

    def __init__(self, process: ModelProcess) -> None:
        super().__init__(process, Default())
        self.process = process

    @property
    def pid(self) -> int | None:
        return self.process.pid

    @property
    def starts(self) -> int:
        return self.process.starts


Start = Callable[..., "contextlib.AbstractAsyncContextManager[Model]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @contextlib.asynccontextmanager
    async def started(script: str, answer_s: float = WAIT_S, first_pause_s: float = 0.01) -> AsyncIterator[Model]:
        path = tmp_path / "model.py"
        path.write_text(HEAD + script)
        async with ModelProcess.start([sys.executable, str(path)], answer_s, first_pause_s) as process:
            model = Model(process)
            await until(lambda: model.pid is not None)
            yield model

    return started


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():  # noqa: ASYNC110 - it looks at another process
            await asyncio.sleep(0)


def alive(pid: int) -> bool:
    """A zombie is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_model_is_told_the_lot_and_names_the_price(start: Start) -> None:
    async with start(HALF) as model:
        assert await model.decide(LOT) == Decision(True, 500, "model")
        assert await model.decide(Standing("market", "0x2", 1, 1, 501, 1000, 0, 0)) == Decision(False, 500, "model")


async def test_every_word_of_the_lot_arrives(start: Start, tmp_path: Path) -> None:
    async with start(
        f"q = next(asked()); open({str(tmp_path / 'heard')!r}, 'w').write(json.dumps(q)); say(id=1, price='0'); time.sleep(60)"
    ) as model:
        await model.decide(LOT)
    expected = (
        '{"id": 1, "auction": "market 0x1", "timestamp": 1000, "lot": "5000000000000000000", '
        '"price": "400", "value": "1000", "cost": "30", "gain": "7"}'
    )
    assert (tmp_path / "heard").read_text() == expected


async def test_many_lots_are_asked_at_once_and_answers_may_come_in_any_order(start: Start) -> None:
    script = "qs = [q for _, q in zip(range(20), asked())]\nfor q in reversed(qs): say(id=q['id'], price=q['value'])\ntime.sleep(60)"
    async with start(script) as model:
        lots = [Standing("market", "0x1", 1, 1, 100, 1000 + number, 0, 0) for number in range(20)]
        decisions = await asyncio.gather(*map(model.decide, lots))
        assert [decision.most_wei for decision in decisions] == [lot.value_wei for lot in lots]


async def test_one_that_hangs_leaves_the_word_to_the_default(start: Start) -> None:
    async with start("time.sleep(60)", answer_s=0.05) as model:
        assert await model.decide(LOT) == Decision(False, 7, "default")


async def test_one_that_reads_nothing_does_not_fill_our_memory(start: Start) -> None:
    async with start("time.sleep(60)", answer_s=0.0) as model:
        long = Standing("x" * 50_000, "0x1", 1, 1, 1, 1, 1, 0)
        decisions = [await model.decide(long) for _ in range(20)]
        assert {decision.by for decision in decisions} == {"default"}


async def test_an_answer_that_comes_late_is_not_taken_for_the_next_one(start: Start) -> None:
    script = "it = asked(); a = next(it); b = next(it); say(id=a['id'], price='999'); say(id=b['id'], price='5'); time.sleep(60)"
    async with start(script, answer_s=0.2) as model:
        assert (await model.decide(LOT)).by == "default"
        assert await model.decide(LOT) == Decision(False, 5, "model")


@pytest.mark.parametrize(
    "nonsense", ["'{'", "'[]'", "'null'", "'7'", "'{\"id\": 1}'", '\'{"id": 1, "price": 3}\'', '\'{"id": 1, "price": "-3"}\'', "'9' * 100"]
)
async def test_garbage_is_passed_over(start: Start, nonsense: str) -> None:
    async with start(f"q = next(asked()); print({nonsense}, flush=True); say(id=q['id'], price='5'); time.sleep(60)") as model:
        assert await model.decide(LOT) == Decision(False, 5, "model")


async def test_one_that_talks_without_end_is_started_again(start: Start) -> None:
    async with start("sys.stdout.write('x' * 10**6); sys.stdout.flush(); time.sleep(60)") as model:
        await until(lambda: model.starts >= 2)


async def test_one_that_dies_is_started_again_and_answers(start: Start, tmp_path: Path) -> None:
    mark = tmp_path / "was here"
    async with start(f"if not os.path.exists({str(mark)!r}): open({str(mark)!r}, 'w'); sys.exit(3)\n{HALF}") as model:
        await until(lambda: model.starts == 2)
        assert await model.decide(LOT) == Decision(True, 500, "model")


async def test_one_that_dies_over_a_question_leaves_the_word_to_the_default_at_once(start: Start) -> None:
    async with asyncio.timeout(WAIT_S), start("next(asked())", answer_s=10 * WAIT_S) as model:
        assert await model.decide(LOT) == Decision(False, 7, "default")


async def test_one_that_keeps_dying_is_started_ever_more_seldom(start: Start) -> None:
    async with start("sys.exit(1)", first_pause_s=0.05) as model:
        began = asyncio.get_running_loop().time()
        await until(lambda: model.starts >= 4)
        assert asyncio.get_running_loop().time() - began > 0.05 + 0.1 + 0.2 - 0.05
        assert (await model.decide(LOT)).by in ("default", "model")


async def test_a_command_that_does_not_exist_leaves_the_word_to_the_default() -> None:
    async with ModelProcess.start(["no such program"], 0.05, 0.01) as process:
        model = Model(process)
        assert (await model.decide(LOT)).by == "default"
        assert model.starts == 0


async def test_at_the_end_it_is_killed_with_its_children(start: Start, tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"p = subprocess.Popen(['sleep', '60']); open({str(child)!r}, 'w').write(str(p.pid))\n{HALF}"
    async with start(script) as model:
        await model.decide(LOT)
        pids = [model.pid or 0, int(child.read_text())]
        assert all(alive(pid) for pid in pids)
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_it_gets_nothing_of_our_environment(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEPER_SECRET", "hush")
    heard = tmp_path / "environment"
    async with start(f"open({str(heard)!r}, 'w').write(json.dumps(dict(os.environ)))\n{HALF}") as model:
        await model.decide(LOT)
    assert "hush" not in heard.read_text()
    assert "PATH" in heard.read_text() or "PATH" not in os.environ
