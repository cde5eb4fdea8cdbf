"""Slicing against the general ABI decoder: every followed event, with values of every size its types have.

What an event changes is written down here a second time, by the names its ABI gives the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from eth_abi.abi import decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.adapters.aave_v3 import events, governance
from keeper.adapters.aave_v3.interest import accrue
from keeper.adapters.aave_v3.versions import V3_6
from keeper.devnet import Devnet
from keeper.fixedpoint import RAY
from keeper.types import Address, Log
from tests.adapters.synthetic import ACCOUNT, CONFIGURATOR, NAME, POOL, PROVIDER, asset, market_of
from tests.adapters.test_events import AGGREGATOR, ATOKEN, BLOCK, NOW_S, ORACLE, OTHER, VTOKEN, ZERO_HASH, applied, state_of

ASSET = asset(0)
MARKET = market_of(V3_6)
Cells = dict[tuple[str, tuple[int | str, ...]], int]
Fields = Mapping[str, Any]
WIDE = {"ReserveInitialized", "ReserveDropped", "PriceOracleUpdated", "AddressSet"}
"""Events that also clear many cells, whatever their fields say."""

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex())) | st.sampled_from([ASSET, ACCOUNT, POOL])
NAMED: dict[str, st.SearchStrategy[Any]] = {
    "index": st.integers(RAY, 2**128),
    "id": st.sampled_from([name.ljust(32, b"\0") for name in (b"PRICE_ORACLE", b"PRICE_ORACLE_SENTINEL", b"POOL", b"ELSE")]),
    **dict.fromkeys(("asset", "reserve", "collateralAsset", "debtAsset"), st.sampled_from([ASSET, asset(7)])),
}


def values_of(field: Mapping[str, str]) -> st.SearchStrategy[Any]:
    kind = field["type"]
    if field["name"] in NAMED:
        return NAMED[field["name"]]
    if kind.startswith(("uint", "int")):
        bits, signed = int(kind.removeprefix("u").removeprefix("int")), kind.startswith("int")
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return st.integers(least, most) | st.sampled_from([least, 0, 1, most])
    plain = {"address": addresses, "bool": st.booleans(), "string": st.text(max_size=40), "bytes": st.binary(max_size=70)}
    return plain[kind]


def coded(topic: str, declared: Mapping[str, Any], emitter: Address, data: st.DataObject) -> tuple[Log, Fields]:
    """A log of random values, and its fields as the general decoder gives them back."""
    values = [(field, data.draw(values_of(field), label=field["name"])) for field in declared["inputs"]]
    topics = [(field, encode([field["type"]], [value])) for field, value in values if field["indexed"]]
    rest = [field for field, _ in values if not field["indexed"]]
    body = encode([field["type"] for field in rest], [value for field, value in values if not field["indexed"]])
    log = Log(emitter, (topic, *("0x" + word.hex() for _, word in topics)), body, BLOCK, ZERO_HASH, NOW_S, ZERO_HASH, 0, 3)
    fields = {field["name"]: decode([field["type"]], word)[0] for field, word in topics}
    return log, fields | dict(zip((f["name"] for f in rest), decode([f["type"] for f in rest], body), strict=True))


def declarations(net: Devnet, contracts: list[str], topics: set[str]) -> list[tuple[str, Mapping[str, Any]]]:
    entries = [(net.contract(name), entry) for name in contracts for entry in net.abi(name) if entry["type"] == "event"]
    return [(topic, entry) for contract, entry in entries if (topic := contract.topic(entry["name"])) in topics]


def number(address: str) -> int:
    return int(address, 16)


def known(f: Fields, *names: str) -> bool:
    return any(f.get(name) == ASSET for name in names or ("asset", "reserve"))


def of_reserve(**names: str) -> Callable[[Fields], Cells]:
    return lambda f: {("reserve", (0, cell)): int(f[name]) for cell, name in names.items()} if known(f) else {}


def moved(side: str, account: str, change: int, index: int) -> Cells:
    before = {"supply": 100, "debt": 50}[side]
    mine = before if account == ACCOUNT else 0
    rules = V3_6.tokens
    after = (rules.supply_after if side == "supply" else rules.debt_after)(mine, change, index)
    cells: Cells = {(side, (0, account)): after, ("total", (0, side)): before + after - mine}
    bits = 3 if account == ACCOUNT else 0
    if side == "debt" and change > 0:
        cells["bits", (0, account)] = bits | 1
    if side == "debt" and change < 0 and not after:
        cells["bits", (0, account)] = bits & ~1
    return cells


def transferred(f: Fields) -> Cells:
    mine = {ACCOUNT: 100}
    paid, got = mine.get(f["from"], 0) - f["value"], mine.get(f["to"], 0) + f["value"]
    return {} if f["from"] == f["to"] else {("supply", (0, f["from"])): paid, ("supply", (0, f["to"])): got}


def flagged(f: Fields, on: bool) -> Cells:
    bits = 3 if f["user"] == ACCOUNT else 0
    return {("bits", (0, f["user"])): bits | 2 if on else bits & ~2} if known(f) else {}


def liquidated(f: Fields) -> Cells:
    if not (f["receiveAToken"] and known(f, "collateralAsset")):
        return {}
    return {(table.removeprefix(f"{NAME}/"), key): value for table, key, value in accrue(MARKET.cells, V3_6, state_of(MARKET), 0, NOW_S)}


def priced(f: Fields) -> Cells:
    answer = max(f["current"], 0)
    told: Cells = {("asset", (ASSET, "answer")): answer, ("asset", (ASSET, "at")): f["updatedAt"]}
    if answer:
        told["asset", (ASSET, "price")] = answer
    if answer not in (0, 10**8):
        told["asset", (ASSET, "before")] = 10**8
    return told


def set_by_id(f: Fields) -> Cells:
    name = {b"PRICE_ORACLE": "oracle", b"PRICE_ORACLE_SENTINEL": "sentinel"}.get(f["id"].rstrip(b"\0"))
    return {("market", (name,)): number(f["newAddress"])} if name else {}


CHANGES: dict[str, Callable[[Fields], Cells]] = {
    "PriceOracleUpdated": lambda f: {("market", ("oracle",)): number(f["newAddress"]), ("market", ("oracle_block",)): BLOCK},
    "PriceOracleSentinelUpdated": lambda f: {
        ("market", ("sentinel",)): number(f["newAddress"]),
        ("market", ("liquidation_allowed",)): 0,
    },
    "AddressSet": set_by_id,
    "PoolUpdated": lambda f: {("market", ("upgraded",)): BLOCK},
    "AddressSetAsProxy": lambda f: {("market", ("upgraded",)): BLOCK} if f["id"].rstrip(b"\0") == b"POOL" else {},
    "ReserveInitialized": lambda f: {
        ("reserve", (1, "atoken")): number(f["aToken"]),
        ("reserve", (1, "vtoken")): number(f["variableDebtToken"]),
        ("slot", (1,)): number(f["asset"]),
    },
    "ReserveDropped": lambda f: {("slot", (0,)): 0, ("id", (ASSET,)): 0} if known(f) else {},
    "CollateralConfigurationChanged": of_reserve(lt="liquidationThreshold", bonus="liquidationBonus"),
    "LiquidationProtocolFeeChanged": of_reserve(fee="newFee"),
    "ReserveFactorChanged": of_reserve(factor="newReserveFactor"),
    "ReserveActive": of_reserve(active="active"),
    "ReservePaused": of_reserve(paused="paused"),
    "ReserveFrozen": of_reserve(frozen="frozen"),
    "ReserveFlashLoaning": of_reserve(flash="enabled"),
    "LiquidationGracePeriodChanged": of_reserve(grace="gracePeriodUntil"),
    "LiquidationGracePeriodDisabled": lambda f: {("reserve", (0, "grace")): 0} if known(f) else {},
    "EModeAssetCategoryChanged": of_reserve(emode="newCategoryId"),
    "EModeCategoryAdded": lambda f: {
        ("emode", (f["categoryId"], "lt")): f["liquidationThreshold"],
        ("emode", (f["categoryId"], "bonus")): f["liquidationBonus"],
        ("emode", (f["categoryId"], "oracle")): number(f["oracle"]),
    },
    "AssetCollateralInEModeChanged": lambda f: {("emode", (f["categoryId"], "collateral")): int(f["collateral"])} if known(f) else {},
    "FlashloanPremiumTotalUpdated": lambda f: {("market", ("premium_bps",)): f["newFlashloanPremiumTotal"]},
    "FlashloanPremiumToProtocolUpdated": lambda f: {("market", ("to_protocol_bps",)): f["newFlashloanPremiumToProtocol"]},
    "AssetSourceUpdated": lambda f: {
        ("asset", (f["asset"], "source")): number(f["source"]),
        ("asset", (f["asset"], "source_block")): BLOCK,
        ("asset", (f["asset"], "answer")): 0,
        ("asset", (f["asset"], "distrusted")): 0,
    },
    "AnswerUpdated": priced,
    "ReserveDataUpdated": lambda f: (
        {
            ("index", (0, "lr")): f["liquidityRate"],
            ("index", (0, "br")): f["variableBorrowRate"],
            ("index", (0, "li")): f["liquidityIndex"],
            ("index", (0, "bi")): f["variableBorrowIndex"],
            ("index", (0, "ts")): NOW_S,
        }
        if known(f)
        else {}
    ),
    "ReserveUsedAsCollateralEnabled": lambda f: flagged(f, on=True),
    "ReserveUsedAsCollateralDisabled": lambda f: flagged(f, on=False),
    "UserEModeSet": lambda f: {("category", (f["user"],)): f["categoryId"]},
    "LiquidationCall": liquidated,
    "DeficitCreated": lambda f: {("reserve", (0, "deficit")): f["amountCreated"]} if known(f, "debtAsset") else {},
    "DeficitCovered": lambda f: {("reserve", (0, "deficit")): -f["amountCovered"]} if known(f) else {},
    "BalanceTransfer": transferred,
    "Initialized": lambda f: (
        {
            ("asset", (f["underlyingAsset"], "treasury")): number(f["treasury"]),
            ("asset", (f["underlyingAsset"], "decimals")): f["aTokenDecimals"],
        }
        if f["pool"] == POOL
        else {}
    ),
}


def expected(name: str, emitter: Address, f: Fields) -> Cells:
    side = "debt" if emitter == VTOKEN else "supply"
    if name == "Mint":
        return moved(side, f["onBehalfOf"], f["value"] - f["balanceIncrease"], f["index"])
    if name == "Burn":
        return moved(side, f["from"], -(f["value"] + f["balanceIncrease"]), f["index"])
    return CHANGES[name](f)


ROLES: dict[Address, tuple[str, Mapping[str, object]]] = {
    PROVIDER: ("{}.provider", governance.PROVIDER),
    CONFIGURATOR: ("{}.configurator", governance.CONFIGURATOR),
    POOL: ("{}.pool", events.POOL),
    ORACLE: ("{}.oracle", events.ORACLE),
    ATOKEN: ("{}.atoken.USDC", events.ATOKEN),
    VTOKEN: ("{}.vtoken.USDC", events.VTOKEN),
    OTHER: ("{}.atoken.USDC", events.ANNOUNCEMENT),
    AGGREGATOR: ("aggregator.WETH", events.AGGREGATOR),
}


async def test_every_event_changes_what_its_generally_decoded_fields_say(devnet: Devnet) -> None:
    kinds = [
        (emitter, topic, declared)
        for emitter, (contract, table) in ROLES.items()
        for topic, declared in declarations(devnet, [contract.format(v) for v in ("aave_v302", "aave_v36")], set(table))
    ]
    assert {topic for _, topic, _ in kinds} == {topic for _, table in ROLES.values() for topic in table}

    for kind in kinds:
        agree(*kind)


def agree(emitter: Address, topic: str, declared: Mapping[str, Any]) -> None:
    @settings(max_examples=25, deadline=None, database=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        log, fields = coded(topic, declared, emitter, data)
        found, wanted = applied(MARKET, log), expected(declared["name"], emitter, fields)
        narrow = {cell: found.get(cell) for cell in wanted} if declared["name"] in WIDE else found
        assert narrow == wanted, declared["name"]

    check()
