"""Opening a market from one address, and the one line a wrong address earns."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from keeper.adapters.aave_v3 import AaveV3
from keeper.devnet import Devnet
from keeper.devnet.names import derived
from keeper.errors import ConfigError
from keeper.types import Address, Log, LogFilter
from tests.adapters.chain import NodeReader
from tests.adapters.conftest import Follow

VERSIONS = {"aave_v302": "3.0", "aave_v36": "3.6"}


@pytest.mark.parametrize("name", VERSIONS)
async def test_one_address_is_enough(follow: Follow, name: str) -> None:
    followed = await follow(name)
    market, net = followed.market, followed.net
    assert market.deployment.rules.version == VERSIONS[name]
    assert (market.deployment.pool, market.deployment.configurator) == (
        net.addresses[f"{name}.pool"],
        net.addresses[f"{name}.configurator"],
    )
    assert market.deployment.unit == "usd-8"
    assert market.address == net.addresses[f"{name}.provider"]
    assert market.source == net.addresses[f"{name}.pool"]
    symbols = ("WETH", "WBTC", "USDC", "DAI", "wstETH", "LINK")
    assert dict(market.tokens(followed.indexer.tables)) == {net.addresses[f"token.{symbol}"]: symbol for symbol in symbols}
    assert set(market.accounts(followed.indexer.tables)) >= set(followed.users)
    followed_addresses = {f.address for f in market.filters(followed.indexer.tables)}
    assert followed_addresses >= {net.addresses[f"aggregator.{symbol}"] for symbol in symbols}


async def test_a_given_first_block_is_taken_as_it_is(net: Devnet, reader: NodeReader) -> None:
    market = await AaveV3().open(reader, "m", net.addresses["aave_v36.provider"], 1)
    assert market.first_block == 1


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ("", "no contract at 0x"),
        ("token.USDC", r"is not an Aave v3 PoolAddressesProvider \(getMarketId\(\) gives no answer\)"),
        ("token.WETH", r"is not an Aave v3 PoolAddressesProvider \(getMarketId\(\) gives no answer\)"),
        ("aave_v36.pool", r"is not an Aave v3 PoolAddressesProvider \(getMarketId\(\) gives no answer\)"),
        ("aave_v302.data_provider", r"is not an Aave v3 PoolAddressesProvider \(getMarketId\(\) gives no answer\)"),
        ("uniswap.factory", r"is not an Aave v3 PoolAddressesProvider \(getMarketId\(\) gives no answer\)"),
    ],
)
async def test_a_wrong_address_is_one_clear_line(net: Devnet, reader: NodeReader, contract: str, message: str) -> None:
    address = net.addresses[contract] if contract else derived("tests: nobody")
    with pytest.raises(ConfigError, match=message) as refused:
        await AaveV3().open(reader, "m", address, None)
    assert "\n" not in str(refused.value)


class WithoutLogs(NodeReader):
    """A node that keeps no old logs."""

    async def logs(self, filters: Sequence[LogFilter], from_block: int, to_block: int) -> list[Log]:
        return []


async def test_a_node_without_the_providers_logs_needs_a_first_block(net: Devnet, reader: NodeReader) -> None:
    forgetful = WithoutLogs(net.rpc, reader.session)
    address: Address = net.addresses["aave_v36.provider"]
    with pytest.raises(ConfigError, match="set first_block"):
        await AaveV3().open(forgetful, "m", address, None)
    with pytest.raises(ConfigError, match="first_block = 2 is too late"):
        await AaveV3().open(forgetful, "m", address, 2)
