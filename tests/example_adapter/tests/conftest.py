"""A devnet for the tests: an anvil that moves only when told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from keeper.devnet import Devnet, DevnetOptions


@pytest.fixture(scope="session")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start(DevnetOptions()) as running:
        yield running
