"""Opening a market finds everything from one address, and says so when it is the wrong one."""

from __future__ import annotations

import pytest

from keeper.adapters.perp_v2 import PerpV2
from keeper.adapters.perp_v2.market import PerpV2Market
from keeper.errors import ConfigError
from tests.adapters.chain import NodeReader
from tests.adapters.perp_v2.curie import Curie, member


async def test_everything_is_found_from_the_clearing_house(curie: Curie, reader: NodeReader) -> None:
    market = await PerpV2().open(reader, "perp_v2", curie.at("clearing_house"), None)
    assert isinstance(market, PerpV2Market)
    found = market.deployment
    assert [(book.base, book.pool, book.symbol, book.spacing) for book in found.books] == [
        (curie.at(f"base.{name}"), curie.at(f"pool.{name}"), f"v{name}", 60) for name in ("ETH", "BTC")
    ]
    assert [(held.token, held.symbol, held.decimals) for held in found.collaterals] == [(curie.weth, "WETH", 18)]
    assert (found.settlement.token, found.settlement.decimals) == (curie.usdc, 6)
    assert found.spot_window_s == 0
    assert (found.defaults["mm"], found.defaults["im"], found.defaults["mark_window_s"]) == (62_500, 100_000, 1800)


@pytest.mark.parametrize("name", ["vault", "quote", "exchange"])
async def test_another_contract_is_refused_in_one_line(curie: Curie, reader: NodeReader, name: str) -> None:
    with pytest.raises(ConfigError, match="is not a Perpetual Protocol v2 ClearingHouse"):
        await PerpV2().open(reader, "perp_v2", curie.at(name), None)


async def test_an_address_without_a_contract_is_refused(curie: Curie, reader: NodeReader) -> None:
    with pytest.raises(ConfigError, match="no contract"):
        await PerpV2().open(reader, "test", member("nobody"), None)
