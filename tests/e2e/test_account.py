"""`keeper deploy --account`: what it puts on the chain can do what a position needs, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from keeper.adapters.perp_v2 import calls as perp
from keeper.adapters.perp_v2.codec import call_data, selector
from keeper.commands.deploy import deploy, deploy_account
from keeper.devnet.names import BENEFICIARY, DEPLOYER, OPERATOR
from keeper.errors import ConfigError
from keeper.execution import account as codec
from keeper.execution import executor
from keeper.types import Address, Step
from tests.contracts.chain import NO_GUARD, Chain
from tests.e2e.accounts import configured, housed, mined
from tests.e2e.world import World, keeper_on, world

USD = 10**6
STRANGER = Address("0x" + "77" * 20)


@pytest.fixture
async def here() -> AsyncIterator[World]:
    async with world(4, 1, markets=("perp", "aave-v36")) as made:
        yield made


async def test_it_says_what_it_is_allowed_before_anything_is_sent_and_after(here: World) -> None:
    (shown,) = await deploy_account(here.settings, show=True)
    assert (shown["account"], shown["config"]) == ("", "")
    (row,) = await mined(here, asyncio.create_task(deploy_account(here.settings)))
    assert {key: row[key] for key in ("market", "owner", "beneficiary", "operator", "may", "must")} == {
        key: shown[key] for key in ("market", "owner", "beneficiary", "operator", "may", "must")
    }
    assert (row["market"], row["owner"], row["beneficiary"], row["operator"]) == ("perp", DEPLOYER, BENEFICIARY, here.executor)
    assert [said.split(": ")[1].split()[0] for said in row["may"]] == ["approve", "deposit", "withdraw", "cancel", "take", "close", "open"]
    assert row["config"].splitlines()[0] == "[[chains.inventory]]"


async def test_for_people_it_is_a_line_a_fact(here: World) -> None:
    lines = await deploy_account(here.settings, show=True, in_lines=True)
    assert [line["what"] for line in lines] == ["market", "owner", "beneficiary", "operator", *["may"] * 7, "must"]


async def test_a_second_one_is_not_deployed_without_a_word(here: World) -> None:
    account = await housed(here)
    twin = configured(here, account, "")
    with pytest.raises(ConfigError, match=f"there is an account already at {account}; deploy another with --again"):
        await deploy_account(twin.settings)
    (row,) = await mined(here, asyncio.create_task(deploy_account(twin.settings, again=True)))
    assert row["account"] != account
    with pytest.raises(ConfigError, match=f"there is an executor already at {here.executor}"):
        await deploy(here.settings)


async def test_a_market_where_nothing_can_be_held_is_refused(here: World) -> None:
    with pytest.raises(ConfigError, match="no position can be kept on aave-v36"):
        await deploy_account(here.settings, market="aave-v36")
    with pytest.raises(ConfigError, match="none is named 'else'"):
        await deploy_account(here.settings, market="else")
    with pytest.raises(ExceptionGroup, check=lambda group: "is no contract; see `keeper deploy --account`" in str(group.exceptions[0])):
        async with keeper_on(configured(here, STRANGER, "")):
            pass


async def test_whoever_has_the_operator_s_key_can_have_it_do_nothing_else(here: World) -> None:
    net = here.net
    account, chain, usdc = await housed(here), Chain(net), net.addresses["token.USDC"]
    await net.deal("USDC", account, 1_000 * USD)
    house, vault = net.addresses["perp.clearing_house"], net.addresses["perp.vault"]

    async def said(*steps: Step) -> str | None:
        data = executor.encode_execute(NO_GUARD, (codec.wrapped(account, steps),), usdc, 0, [])
        return await chain.error(OPERATOR, here.executor, data)

    deposit = (Step(usdc, call_data(perp.APPROVE, vault, USD)), Step(vault, call_data(perp.DEPOSIT_CALL, usdc, USD)))
    with pytest.raises(AssertionError, match="the call went through"):
        await said(*deposit)
    thefts = (
        Step(usdc, call_data(selector("transfer(address,uint256)"), STRANGER, 1)),
        Step(usdc, call_data(perp.APPROVE, STRANGER, 1)),
        Step(vault, call_data(selector("depositFor(address,address,uint256)"), STRANGER, usdc, 1)),
        Step(house, call_data(selector("setDelegateApproval(address)"), STRANGER)),
        Step(net.addresses["token.WETH"], call_data(perp.APPROVE, vault, 1)),
    )
    assert [await said(theft) for theft in thefts] == ["Forbidden"] * len(thefts)
    base, eight_times = net.addresses["perp.base.ETH"], 8_000 * 10**18
    bought = Step(house, call_data(perp.TRADE, base, 0, 1, eight_times, 0, perp.NO_DEADLINE, 0, 0))
    all_in = (Step(usdc, call_data(perp.APPROVE, vault, 1_000 * USD)), Step(vault, call_data(perp.DEPOSIT_CALL, usdc, 1_000 * USD)))
    assert await said(*all_in, bought) == "LimitPassed(0)"
