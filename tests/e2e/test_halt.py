"""The kill switch and the breakers in the running keeper: it goes on watching, sends nothing, and says why, until it is resumed."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from keeper.commands import halt as commands
from keeper.commands.check import check
from keeper.config import load
from keeper.config.settings import BreakerSettings
from keeper.types import Verdict
from tests.e2e.cli import Folder
from tests.e2e.world import Keeper, World, drop, keeper_on, query, settle_down, step, waiting, world

ACCOUNTS, SEED, FALL_PERCENT = 40, 1, 5


@pytest.fixture
async def here() -> AsyncIterator[World]:
    async with world(ACCOUNTS, SEED) as made:
        yield made


def reasons(keeper: Keeper) -> set[tuple[str, str]]:
    return {(outcome.reason, outcome.detail) for outcome in keeper.reports[-1].outcomes if outcome.verdict is not Verdict.WON}


async def resumed(here: World) -> list[str]:
    return [row["why"] async for row in commands.resume(here.settings, None)]


async def sending(here: World) -> dict[str, Any]:
    return next(row for row in [row async for row in await check(here.settings)] if row["check"] == "sending")


async def test_halted_it_watches_and_sends_nothing_and_resumed_it_goes_on(here: World) -> None:
    with capture_logs() as logs:
        async with keeper_on(here) as keeper:
            assert [row["why"] async for row in commands.halt(here.settings, None, "odd prices")] == ["odd prices"]
            for _ in range(2):
                await step(here, keeper, await drop(here, FALL_PERCENT))
            assert ("halted", "odd prices") in reasons(keeper)
            assert await waiting(here.net) == 0
        assert (await sending(here))["detail"] == "halted: odd prices"
        async with keeper_on(here) as keeper:
            assert ("halted", "odd prices") in reasons(keeper)
            assert await waiting(here.net) == 0
            assert await resumed(here) == ["odd prices"]
            await step(here, keeper)
            assert await waiting(here.net) >= 5
            await settle_down(here, keeper)
    assert [entry["event"] for entry in logs if entry["event"] in {"halted", "resumed"}] == ["halted", "halted", "resumed"]
    assert len(query(here, "select * from ledger where result = 'won'")) >= 5
    assert (await sending(here))["ok"]


async def test_what_is_on_its_way_is_cancelled(here: World) -> None:
    async with keeper_on(here) as keeper:
        await step(here, keeper, await drop(here, FALL_PERCENT))
        sent = query(here, "select tx from outbox")
        assert len(sent) >= 5
        for (tx,) in sent:
            await here.net.request("anvil_dropTransaction", tx)
        async for _ in commands.halt(here.settings, None, ""):
            pass
        await step(here, keeper)
        assert await waiting(here.net) == len(sent)
        await settle_down(here, keeper, at_least=2)
    assert {result for (result,) in query(here, "select result from ledger")} == {"cancelled"}
    assert {state for (state,) in query(here, "select state from outbox")} == {"cancelled", "included"}


async def test_a_breaker_stops_it_over_restarts_until_it_is_resumed(here: World) -> None:
    """Here the first that lands is too much."""
    strict = here.settings.chains[0].model_copy(update={"breakers": BreakerSettings(gas_per_day_wei=1)})
    strained = World(here.net, here.executor, here.settings.model_copy(update={"chains": (strict,)}))
    async with keeper_on(strained) as keeper:
        await step(strained, keeper, await drop(strained, FALL_PERCENT))
        assert await waiting(here.net) >= 5
        await step(strained, keeper)
        landed = len(query(here, "select * from ledger"))
        await step(strained, keeper, await drop(strained, FALL_PERCENT))
        assert await waiting(here.net) == 0
    async with keeper_on(strained) as keeper:
        assert any(reason == "halted" and detail.startswith("gas_per_day_wei: ") for reason, detail in reasons(keeper))
        assert [why.partition(":")[0] for why in await resumed(here)] == ["gas_per_day_wei"]
        await step(strained, keeper)
        assert await waiting(here.net) >= 1
        await settle_down(strained, keeper)
    assert len(query(here, "select * from ledger")) > landed


async def test_a_signal_throws_it(here: World) -> None:
    folder = Folder(here.net.config.parent, here.net)
    async with folder.daemon("--live") as keeper:
        await keeper.block(int(await here.net.request("eth_blockNumber"), 16))
        os.kill(keeper.pid, signal.SIGUSR1)
        fell = await drop(here, FALL_PERCENT)
        await here.net.set_prices(fell)
        await keeper.block(await here.net.mine())
        assert await waiting(here.net) == 0
        assert not keeper.ended
    assert (await sending(here))["detail"] == "halted: signal SIGUSR1"


async def test_a_price_check_may_halt_everything(here: World) -> None:
    text = here.net.config.read_text().replace("[chains.guard]\n", '[chains.guard]\njump = "halt"\n')
    here.net.config.write_text(text)
    wary = World(here.net, here.executor, load(here.net.config, {}))
    async with keeper_on(wary) as keeper:
        await here.net.set_answers({"WETH": 1500 * 10**8})
        await step(wary, keeper)
        assert {outcome.reason for outcome in keeper.reports[-1].outcomes} == {"price_held"}
        await step(wary, keeper, await drop(wary, FALL_PERCENT))
    (why,) = await resumed(wary)
    assert why.startswith("price of WETH, jump: 1500 usd, was 2500 usd before")
