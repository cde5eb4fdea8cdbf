"""No event, only blocks: an account becomes liquidatable at a second that was predicted, and is liquidated in the first block after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keeper.app import Chain, open_chain
from keeper.book.state import Overlay
from keeper.coming import due_at
from keeper.commands.scan import prospects
from keeper.config import load
from keeper.outlook import outlook
from keeper.ports import Market
from keeper.types import Address, Health
from tests.adapters.perp_v2.curie import NEVER, Curie, member
from tests.e2e.world import Keeper, World, keeper_on, rows, step, world
from tests.markets import ALL

UNIT = 10**18
BLOCK_S = 12
WANTED_BLOCKS, MOST_BLOCKS = 10, 80
ENOUGH_DEBT = 5_000 * 10**8
ETHER_PERCENT = 95


@asynccontextmanager
async def seen(here: World, folder: Path, name: str) -> AsyncIterator[tuple[Chain, Market]]:
    """A market by a book of its own."""
    settings = load(here.net.config, {"KEEPER_DATA_DIR": str(folder)})
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=True) as chain:
        await chain.catch_up()
        yield chain, next(market for market in chain.markets if market.name == name)


async def followed(here: World, keeper: Keeper, chain: Chain, market: Market, account: Address) -> None:
    """Blocks in which nothing happens, until it is liquidated: in the first that is late enough."""
    await chain.catch_up()
    head = chain.head
    due_s = due_at(market, chain.view, account, head.timestamp_s)
    assert due_s is not None
    told = {row["account"]: row["due_at"] for row in prospects(chain, await outlook(chain), 200) if row["market"] == market.name}
    assert told[account] == due_s
    blocks = -(-(due_s - head.timestamp_s) // BLOCK_S)
    assert 2 <= blocks <= MOST_BLOCKS
    before = [row for row in await rows(here) if row["account"] == account]
    for _ in range(blocks):
        await keeper.ready(await step(here, keeper))
    mine = [row for row in await rows(here) if row["account"] == account and row not in before]
    assert [(row["block"], row["result"]) for row in mine][:1] == [(head.number + blocks, "won")]
    assert mine[0]["predicted_profit"] == mine[0]["realised_profit"]
    (report,) = [report for report in keeper.reports if report.head.number == head.number + blocks - 1]
    assert report.warm == report.planned >= 1


def poised(chain: Chain, market: Market, weth: Address) -> tuple[Address, int]:
    """Whom interest makes liquidatable in so many blocks, at which price of ether."""
    at_s = chain.head.timestamp_s + (WANTED_BLOCKS + 3) * BLOCK_S
    found = [market.health(chain.view, account, at_s) for account in market.accounts(chain.view)]
    account = min((one for one in found if fits(one, weth)), key=lambda one: one.health_factor_wad).account
    high = market.price(chain.view, weth)
    assert high is not None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        view = Overlay(chain.view, market.repriced(chain.view, {weth: middle}))
        low, high = (middle, high) if market.health(view, account, at_s).liquidatable else (low, middle)
    return account, low


def fits(health: Health, weth: Address) -> bool:
    """Healthy, with ether as its collateral, and worth the gas."""
    sides = {leg.side for leg in health.legs if leg.token == weth}
    return not health.liquidatable and sides == {"collateral"} and health.debt > ENOUGH_DEBT and health.legs[0].token == weth


@pytest.mark.parametrize("name", ["aave-v36", "morpho"])
async def test_interest_alone(tmp_path: Path, name: str) -> None:
    async with world(40, 1, ALL) as here, seen(here, tmp_path / "book", name) as (chain, market):
        account, price = poised(chain, market, here.net.addresses["token.WETH"])
        async with keeper_on(here) as keeper:
            await step(here, keeper, {"WETH": price})
            for _ in range(3):
                await step(here, keeper)
            await followed(here, keeper, chain, market, account)


async def long_on_ether(curie: Curie, usd: int) -> Address:
    """Somebody with an ether as margin, whose worth is a mean over a quarter of an hour."""
    who = member("waiting")
    await curie.enrich(who, "WETH", UNIT)
    await curie.call("vault", "deposit", curie.weth, UNIT, sender=who)
    order = (curie.at("base.ETH"), False, True, usd * UNIT, 0, NEVER, 0, bytes(32))
    await curie.call("clearing_house", "openPosition", order, sender=who)
    return who


async def test_a_mean_that_catches_up_with_its_price(tmp_path: Path) -> None:
    async with world(40, 1, ALL) as here:
        who = await long_on_ether(Curie(here.net), 15_000)
        async with seen(here, tmp_path / "book", "perp") as (chain, market), keeper_on(here) as keeper:
            price = (await here.net.prices())["WETH"] * ETHER_PERCENT // 100
            await step(here, keeper, {"WETH": price})
            await here.net.arbitrage()
            for _ in range(3):
                await step(here, keeper)
            await followed(here, keeper, chain, market, who)
