"""Markets on bad days: a wrong address, a market that stops, an oracle that fails. One clear outcome each; the others go on earning."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from keeper.config import load
from keeper.devnet import Devnet
from keeper.devnet.artifacts import selector
from keeper.devnet.genesis.yields import ASSETS, BASES, ILKS, TERMS, asset_id
from keeper.devnet.names import DEPLOYER
from keeper.types import ZERO_ADDRESS, Outcome, Verdict
from tests.e2e.cli import NOBODY, MakeFolder, at_once
from tests.e2e.world import Keeper, World, keeper_on, step

MARKETS = {"aave-v36", "aave-v302", "morpho", "perp", "yield"}
FALL_PERCENT = 88
ARBITRAGED_BLOCKS = 2
LIMITS = {"MAX_IN_FLIGHT": "500", "MAX_PLANS_PER_BLOCK": "500", "MAX_GAS_PER_BLOCK": str(10**9)}
ROOM = {f"KEEPER_CHAINS__0__LIMITS__{name}": value for name, value in LIMITS.items()}
"""So that nobody's outcome is that there was no room for it."""

REVERTS, ZEROS, ENDLESS = "0x5f5ffd", "0x60a05ff3", "0x5f195f5260205ff3"
"""Code that answers whatever it is asked by a revert, by zeros, by the largest number there is."""

# --- wrong addresses ----------------------------------------------------------------------------------------------

KINDS = {
    "morpho": ("morpho.blue", "Morpho singleton", ("token.USDC", "perp.vault", "yield.witch", "morpho.irm")),
    "perp": ("perp.clearing_house", "Perpetual Protocol v2 ClearingHouse", ("token.USDC", "morpho.blue", "perp.exchange", "perp.base.ETH")),
    "yield": ("yield.witch", "Yield v2 Witch", ("token.USDC", "aave_v36.pool", "yield.cauldron", "yield.ladle")),
}


@pytest.mark.parametrize("market", KINDS)
async def test_a_wrong_address_is_one_line_that_says_what_belongs_there(folder: MakeFolder, net: Devnet, market: str) -> None:
    """Nobody's, a token's, another protocol's, and the right protocol's wrong contracts."""
    right, what, wrong = KINDS[market]
    addresses = [NOBODY, *(net.addresses[name] for name in wrong)]
    folders = [folder(f"{market} {number}").swap(f'"{net.addresses[right]}"', f'"{address}"') for number, address in enumerate(addresses)]
    ends = await at_once(*(one.keeper("run", "--blocks", "1") for one in folders))
    for address, ended in zip(addresses, ends, strict=True):
        status, line = ended.failed
        assert status == 2
        assert line.startswith(f"chains.devnet.{market}.address: ")
        assert line.endswith(": correct it in the config")
        assert address in line
        assert what in line


# --- stopped mid-flight -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Day:
    """What goes wrong, in which market, and the outcome of everybody it concerns there. `detail` is in each of them."""

    market: str
    happen: Callable[[Devnet], Awaitable[None]]
    reason: str
    detail: str = ""
    all_of_it: bool = True


def calls(name: str, function: str, *args: object) -> Callable[[Devnet], Awaitable[None]]:
    async def happen(net: Devnet) -> None:
        await net.call(DEPLOYER, name, function, *args)

    return happen


def becomes(name: str, code: str) -> Callable[[Devnet], Awaitable[None]]:
    """A contract of this name answers by this code from now on."""

    async def happen(net: Devnet) -> None:
        await net.request("anvil_setCode", net.addresses[name], code)

    return happen


async def paused(net: Devnet) -> None:
    """Long after the crash, for what then counts for ever is the mean of a quarter of an hour."""
    head = await net.request("eth_getBlockByNumber", "latest", False)
    await net.mine(int(head["timestamp"], 16) + 1000)
    await net.call(DEPLOYER, "perp.base.ETH", "pause")


async def closed(net: Devnet) -> None:
    await paused(net)
    (price,) = await net.read("perp.base.ETH", "getPausedIndexPrice")
    await net.call(DEPLOYER, "perp.base.ETH", "close(uint256)", price)


async def grace(net: Devnet) -> None:
    """Paused and opened again, but for liquidations."""
    for paused, period_s in ((True, 0), (False, 3600)):
        await net.call(DEPLOYER, "aave_v36.configurator", "setPoolPause(bool,uint40)", paused, period_s)


async def no_give(net: Devnet) -> None:
    (give,) = (selector(entry) for entry in net.abi("yield.cauldron") if entry["type"] == "function" and entry["name"] == "give")
    await net.call(DEPLOYER, "yield.cauldron", "revokeRole", give, net.addresses["yield.witch"])


def lines(most: int) -> Callable[[Devnet], Awaitable[None]]:
    """Another limit for all auctions."""

    async def happen(net: Devnet) -> None:
        for ilk in ILKS:
            terms = TERMS[ilk]
            shares = terms.vault_percent * 10**16, terms.start_ppm * 10**12
            for base in BASES:
                args = asset_id(ilk), asset_id(base), terms.duration_s, *shares, most
                await net.call(DEPLOYER, "yield.witch", "setLineAndLimit", *args)

    assert set(BASES) | set(ILKS) <= set(ASSETS)
    return happen


DAYS = {
    "a pool is paused": Day("aave-v36", calls("aave_v36.configurator", "setPoolPause(bool)", True), "paused"),
    "liquidations have a time of grace": Day("aave-v36", grace, "grace_period"),
    "the clearing house is paused": Day("perp", calls("perp.clearing_house", "pause"), "paused", "clearing_paused"),
    "the vault is paused": Day("perp", calls("perp.vault", "pause"), "paused", "vault_paused"),
    "a perpetual is paused": Day("perp", paused, "paused", "not open", all_of_it=False),
    "a perpetual is closed": Day("perp", closed, "paused", "not open", all_of_it=False),
    "a feed fails": Day("aave-v36", becomes("feed.LINK", REVERTS), "no_price", all_of_it=False),
    "a feed says nothing is worth anything": Day("aave-v36", becomes("feed.LINK", ZEROS), "no_price", all_of_it=False),
    "a feed says all is worth everything": Day("aave-v36", becomes("feed.LINK", ENDLESS), "no_price", all_of_it=False),
    "the witch may take no vaults": Day("yield", no_give, "paused", "the Witch may not"),
    "a spot oracle fails": Day("yield", becomes("yield.spot", REVERTS), "simulation_failed"),
    "there are no auctions any more": Day("yield", lines(0), "not_auctioned", all_of_it=False),
    "a rate model fails": Day("morpho", becomes("morpho.irm", REVERTS), "simulation_failed"),
    "a composed oracle fails": Day("morpho", becomes("morpho.oracle.WETH-USDC", REVERTS), "no_price", all_of_it=False),
    "a composed oracle says nothing is worth anything": Day(
        "morpho", becomes("morpho.oracle.WETH-USDC", ZEROS), "no_price", all_of_it=False
    ),
    "a composed oracle says all is worth everything": Day(
        "morpho", becomes("morpho.oracle.WETH-USDC", ENDLESS), "no_price", all_of_it=False
    ),
}


LEFT = ("unprofitable", "unknown_irm")
"""Why some were left alone on the day before, too."""


def of(outcomes: list[Outcome], market: str) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.market == market]


async def crash(world: World, keeper: Keeper) -> list[Outcome]:
    """Everything falls until every market has somebody due. Returns the outcomes of the newest block's candidates."""
    prices = await world.net.prices()
    await step(world, keeper, {symbol: prices[symbol] * FALL_PERCENT // 100 for symbol in ("WETH", "wstETH", "WBTC", "LINK")})
    for _ in range(ARBITRAGED_BLOCKS):
        await world.net.arbitrage()
        await step(world, keeper)
    return list(keeper.reports[-1].outcomes)


@pytest.mark.parametrize("name", DAYS)
async def test_a_market_that_stops_mid_flight_has_one_outcome_and_the_others_earn_in_the_same_block(
    net: Devnet, tmp_path: Path, name: str
) -> None:
    day, world = DAYS[name], World(net, ZERO_ADDRESS, load(net.config, {"KEEPER_DATA_DIR": str(tmp_path), **ROOM}))
    async with keeper_on(world, live=False) as keeper:
        before = await crash(world, keeper)
        assert {outcome.market for outcome in before if outcome.verdict is Verdict.DRY} == MARKETS
        await day.happen(net)
        await step(world, keeper)
        after = list(keeper.reports[-1].outcomes)
    stopped = [outcome for outcome in of(after, day.market) if outcome.reason == day.reason]
    assert stopped
    assert all(outcome.verdict is Verdict.SKIPPED and day.detail in outcome.detail for outcome in stopped)
    if day.all_of_it:
        assert {outcome.reason for outcome in of(after, day.market) if outcome.verdict is not Verdict.SKIPPED} == set()
        assert day.reason in {outcome.reason for outcome in of(after, day.market)} <= {day.reason, *LEFT}
    earning = {market: {o.account for o in of(after, market) if o.verdict is Verdict.DRY} for market in MARKETS - {day.market}}
    assert all(earning.values())
    assert {
        market for market in earning if not {o.account for o in of(before, market) if o.verdict is Verdict.DRY} & earning[market]
    } == set()
