"""`keeper deploy --add-operator`: one more signer, by one transaction of the owner's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from keeper.commands.deploy import add_operator, deploy
from keeper.devnet.names import DEPLOYER, OPERATOR, TRADER
from keeper.errors import ConfigError
from keeper.execution import executor
from keeper.types import Address
from tests.e2e.accounts import mined
from tests.e2e.world import World, ours, world


async def obeys(here: World, address: Address, operator: Address) -> bool:
    read = executor.is_operator(address, operator)
    return bool(int(await here.net.request("eth_call", {"to": read.target, "data": "0x" + read.data.hex()}, "latest"), 16))


def on(here: World, address: Address | None) -> World:
    """With this executor in the config."""
    (chain,) = here.settings.chains
    roles = chain.executor and chain.executor.model_copy(update={"address": address})
    return replace(here, settings=here.settings.model_copy(update={"chains": (chain.model_copy(update={"executor": roles}),)}))


async def added(here: World, operator: Address) -> dict[str, Any]:
    (row,) = await mined(here, asyncio.create_task(add_operator(here.settings, operator)))
    return dict(row)


async def test_a_new_signer_is_let_in_by_one_transaction_of_the_owner() -> None:
    async with world(4, 1) as here:
        (made,) = await mined(here, asyncio.create_task(deploy(here.settings, owner=OPERATOR, again=True)))
        own = on(here, made["executor"])
        before = len(await ours(own))
        assert not await obeys(own, made["executor"], TRADER)
        row = await added(own, TRADER)
        assert (row["state"], row["operator"], row["owner"]) == ("added", TRADER, OPERATOR)
        assert await obeys(own, made["executor"], TRADER)
        assert (await added(own, TRADER))["state"] == "already"
        assert len(await ours(own)) == before + 1


async def test_who_is_not_the_owner_is_told_the_call_that_the_owner_can_send() -> None:
    async with world(4, 1) as here:
        with pytest.raises(
            ConfigError, match=f"{OPERATOR} is not the owner of the executor.*{DEPLOYER} can send the call that --show prints"
        ):
            await add_operator(here.settings, TRADER)
        (row,) = await add_operator(here.settings, TRADER, show=True)
        assert (row["state"], row["executor"]) == ("shown", here.executor)
        assert await ours(here) == []
        await here.net.transact(DEPLOYER, here.executor, bytes.fromhex(row["call"][2:]))
        assert await obeys(here, here.executor, TRADER)


async def test_an_executor_that_is_none_is_told() -> None:
    async with world(4, 1) as here:
        for address, words in (
            (None, "there is no executor yet"),
            (TRADER, "is no contract; see `keeper deploy`"),
            (here.net.addresses["token.USDC"], "is not an executor; see `keeper deploy`"),
        ):
            with pytest.raises(ConfigError, match=words):
                await add_operator(on(here, address).settings, TRADER)
