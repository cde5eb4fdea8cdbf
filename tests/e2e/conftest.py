"""Fixtures for tests of the program as a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.devnet import Devnet
from tests.e2e.cli import Folder, MakeFolder
from tests.e2e.played import Played, played_through


@pytest.fixture
def folder(tmp_path: Path, net: Devnet) -> MakeFolder:
    return lambda name: Folder(tmp_path / name, net)


@pytest.fixture(scope="module")
async def lived_in(tmp_path_factory: pytest.TempPathFactory, devnet: Devnet) -> Folder:
    """A keeper has run here."""
    one = Folder(tmp_path_factory.mktemp("lived in"), devnet)
    assert (await one.keeper("run", "--blocks", "1")).status == 0
    return one


@pytest.fixture(scope="session")
async def played() -> Played:
    """The demo has been played."""
    return await played_through()
