"""Prices: by the aggregator's event at once, by the oracle's word at every head, and not at all when a source fails."""

from __future__ import annotations

import pytest
from vyper import compile_code

from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.devnet.names import DEPLOYER, derived
from keeper.errors import Skip
from keeper.types import Address
from tests.adapters import truth
from tests.adapters.conftest import Follow, Followed

MARKETS = pytest.mark.parametrize("name", ["aave_v302", "aave_v36"])
ADAPTER = """
# pragma version ~=0.4.0
interface Feed:
    def latestAnswer() -> int256: view
    def aggregator() -> address: view

FEED: immutable(Feed)

@deploy
def __init__(feed: address):
    FEED = Feed(feed)

@external
@view
def latestAnswer() -> int256:
    return staticcall FEED.latestAnswer() * 12 // 10

@external
@view
def aggregator() -> address:
    return staticcall FEED.aggregator()
"""
SENTINEL = """
# pragma version ~=0.4.0
allowed: bool

@external
@view
def isLiquidationAllowed() -> bool:
    return self.allowed

@external
def allow():
    self.allowed = True
"""


def price(followed: Followed, symbol: str) -> int:
    return followed.market.cells.price(followed.indexer.tables, followed.net.addresses[f"token.{symbol}"])


async def deploy(followed: Followed, source: str, *arguments: Address) -> Address:
    code: str = compile_code(source, output_formats=["bytecode"])["bytecode"]
    data = bytes.fromhex(code.removeprefix("0x")) + b"".join(int(a, 16).to_bytes(32) for a in arguments)
    receipt = await followed.net.transact(DEPLOYER, None, data)
    return Address(receipt["contractAddress"])


async def transmit(followed: Followed, symbol: str, answer: int) -> None:
    """A new answer in a block, and only its logs applied: no read of the head."""
    await followed.world.send([followed.world.set_price(symbol, answer)])
    number = await followed.net.mine()
    filters = followed.market.filters(followed.indexer.tables)
    for log in await followed.reader.logs(filters, number, number):
        followed.indexer.tables.write(followed.market.apply(log, followed.indexer.tables))


@MARKETS
async def test_an_answer_is_the_price_before_any_read(follow: Follow, name: str) -> None:
    followed = await follow(name)
    await transmit(followed, "WETH", 2222 * 10**8)
    assert price(followed, "WETH") == 2222 * 10**8


@MARKETS
async def test_after_a_phase_change_the_new_aggregator_is_followed(follow: Follow, name: str) -> None:
    followed = await follow(name)
    new = await followed.net.change_phase("WETH")
    await followed.indexer.sync()
    assert new in {f.address for f in followed.market.filters(followed.indexer.tables)}
    await transmit(followed, "WETH", 2345 * 10**8)
    assert price(followed, "WETH") == 2345 * 10**8


@MARKETS
async def test_a_source_that_changes_its_aggregators_answers_is_priced_by_the_oracle_alone(follow: Follow, name: str) -> None:
    followed = await follow(name)
    adapter = await deploy(followed, ADAPTER, followed.net.addresses["feed.WETH"])
    asset = followed.net.addresses["token.wstETH"]
    await followed.owner(f"{name}.oracle", "setAssetSources", [asset], [adapter])
    assert price(followed, "wstETH") == price(followed, "WETH") * 12 // 10
    await transmit(followed, "WETH", 2000 * 10**8)
    await followed.indexer.sync()
    assert price(followed, "wstETH") == 2400 * 10**8
    await transmit(followed, "WETH", 2100 * 10**8)
    assert (price(followed, "WETH"), price(followed, "wstETH")) == (2100 * 10**8, 2400 * 10**8)
    head = await followed.indexer.sync()
    assert price(followed, "wstETH") == 2520 * 10**8
    await truth.check(followed.reader, truth.health(followed.indexer, followed.users, head.timestamp_s))


@MARKETS
async def test_an_account_with_a_failing_price_is_not_offered_and_others_are(follow: Follow, name: str) -> None:
    followed = await follow(name)
    market, tables, asset = followed.market, followed.indexer.tables, followed.net.addresses["token.LINK"]
    await followed.net.set_prices({"WETH": 1500 * 10**8, "WBTC": 30_000 * 10**8, "wstETH": 1800 * 10**8, "LINK": 8 * 10**8})
    await followed.net.mine()
    await followed.owner(f"{name}.oracle", "setAssetSources", [asset], [derived("tests: no contract")])
    head = await followed.indexer.sync()
    falling = [account for account in followed.users if market.health(tables, account, head.timestamp_s).liquidatable]
    holders = [account for account in falling if holds(market, followed, account, asset, head.timestamp_s)]
    assert holders
    assert len(holders) < len(falling)
    for account in holders:
        with pytest.raises(Skip, match="no_price"):
            market.pairs(tables, account, head.timestamp_s)
    for account in set(falling) - set(holders):
        assert market.pairs(tables, account, head.timestamp_s)
    assert market.value(tables, asset, 10**18) is None


def holds(market: AaveV3Market, followed: Followed, account: Address, asset: Address, at_s: int) -> bool:
    return asset in {leg.token for leg in market.health(followed.indexer.tables, account, at_s).legs}


@MARKETS
async def test_a_sentinel_that_forbids_spares_accounts_above_0_95(follow: Follow, name: str) -> None:
    followed = await follow(name)
    market, tables = followed.market, followed.indexer.tables
    sentinel = await deploy(followed, SENTINEL)
    await followed.net.set_prices({"WETH": 2350 * 10**8, "wstETH": 2820 * 10**8, "WBTC": 62_000 * 10**8})
    await followed.net.mine()
    await followed.owner(f"{name}.provider", "setPriceOracleSentinel", sentinel)
    head = await followed.indexer.sync()
    spared = [a for a in followed.users if 95 * 10**16 <= market.health(tables, a, head.timestamp_s).health_factor_wad < 10**18]
    assert spared
    for account in spared:
        with pytest.raises(Skip, match="sentinel"):
            market.pairs(tables, account, head.timestamp_s)
    await followed.net.transact(DEPLOYER, sentinel, allow())
    head = await followed.indexer.sync()
    assert all(market.pairs(tables, account, head.timestamp_s) for account in spared)


def allow() -> bytes:
    identifiers = compile_code(SENTINEL, output_formats=["method_identifiers"])["method_identifiers"]
    return bytes.fromhex(identifiers["allow()"].removeprefix("0x"))
