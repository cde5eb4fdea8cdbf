"""Morpho Blue: the singleton, honest markets on the devnet's own tokens and feeds, hostile ones beside them, and their borrowers.

Oracles are composed of the same feeds that price everything else, so whoever moves prices moves these markets too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from keeper.devnet.genesis.borrowers import MAX
from keeper.devnet.genesis.builder import Builder
from keeper.devnet.genesis.tokens import BY_SYMBOL, give
from keeper.devnet.names import DEPLOYER, derived
from keeper.types import ZERO_ADDRESS, Address

WAD = 10**18
BPS = 10**4
SINGLETON, IRM = "morpho.blue", "morpho.irm"
LLTVS_BPS = (3850, 6250, 7700, 8600, 9150, 9450, 9650, 9800)
WHALE, LENDER = derived("morpho whale"), derived("morpho lender")
UTILISATION_BPS = 8800
WHALE_LTV_BPS = 4000
LEAST_BORROWERS, SHARE = 14, 4
WILD_RATE = 10**11
"""Per second: about 3000 % a year."""


@dataclass(frozen=True, slots=True)
class Market:
    """Symbols; `usd`: what the lender supplies at small scale; `quoted`: the oracle divides by the loan token's feed. `oracle`, `irm`: the
    names of hostile ones, "" for honest."""

    collateral: str
    loan: str
    lltv_bps: int
    usd: int
    quoted: bool = True
    oracle: str = ""
    irm: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        return f"morpho.{self.label or f'{self.collateral}-{self.loan}'}"


MARKETS = (
    Market("WETH", "USDC", 8600, 40_000_000),
    Market("wstETH", "WETH", 9450, 60_000_000),
    Market("WBTC", "USDC", 8600, 40_000_000, quoted=False),
    Market("LINK", "DAI", 6250, 8_000_000, quoted=False),
    Market("wstETH", "USDC", 8600, 20_000_000),
    Market("WBTC", "WETH", 9150, 20_000_000),
    Market("USDC", "DAI", 9450, 10_000_000),
)
HOSTILE = (
    Market("WETH", "USDC", 9150, 100_000, oracle="liar", label="liar"),
    Market("WETH", "USDC", 7700, 100_000, oracle="mute", label="mute"),
    Market("WETH", "USDC", 9450, 100_000, irm="wild", label="wild"),
    Market("TOLL", "USDC", 8600, 100_000, oracle="toll", label="toll"),
    Market("FROZEN", "USDC", 8600, 100_000, oracle="frozen", label="frozen"),
)
TOKENS = {"TOLL": 100, "FROZEN": 0}
"""Hostile tokens: the share of a transfer they keep, bps. Both are worth a dollar."""

LIE = 3
"""How many times too high the liar's price is."""


@dataclass(frozen=True, slots=True)
class Archetype:
    """Positions (collateral, loan) whose collateral is worth `usd`, and how far each is from its limit."""

    name: str
    positions: tuple[tuple[str, str], ...]
    usd: tuple[int, int]
    health_bps: tuple[int, int]


EDGE = (10_050, 11_000)
ARCHETYPES = (
    Archetype("edge", (("WETH", "USDC"),), (20_000, 300_000), EDGE),
    Archetype("staked loop", (("wstETH", "WETH"),), (50_000, 900_000), (10_060, 10_400)),
    Archetype("bitcoin", (("WBTC", "USDC"),), (20_000, 400_000), EDGE),
    Archetype("tail", (("LINK", "DAI"),), (8_000, 60_000), EDGE),
    Archetype("two markets", (("WETH", "USDC"), ("WBTC", "USDC")), (30_000, 300_000), EDGE),
    Archetype("staked", (("wstETH", "USDC"),), (20_000, 300_000), EDGE),
    Archetype("bad debt to be", (("WETH", "USDC"),), (5_000, 80_000), (10_030, 10_100)),
    Archetype("against ether", (("WBTC", "WETH"),), (20_000, 300_000), (10_100, 10_800)),
    Archetype("stable", (("USDC", "DAI"),), (20_000, 300_000), (10_050, 10_400)),
    Archetype("huge", (("WETH", "USDC"),), (1_000_000, 3_000_000), (10_300, 11_000)),
    Archetype("dust", (("WETH", "USDC"),), (5, 9), EDGE),
    Archetype("safe", (("WBTC", "USDC"),), (50_000, 500_000), (20_000, 40_000)),
    Archetype("everywhere", (("WETH", "USDC"), ("LINK", "DAI"), ("wstETH", "WETH")), (20_000, 90_000), (10_060, 10_600)),
    Archetype("tiny", (("wstETH", "USDC"),), (700, 1_900), EDGE),
)


@dataclass(frozen=True, slots=True)
class Borrower:
    """`positions`: market → (collateral, debt), in the tokens' smallest units."""

    address: Address
    archetype: str
    positions: Mapping[Market, tuple[int, int]]


def deploy(builder: Builder) -> None:
    """Singleton, rate model, oracles, and all markets; their loan tokens are supplied."""
    singleton = builder.deploy(SINGLETON, DEPLOYER)
    irms = (builder.deploy(IRM, singleton), builder.deploy("morpho.irm.wild", WAD // 25 // (365 * 24 * 3600)))
    for irm in irms:
        builder.call(SINGLETON, "enableIrm", irm)
    for lltv_bps in LLTVS_BPS:
        builder.call(SINGLETON, "enableLltv", lltv_bps * WAD // BPS)
    for symbol, fee_bps in TOKENS.items():
        builder.deploy(f"morpho.token.{symbol}", symbol, fee_bps)
    for market in (*MARKETS, *HOSTILE):
        _create(builder, market)


def lend(builder: Builder, accounts: int) -> None:
    """The lender supplies every market; a whale borrows most of it, so that rates have something to adapt to."""
    scale = 1 + _count(accounts) // len(ARCHETYPES)
    for market in (*MARKETS, *HOSTILE):
        supplied = amount(market.loan, market.usd * scale)
        _hand(builder, market.loan, LENDER, supplied)
        _call(builder, "supply", market, supplied, 0, LENDER, b"", sender=LENDER)
    for market in MARKETS:
        owed_usd = market.usd * scale * UTILISATION_BPS // BPS
        debt, collateral = amount(market.loan, owed_usd), amount(market.collateral, owed_usd * BPS // WHALE_LTV_BPS)
        _enter(builder, market, WHALE, collateral, debt)


def population(accounts: int, seed: int) -> list[Borrower]:
    """The borrowers of a seed, beside the `accounts` of other markets: archetypes in turn."""
    return [_borrower(i, seed) for i in range(_count(accounts))]


def borrow(builder: Builder, borrowers: Sequence[Borrower]) -> None:
    """Everybody's positions."""
    for borrower in borrowers:
        for market, (collateral, debt) in borrower.positions.items():
            _enter(builder, market, borrower.address, collateral, debt)


def borrow_hostile(builder: Builder) -> None:
    """One position in each hostile market, of somebody derived from its name."""
    for market in HOSTILE:
        collateral = amount(market.collateral, 10_000)
        debt = collateral * price(market, _told(market)) // 10**36 * market.lltv_bps // BPS * 99 // 100
        _enter(builder, market, derived(market.name), collateral, debt)


def turn_hostile(builder: Builder) -> None:
    """From here on the hostile are hostile."""
    builder.call("morpho.oracle.mute", "say", 0)
    builder.call("morpho.irm.wild", "say", WILD_RATE)
    builder.call("morpho.token.FROZEN", "freeze", True)


def funded(borrowers: Sequence[Borrower]) -> list[Address]:
    """Everybody who sends transactions here."""
    return [WHALE, LENDER, *(b.address for b in borrowers), *(derived(market.name) for market in HOSTILE)]


def entries(borrowers: Sequence[Borrower]) -> list[dict[str, Any]]:
    """Of the manifest: one for each position."""
    return [
        {"address": b.address, "market": market.name, "archetype": b.archetype, "emode": 0} for b in borrowers for market in b.positions
    ]


def params(addresses: Mapping[str, Address], market: Market) -> tuple[Address, Address, Address, Address, int]:
    """A market's parameters, as the contract takes them."""
    oracle = addresses[f"morpho.oracle.{market.oracle or f'{market.collateral}-{market.loan}'}"]
    irm = addresses[f"{IRM}.{market.irm}" if market.irm else IRM]
    return addresses[_token(market.loan)], addresses[_token(market.collateral)], oracle, irm, market.lltv_bps * WAD // BPS


def market_id(addresses: Mapping[str, Address], market: Market) -> str:
    """keccak256 of the parameters, as 0x-hex."""
    words = (int(p, 16) if isinstance(p, str) else p for p in params(addresses, market))
    return "0x" + keccak(b"".join(word.to_bytes(32) for word in words)).hex()


def price(market: Market, times: int = 1) -> int:
    """At the start: collateral in units of the loan token, scaled by 1e36."""
    loan_usd = _usd(market.loan) if market.quoted else 10**8
    return 10**36 * _unit(market.loan) * _usd(market.collateral) * times // (_unit(market.collateral) * loan_usd)


def amount(symbol: str, usd: int) -> int:
    return usd * 10**8 * _unit(symbol) // _usd(symbol)


def _create(builder: Builder, market: Market) -> None:
    if market.oracle:
        feeds = builder.addresses["feed.WETH"], builder.addresses["feed.USDC"]
        builder.deploy(f"morpho.oracle.{market.oracle}", *feeds, 10**24, price(market, _told(market)))
    elif not market.irm:
        _compose(builder, market)
    _call(builder, "createMarket", market)


def _compose(builder: Builder, market: Market) -> None:
    base, quote = (builder.addresses[f"feed.{symbol}"] for symbol in (market.collateral, market.loan))
    decimals = BY_SYMBOL[market.collateral].decimals, BY_SYMBOL[market.loan].decimals
    quotes = (quote if market.quoted else ZERO_ADDRESS, ZERO_ADDRESS)
    builder.deploy(f"morpho.oracle.{market.collateral}-{market.loan}", base, ZERO_ADDRESS, decimals[0], *quotes, decimals[1])


def _told(market: Market) -> int:
    return LIE if market.oracle == "liar" else 1


def _enter(builder: Builder, market: Market, user: Address, collateral: int, debt: int) -> None:
    _hand(builder, market.collateral, user, collateral)
    _call(builder, "supplyCollateral", market, collateral, user, b"", sender=user)
    _call(builder, "borrow", market, debt, 0, user, user, sender=user)


def _hand(builder: Builder, symbol: str, user: Address, tokens: int) -> None:
    """Give, and let the singleton take."""
    if symbol in TOKENS:
        builder.call(_token(symbol), "mint", user, tokens)
    else:
        give(builder, symbol, user, tokens)
    builder.call(_token(symbol), "approve", builder.addresses[SINGLETON], MAX, sender=user)


def _call(builder: Builder, function: str, market: Market, *args: Any, sender: Address = DEPLOYER) -> None:
    builder.call(SINGLETON, function, params(builder.addresses, market), *args, sender=sender)


def _token(symbol: str) -> str:
    return f"morpho.token.{symbol}" if symbol in TOKENS else f"token.{symbol}"


def _usd(symbol: str) -> int:
    return 10**8 if symbol in TOKENS else BY_SYMBOL[symbol].price


def _unit(symbol: str) -> int:
    return WAD if symbol in TOKENS else BY_SYMBOL[symbol].unit


def _count(accounts: int) -> int:
    return max(accounts // SHARE, min(accounts, LEAST_BORROWERS))


def _borrower(index: int, seed: int) -> Borrower:
    kind, label = ARCHETYPES[index % len(ARCHETYPES)], f"morpho borrower {seed}/{index}"
    positions = {}
    for pair in kind.positions:
        market = next(market for market in MARKETS if (market.collateral, market.loan) == pair)
        collateral = amount(market.collateral, _draw(f"{label} {pair} usd", *(10**4 * bound for bound in kind.usd))) // 10**4
        limit = collateral * price(market) // 10**36 * market.lltv_bps // BPS
        positions[market] = collateral, limit * BPS // _draw(f"{label} {pair} health", *kind.health_bps)
    return Borrower(derived(label), kind.name, positions)


def _draw(label: str, low: int, high: int) -> int:
    return low + int.from_bytes(keccak(text=label)) % (high - low + 1)
