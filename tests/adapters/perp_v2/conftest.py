"""The protocol on the devnet, and its market followed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from keeper.devnet import Devnet
from tests.adapters.chain import NodeReader
from tests.adapters.perp_v2.curie import Curie


@pytest.fixture
def curie(net: Devnet) -> Curie:
    return Curie(net)


@pytest.fixture
async def reader(net: Devnet) -> AsyncIterator[NodeReader]:
    async with aiohttp.ClientSession() as session:
        yield NodeReader(net.rpc, session)
