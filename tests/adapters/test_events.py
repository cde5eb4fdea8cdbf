"""Fixed-position slicing of every followed event, against the protocol's own ABIs and an ABI coder."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode

from keeper.adapters.aave_v3 import events, governance
from keeper.adapters.aave_v3.cells import Deployment, Era
from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.adapters.aave_v3.versions import V3_0, V3_4, V3_6
from keeper.devnet import Devnet
from keeper.devnet.names import derived
from keeper.fixedpoint import RAY
from keeper.types import Address, Hash, Key, Log, Write
from tests.adapters.synthetic import ACCOUNT, CONFIGURATOR, NAME, POOL, PROVIDER, State, asset, market_of

OTHER, ORACLE, SOURCE, AGGREGATOR = (derived(f"tests: {name}") for name in ("other", "oracle", "source", "aggregator"))
ATOKEN, VTOKEN = derived("tests: aToken"), derived("tests: vToken")
ZERO_HASH = Hash("0x" + "0" * 64)
NOW_S, BLOCK = 1_800_000_000, 77
ASSET, NEW = asset(0), asset(5)


def log_of(net: Devnet, emitter: Address, contract: str, event: str, *values: Any) -> Log:
    """The log an ABI coder makes of an event's values, in the order of its declaration."""
    entry = next(e for e in net.contract(contract).abi if e["type"] == "event" and e["name"] == event)
    pairs = list(zip(entry["inputs"], values, strict=True))
    indexed = ["0x" + encode([i["type"]], [value]).hex() for i, value in pairs if i["indexed"]]
    data = encode([i["type"] for i, _ in pairs if not i["indexed"]], [value for i, value in pairs if not i["indexed"]])
    topics = (net.contract(contract).topic(event), *indexed)
    return Log(emitter, topics, data, BLOCK, ZERO_HASH, NOW_S, ZERO_HASH, 0, 3)


def state_of(market: AaveV3Market) -> State:
    """Reserve 0 with tokens and an oracle price source; the account supplies 100 and owes 50, scaled."""
    state, cells = State(market), market.cells
    state.reserve(0, 10**8)
    state.position({0: 100}, {0: 50})
    state.write([(cells.token, (ATOKEN,), 1), (cells.token, (VTOKEN,), 2), (cells.market, ("oracle",), int(ORACLE, 16))])
    state.write([(cells.asset, (ASSET, "source"), int(SOURCE, 16)), (cells.aggregator, (SOURCE,), int(AGGREGATOR, 16))])
    return state


def applied(market: AaveV3Market, log: Log) -> dict[tuple[str, Key], int]:
    """Cell → value, without the market's prefix."""
    writes: list[Write] = market.apply(log, state_of(market))
    return {(table.removeprefix(f"{NAME}/"), key): value for table, key, value in writes}


CONFIGURATIONS = [
    ("CollateralConfigurationChanged", (ASSET, 1, 8100, 10600), {("reserve", (0, "lt")): 8100, ("reserve", (0, "bonus")): 10600}),
    ("LiquidationProtocolFeeChanged", (ASSET, 5, 6), {("reserve", (0, "fee")): 6}),
    ("ReserveFactorChanged", (ASSET, 5, 7), {("reserve", (0, "factor")): 7}),
    ("ReserveActive", (ASSET, False), {("reserve", (0, "active")): 0}),
    ("ReservePaused", (ASSET, True), {("reserve", (0, "paused")): 1}),
    ("ReserveFrozen", (ASSET, True), {("reserve", (0, "frozen")): 1}),
    ("ReserveFlashLoaning", (ASSET, True), {("reserve", (0, "flash")): 1}),
    ("FlashloanPremiumTotalUpdated", (9, 5), {("market", ("premium_bps",)): 5}),
    ("FlashloanPremiumToProtocolUpdated", (0, 4), {("market", ("to_protocol_bps",)): 4}),
    (
        "EModeCategoryAdded",
        (3, 9000, 9300, 10100, OTHER, "label"),
        {("emode", (3, "lt")): 9300, ("emode", (3, "bonus")): 10100, ("emode", (3, "oracle")): int(OTHER, 16)},
    ),
]
CONFIGURATIONS_V36 = [
    ("LiquidationGracePeriodChanged", (ASSET, 12345), {("reserve", (0, "grace")): 12345}),
    ("LiquidationGracePeriodDisabled", (ASSET,), {("reserve", (0, "grace")): 0}),
    ("AssetCollateralInEModeChanged", (ASSET, 2, True), {("emode", (2, "collateral")): 1}),
]
CONFIGURATIONS_V302 = [("EModeAssetCategoryChanged", (ASSET, 0, 2), {("reserve", (0, "emode")): 2})]


@pytest.mark.parametrize("version", ["aave_v302", "aave_v36"])
async def test_every_configuration_event_lands_in_its_cells(devnet: Devnet, version: str) -> None:
    own = CONFIGURATIONS_V36 if version == "aave_v36" else CONFIGURATIONS_V302
    for event, values, expected in CONFIGURATIONS + own:
        log = log_of(devnet, CONFIGURATOR, f"{version}.configurator", event, *values)
        assert applied(market_of(V3_6), log) == expected, event


async def test_a_reserve_is_listed_in_the_first_free_slot_and_dropped_from_it(devnet: Devnet) -> None:
    market, contract = market_of(V3_6), "aave_v36.configurator"
    cells, state = market.cells, state_of(market)
    tokens = [derived(f"tests: token {n}") for n in range(4)]
    state.write(market.apply(log_of(devnet, CONFIGURATOR, contract, "ReserveInitialized", NEW, *tokens), state))
    assert cells.reserve_id(state, NEW) == 1
    assert [cells.of(state, 1, name) for name in ("atoken", "vtoken")] == [int(tokens[0], 16), int(tokens[2], 16)]
    assert (cells.of(state, 1, "active"), cells.of(state, 1, "block")) == (1, BLOCK)
    assert cells.index_of(state, 1).li == cells.index_of(state, 1).bi == RAY
    assert {f.address for f in market.filters(state)} >= {tokens[0], tokens[2], ORACLE, AGGREGATOR}
    state.write(market.apply(log_of(devnet, CONFIGURATOR, contract, "ReserveDropped", ASSET), state))
    assert cells.reserve_id(state, ASSET) is None
    again = market.apply(log_of(devnet, CONFIGURATOR, contract, "ReserveInitialized", asset(8), *tokens), state)
    assert (cells.slot, (0,), int(asset(8), 16)) in again


@pytest.mark.parametrize("version", ["aave_v302", "aave_v36"])
async def test_pool_events_land_in_their_cells(devnet: Devnet, version: str) -> None:
    pool, market = f"{version}.pool", market_of(V3_6)
    update = log_of(devnet, POOL, pool, "ReserveDataUpdated", ASSET, 1, 2, 3, 4, 5)
    names = {"lr": 1, "br": 3, "li": 4, "bi": 5, "ts": NOW_S}
    assert applied(market, update) == {("index", (0, name)): value for name, value in names.items()}
    assert applied(market, log_of(devnet, POOL, pool, "UserEModeSet", ACCOUNT, 7)) == {("category", (ACCOUNT,)): 7}
    off = log_of(devnet, POOL, pool, "ReserveUsedAsCollateralDisabled", ASSET, ACCOUNT)
    on = log_of(devnet, POOL, pool, "ReserveUsedAsCollateralEnabled", ASSET, OTHER)
    assert applied(market, off) == {("bits", (0, ACCOUNT)): 1}
    assert applied(market, on) == {("bits", (0, OTHER)): 2}


async def test_only_a_liquidation_paid_in_atokens_moves_the_collaterals_index_and_only_from_3_5(devnet: Devnet) -> None:
    for rules, receives, moves in ((V3_6, True, True), (V3_6, False, False), (V3_4, True, False), (V3_0, True, False)):
        log = log_of(devnet, POOL, "aave_v36.pool", "LiquidationCall", ASSET, ASSET, ACCOUNT, 1, 2, OTHER, receives)
        written = applied(market_of(rules), log)
        assert (("index", (0, "ts")) in written) is moves


async def test_deficits_add_up(devnet: Devnet) -> None:
    market, key = market_of(V3_6), ("reserve", (0, "deficit"))
    assert applied(market, log_of(devnet, POOL, "aave_v36.pool", "DeficitCreated", ACCOUNT, ASSET, 30)) == {key: 30}
    assert applied(market, log_of(devnet, POOL, "aave_v36.pool", "DeficitCovered", ASSET, OTHER, 30)) == {key: -30}


@pytest.mark.parametrize("version", ["aave_v302", "aave_v36"])
async def test_token_events_move_scaled_balances_sums_and_the_borrowing_bit(devnet: Devnet, version: str) -> None:
    atoken, vtoken, market = f"{version}.atoken.USDC", f"{version}.vtoken.USDC", market_of(V3_6)
    minted = log_of(devnet, ATOKEN, atoken, "Mint", OTHER, ACCOUNT, 25, 5, RAY)
    assert applied(market, minted) == {("supply", (0, ACCOUNT)): 120, ("total", (0, "supply")): 120}
    burnt = log_of(devnet, VTOKEN, vtoken, "Burn", ACCOUNT, OTHER, 45, 5, RAY)
    assert applied(market, burnt) == {("debt", (0, ACCOUNT)): 0, ("total", (0, "debt")): 0, ("bits", (0, ACCOUNT)): 2}
    borrowed = log_of(devnet, VTOKEN, vtoken, "Mint", OTHER, OTHER, 9, 0, RAY)
    assert applied(market, borrowed) == {("debt", (0, OTHER)): 9, ("total", (0, "debt")): 59, ("bits", (0, OTHER)): 1}
    sent = log_of(devnet, ATOKEN, atoken, "BalanceTransfer", ACCOUNT, OTHER, 40, RAY)
    assert applied(market, sent) == {("supply", (0, ACCOUNT)): 60, ("supply", (0, OTHER)): 40}
    assert applied(market, log_of(devnet, ATOKEN, atoken, "BalanceTransfer", ACCOUNT, ACCOUNT, 40, RAY)) == {}
    began = log_of(devnet, OTHER, atoken, "Initialized", NEW, POOL, SOURCE, OTHER, 8, "name", "symbol", b"")
    assert applied(market, began) == {("asset", (NEW, "treasury")): int(SOURCE, 16), ("asset", (NEW, "decimals")): 8}
    assert applied(market, log_of(devnet, OTHER, atoken, "Initialized", NEW, OTHER, SOURCE, OTHER, 8, "name", "symbol", b"")) == {}


async def test_an_answer_is_the_price_unless_it_is_not_positive_or_its_source_is_distrusted(devnet: Devnet) -> None:
    market = market_of(V3_6)
    price, answer, at, before = (("asset", (ASSET, field)) for field in ("price", "answer", "at", "before"))
    good, bad = (log_of(devnet, AGGREGATOR, "aggregator.WETH", "AnswerUpdated", value, 1, NOW_S) for value in (7, -7))
    assert applied(market, good) == {price: 7, answer: 7, at: NOW_S, before: 10**8}
    assert applied(market, bad) == {answer: 0, at: NOW_S}
    state = state_of(market)
    state.put(market.cells.asset, (ASSET, "distrusted"), 1)
    assert [key[1] for _, key, _ in market.apply(good, state)] == ["answer", "at"]


async def test_a_new_oracle_or_source_forgets_what_was_known_of_the_old(devnet: Devnet) -> None:
    market = market_of(V3_6)
    moved = log_of(devnet, PROVIDER, "aave_v36.provider", "PriceOracleUpdated", ORACLE, OTHER)
    expected = {("market", ("oracle",)): int(OTHER, 16), ("market", ("oracle_block",)): BLOCK, ("asset", (ASSET, "source")): 0}
    assert expected.items() <= applied(market, moved).items()
    by_id = log_of(devnet, PROVIDER, "aave_v36.provider", "AddressSet", b"PRICE_ORACLE".ljust(32, b"\0"), ORACLE, OTHER)
    assert applied(market, by_id) == applied(market, moved)
    source = log_of(devnet, ORACLE, "aave_v36.oracle", "AssetSourceUpdated", ASSET, OTHER)
    expected = {("asset", (ASSET, "source")): int(OTHER, 16), ("asset", (ASSET, "source_block")): BLOCK, ("asset", (ASSET, "answer")): 0}
    assert expected.items() <= applied(market, source).items()
    sentinel = log_of(devnet, PROVIDER, "aave_v36.provider", "PriceOracleSentinelUpdated", ORACLE, OTHER)
    assert applied(market, sentinel) == {("market", ("sentinel",)): int(OTHER, 16), ("market", ("liquidation_allowed",)): 0}


async def test_an_implementation_unknown_at_the_start_stops_the_market(devnet: Devnet) -> None:
    upgrade = log_of(devnet, PROVIDER, "aave_v36.provider", "PoolUpdated", OTHER, SOURCE)
    proxied = log_of(devnet, PROVIDER, "aave_v36.provider", "AddressSetAsProxy", b"POOL".ljust(32, b"\0"), POOL, OTHER, SOURCE)
    for log in (upgrade, proxied):
        assert applied(market_of(V3_6), log) == {("market", ("upgraded",)): log.block_number}
    eras = (Era((1, 0), V3_0), Era((BLOCK, 3), V3_6))
    known = AaveV3Market(Deployment(NAME, PROVIDER, POOL, CONFIGURATOR, 1, eras, "usd-8"))
    assert applied(known, upgrade) == {}
    assert known.deployment.rules_at((BLOCK, 2)) is V3_0
    assert known.deployment.rules_at((BLOCK, 3)) is known.deployment.rules is V3_6
    assert known.deployment.rules_at((0, 0)) is V3_0


async def test_a_contract_is_believed_only_in_its_own_role(devnet: Devnet) -> None:
    market = market_of(V3_6)
    for emitter in (AGGREGATOR, VTOKEN, OTHER, CONFIGURATOR):
        assert applied(market, log_of(devnet, emitter, "aave_v36.atoken.USDC", "BalanceTransfer", ACCOUNT, OTHER, 1, RAY)) == {}
        assert applied(market, log_of(devnet, emitter, "aave_v36.pool", "UserEModeSet", ACCOUNT, 7)) == {}


async def test_every_followed_topic_is_an_event_of_the_protocol(devnet: Devnet) -> None:
    contracts = ("provider", "pool", "configurator", "oracle", "atoken.USDC", "vtoken.USDC")
    names = [f"{version}.{contract}" for version in ("aave_v302", "aave_v36") for contract in contracts] + ["aggregator.WETH"]
    known = {devnet.contract(name).topic(e["name"]) for name in names for e in devnet.abi(name) if e["type"] == "event"}
    tables = (events.ATOKEN, events.VTOKEN, events.POOL, events.ORACLE, events.AGGREGATOR, governance.CONFIGURATOR, governance.PROVIDER)
    assert {topic for table in tables for topic in table} <= known
