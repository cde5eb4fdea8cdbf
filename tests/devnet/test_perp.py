"""The perpetual markets of the devnet follow their indexes, and a crash makes their traders liquidatable in every way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from keeper.devnet import Devnet
from keeper.devnet.names import ACCOUNTS, PERP_MARKETS
from keeper.devnet.rpc import RpcError
from keeper.types import Address

WAD = 10**18
CRYPTO = ("WETH", "WBTC", "wstETH", "LINK")


@contextmanager
def reverting(reason: str) -> Iterator[None]:
    with pytest.raises(RpcError) as caught:
        yield
    assert bytes.fromhex(str(caught.value.data)[2:]).find(reason.encode()) > 0


async def fall(net: Devnet, percents: list[int]) -> None:
    """By so much a step, with time for the markets to follow."""
    for percent in percents:
        prices = await net.prices()
        await net.set_prices({symbol: prices[symbol] * percent // 100 for symbol in CRYPTO})
        await net.mine()
        for _ in range(2):
            await net.arbitrage()
            await net.mine()


async def spot(net: Devnet, symbol: str) -> float:
    return float(((await net.read(f"perp.pool.{symbol}", "slot0"))[0] / 2**96) ** 2)


async def margin(net: Devnet, account: Address) -> tuple[int, int]:
    """(account value, what must not be undercut), 18 decimals."""
    value = await net.read("perp.clearing_house", "getAccountValue", account)
    required = await net.read("perp.account_balance", "getMarginRequirementForLiquidation", account)
    return value[0], required[0]


async def liquidatable(net: Devnet) -> dict[str, Address]:
    """Archetype → account: the position, or the ether behind it."""
    margins = {trader: await margin(net, trader.address) for trader in net.traders}
    below = {trader.archetype: trader.address for trader, (value, required) in margins.items() if value < required}
    return below | {t.archetype: t.address for t in net.traders if (await net.read("perp.vault", "isLiquidatable", t.address))[0]}


async def test_nobody_is_liquidatable_at_first(net: Devnet) -> None:
    assert await liquidatable(net) == {}


async def test_pools_marks_and_indexes_go_together(net: Devnet) -> None:
    await fall(net, [96, 88])
    prices = await net.prices()
    for symbol, priced_as in PERP_MARKETS.items():
        price = prices[priced_as] / 10**8
        mark = (await net.read("perp.account_balance", "getMarkPrice", net.addresses[f"perp.base.{symbol}"]))[0] / WAD
        assert await spot(net, symbol) == pytest.approx(price, rel=2e-4)
        assert mark == pytest.approx(price, rel=1e-3)  # an average has its say


async def test_a_fall_too_deep_for_one_block_is_followed_in_the_next(net: Devnet) -> None:
    prices = await net.prices()
    await net.set_prices({"WETH": prices["WETH"] * 84 // 100})
    await net.mine()
    assert await spot(net, "ETH") > 0.85 * prices["WETH"] / 10**8
    for _ in range(3):
        await net.arbitrage()
        await net.mine()
    assert await spot(net, "ETH") == pytest.approx(0.84 * prices["WETH"] / 10**8, rel=2e-4)


async def test_a_crash_liquidates_longs_makers_and_those_whose_margin_falls_too(net: Devnet) -> None:
    await fall(net, [94, 94, 94])
    assert {"long", "both", "dust", "bad debt to be", "ether margin"} <= set(await liquidatable(net))
    await fall(net, [92, 92, 92])
    assert {"maker", "calm long"} <= set(await liquidatable(net))


async def test_a_rally_liquidates_shorts(net: Devnet) -> None:
    await fall(net, [105, 105])
    assert set(await liquidatable(net)) == {"short"}


async def test_half_of_a_position_is_liquidatable_then_all_of_it(net: Devnet) -> None:
    base = net.addresses["perp.base.ETH"]
    account = next(trader.address for trader in net.traders if trader.archetype == "long")
    shares = []
    for percent in (94, 96, 96):
        await fall(net, [percent])
        held = (await net.read("perp.account_balance", "getTotalPositionSize", account, base))[0]
        due = (await net.read("perp.account_balance", "getLiquidatablePositionSize", account, base, (await margin(net, account))[0]))[0]
        shares.append(round(due / held, 4))
    assert sorted(shares) == shares
    assert {0.5, 1.0} <= set(shares)


async def test_whoever_liquidates_takes_the_position_over(net: Devnet) -> None:
    keeper, base = ACCOUNTS[5], net.addresses["perp.base.ETH"]
    usdc, margin_usdc = net.addresses["token.USDC"], 50_000 * 10**6
    account = next(trader.address for trader in net.traders if trader.archetype == "long")
    await net.call(keeper, "token.USDC", "mint(address,uint256)", keeper, margin_usdc)
    await net.call(keeper, "token.USDC", "approve", net.addresses["perp.vault"], margin_usdc)
    await net.call(keeper, "perp.vault", "deposit", usdc, margin_usdc)
    with reverting("CH_EAV"):
        await net.call(keeper, "perp.clearing_house", "liquidate(address,address,int256)", account, base, 0)
    await fall(net, [94, 94, 94])
    held = (await net.read("perp.account_balance", "getTotalPositionSize", account, base))[0]
    await net.call(keeper, "perp.clearing_house", "liquidate(address,address,int256)", account, base, 0)
    assert (await net.read("perp.account_balance", "getTotalPositionSize", keeper, base))[0] == held


async def test_a_makers_orders_are_cancelled_first(net: Devnet) -> None:
    keeper, base = ACCOUNTS[5], net.addresses["perp.base.ETH"]
    account = next(trader.address for trader in net.traders if trader.archetype == "maker")
    await fall(net, [92, 92, 92, 92, 92])
    with reverting("CH_CLWTISO"):
        await net.call(keeper, "perp.clearing_house", "liquidate(address,address,int256)", account, base, 0)
    await net.call(keeper, "perp.clearing_house", "cancelAllExcessOrders", account, base)
    value, required = await margin(net, account)
    assert value < required
    assert (await net.read("perp.account_balance", "getTotalPositionSize", account, base))[0] > 0
