"""Perp v2 "Curie": two markets on the devnet's own feeds, with ether as a second collateral; makers, traders, and who keeps its prices.

Quote and bases are tokens of its own with 18 decimals; every pool is on a factory of its own, where nobody else trades.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isqrt
from typing import Any

from eth_utils.crypto import keccak

from keeper.address import created
from keeper.devnet.genesis.borrowers import MAX
from keeper.devnet.genesis.builder import Builder
from keeper.devnet.genesis.tokens import BY_SYMBOL, give
from keeper.devnet.names import DEPLOYER, PERP_ARBITRAGEUR, PERP_MARKETS, derived
from keeper.devnet.uniswap import tick_of
from keeper.types import Address

WAD = 10**18
PPM = 10**6
POOL_FEE, EXCHANGE_FEE, FUND_SHARE = 3000, 1000, 100_000
MAX_TICKS = 1000
TIMEOUT_S, TWAP_S = 86_400, 900
MEMORY = 400
"""Observations a pool keeps: half an hour of them must be enough."""

COLLATERAL_RATIO, DISCOUNT = 700_000, 100_000
MANAGER = (5, 750_000, 500_000, 2_000, 30_000, 2_500 * 10**6, 500 * 10**6)
FUND_USD, ARBITRAGEUR_USD = 300_000, 8_000_000
NEVER_S = 2**32
ENOUGH = 10**12 * WAD
SPACING = 60
TRADE_GAS, MEMORY_GAS = 6_000_000, 12_000_000
MAKER = derived("perp maker")
MAKER_USD, WIDE, NARROW = 6_000_000, 18_000, 1_800
"""What each of its ranges is worth on either side of the price, and how far they reach, in ticks."""


@dataclass(frozen=True, slots=True)
class Archetype:
    """`sides`: market → +1 long, -1 short, in equal parts; `usd`: of all positions together; `leverage_bps`: of that over the margin;
    `ether_bps`: the share of the margin that is ether, at its collateral ratio. `range_ticks`: a maker's, either way, instead of sides."""

    name: str
    sides: tuple[tuple[str, int], ...]
    usd: tuple[int, int]
    leverage_bps: tuple[int, int]
    ether_bps: int = 0
    range_ticks: int = 0


EDGE = (62_000, 86_000)
"""Of the others: a maker comes first, while its market is where the index is. A spread loses only by what ether falls more than bitcoin.
Whose margin is ether owes more than may be owed while the mean at which it is sold has hardly begun to fall behind. Bad debt is to be
where half the penalty does not pay the gas, so that nobody comes before the whole of it goes to the keeper."""

ARCHETYPES = (
    Archetype("maker", (("ETH", 0),), (20_000, 50_000), (92_000, 95_000), range_ticks=1_200),
    Archetype("long", (("ETH", 1),), (4_000, 60_000), EDGE),
    Archetype("short", (("ETH", -1),), (4_000, 60_000), EDGE),
    Archetype("both", (("ETH", 1), ("BTC", 1)), (8_000, 80_000), EDGE),
    Archetype("ether margin", (("BTC", 1),), (90_000, 120_000), (38_000, 42_000), ether_bps=9_900),
    Archetype("spread", (("ETH", 1), ("BTC", -1)), (8_000, 30_000), (92_000, 95_000)),
    Archetype("calm long", (("ETH", 1),), (5_000, 50_000), (25_000, 45_000)),
    Archetype("dust", (("BTC", 1),), (40, 90), EDGE),
    Archetype("bad debt to be", (("ETH", 1),), (400, 440), (86_000, 90_000)),
    Archetype("safe", (("ETH", 1),), (5_000, 50_000), (8_000, 12_000)),
)
LEAST_TRADERS, SHARE = 10, 4
CROWD, WINDOW_S = 10, 15
"""So many trade in one window of the exchange, which bounds how far its price may go."""


@dataclass(frozen=True, slots=True)
class Trader:
    """Amounts of vUSD (wad), USDC and ether (smallest units)."""

    address: Address
    kind: Archetype
    size_wad: int
    usdc: int
    ether: int = field(default=0)


def deploy(builder: Builder) -> None:
    """All contracts, in the only order that works; nothing is traded before its pools remember half an hour."""
    usdc, factory = builder.addresses["token.USDC"], builder.deploy("perp.factory")
    quote = _deploy_quote(builder)
    config = _new(builder, "config")
    fund = _new(builder, "insurance_fund", usdc)
    registry = _new(builder, "market_registry", factory, quote)
    book = _new(builder, "order_book", registry)
    exchange = _new(builder, "exchange", registry, book, config)
    balance = _new(builder, "account_balance", config, book)
    vault = _new(builder, "vault", fund, config, balance, exchange)
    manager = _new(builder, "collateral_manager", config, vault, *MANAGER)
    house = _new(builder, "clearing_house", config, vault, quote, factory, exchange, balance, fund)
    approval = _new(builder, "delegate_approval")
    for owner, setter, value in (
        ("order_book", "setExchange", exchange),
        ("exchange", "setAccountBalance", balance),
        ("account_balance", "setVault", vault),
        ("insurance_fund", "setVault", vault),
        ("vault", "setCollateralManager", manager),
        ("vault", "setWETH9", builder.addresses["token.WETH"]),
        *((name, "setClearingHouse", house) for name in ("market_registry", "order_book", "exchange", "account_balance", "vault")),
        ("clearing_house", "setDelegateApproval", approval),
        ("config", "setSettlementTokenBalanceCap", MAX),
    ):
        builder.call(f"perp.{owner}", setter, value)
    _mint(builder, "perp.quote", house, QUOTE_OWNER)
    for symbol, priced_as in PERP_MARKETS.items():
        _list(builder, symbol, priced_as)
    config_of_ether = (builder.addresses["perp.feed.ETH"], COLLATERAL_RATIO, DISCOUNT, MAX)
    builder.call("perp.collateral_manager", "addCollateral", builder.addresses["token.WETH"], config_of_ether)


def provide(builder: Builder, scale: int) -> None:
    """A deep maker, a rich arbitrageur, a filled insurance fund."""
    give(builder, "USDC", builder.addresses["perp.insurance_fund"], FUND_USD * scale * 10**6)
    deposit(builder, PERP_ARBITRAGEUR, "USDC", ARBITRAGEUR_USD * scale * 10**6)
    deposit(builder, MAKER, "USDC", 2 * MAKER_USD * scale * 10**6)
    for symbol in PERP_MARKETS:
        for reach in (WIDE, NARROW):
            make(builder, MAKER, symbol, MAKER_USD * scale * WAD // 2, reach)


def population(accounts: int, seed: int) -> list[Trader]:
    """The traders of a seed, beside the `accounts` of other markets: archetypes in turn."""
    count = max(accounts // SHARE, min(accounts, LEAST_TRADERS))
    return [_trader(i, seed) for i in range(count)]


def trade(builder: Builder, trader: Trader) -> None:
    """Deposit the margin and open the positions."""
    deposit(builder, trader.address, "USDC", trader.usdc)
    if trader.ether:
        deposit(builder, trader.address, "WETH", trader.ether)
    for symbol, side in trader.kind.sides:
        quote = trader.size_wad // len(trader.kind.sides)
        if trader.kind.range_ticks:
            make(builder, trader.address, symbol, quote // 2, trader.kind.range_ticks)
        else:
            open_position(builder, trader.address, symbol, side, quote)


async def settle(builder: Builder) -> None:
    """The arbitrageur trades every market back to its index."""
    for symbol in PERP_MARKETS:
        current, target = (await builder.read(f"perp.pool.{symbol}", "slot0"))[0], _sqrt(symbol)
        order = (builder.addresses[f"perp.base.{symbol}"], target < current, True, ENOUGH, 0, NEVER_S, target, bytes(32))
        if tick_of(current) != tick_of(target):
            builder.call("perp.clearing_house", "openPosition", order, sender=PERP_ARBITRAGEUR, gas=TRADE_GAS)


def deposit(builder: Builder, user: Address, symbol: str, amount: int) -> None:
    give(builder, symbol, user, amount)
    builder.call(f"token.{symbol}", "approve", builder.addresses["perp.vault"], MAX, sender=user)
    builder.call("perp.vault", "deposit", builder.addresses[f"token.{symbol}"], amount, sender=user)


def open_position(builder: Builder, user: Address, symbol: str, side: int, quote: int) -> None:
    """For so much vUSD, long or short."""
    order = (builder.addresses[f"perp.base.{symbol}"], side < 0, side > 0, quote, 0 if side > 0 else MAX, NEVER_S, 0, bytes(32))
    if side < 0:  # exactly so much quote out
        order = (order[0], True, False, quote, MAX, NEVER_S, 0, bytes(32))
    builder.call("perp.clearing_house", "openPosition", order, sender=user, gas=TRADE_GAS)


def make(builder: Builder, user: Address, symbol: str, quote: int, reach: int) -> None:
    """Liquidity of at most so much vUSD, and base of that worth, so many ticks either way."""
    tick, base = tick_of(_sqrt(symbol)), quote * 10**8 // BY_SYMBOL[PERP_MARKETS[symbol]].price
    lower, upper = (tick - reach) // SPACING * SPACING, (tick + reach) // SPACING * SPACING
    params = (builder.addresses[f"perp.base.{symbol}"], base, quote, lower, upper, 0, 0, False, NEVER_S)
    builder.call("perp.clearing_house", "addLiquidity", params, sender=user, gas=TRADE_GAS)


def funded(traders: Sequence[Trader]) -> list[Address]:
    """Everybody who sends transactions here."""
    return [MAKER, PERP_ARBITRAGEUR, QUOTE_OWNER, *(trader.address for trader in traders)]


def entries(traders: Sequence[Trader]) -> list[dict[str, Any]]:
    """Of the manifest."""
    return [{"address": t.address, "market": "perp", "archetype": t.kind.name, "emode": 0} for t in traders]


def _quote_owner() -> Address:
    """Whose first contract has an address above all others: the quote token must be token 1 of every pool."""
    number = 0
    while created(derived(f"perp quote {number}"), 0) < "0xff":
        number += 1
    return derived(f"perp quote {number}")


QUOTE_OWNER = _quote_owner()


def _deploy_quote(builder: Builder) -> Address:
    address = builder.deploy("perp.quote", sender=QUOTE_OWNER)
    builder.call("perp.quote", "initialize", "vUSD", "vUSD", sender=QUOTE_OWNER)
    return address


def _new(builder: Builder, name: str, *args: Any) -> Address:
    address = builder.deploy(f"perp.{name}")
    builder.call(f"perp.{name}", "initialize", *args)
    return address


def _mint(builder: Builder, token: str, house: Address, owner: Address = DEPLOYER) -> None:
    for function in ("addWhitelist", "mintMaximumTo"):
        builder.call(token, function, house, sender=owner)


def _list(builder: Builder, symbol: str, priced_as: str) -> None:
    """One market: feeds, the base token, its pool, its fees."""
    feed = builder.deploy(f"perp.feed.{symbol}", builder.addresses[f"feed.{priced_as}"], TIMEOUT_S, TWAP_S)
    dispatcher = builder.deploy(f"perp.dispatcher.{symbol}", feed)
    builder.call(f"perp.dispatcher.{symbol}", "dispatchPrice", TWAP_S)  # a feed without an old observation has no average
    base = builder.deploy(f"perp.base.{symbol}")
    builder.call(f"perp.base.{symbol}", "initialize", f"v{symbol}", f"v{symbol}", dispatcher)
    _mint(builder, f"perp.base.{symbol}", builder.addresses["perp.clearing_house"])
    pool = _create(builder, symbol, base)
    builder.call(f"perp.base.{symbol}", "addWhitelist", pool)
    builder.call("perp.quote", "addWhitelist", pool, sender=QUOTE_OWNER)
    builder.call(f"perp.pool.{symbol}", "initialize", _sqrt(symbol))
    builder.call(f"perp.pool.{symbol}", "increaseObservationCardinalityNext", MEMORY, gas=MEMORY_GAS)
    builder.call("perp.market_registry", "addPool", base, POOL_FEE)
    builder.call("perp.market_registry", "setFeeRatio", base, EXCHANGE_FEE)
    builder.call("perp.market_registry", "setInsuranceFundFeeRatio", base, FUND_SHARE)
    builder.call("perp.exchange", "setMaxTickCrossedWithinBlock", base, MAX_TICKS)


def _create(builder: Builder, symbol: str, base: Address) -> Address:
    quote, factory = builder.addresses["perp.quote"], builder.addresses["perp.factory"]
    builder.call("perp.factory", "createPool", base, quote, POOL_FEE, gas=TRADE_GAS)
    salt = keccak(b"".join(bytes.fromhex(t[2:]).rjust(32, b"\0") for t in (base, quote)) + POOL_FEE.to_bytes(32, "big"))
    creation = keccak(builder.artifacts["UniswapV3Pool"].creation((), {}))
    address = Address("0x" + keccak(b"\xff" + bytes.fromhex(factory[2:]) + salt + creation)[-20:].hex())
    builder.addresses[f"perp.pool.{symbol}"] = address
    return address


def _sqrt(symbol: str) -> int:
    return isqrt((BY_SYMBOL[PERP_MARKETS[symbol]].price << 192) // 10**8)


def _trader(index: int, seed: int) -> Trader:
    kind, label = ARCHETYPES[index % len(ARCHETYPES)], f"perp trader {seed}/{index}"
    size_wad = _draw(f"{label} usd", *(bound * 10**4 for bound in kind.usd)) * 10**14
    margin = size_wad * 10**4 // _draw(f"{label} leverage", *kind.leverage_bps)
    in_ether = margin * kind.ether_bps // 10**4
    ether = in_ether * 10**8 // BY_SYMBOL["WETH"].price * PPM // COLLATERAL_RATIO
    return Trader(derived(label), kind, size_wad, (margin - in_ether) // 10**12, ether)


def _draw(label: str, low: int, high: int) -> int:
    return low + int.from_bytes(keccak(text=label)) % (high - low + 1)
