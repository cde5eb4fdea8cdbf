"""Yield v2 beside the other markets: fixed-rate vaults over the same tokens and feeds, and the Witch that auctions those that go under.

One series of each base matures long after any test; one has matured a season before the chain starts, so that its debts accrue.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils.crypto import keccak

from keeper.devnet.artifacts import selector
from keeper.devnet.genesis.builder import BLOCK_S, Builder
from keeper.devnet.genesis.tokens import BY_SYMBOL, give
from keeper.devnet.names import DEPLOYER, artifact_of, derived
from keeper.types import Address

MARKET = "yield"
ETHER = 10**18
WAD = 10**18
MAX = 2**256 - 1
CAP = 10**9  # whole tokens of debt
YEAR_S = 365 * 24 * 3600
MATURED_S = 3600
PER_SECOND_WAD = 1_000_000_001_547_125_957  # 5 % a year

ASSETS = {"WETH": b"00", "DAI": b"01", "USDC": b"02", "WBTC": b"03"}
BASES, ILKS = ("USDC", "DAI"), ("WETH", "WBTC")


@dataclass(frozen=True, slots=True)
class Series:
    """`after_s`: when it matures, from its deployment."""

    id: bytes
    base: str
    after_s: int


SERIES = {
    "USDC": Series(b"0212", "USDC", 2 * YEAR_S),
    "DAI": Series(b"0112", "DAI", 2 * YEAR_S),
    "USDC matured": Series(b"0203", "USDC", MATURED_S),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """`ratio_ppm`: collateral over debt; `least`: whole tokens of debt a vault must have; the auction's duration, the part of the vault
    that is auctioned, and the part of its collateral that is offered at the start."""

    ratio_ppm: int
    least: int
    duration_s: int
    vault_percent: int
    start_ppm: int


TERMS = {
    "WETH": Terms(1_400_000, 1_000, 3600, 50, 714_000),
    "WBTC": Terms(1_500_000, 2_500, 1800, 60, 660_000),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """`owed`: range of the debt in whole tokens. `health_bps`: range of collateral over what the ratio asks for."""

    name: str
    series: str
    ilk: str
    owed: tuple[int, int]
    health_bps: tuple[int, int]


EDGE = (10_050, 11_000)
KINDS = (
    Kind("vault", "USDC", "WETH", (20_000, 200_000), EDGE),
    Kind("bitcoin vault", "USDC", "WBTC", (20_000, 300_000), (10_030, 10_500)),
    Kind("least debt", "USDC", "WETH", (1_000, 1_000), EDGE),
    Kind("under twice the least", "USDC", "WETH", (1_100, 1_990), EDGE),
    Kind("just over twice the least", "DAI", "WETH", (2_001, 2_400), EDGE),
    Kind("dai vault", "DAI", "WETH", (10_000, 90_000), EDGE),
    Kind("matured vault", "USDC matured", "WETH", (10_000, 120_000), (10_200, 11_200)),
    Kind("matured bitcoin vault", "USDC matured", "WBTC", (8_000, 60_000), (10_200, 10_700)),
    Kind("safe vault", "USDC", "WETH", (5_000, 50_000), (15_000, 30_000)),
    Kind("large vault", "DAI", "WBTC", (300_000, 900_000), (10_030, 10_500)),
)
VAULTS = 2 * len(KINDS)


@dataclass(frozen=True, slots=True)
class Vault:
    """`ink`, `art`: collateral and debt in their tokens' smallest units."""

    owner: Address
    kind: Kind
    ink: int
    art: int


def asset_id(symbol: str) -> bytes:
    return ASSETS[symbol].ljust(6, b"\0")


def series_id(name: str) -> bytes:
    return SERIES[name].id.ljust(6, b"\0")


# --- the protocol -------------------------------------------------------------------------------------------------


async def deploy(builder: Builder, seed: int) -> list[dict[str, object]]:
    """All of it, vaults included; returns the vaults. An hour and more passes: one series matures."""
    _contracts(builder)
    await builder.mine()
    _list_assets(builder)
    for name in SERIES:
        _add_series(builder, name)
    await builder.mine()
    vaults = [_vault(number, seed) for number in range(VAULTS)]
    await builder.fund([vault.owner for vault in vaults], 10 * ETHER)
    entries = [_enter(builder, vault) for vault in vaults]
    await builder.mine()
    await builder.mine(MATURED_S + BLOCK_S)
    for name, series in SERIES.items():
        if series.after_s == MATURED_S:
            builder.call("yield.cauldron", "mature", series_id(name))
    await builder.mine()
    return entries


def _contracts(builder: Builder) -> None:
    weth = builder.addresses["token.WETH"]
    cauldron = builder.deploy("yield.cauldron")
    ladle = builder.deploy("yield.ladle", cauldron, weth)
    witch = builder.deploy("yield.witch", cauldron, ladle)
    builder.deploy("yield.spot")
    builder.deploy("yield.rate")
    builder.deploy("yield.namer")
    _allow(builder, "yield.cauldron", DEPLOYER, "addAsset", "setDebtLimits", "setLendingOracle", "setSpotOracle", "addSeries", "addIlks")
    _allow(builder, "yield.cauldron", ladle, "build", "destroy", "tweak", "give", "pour", "stir", "roll")
    _allow(builder, "yield.cauldron", witch, "give", "slurp")
    _allow(builder, "yield.ladle", DEPLOYER, "addJoin", "setFee")
    _allow(builder, "yield.witch", DEPLOYER, "point", "setLineAndLimit", "setProtected", "setAuctioneerReward")
    _allow(builder, "yield.spot", DEPLOYER, "setSource")
    _allow(builder, "yield.rate", DEPLOYER, "setSource", "updatePerSecondRate")


def _allow(builder: Builder, name: str, who: Address, *functions: str) -> None:
    """A role is a function's selector."""
    abi = builder.artifacts[artifact_of(name)].abi
    roles = [selector(entry) for entry in abi if entry["type"] == "function" and entry["name"] in functions]
    builder.call(name, "grantRoles", roles, who)


def _list_assets(builder: Builder) -> None:
    spot, rate = builder.addresses["yield.spot"], builder.addresses["yield.rate"]
    for symbol in ASSETS:
        token, asset = builder.addresses[f"token.{symbol}"], asset_id(symbol)
        builder.call("yield.cauldron", "addAsset", asset, token)
        join = builder.deploy(f"yield.join.{symbol}", token)
        for who in ("yield.ladle", "yield.witch"):
            _allow(builder, f"yield.join.{symbol}", builder.addresses[who], "join", "exit")
        builder.call("yield.ladle", "addJoin", asset, join)
        builder.call("yield.spot", "setSource", asset, token, builder.addresses[f"feed.{symbol}"])
    for symbol in BASES:
        builder.call("yield.cauldron", "setLendingOracle", asset_id(symbol), rate)
        for kind in (b"RATE\0\0", b"CHI\0\0\0"):
            builder.call("yield.rate", "setSource", asset_id(symbol), kind, WAD, PER_SECOND_WAD)
        for ilk in ILKS:
            _list_ilk(builder, symbol, ilk, spot)


def _list_ilk(builder: Builder, base: str, ilk: str, spot: Address) -> None:
    terms, unit = TERMS[ilk], BY_SYMBOL[ilk].unit
    decimals, most = BY_SYMBOL[base].decimals, BY_SYMBOL[ilk].supply * unit
    shares = (terms.vault_percent * WAD // 100, terms.start_ppm * WAD // 10**6)
    builder.call("yield.cauldron", "setSpotOracle", asset_id(base), asset_id(ilk), spot, terms.ratio_ppm)
    builder.call("yield.cauldron", "setDebtLimits", asset_id(base), asset_id(ilk), CAP, terms.least, decimals)
    builder.call("yield.witch", "setLineAndLimit", asset_id(ilk), asset_id(base), terms.duration_s, *shares, most)


def _add_series(builder: Builder, name: str) -> None:
    series = SERIES[name]
    matures_s, token = builder.time_s + BLOCK_S + series.after_s, f"yield.fytoken.{series.id.decode()}"
    args = (asset_id(series.base), builder.addresses["yield.rate"], builder.addresses[f"yield.join.{series.base}"], matures_s, "fy", "fy")
    address = builder.deploy(token, *args, libraries={"SafeERC20Namer": builder.addresses["yield.namer"]})
    _allow(builder, token, builder.addresses["yield.ladle"], "mint", "burn")
    _allow(builder, token, builder.addresses["yield.witch"], "burn")
    _allow(builder, f"yield.join.{series.base}", address, "join", "exit")
    builder.call("yield.cauldron", "addSeries", series_id(name), asset_id(series.base), address)
    builder.call("yield.cauldron", "addIlks", series_id(name), [asset_id(ilk) for ilk in ILKS])


# --- the vaults ---------------------------------------------------------------------------------------------------


def vault_id(owner: Address, built_s: int) -> str:
    """What the Ladle calls an owner's first vault of that second, as 0x-hex."""
    return "0x" + keccak(bytes.fromhex(owner[2:]) + built_s.to_bytes(32) + b"\0")[:12].hex()


def account_of(vault: str) -> Address:
    """A vault's id in the shape of an address."""
    return Address(vault.ljust(42, "0"))


def _enter(builder: Builder, vault: Vault) -> dict[str, object]:
    """Queue the transactions that open the vault."""
    kind, owner = vault.kind, vault.owner
    number = vault_id(owner, builder.time_s + BLOCK_S)
    give(builder, kind.ilk, owner, vault.ink)
    builder.call(f"token.{kind.ilk}", "approve", builder.addresses[f"yield.join.{kind.ilk}"], MAX, sender=owner)
    builder.call("yield.ladle", "build", series_id(kind.series), asset_id(kind.ilk), 0, sender=owner)
    builder.call("yield.ladle", "pour", bytes.fromhex(number[2:]), owner, vault.ink, vault.art, sender=owner)
    return {"address": account_of(number), "market": MARKET, "archetype": kind.name, "emode": 0}


def _vault(number: int, seed: int) -> Vault:
    kind, label = KINDS[number % len(KINDS)], f"vault {seed}/{number}"
    base, ilk = BY_SYMBOL[SERIES[kind.series].base], BY_SYMBOL[kind.ilk]
    cents = _draw(f"{label} owed", *(100 * bound for bound in kind.owed))
    needed = cents * TERMS[kind.ilk].ratio_ppm * _draw(f"{label} health", *kind.health_bps)  # cents · 10^10
    ink = needed * base.price * ilk.unit // (ilk.price * 10**12)
    return Vault(derived(label), kind, ink, cents * base.unit // 100)


def _draw(label: str, low: int, high: int) -> int:
    return low + int.from_bytes(keccak(text=label)) % (high - low + 1)
