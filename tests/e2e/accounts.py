"""An account contract of ours in a world: deployed by the command, named in the config."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from keeper.commands.deploy import deploy_account
from keeper.config import load
from keeper.types import Address
from tests.e2e.world import World


async def housed(here: World) -> Address:
    """Of its only market where positions can be held."""
    return Address((await mined(here, asyncio.create_task(deploy_account(here.settings))))[0]["account"])


async def mined(here: World, made: asyncio.Task[Any]) -> Any:
    """What it comes to, in a world where blocks come only when told."""
    while not made.done():
        await here.net.mine()
        await asyncio.wait({made}, timeout=0.2)
    return made.result()


def configured(here: World, account: Address, settings: str) -> World:
    """With the account in its config."""
    text = here.net.config.read_text()
    here.net.config.write_text(f'{text}\n[[chains.inventory]]\nmarket = "perp"\naccount = "{account}"\n{settings}\n')
    return replace(here, settings=load(here.net.config, {}))
