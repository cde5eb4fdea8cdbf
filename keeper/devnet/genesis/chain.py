"""The whole build, phase by phase; each phase is one block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keeper.devnet.artifacts import Artifacts
from keeper.devnet.genesis import aave, dex, morpho, perp, yields
from keeper.devnet.genesis.borrowers import Borrower, borrow, enter, population, supply
from keeper.devnet.genesis.builder import Builder
from keeper.devnet.genesis.tokens import BY_SYMBOL, WETH_SUPPLY_WEI, deploy_tokens, transmit_prices
from keeper.devnet.names import ACCOUNTS, DEPLOYER, MARKETS, TRADER, V36, V302, derived
from keeper.devnet.rpc import Rpc
from keeper.types import Address

GENESIS_S = 1_767_225_600
GAS_LIMIT = 60_000_000
BUILD_GAS_LIMIT = 2_000_000_000
BASE_FEE_WEI = 10**9
ETHER = 10**18
PURSE_WEI = 10**4 * ETHER
STRANGER, SINK = derived("stranger"), derived("sink")
BURN = "0xfe"  # the INVALID instruction: takes all gas and no time
CROWD = 200
LENDERS = {
    "lender 0": (("USDC", "DAI"), {"WETH": 15, "wstETH": 10}),
    "lender 1": (("WETH", "wstETH", "WBTC", "LINK"), {"USDC": 40, "DAI": 35}),
    "lender 2": (tuple(BY_SYMBOL), {"WBTC": 8, "LINK": 5}),
}  # what they supply, and the share (percent) of that reserve's supply they borrow
SEASON_S = 90 * 24 * 3600


async def build(rpc: Rpc, artifacts: Artifacts, accounts: int, seed: int) -> dict[str, Any]:
    """Deploy, list, fill and borrow on a fresh chain; returns the manifest. Raises KeeperError naming the step that failed."""
    builder = Builder(rpc, artifacts, GENESIS_S)
    scale = 1 + accounts // CROWD
    await builder.fund([DEPLOYER, TRADER], 2 * WETH_SUPPLY_WEI)
    await _deploy(builder, scale)
    vaults = await yields.deploy(builder, seed)
    await _lend(builder, scale, accounts)
    borrowers, isolated = population(accounts, seed), morpho.population(accounts, seed)
    traders = perp.population(accounts, seed)
    await _borrow(builder, borrowers)
    await _isolated(builder, isolated)
    await _trade(builder, traders, scale)
    for market in MARKETS:
        aave.tighten(builder, market)
        await aave.name_tokens(builder, market)
    await builder.mine()
    await _settle(builder)
    entries = [{"address": b.address, "market": b.market, "archetype": b.archetype, "emode": b.emode} for b in borrowers]
    head = await rpc.request("eth_getBlockByNumber", "latest", False)
    beside = {"isolated": morpho.entries(isolated), "vaults": vaults, "traders": perp.entries(traders)}
    return {"head": head["hash"], "addresses": _public(builder), "borrowers": entries, **beside}


async def _deploy(builder: Builder, scale: int) -> None:
    deploy_tokens(builder)
    transmit_prices(builder, 1)
    await builder.mine()
    aave.deploy_v302(builder)
    aave.deploy_v36(builder)
    await builder.mine()
    for market in (V302, V36):
        aave.configure(builder, market, scale)
    await builder.mine()
    dex.deploy_uniswap(builder)
    dex.add_liquidity(builder)
    morpho.deploy(builder)
    await builder.fund([perp.QUOTE_OWNER], ETHER)
    perp.deploy(builder)
    await builder.mine()


async def _lend(builder: Builder, scale: int, accounts: int) -> None:
    """Deep lenders supply, borrow some of each other's, and a season passes: indexes are no longer one."""
    await builder.fund([derived(label) for label in LENDERS], 10 * ETHER)
    for market in MARKETS:
        for label, (symbols, _) in LENDERS.items():
            for symbol in symbols:
                supply(builder, market, derived(label), symbol, _supply(symbol, scale) // 2)
        for label, (_, shares) in LENDERS.items():
            for symbol, percent in shares.items():
                borrow(builder, market, derived(label), symbol, _supply(symbol, scale) * percent // 100)
    await builder.fund(morpho.funded(()), 10 * ETHER)
    morpho.lend(builder, accounts)
    await builder.mine()
    transmit_prices(builder, 2)
    await builder.mine(SEASON_S)


def _supply(symbol: str, scale: int) -> int:
    return BY_SYMBOL[symbol].supply * BY_SYMBOL[symbol].unit * scale


async def _borrow(builder: Builder, borrowers: Sequence[Borrower]) -> None:
    await builder.fund([b.address for b in borrowers], 10 * ETHER)
    for start in range(0, len(borrowers), CROWD):
        for borrower in borrowers[start : start + CROWD]:
            enter(builder, borrower)
        await builder.mine()


async def _isolated(builder: Builder, borrowers: Sequence[morpho.Borrower]) -> None:
    await builder.fund(morpho.funded(borrowers), 10 * ETHER)
    morpho.borrow_hostile(builder)
    for start in range(0, len(borrowers), CROWD):
        morpho.borrow(builder, borrowers[start : start + CROWD])
        await builder.mine()
    morpho.turn_hostile(builder)


async def _trade(builder: Builder, traders: Sequence[perp.Trader], scale: int) -> None:
    await builder.fund(perp.funded(traders), 10 * ETHER)
    perp.provide(builder, scale)
    await builder.mine()
    for start in range(0, len(traders), perp.CROWD):
        for trader in traders[start : start + perp.CROWD]:
            perp.trade(builder, trader)
        await builder.mine(perp.WINDOW_S)
        await perp.settle(builder)
        await builder.mine(perp.WINDOW_S)


async def _settle(builder: Builder) -> None:
    """Leave the chain as a user meets it: usual balances, gas limit and base fee, fresh prices."""
    await builder.fund(ACCOUNTS, PURSE_WEI)
    await builder.fund([STRANGER], 10**6 * ETHER)
    await builder.rpc.request("anvil_setCode", SINK, BURN)
    await builder.rpc.request("evm_setBlockGasLimit", hex(GAS_LIMIT))
    await builder.rpc.request("anvil_setNextBlockBaseFeePerGas", hex(BASE_FEE_WEI * 8 // 7))  # falls by an eighth after this block
    transmit_prices(builder, 3)
    await builder.mine()


def _public(builder: Builder) -> dict[str, Address]:
    """Only what users name; the implementations behind proxies are nobody's business."""
    symbols = {f"lender.{label[-1]}": derived(label) for label in LENDERS}
    heads = ("token", "feed", "aggregator", "pool", "uniswap", "treasury", "morpho", "yield", "perp", *MARKETS)
    return {n: a for n, a in builder.addresses.items() if n.partition(".")[0] in heads} | symbols
