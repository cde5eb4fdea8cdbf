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
    """The session's devnet; whatever the test does to it is undone. A block of its own comes first: a reorg goes back to the block before,
    and the node has forgotten the state of the one that all tests share once many were mined."""
    snapshot = await devnet.snapshot()
    await devnet.mine()
    yield devnet
    await devnet.revert(snapshot)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first: those without a devnet, then those on the shared one, then whole programs. Stable, so each part stays shuffled."""
    items.sort(key=_cost)


def _cost(item: pytest.Item) -> int:
    if "e2e" in item.path.parts or item.path.name == "test_readme.py":
        return 2
    return int(bool({"devnet", "net"} & set(getattr(item, "fixturenames", ()))))
