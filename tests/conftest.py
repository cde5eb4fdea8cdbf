"""Fixtures every test may use: one devnet for the session, returned to its first state after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from keeper.devnet import Devnet, DevnetOptions


@pytest.fixture(scope="session")
async def devnet() -> AsyncIterator[Devnet]:
    """One devnet; mines only when told. Tests that change it use `net`."""
    async with Devnet.start(DevnetOptions()) as running:
        yield running


@pytest.fixture
async def net(devnet: Devnet) -> AsyncIterator[Devnet]:
    """The session's devnet; whatever the test does to it is undone."""
    snapshot = await devnet.snapshot()
    yield devnet
    await devnet.revert(snapshot)
