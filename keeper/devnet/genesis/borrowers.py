"""The borrowers: a cycle of archetypes, filled in with amounts that depend on the seed alone (integers only)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eth_utils.crypto import keccak

from keeper.devnet.genesis.builder import Builder
from keeper.devnet.genesis.tokens import BY_SYMBOL, EMODES, give
from keeper.devnet.names import MARKETS, derived
from keeper.types import Address

MAX = 2**256 - 1
VARIABLE_RATE = 2
BPS = 10**4


@dataclass(frozen=True, slots=True)
class Archetype:
    """`collateral`, `debt`: symbols and relative weights. `usd`: range of the whole collateral. `health_bps`: range of the health factor.
    `idle`: collateral whose use as such is switched off."""

    name: str
    collateral: Mapping[str, int]
    debt: Mapping[str, int]
    usd: tuple[int, int]
    health_bps: tuple[int, int]
    emode: int = 0
    idle: Mapping[str, int] | None = None


EDGE = (10_050, 11_000)
ARCHETYPES = (
    Archetype("edge", {"WETH": 1}, {"USDC": 1}, (20_000, 300_000), EDGE),
    Archetype("emode eth", {"wstETH": 1}, {"WETH": 1}, (50_000, 900_000), (10_100, 10_600), 1),
    Archetype("several debts", {"WETH": 1}, {"USDC": 3, "DAI": 2}, (30_000, 400_000), EDGE),
    Archetype("several collaterals", {"WETH": 3, "WBTC": 2}, {"USDC": 1}, (40_000, 600_000), EDGE),
    Archetype("tiny", {"WETH": 1}, {"DAI": 1}, (700, 1_900), EDGE),
    Archetype("huge", {"WETH": 5, "WBTC": 1}, {"USDC": 4, "DAI": 1}, (2_000_000, 6_000_000), (10_300, 11_000)),
    Archetype("emode stable", {"USDC": 1}, {"DAI": 1}, (20_000, 500_000), (10_050, 10_600), 2),
    Archetype("dust", {"WETH": 1}, {"USDC": 1}, (5, 9), EDGE),
    Archetype("tail", {"LINK": 1}, {"USDC": 1}, (8_000, 60_000), EDGE),
    Archetype("bad debt to be", {"WETH": 1}, {"DAI": 1}, (5_000, 80_000), (10_030, 10_150)),
    Archetype("safe", {"WETH": 1, "WBTC": 1}, {"DAI": 1}, (50_000, 900_000), (20_000, 40_000)),
    Archetype("three and three", {"wstETH": 2, "LINK": 1, "WBTC": 2}, {"DAI": 1, "USDC": 2, "WETH": 1}, (60_000, 400_000), EDGE),
    Archetype("near 2000", {"WETH": 1}, {"USDC": 2, "DAI": 1}, (2_200, 5_000), EDGE),
    Archetype("same asset", {"WETH": 3}, {"WETH": 1, "USDC": 2}, (20_000, 200_000), EDGE),
    Archetype("emode mixed", {"wstETH": 2, "WETH": 1}, {"WETH": 1}, (20_000, 300_000), (10_100, 10_600), 1),
    Archetype("short", {"USDC": 1}, {"WETH": 1}, (20_000, 200_000), EDGE),
    Archetype("idle collateral", {"WBTC": 1}, {"USDC": 1}, (10_000, 150_000), EDGE, idle={"WETH": 1}),
    Archetype("staked", {"wstETH": 1}, {"USDC": 1, "DAI": 1}, (20_000, 400_000), EDGE),
    Archetype("emode stable reverse", {"DAI": 3, "USDC": 1}, {"USDC": 1}, (20_000, 500_000), (10_050, 10_600), 2),
    Archetype("bitcoin", {"WBTC": 1}, {"WETH": 1, "DAI": 1}, (20_000, 500_000), EDGE),
)


@dataclass(frozen=True, slots=True)
class Borrower:
    """Amounts are in the tokens' smallest units."""

    address: Address
    market: str
    archetype: str
    emode: int
    collateral: Mapping[str, int]
    debt: Mapping[str, int]
    idle: Mapping[str, int]


def population(accounts: int, seed: int) -> list[Borrower]:
    """The borrowers of a seed: alternately of v3.6 and of v3.0.2, archetypes in turn."""
    return [_borrower(i, seed) for i in range(accounts)]


def enter(builder: Builder, borrower: Borrower) -> None:
    """Queue the transactions that open the position."""
    pool, user = f"{borrower.market}.pool", borrower.address
    for symbol, amount in (*borrower.collateral.items(), *borrower.idle.items()):
        supply(builder, borrower.market, user, symbol, amount)
    for symbol in borrower.idle:
        builder.call(pool, "setUserUseReserveAsCollateral", builder.addresses[f"token.{symbol}"], False, sender=user)
    if borrower.emode:
        builder.call(pool, "setUserEMode", borrower.emode, sender=user)
    for symbol, amount in borrower.debt.items():
        borrow(builder, borrower.market, user, symbol, amount)


def supply(builder: Builder, market: str, user: Address, symbol: str, amount: int) -> None:
    give(builder, symbol, user, amount)
    builder.call(f"token.{symbol}", "approve", builder.addresses[f"{market}.pool"], MAX, sender=user)
    builder.call(f"{market}.pool", "supply", builder.addresses[f"token.{symbol}"], amount, user, 0, sender=user)


def borrow(builder: Builder, market: str, user: Address, symbol: str, amount: int) -> None:
    asset = builder.addresses[f"token.{symbol}"]
    builder.call(f"{market}.pool", "borrow", asset, amount, VARIABLE_RATE, 0, user, sender=user)


def _borrower(index: int, seed: int) -> Borrower:
    market = MARKETS[index % len(MARKETS)]
    kind = ARCHETYPES[index // len(MARKETS) % len(ARCHETYPES)]
    label = f"borrower {seed}/{index}"
    usd = _draw(f"{label} usd", *(10**8 * bound for bound in kind.usd))
    values = _split(usd, kind.collateral)
    weighted = sum(value * _threshold(symbol, kind.emode) for symbol, value in values.items())
    owed = weighted // _draw(f"{label} health", *kind.health_bps)
    idle = _split(usd, kind.idle or {})
    parts = (_amounts(values), _amounts(_split(owed, kind.debt)), _amounts(idle))
    return Borrower(derived(label), market, kind.name, kind.emode, *parts)


def _threshold(symbol: str, emode: int) -> int:
    token = BY_SYMBOL[symbol]
    return EMODES[emode - 1].threshold if emode and token.emode == emode else token.threshold


def _split(value: int, weights: Mapping[str, int]) -> dict[str, int]:
    return {symbol: value * weight // sum(weights.values()) for symbol, weight in weights.items()}


def _amounts(values: Mapping[str, int]) -> dict[str, int]:
    return {symbol: value * BY_SYMBOL[symbol].unit // BY_SYMBOL[symbol].price for symbol, value in values.items()}


def _draw(label: str, low: int, high: int) -> int:
    return low + int.from_bytes(keccak(text=label)) % (high - low + 1)
