"""The price guard in the running keeper: each doubt about a real oracle trades, alerts or holds, as the config says."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from keeper.app import open_chain
from keeper.commands.check import check
from keeper.commands.prices import price_rows
from keeper.config import Settings, load
from keeper.devnet import Devnet
from keeper.devnet.names import DEPLOYER, TRANSMITTER
from keeper.devnet.oracle import report
from keeper.types import ZERO_ADDRESS, Address, Outcome, Verdict
from tests.e2e.world import Keeper, World, keeper_on, step
from tests.markets import ALL

CHECKS = ("stale", "clamp", "jump", "apart", "disagree")
FALLEN = {"WETH": 2000 * 10**8, "wstETH": 2400 * 10**8}
QUIET_BLOCKS, ARBITRAGED_BLOCKS = 3, 4
ETHER = {("aave-v36", "WETH"), ("aave-v302", "WETH"), ("morpho", "WETH"), ("perp", "vETH"), ("perp", "WETH"), ("yield", "WETH")}
"""Everything on the devnet with the price of ether, by market: pushed, composed, averaged, asked by an oracle."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """How a price comes to be doubted: what is done before the keeper starts, and while it runs. `setup` returns more of the config."""

    setup: Callable[[Devnet], Awaitable[str]]
    happen: Callable[[World, Keeper], Awaitable[None]]
    settings: str = ""
    spared: frozenset[str] = frozenset()
    """Markets in which nobody becomes due by it."""


async def nothing(net: Devnet) -> str:
    return ""


async def crash(world: World, keeper: Keeper) -> None:
    """Oracles and pools move together; perpetuals may not move so far at once."""
    await step(world, keeper, FALLEN)
    for _ in range(ARBITRAGED_BLOCKS):
        await world.net.arbitrage()
        await step(world, keeper)


async def silence(world: World, keeper: Keeper) -> None:
    """A crash, and then no word for more than two minutes."""
    await crash(world, keeper)
    for _ in range(12):
        await step(world, keeper)


async def limited(net: Devnet) -> str:
    """Behind ether's feed comes an aggregator that cannot say less than 2000."""
    await net.change_phase("WETH", least=FALLEN["WETH"])
    return ""


async def err_at_once(world: World, keeper: Keeper) -> None:
    await world.net.set_answers(FALLEN)
    await step(world, keeper)


async def err_little_by_little(world: World, keeper: Keeper) -> None:
    """The oracles fall by less than a tenth at a time; the pools stay."""
    before = await world.net.prices()
    for part in (1, 2, 3, 4):
        await world.net.set_answers({symbol: before[symbol] + (fallen - before[symbol]) * part // 4 for symbol, fallen in FALLEN.items()})
        await step(world, keeper)


async def contradicted(net: Devnet) -> str:
    """A second aggregator of ether's price, which will keep to what it says."""
    codec = net.contract("aggregator.WETH")
    receipt = await net.transact(DEPLOYER, None, codec.creation((8, "second", 1, 10**16, TRANSMITTER), {}))
    second = Address(receipt["contractAddress"].lower())
    await net.transact(TRANSMITTER, second, codec.encode("transmit", report(2500 * 10**8, 0, 1)))
    doubted = (net.addresses[name] for name in ("token.WETH", "perp.base.ETH"))
    return "".join(f'[[chains.guard.tokens]]\ntoken = "{token}"\nsecond = "{second}"\n' for token in doubted)


MARKED = frozenset({"perp"})
"""Where the mark decides, a median of which the pool's own price and mean are two terms: an oracle that errs alone moves nobody."""

DOUBTS = {
    "stale": Doubt(nothing, silence, "heartbeat_s = 120"),
    "clamp": Doubt(limited, crash),
    "jump": Doubt(nothing, err_at_once, "max_jump_bps = 1500", MARKED),
    "apart": Doubt(nothing, err_little_by_little, spared=MARKED),
    "disagree": Doubt(contradicted, crash),
}


def settings(net: Devnet, folder: Path, rulings: dict[str, str], more: str = "", tables: str = "") -> Settings:
    lines = [f'{check} = "{rulings.get(check, "trade")}"' for check in CHECKS]
    text = net.config.read_text().replace("[chains.guard]\n", "\n".join(["[chains.guard]", *lines, more, ""]))
    path = folder / "keeper.toml"
    shutil.copy(net.config.with_name("operator.key"), folder)
    path.write_text(f"{text}\n{tables}")
    return load(path, {})


def ends(keeper: Keeper) -> tuple[Outcome, ...]:
    """Of the newest block's candidates."""
    return keeper.reports[-1].outcomes


def told(logs: Sequence[Any], check: str) -> list[tuple[str, str]]:
    return [(entry["market"], entry["symbol"]) for entry in logs if entry["event"] == "price_doubted" and entry["check"] == check]


@pytest.mark.parametrize("ruling", ["trade", "alert", "hold"])
@pytest.mark.parametrize("check", CHECKS)
async def test_a_doubt_trades_alerts_or_holds_as_configured(net: Devnet, tmp_path: Path, check: str, ruling: str) -> None:
    doubt = DOUBTS[check]
    tables = await doubt.setup(net)
    world = World(net, ZERO_ADDRESS, settings(net, tmp_path, {check: ruling}, doubt.settings, tables))
    with capture_logs() as logs:
        async with keeper_on(world, live=False) as keeper:
            await doubt.happen(world, keeper)
            for _ in range(QUIET_BLOCKS):
                await step(world, keeper)
            found = ends(keeper)
    held = [outcome for outcome in found if outcome.reason == "price_held"]
    assert len(found) > 3
    if ruling == "hold":
        assert held == list(found)
        assert all(f" {check}: " in outcome.detail for outcome in held)
    else:
        assert held == []
        assert any(outcome.verdict is Verdict.DRY for outcome in found)
    alarms = told(logs, check)
    assert sorted(set(alarms)) == sorted(alarms), "told more than once"
    assert (set(alarms) >= ETHER) == (ruling != "trade")
    assert bool(alarms) == (ruling != "trade")
    assert {market for market, _ in ETHER} - {outcome.market for outcome in found} <= doubt.spared


async def test_a_crash_that_the_pools_follow_is_no_error_by_default(net: Devnet, tmp_path: Path) -> None:
    """A jump of a fifth and more, far below the pools' mean of half an hour: but that is where they stand."""
    data = {"KEEPER_DATA_DIR": str(tmp_path)}
    world = World(net, ZERO_ADDRESS, load(net.config, data))
    with capture_logs() as logs:
        async with keeper_on(world, live=False) as keeper:
            await step(world, keeper, {"WETH": 1800 * 10**8, "wstETH": 2160 * 10**8})
            assert any(outcome.verdict is Verdict.DRY for outcome in ends(keeper))
            assert "price_held" not in {outcome.reason for outcome in ends(keeper)}
    assert told(logs, "jump") == told(logs, "apart") == []


async def test_an_oracle_that_errs_alone_is_held_by_default_and_trusted_again_when_it_recovers(net: Devnet, tmp_path: Path) -> None:
    world = World(net, ZERO_ADDRESS, load(net.config, {"KEEPER_DATA_DIR": str(tmp_path)}))
    before = await net.prices()
    with capture_logs() as logs:
        async with keeper_on(world, live=False) as keeper:
            await net.set_answers({"WETH": 1800 * 10**8})
            await step(world, keeper)
            assert {outcome.reason for outcome in ends(keeper)} == {"price_held"}
            await net.set_answers({"WETH": before["WETH"]})
            await step(world, keeper)
    trusted = {(entry["market"], entry["check"]) for entry in logs if entry["event"] == "price_trusted"}
    assert trusted >= {("aave-v36", "apart"), ("aave-v302", "apart")}


async def test_only_accounts_that_depend_on_the_price_are_held(net: Devnet, tmp_path: Path) -> None:
    tables = f'[[chains.guard.tokens]]\ntoken = "{net.addresses["token.LINK"]}"\njump = "hold"\nmax_jump_bps = 1000\n'
    world = World(net, ZERO_ADDRESS, settings(net, tmp_path, {}, "", tables))
    async with keeper_on(world, live=False) as keeper:
        await net.set_prices({"WETH": 1900 * 10**8, "wstETH": 2280 * 10**8})
        await net.set_answers({"LINK": 12 * 10**8})
        await step(world, keeper)
        outcomes = ends(keeper)
    held = [outcome for outcome in outcomes if outcome.reason == "price_held"]
    assert held
    assert all(outcome.detail.startswith("LINK jump: 12 usd, was 15 usd before: 2000 bps, 1000 allowed") for outcome in held)
    assert any(outcome.verdict is Verdict.DRY for outcome in outcomes)


async def checked(settings: Settings) -> dict[str, Any]:
    """What `keeper check` says of the prices."""
    rows = [row async for row in await check(settings)]
    return next(row for row in rows if row["check"] == "prices")


async def test_a_second_source_named_later_is_asked_from_then_on(net: Devnet, tmp_path: Path) -> None:
    """On the same book, and forgotten again when it leaves the config."""
    tables = await contradicted(net)
    await net.set_prices(FALLEN)
    await net.mine()
    seen = []
    for more in ("", tables, ""):
        chosen = settings(net, tmp_path, {"disagree": "hold"}, "", more)
        async with open_chain(chosen, chosen.chains[0], lambda *_: None, owned=True) as chain:
            await chain.catch_up()
            rows = {row["symbol"]: row for row in price_rows(chain, chain.markets[0])}
            seen.append((rows["WETH"]["ruling"], rows["WETH"]["second"], rows["LINK"]["ruling"]))
    assert seen == [("trade", None, "trade"), ("hold", 2500 * 10**8, "trade"), ("trade", None, "trade")]


@pytest.mark.parametrize(("held", "idle"), [("", True), ("WETH", True), ("LINK", False)])
async def test_check_is_not_content_where_nothing_can_be_traded(net: Devnet, tmp_path: Path, held: str, idle: bool) -> None:
    """All prices are held, or that of the native token, by which profit is weighed; one token alone leaves the others."""
    silent = 'stale = "hold"\nheartbeat_s = 60\n'
    tables = f'[[chains.guard.tokens]]\ntoken = "{net.addresses[f"token.{held}"]}"\n{silent}' if held else ""
    for _ in range(6):
        await net.mine()
    rulings, more = ({}, "") if held else ({"stale": "hold"}, "heartbeat_s = 60")
    row = await checked(settings(net, tmp_path, rulings, more, tables))
    assert row["ok"] is not idle
    assert (f"nothing is traded in {', '.join(ALL)}" in row["detail"]) is idle
    assert f"; {held or 'USDC'} hold" in row["detail"]


async def test_check_counts_the_witnesses_and_finds_what_the_settings_misname(net: Devnet, tmp_path: Path) -> None:
    stranger = "0x" + "12" * 20
    assert (await checked(settings(net, tmp_path, {})))["detail"] == "25, 25 of them seen by pools"
    unknown = await checked(settings(net, tmp_path, {}, "", f'[[chains.guard.tokens]]\ntoken = "{stranger}"\n'))
    assert (unknown["ok"], unknown["detail"]) == (False, f"no market lists {stranger}")
    table = f'[[chains.guard.tokens]]\ntoken = "{net.addresses["token.WETH"]}"\nsecond = "{stranger}"\n'
    silent = await checked(settings(net, tmp_path, {}, "", table))
    assert (silent["ok"], silent["detail"]) == (False, f"no price from {stranger}")
