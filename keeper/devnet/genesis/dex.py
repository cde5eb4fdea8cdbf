"""Deploys Uniswap v3 and fills its pools."""

from __future__ import annotations

from eth_utils.crypto import keccak

from keeper.devnet.genesis.builder import Builder
from keeper.devnet.genesis.tokens import BY_SYMBOL, TOKENS, give
from keeper.devnet.names import TRADER
from keeper.devnet.uniswap import POOLS, Pool, ordered, sqrt_price_x96, tick_of, tick_range
from keeper.types import ZERO_ADDRESS, Address

MAX = 2**256 - 1
TRADER_USD = 500_000_000
NEVER_S = 2**32
POOL_GAS = 6_000_000


def deploy_uniswap(builder: Builder) -> None:
    """Factory, router, quoter, position manager, and the pools at their first price."""
    weth = builder.addresses["token.WETH"]
    factory = builder.deploy("uniswap.factory")
    nfpm = builder.deploy("uniswap.nfpm", factory, weth, ZERO_ADDRESS)
    builder.deploy("uniswap.router", ZERO_ADDRESS, factory, nfpm, weth)
    builder.deploy("uniswap.quoter", factory, weth)
    builder.call("uniswap.factory", "enableFeeAmount", 100, 1)
    for pool in POOLS:
        _create(builder, pool)


def add_liquidity(builder: Builder) -> None:
    """The trader gets rich in every token and provides the liquidity of every pool."""
    for token in TOKENS:
        give(builder, token.symbol, TRADER, TRADER_USD * 10**8 * token.unit // token.price)
        for spender in ("uniswap.nfpm", "uniswap.router"):
            builder.call(f"token.{token.symbol}", "approve", builder.addresses[spender], MAX, sender=TRADER)
    for pool in POOLS:
        _provide(builder, pool)


def _create(builder: Builder, pool: Pool) -> None:
    symbols = ordered(pool, _tokens(builder))
    token0, token1 = (builder.addresses[f"token.{s}"] for s in symbols)
    builder.call("uniswap.nfpm", "createAndInitializePoolIfNecessary", token0, token1, pool.fee, _sqrt(symbols), gas=POOL_GAS)
    creation = builder.artifacts["UniswapV3Pool"].creation((), {})
    salt = keccak(b"".join(bytes.fromhex(t[2:]).rjust(32, b"\0") for t in (token0, token1)) + pool.fee.to_bytes(32, "big"))
    preimage = b"\xff" + bytes.fromhex(builder.addresses["uniswap.factory"][2:]) + salt + keccak(creation)
    builder.addresses[pool.name] = Address("0x" + keccak(preimage)[-20:].hex())


def _provide(builder: Builder, pool: Pool) -> None:
    symbols = ordered(pool, _tokens(builder))
    token0, token1 = (builder.addresses[f"token.{s}"] for s in symbols)
    tick = tick_of(_sqrt(symbols))
    for lower, upper, usd in pool.ranges:
        amounts = [usd * 10**8 * BY_SYMBOL[s].unit // BY_SYMBOL[s].price for s in symbols]
        ticks = tick_range(pool, tick, lower, upper)
        params = (token0, token1, pool.fee, *ticks, *amounts, 0, 0, TRADER, NEVER_S)
        builder.call("uniswap.nfpm", "mint", params, sender=TRADER)


def _sqrt(symbols: tuple[str, str]) -> int:
    first, second = (BY_SYMBOL[s] for s in symbols)
    return sqrt_price_x96(first.price, first.unit, second.price, second.unit)


def _tokens(builder: Builder) -> dict[str, Address]:
    return {symbol: builder.addresses[f"token.{symbol}"] for symbol in BY_SYMBOL}
