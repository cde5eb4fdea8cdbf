"""Opening a venue on the devnet, by its address and by wrong ones."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from keeper.devnet import Devnet
from keeper.errors import ConfigError
from keeper.ports import Reader
from keeper.types import Address
from keeper.venues.uniswap_v3 import UniswapV3


async def test_it_starts_at_the_block_the_factory_was_deployed_in(devnet: Devnet, reader: Reader) -> None:
    factory = devnet.addresses["uniswap.factory"]
    venue = await UniswapV3().open(reader, "uni", factory, None)
    logs = await devnet.request("eth_getLogs", {"address": factory, "fromBlock": "0x0", "toBlock": "latest"})
    assert venue.first_block == int(logs[0]["blockNumber"], 16) > 0


async def test_a_given_first_block_is_taken(devnet: Devnet, reader: Reader) -> None:
    venue = await UniswapV3().open(reader, "uni", devnet.addresses["uniswap.factory"], 5)
    assert (venue.name, venue.first_block) == ("uni", 5)


async def test_an_address_without_code_is_refused(reader: Reader) -> None:
    with pytest.raises(ConfigError, match=r"^no contract at 0x1111\S+; expected a Uniswap v3 factory$"):
        await UniswapV3().open(reader, "uni", Address("0x" + "11" * 20), None)


@pytest.mark.parametrize("name", ["token.USDC", "aave_v36.provider", "aave_v36.pool", "uniswap.router", "pool.WETH-USDC-500", "feed.WETH"])
async def test_another_protocols_contract_is_refused(devnet: Devnet, reader: Reader, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^0x\S+ is not a Uniswap v3 factory$"):
        await UniswapV3().open(reader, "uni", devnet.addresses[name], None)


def test_it_is_registered_by_its_name() -> None:
    (found,) = entry_points(group="keeper.venues", name=UniswapV3.name)
    assert found.load() is UniswapV3
