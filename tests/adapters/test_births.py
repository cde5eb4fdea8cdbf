"""A first block that is a little too late would leave out parts of a market in silence: every adapter sees it when it opens."""

from __future__ import annotations

import pytest

from keeper.adapters.aave_v3 import AaveV3
from keeper.adapters.morpho_blue import MorphoBlue
from keeper.adapters.perp_v2 import PerpV2
from keeper.adapters.yield_v2 import YieldV2
from keeper.devnet import Devnet
from keeper.errors import ConfigError
from keeper.options import Options
from keeper.ports import Adapter
from tests.adapters.chain import NodeReader
from tests.adapters.morpho.conftest import trusted

MARKETS: dict[str, Adapter] = {
    "aave_v36.provider": AaveV3(),
    "aave_v302.provider": AaveV3(),
    "morpho.blue": MorphoBlue(),
    "perp.clearing_house": PerpV2(),
    "yield.witch": YieldV2(),
}


@pytest.mark.parametrize("name", MARKETS)
async def test_the_block_of_its_birth_or_one_before_is_taken_and_the_next_one_is_one_clear_line(
    net: Devnet, reader: NodeReader, name: str
) -> None:
    adapter, address, options = MARKETS[name], net.addresses[name], Options(trusted(net) if name == "morpho.blue" else {})
    found = await adapter.open(reader, "m", address, None, options)
    for known in (found.first_block, found.first_block - 1):
        assert (await adapter.open(reader, "m", address, known, options)).first_block == known
    head = await reader.head()
    for late in (found.first_block + 1, head.number):
        with pytest.raises(ConfigError, match=f"first_block = {late} is too late: 0x") as refused:
            await adapter.open(reader, "m", address, late, options)
        assert "\n" not in str(refused.value)
