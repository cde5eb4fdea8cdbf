"""A third party's adapter: a package of its own, found by its entry point, named in the config, and nothing else."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
from tiny_bank import TinyBank
from tiny_bank.devnet import CUSTOMERS, ETHER, FIRST_PRICE, TinyBankDeployment

from keeper.adapters.aave_v3 import AaveV3
from keeper.config import load
from tests.e2e.world import World, assert_ledger_is_the_chain, keeper_on, settle_down, step, world

ADDED = """
[[chains.markets]]
name = "some-bank"
adapter = "tiny-bank"
address = "{address}"

[[chains.venues]]"""
FALL_PERCENT = 6


def test_an_installed_package_is_found_beside_our_own() -> None:
    found = {plug.name: plug.load() for plug in entry_points(group="keeper.adapters")}
    assert (found["tiny-bank"], found["aave-v3"]) == (TinyBank, AaveV3)


async def _opened(here: World) -> TinyBankDeployment:
    """A bank with customers at their limit, in the config."""
    bank = await TinyBankDeployment.deployed(here.net)
    for customer in CUSTOMERS[:4]:
        await here.net.request("anvil_setBalance", customer, hex(ETHER))
        await here.net.request("anvil_dealERC20", customer, bank.collateral, hex(10 * ETHER))
        await here.net.request("anvil_setERC20Allowance", customer, bank.address, bank.collateral, hex(2**255))
        for action in bank.leverage(customer, 10 * ETHER, FIRST_PRICE, 0.78):
            await here.net.send(action.sender, action.to, action.data)
    await here.net.mine()
    text = here.net.config.read_text()
    here.net.config.write_text(text.replace("[[chains.venues]]", ADDED.format(address=bank.address).lstrip(), 1))
    return bank


@pytest.mark.timeout(240)
async def test_a_keeper_liquidates_on_it_from_the_config_alone() -> None:
    async with world(accounts=40, seed=1) as here:
        bank = await _opened(here)
        live = World(here.net, here.executor, load(here.net.config, {}))
        async with keeper_on(live) as keeper:
            prices = await here.net.prices()
            fallen = bank.owner("set_price(uint256)", FIRST_PRICE * (100 - FALL_PERCENT) // 100)
            await here.net.send(fallen.sender, fallen.to, fallen.data)
            await step(live, keeper, {"WETH": prices["WETH"] * (100 - FALL_PERCENT) // 100})
            await settle_down(live, keeper, at_least=3)
        won = [row for row in await assert_ledger_is_the_chain(live) if row["market"] == "some-bank" and row["result"] == "won"]
        assert {row["account"] for row in won} == set(CUSTOMERS[:4])
        assert all(row["predicted_profit"] == row["realised_profit"] > 0 for row in won)
