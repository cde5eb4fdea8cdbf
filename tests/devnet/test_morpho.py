"""Morpho Blue on the devnet: markets on the shared tokens and feeds, borrowers near the edge, hostile neighbours."""

from __future__ import annotations

import pytest

from keeper.devnet import Devnet
from keeper.devnet.genesis import morpho
from keeper.devnet.genesis.morpho import HOSTILE, MARKETS, Market
from keeper.devnet.names import derived
from keeper.devnet.rpc import RpcError

WAD = 10**18
EVERY = pytest.mark.parametrize("market", MARKETS, ids=lambda market: market.name)


async def limits(net: Devnet, market: Market, user: str) -> tuple[int, int]:
    """(most that may be owed, what is owed without the interest since the last accrual)"""
    market_id = bytes.fromhex(morpho.market_id(net.addresses, market)[2:])
    _, shares, collateral = await net.read("morpho.blue", "position", market_id, user)
    _, _, assets, total, _, _ = await net.read("morpho.blue", "market", market_id)
    (price,) = await net.read(f"morpho.oracle.{market.oracle or f'{market.collateral}-{market.loan}'}", "price")
    return collateral * price // 10**36 * market.lltv_bps // 10**4, -(-shares * (assets + 1) // (total + 10**6))


@EVERY
async def test_a_market_has_the_parameters_it_is_named_by(devnet: Devnet, market: Market) -> None:
    market_id = bytes.fromhex(morpho.market_id(devnet.addresses, market)[2:])
    assert await devnet.read("morpho.blue", "idToMarketParams", market_id) == morpho.params(devnet.addresses, market)


@EVERY
async def test_its_oracle_says_what_the_shared_feeds_say_also_when_they_move(net: Devnet, market: Market) -> None:
    name = f"morpho.oracle.{market.collateral}-{market.loan}"
    assert await net.read(name, "price") == (morpho.price(market),)
    await net.set_prices({market.collateral: (await net.prices())[market.collateral] * 7 // 10})
    await net.mine()
    assert await net.read(name, "price") == (pytest.approx(morpho.price(market) * 7 // 10, rel=1e-8),)


async def test_every_borrower_is_safe_but_close_and_a_fall_of_two_fifths_takes_nearly_all(net: Devnet) -> None:
    markets = {market.name: market for market in MARKETS}
    for entry in net.isolated:
        most, owed = await limits(net, markets[entry.market], entry.address)
        assert 0 < owed < most
    await net.set_prices({s: p * 6 // 10 for s, p in (await net.prices()).items() if s not in ("USDC", "DAI")})
    await net.mine()
    due = [entry for entry in net.isolated if (found := await limits(net, markets[entry.market], entry.address))[0] < found[1]]
    assert len(due) >= len(net.isolated) // 2


async def test_someone_borrows_in_several_markets(devnet: Devnet) -> None:
    places = [entry.address for entry in devnet.isolated]
    assert sorted(places.count(address) for address in set(places))[-2:] == [2, 3]


async def test_rates_have_adapted_to_a_season_of_lending(devnet: Devnet) -> None:
    market_id = bytes.fromhex(morpho.market_id(devnet.addresses, MARKETS[0])[2:])
    (rate,) = await devnet.read("morpho.irm", "rateAtTarget", market_id)
    assert rate not in (0, WAD * 4 // 100 // (365 * 24 * 3600))


async def test_the_hostile_are_hostile(devnet: Devnet) -> None:
    with pytest.raises(RpcError):
        await devnet.read("morpho.oracle.mute", "price")
    assert (await devnet.read("morpho.oracle.liar", "price"))[0] == 3 * morpho.price(HOSTILE[0])
    assert await devnet.read("morpho.irm.wild", "rate") == (morpho.WILD_RATE,)
    assert await devnet.read("morpho.token.FROZEN", "frozen") == (True,)
    for market in HOSTILE:
        market_id = bytes.fromhex(morpho.market_id(devnet.addresses, market)[2:])
        _, shares, collateral = await devnet.read("morpho.blue", "position", market_id, derived(market.name))
        assert min(shares, collateral) > 0
