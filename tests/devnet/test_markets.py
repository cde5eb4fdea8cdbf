"""What stands on the devnet: both Aave markets, the pools, and the borrowers."""

from __future__ import annotations

from collections import Counter

import pytest

from keeper.devnet import Devnet, DevnetOptions
from keeper.devnet.driver import drive
from keeper.devnet.genesis.borrowers import population
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.paths import path
from keeper.devnet.state import Borrower
from keeper.devnet.uniswap import POOLS
from keeper.types import Address

WAD = 10**18
MARKETS = ("aave_v36", "aave_v302")
markets = pytest.mark.parametrize("market", MARKETS)


@markets
async def test_each_market_lists_every_token_with_its_parameters(devnet: Devnet, market: str) -> None:
    assert await devnet.read(f"{market}.pool", "getReservesList") == (tuple(devnet.addresses[f"token.{s}"] for s in BY_SYMBOL),)
    for symbol, token in BY_SYMBOL.items():
        asset = devnet.addresses[f"token.{symbol}"]
        data = await devnet.read(f"{market}.data_provider", "getReserveConfigurationData", asset)
        assert data[:5] == (token.decimals, token.ltv, token.threshold, token.bonus, token.reserve_factor)
        assert await devnet.read(f"{market}.data_provider", "getLiquidationProtocolFee", asset) == (1000,)
        assert await devnet.read(f"{market}.data_provider", "getFlashLoanEnabled", asset) == (True,)
        assert await devnet.read(f"{market}.oracle", "getSourceOfAsset", asset) == (devnet.addresses[f"feed.{symbol}"],)


@markets
async def test_the_named_tokens_of_a_market_are_its_own(devnet: Devnet, market: str) -> None:
    for symbol in BY_SYMBOL:
        for name in ("atoken", "vtoken"):
            token = f"{market}.{name}.{symbol}"
            assert await devnet.read(token, "UNDERLYING_ASSET_ADDRESS") == (devnet.addresses[f"token.{symbol}"],)
            assert await devnet.read(token, "POOL") == (devnet.addresses[f"{market}.pool"],)


@markets
async def test_indexes_have_left_one(devnet: Devnet, market: str) -> None:
    for symbol in BY_SYMBOL:
        asset = devnet.addresses[f"token.{symbol}"]
        for view in ("getReserveNormalizedIncome", "getReserveNormalizedVariableDebt"):
            assert (await devnet.read(f"{market}.pool", view, asset))[0] > 10**27


@markets
async def test_there_are_borrowers_inside_both_emodes(devnet: Devnet, market: str) -> None:
    members = [b for b in devnet.population if b.market == market]
    emodes = [(await devnet.read(f"{market}.pool", "getUserEMode", b.address))[0] for b in members]
    assert emodes == [b.emode for b in members]
    assert {1, 2} <= set(emodes)


async def test_borrowers_are_spread_from_the_edge_to_safe_and_nobody_is_liquidatable_yet(devnet: Devnet) -> None:
    health = [h for h, _, _ in await _accounts(devnet)]
    assert len(health) == len(set(devnet.borrowers)) == 40
    assert min(health) > WAD
    assert sum(h < 103 * WAD // 100 for h in health) >= 8
    assert sum(h > 2 * WAD for h in health) >= 2


async def test_positions_reach_from_dust_to_millions(devnet: Devnet) -> None:
    debts = sorted(debt for _, _, debt in await _accounts(devnet))
    assert debts[1] < 10 * 10**8
    assert any(100 * 10**8 < debt < 2000 * 10**8 for debt in debts)
    assert debts[-1] > 10**6 * 10**8


def test_every_market_gets_half_of_the_borrowers_and_several_collaterals_and_debts_occur() -> None:
    borrowers = population(40, 3)
    assert Counter(b.market for b in borrowers) == {"aave_v36": 20, "aave_v302": 20}
    assert {len(b.collateral) for b in borrowers} == {1, 2, 3}
    assert {len(b.debt) for b in borrowers} == {1, 2, 3}


def test_a_seed_fixes_the_borrowers_and_another_changes_them_all() -> None:
    first, again, other = population(40, 1), population(40, 1), population(40, 2)
    assert first == again
    assert not {b.address for b in first} & {b.address for b in other}
    assert all(a.debt != b.debt for a, b in zip(first, other, strict=True))


async def test_hundreds_of_borrowers_find_room() -> None:
    async with Devnet.start(DevnetOptions(accounts=250, seed=3)) as net:
        health = [h for h, _, _ in await _accounts(net)]
        assert len(health) == 250
        assert min(health) > WAD


async def test_every_pool_has_depth_in_steps_around_its_price(devnet: Devnet) -> None:
    for pool in POOLS:
        assert (await devnet.read(pool.name, "liquidity"))[0] > 0
        logs = await devnet.request(
            "eth_getLogs",
            {"fromBlock": "0x0", "address": devnet.addresses[pool.name], "topics": [devnet.contract(pool.name).topic("Mint")]},
        )
        assert len({(log["topics"][2], log["topics"][3]) for log in logs}) == len(pool.ranges) >= 3


async def test_a_crash_makes_many_accounts_liquidatable_in_both_markets_and_all_ways(net: Devnet) -> None:
    seen: dict[Address, set[str]] = {}
    for step in path("crash", 8, 1, await net.prices()):
        await drive(net, [step])
        for borrower, (health, collateral, debt) in zip(net.population, await _accounts(net), strict=True):
            if health < WAD:
                seen.setdefault(borrower.address, set()).add(_state(health, collateral, debt))
    hit = [b for b in net.population if b.address in seen]
    assert all(sum(b.market == market for b in hit) >= 10 for market in MARKETS)
    assert set().union(*seen.values()) == {"half", "whole", "underwater"}
    assert any(b.emode == 1 for b in hit)
    assert {"dust", "tiny", "huge", "tail", "near 2000", "same asset"} <= {b.archetype for b in hit}


def _state(health: int, collateral: int, debt: int) -> str:
    return "underwater" if debt > collateral else "half" if health > 95 * WAD // 100 else "whole"


async def _accounts(net: Devnet) -> list[tuple[int, int, int]]:
    """Health factor, collateral and debt of every borrower."""

    async def one(borrower: Borrower) -> tuple[int, int, int]:
        data = await net.read(f"{borrower.market}.pool", "getUserAccountData", borrower.address)
        return data[5], data[0], data[1]

    return [await one(borrower) for borrower in net.population]
