"""A recorded run re-runs to the same plans, without node, store or relay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from keeper.app import ANSWER_UPDATED
from keeper.config import Settings, load
from keeper.daemon import Listeners, replay, run
from keeper.devnet import Devnet
from keeper.devnet.paths import path
from keeper.errors import Halt
from keeper.pipeline import BlockReport
from keeper.recording.record import Recorder
from keeper.recording.tape import Tape
from keeper.testing.faults import Fault, FaultProxy

STEPS = 4


async def record(net: Devnet, settings: Settings, tape: Path, before: Mapping[int, Callable[[], None]] | None = None) -> None:
    """A dry run through a crash. `before`: what happens before a step's block."""
    steps = path("crash", STEPS, 1, await net.prices())

    async def step(number: int) -> None:
        await net.set_prices(steps[number])
        (before or {}).get(number, lambda: None)()

    await run_through(net, settings, tape, STEPS, step)


async def nothing(number: int) -> None:
    return None


async def run_through(net: Devnet, settings: Settings, tape: Path, blocks: int, step: Callable[[int], Awaitable[None]] = nothing) -> None:
    """A dry run of so many blocks, each worked on before the next is mined. `step`: what happens before one."""
    reached = asyncio.Event()
    wanted = 0

    def block(chain: str, report: BlockReport) -> None:
        if report.head.number >= wanted:
            reached.set()

    with closing(Tape(tape)) as opened:
        keeper = asyncio.create_task(run(settings, live=False, listeners=Listeners(block=(block,)), recorder=Recorder(opened)))
        try:
            for number in range(blocks):
                await step(number)
                reached.clear()
                wanted = await net.mine()
                await within(reached.wait, keeper)
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError):
                await keeper


async def within(waited: Callable[[], Awaitable[object]], keeper: asyncio.Task[None]) -> None:
    waiting = asyncio.ensure_future(waited())
    await asyncio.wait({waiting, keeper}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert not keeper.done(), keeper.exception()
    assert waiting.done(), "the keeper did not report the block in time"


async def test_a_recorded_run_re_runs_to_the_same_plans(net: Devnet, tmp_path: Path) -> None:
    settings = load(net.config, {"KEEPER_DATA_DIR": str(tmp_path / "data")})
    await record(net, settings, tmp_path / "tape")
    first = await replay(settings, tmp_path / "tape")
    assert len(first.recorded) > 10
    assert first.replayed == first.recorded
    assert (await replay(settings, tmp_path / "tape")).replayed == first.replayed


async def test_a_recording_goes_on_over_failures_of_the_node_and_re_runs_as_one(net: Devnet, tmp_path: Path) -> None:
    """The chain starts again each time, and the update that was broken off comes again."""
    async with FaultProxy(net.rpc, net.ws) as proxy:
        config = net.config.with_name("proxied.toml")
        config.write_text(net.config.read_text().replace(net.rpc, proxy.url).replace(net.ws, proxy.ws_url))
        settings = load(config, {"KEEPER_DATA_DIR": str(tmp_path / "data")})
        await record(net, settings, tmp_path / "tape", {1: partial(refuse, proxy, "eth_call"), 2: partial(refuse, proxy, "eth_getLogs")})
    starts = [line for line in (tmp_path / "tape").read_text().splitlines() if line.startswith('["executor"')]
    again = await replay(settings, tmp_path / "tape")
    assert len(starts) == 3
    assert len(again.recorded) > 10
    assert again.replayed == again.recorded


def refuse(proxy: FaultProxy, method: str) -> None:
    proxy.fail(Fault.ERROR, method=method, code=-32000, message="boom")


async def test_a_replay_on_other_data_does_not_pass_for_the_same(net: Devnet, tmp_path: Path) -> None:
    settings = load(net.config, {"KEEPER_DATA_DIR": str(tmp_path / "data")})
    await record(net, settings, tmp_path / "tape")
    lines = (tmp_path / "tape").read_text().splitlines()
    changed = [json.loads(line) for line in lines]
    last = max(index for index, (kind, _) in enumerate(changed) if kind == "update")
    answers = [log for block in changed[last][1]["blocks"] for log in block["logs"] if log["topics"][0] == ANSWER_UPDATED]
    assert answers
    for log in answers:
        log["topics"][1] = f"0x{int(log['topics'][1], 16) // 2:064x}"
    (tmp_path / "other").write_text("\n".join(json.dumps(entry) for entry in changed) + "\n")
    try:
        outcome = await replay(settings, tmp_path / "other")
    except Halt:
        return
    assert outcome.replayed != outcome.recorded


@pytest.mark.parametrize("text", ["", '["update", {}]\n'])
async def test_something_that_is_no_recording_of_a_run_is_refused(net: Devnet, tmp_path: Path, text: str) -> None:
    (tmp_path / "tape").write_text(text)
    with pytest.raises(Exception, match="not the recording of a run"):
        await replay(load(net.config, {}), tmp_path / "tape")
