"""Deploys and lists both Aave markets: v3.0.2 and v3.6 differ in constructors, libraries, listing calls and eModes."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode

from keeper.address import created
from keeper.devnet.genesis.builder import Builder
from keeper.devnet.genesis.tokens import BY_SYMBOL, EMODES, TOKENS, TREASURY, EMode, Token
from keeper.devnet.names import DEPLOYER, V36, V302
from keeper.types import ZERO_ADDRESS, Address

RAY_PER_BPS = 10**23
PREMIUM_BPS, PREMIUM_TO_PROTOCOL_BPS = 5, 4
PROTOCOL_FEE_BPS = 1000
CAP_FACTOR = 10  # caps, as multiples of the lenders' supply
BIG_GAS = 30_000_000
LOGIC_V302 = ("SupplyLogic", "BorrowLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic", "PoolLogic", "ConfiguratorLogic")
LOGIC_V36 = ("SupplyLogic", "BorrowLogic", "LiquidationLogic", "PoolLogic", "ConfiguratorLogic")


def deploy_v302(builder: Builder) -> None:
    """Aave v3.0.2 up to the listed reserves."""
    provider = _provider(builder, V302, "v302")
    libraries = _libraries(builder, "v302", LOGIC_V302)
    pool_impl = builder.deploy("v302.pool_impl", provider, artifact="v302:Pool", libraries=libraries)
    configurator_impl = builder.deploy("v302.configurator_impl", artifact="v302:PoolConfigurator", libraries=libraries)
    _wire(builder, V302, "v302", pool_impl, configurator_impl)
    pool = builder.addresses[f"{V302}.pool"]
    impls = [builder.deploy(f"v302.{name}", pool, artifact=f"v302:{name}") for name in ("AToken", "StableDebtToken", "VariableDebtToken")]
    builder.call(f"{V302}.configurator", "initReserves", [_listing_v302(builder, provider, impls, t) for t in TOKENS], gas=BIG_GAS)
    builder.call(f"{V302}.configurator", "updateFlashloanPremiumTotal", PREMIUM_BPS)
    builder.call(f"{V302}.configurator", "updateFlashloanPremiumToProtocol", PREMIUM_TO_PROTOCOL_BPS)


def deploy_v36(builder: Builder) -> None:
    """Aave v3.6 up to the listed reserves."""
    provider = _provider(builder, V36, "v36")
    libraries = _libraries(builder, "v36", LOGIC_V36)
    rates = builder.deploy("v36.rates", provider, artifact="v36:DefaultReserveInterestRateStrategyV2")
    pool_impl = builder.deploy("v36.pool_impl", provider, rates, artifact="v36:PoolInstance", libraries=libraries)
    configurator_impl = builder.deploy("v36.configurator_impl", artifact="v36:PoolConfiguratorInstance", libraries=libraries)
    _wire(builder, V36, "v36", pool_impl, configurator_impl)
    pool = builder.addresses[f"{V36}.pool"]
    builder.deploy(f"{V36}.liquidation_data_provider", pool, provider)
    atoken = builder.deploy("v36.atoken_impl", pool, ZERO_ADDRESS, TREASURY, artifact="v36:ATokenInstance")
    vtoken = builder.deploy("v36.vtoken_impl", pool, ZERO_ADDRESS, artifact="v36:VariableDebtTokenInstance")
    builder.call(f"{V36}.configurator", "initReserves", [_listing_v36(builder, atoken, vtoken, t) for t in TOKENS], gas=BIG_GAS)
    builder.call(f"{V36}.configurator", "updateFlashloanPremium", PREMIUM_BPS)


def configure(builder: Builder, market: str, scale: int) -> None:
    """Risk parameters, caps `scale` times the usual; loan-to-value one bp under the threshold for now: borrowers come to the edge."""
    configurator = f"{market}.configurator"
    for token in TOKENS:
        asset = builder.addresses[f"token.{token.symbol}"]
        builder.call(configurator, "configureReserveAsCollateral", asset, token.threshold - 1, token.threshold, token.bonus)
        builder.call(configurator, "setReserveBorrowing", asset, True)
        builder.call(configurator, "setReserveFlashLoaning", asset, True)
        builder.call(configurator, "setReserveFactor", asset, token.reserve_factor)
        builder.call(configurator, "setLiquidationProtocolFee", asset, PROTOCOL_FEE_BPS)
        builder.call(configurator, "setSupplyCap", asset, token.supply * CAP_FACTOR * scale)
        builder.call(configurator, "setBorrowCap", asset, token.supply * CAP_FACTOR * scale)
    for emode in EMODES:
        _set_emode(builder, market, emode, emode.threshold - 1)
        for token in TOKENS:
            if token.emode == emode.id:
                _join_emode(builder, market, token)


def tighten(builder: Builder, market: str) -> None:
    """Governance lowers loan-to-value to its real level, after the borrowers came."""
    for token in TOKENS:
        asset = builder.addresses[f"token.{token.symbol}"]
        builder.call(f"{market}.configurator", "configureReserveAsCollateral", asset, token.ltv, token.threshold, token.bonus)
    for emode in EMODES:
        _set_emode(builder, market, emode, emode.ltv)


async def name_tokens(builder: Builder, market: str) -> None:
    """Learn the addresses of the a- and debt tokens the configurator created."""
    for symbol in BY_SYMBOL:
        asset = builder.addresses[f"token.{symbol}"]
        names = ("atoken", "stoken", "vtoken") if market == V302 else ("atoken", "", "vtoken")
        replies = await builder.read(f"{market}.data_provider", "getReserveTokensAddresses", asset)
        builder.addresses |= {f"{market}.{name}.{symbol}": Address(reply) for name, reply in zip(names, replies, strict=True) if name}


def _provider(builder: Builder, market: str, family: str) -> Address:
    provider = builder.deploy(f"{market}.provider", f"Keeper devnet {family}", DEPLOYER)
    builder.call(f"{market}.provider", "setACLAdmin", DEPLOYER)
    builder.deploy(f"{market}.acl", provider)
    builder.call(f"{market}.provider", "setACLManager", builder.addresses[f"{market}.acl"])
    for role in ("addPoolAdmin", "addEmergencyAdmin", "addRiskAdmin", "addAssetListingAdmin"):
        builder.call(f"{market}.acl", role, DEPLOYER)
    assets = [builder.addresses[f"token.{t.symbol}"] for t in TOKENS]
    sources = [builder.addresses[f"feed.{t.symbol}"] for t in TOKENS]
    oracle = builder.deploy(f"{market}.oracle", provider, assets, sources, ZERO_ADDRESS, ZERO_ADDRESS, 10**8)
    builder.call(f"{market}.provider", "setPriceOracle", oracle)
    return provider


def _libraries(builder: Builder, family: str, names: tuple[str, ...]) -> dict[str, Address]:
    libraries = {name: builder.deploy(f"{family}.{name}", artifact=f"{family}:{name}") for name in names}
    libraries["FlashLoanLogic"] = builder.deploy(f"{family}.FlashLoanLogic", artifact=f"{family}:FlashLoanLogic", libraries=libraries)
    return libraries


def _wire(builder: Builder, market: str, family: str, pool_impl: Address, configurator_impl: Address) -> None:
    provider = builder.addresses[f"{market}.provider"]
    builder.call(f"{market}.provider", "setPoolImpl", pool_impl, gas=BIG_GAS)
    builder.call(f"{market}.provider", "setPoolConfiguratorImpl", configurator_impl, gas=BIG_GAS)
    # the provider creates both proxies itself, in this order; a contract's nonces start at 1
    builder.addresses[f"{market}.pool"] = created(provider, 1)
    builder.addresses[f"{market}.configurator"] = created(provider, 2)
    data_provider = builder.deploy(f"{market}.data_provider", provider)
    builder.call(f"{market}.provider", "setPoolDataProvider", data_provider)


def _listing_v302(builder: Builder, provider: Address, impls: list[Address], token: Token) -> tuple[Any, ...]:
    optimal, base, slope1, slope2 = (bps * RAY_PER_BPS for bps in token.curve)
    rates = (provider, optimal, base, slope1, slope2, slope1, slope2, RAY_PER_BPS * 100, RAY_PER_BPS * 800, RAY_PER_BPS * 2000)
    strategy = builder.deploy(f"v302.rates.{token.symbol}", *rates, artifact="v302:DefaultReserveInterestRateStrategy")
    asset = builder.addresses[f"token.{token.symbol}"]
    names = [f"{kind}{token.symbol}" for kind in ("Aave ", "a", "Aave variable debt ", "variableDebt", "Aave stable debt ", "stableDebt")]
    return (*impls, token.decimals, strategy, asset, TREASURY, ZERO_ADDRESS, *names, b"")


def _listing_v36(builder: Builder, atoken: Address, vtoken: Address, token: Token) -> tuple[Any, ...]:
    asset = builder.addresses[f"token.{token.symbol}"]
    names = [f"{kind}{token.symbol}" for kind in ("Aave ", "a", "Aave variable debt ", "variableDebt")]
    return (atoken, vtoken, asset, *names, b"", encode(["(uint16,uint32,uint32,uint32)"], [token.curve]))


def _set_emode(builder: Builder, market: str, emode: EMode, ltv: int) -> None:
    oracle = [ZERO_ADDRESS] if market == V302 else []
    builder.call(f"{market}.configurator", "setEModeCategory", emode.id, ltv, emode.threshold, emode.bonus, *oracle, emode.label)


def _join_emode(builder: Builder, market: str, token: Token) -> None:
    asset = builder.addresses[f"token.{token.symbol}"]
    if market == V302:
        builder.call(f"{market}.configurator", "setAssetEModeCategory", asset, token.emode)
        return
    builder.call(f"{market}.configurator", "setAssetCollateralInEMode", asset, token.emode, True)
    builder.call(f"{market}.configurator", "setAssetBorrowableInEMode", asset, token.emode, True)
