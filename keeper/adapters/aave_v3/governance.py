"""What the PoolConfigurator and the PoolAddressesProvider announce: reserves, risk parameters, oracle, sentinel, upgrades."""

from __future__ import annotations

from collections.abc import Callable

from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.codec import address_word, topic, topic_address, word
from keeper.fixedpoint import RAY
from keeper.ports import View
from keeper.types import Address, Log, Write

Handler = Callable[[Deployment, Cells, Log, View], list[Write]]

RESERVE_FIELDS = (
    "atoken",
    "vtoken",
    "block",
    "lt",
    "bonus",
    "fee",
    "factor",
    "active",
    "paused",
    "frozen",
    "grace",
    "flash",
    "emode",
    "deficit",
    "accrued",
)
INDEX_FIELDS = ("li", "bi", "lr", "br", "ts")


# --- reserves -----------------------------------------------------------------------------------------------------


def _reserve_initialized(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    """The id is the first free slot, as in `executeInitReserve`."""
    taken = set(cells.reserve_ids(view))
    reserve = next(i for i in range(len(taken) + 1) if i not in taken)
    asset, atoken, vtoken = topic_address(log.topics[1]), topic_address(log.topics[2]), address_word(log.data, 1)
    fields = {"atoken": int(atoken, 16), "vtoken": int(vtoken, 16), "block": log.block_number, "active": 1}
    writes: list[Write] = [(cells.reserve, (reserve, field), fields.get(field, 0)) for field in RESERVE_FIELDS]
    writes += [(cells.index, (reserve, field), RAY if field in ("li", "bi") else 0) for field in INDEX_FIELDS]
    writes += [(cells.slot, (reserve,), int(asset, 16)), (cells.id, (asset,), reserve + 1)]
    return [*writes, (cells.token, (atoken,), 2 * reserve + 1), (cells.token, (vtoken,), 2 * reserve + 2)]


def _reserve_dropped(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    asset = topic_address(log.topics[1])
    reserve = cells.reserve_id(view, asset)
    if reserve is None:
        return []
    tokens = [key for key in view.keys(cells.token) if (view.get(cells.token, key) - 1) // 2 == reserve]
    writes: list[Write] = [(cells.slot, (reserve,), 0), (cells.id, (asset,), 0)]
    writes += [(cells.token, key, 0) for key in tokens]
    writes += [(cells.reserve, (reserve, field), 0) for field in RESERVE_FIELDS]
    return writes + [(cells.index, (reserve, field), 0) for field in INDEX_FIELDS]


def _fields(**positions: int) -> Handler:
    """Copy words of the data to fields of the reserve whose asset is the first topic."""

    def handler(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
        reserve = cells.reserve_id(view, topic_address(log.topics[1]))
        if reserve is None:
            return []
        return [(cells.reserve, (reserve, field), word(log.data, at)) for field, at in positions.items()]

    return handler


def _grace_disabled(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    reserve = cells.reserve_id(view, topic_address(log.topics[1]))
    return [] if reserve is None else [(cells.reserve, (reserve, "grace"), 0)]


# --- eModes -------------------------------------------------------------------------------------------------------


def _emode_added(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    category = int(log.topics[1], 16)
    fields = {"lt": word(log.data, 1), "bonus": word(log.data, 2), "oracle": int(address_word(log.data, 3), 16)}
    return [(cells.emode, (category, field), value) for field, value in fields.items()]


def _emode_collateral(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    reserve = cells.reserve_id(view, topic_address(log.topics[1]))
    if reserve is None:
        return []
    category, allowed = word(log.data, 0), word(log.data, 1)
    bitmap = cells.of_emode(view, category, "collateral")
    changed = bitmap | 1 << reserve if allowed else bitmap & ~(1 << reserve)
    return [(cells.emode, (category, "collateral"), changed)]


# --- market -------------------------------------------------------------------------------------------------------


def _market(**positions: int) -> Handler:
    def handler(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
        return [(cells.market, (field,), word(log.data, at)) for field, at in positions.items()]

    return handler


def _oracle(cells: Cells, log: Log, view: View, oracle: str) -> list[Write]:
    """Another oracle has its own sources: forget the old ones, the next head's reads find the new."""
    writes: list[Write] = [(cells.market, ("oracle",), int(oracle, 16)), (cells.market, ("oracle_block",), log.block_number)]
    forget = ("source", "source_block", "answer", "distrusted")
    return writes + [(cells.asset, (asset, field), 0) for asset in cells.price_keys(view) for field in forget]


def _sentinel(cells: Cells, log: Log, view: View, sentinel: str) -> list[Write]:
    """Liquidations below 0.95 wait for the next head's word of the new sentinel."""
    return [(cells.market, ("sentinel",), int(sentinel, 16)), (cells.market, ("liquidation_allowed",), 0)]


def implementation(log: Log) -> Address | None:
    """The Pool's new implementation, if this log of the provider announces one."""
    if log.topics[0] == POOL_UPDATED:
        return topic_address(log.topics[2])
    by_id = log.topics[0] == ADDRESS_SET_AS_PROXY and _id(log) == b"POOL"
    return topic_address(log.topics[3]) if by_id else None


def _upgraded(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    """An implementation that discovery has not seen: its rules are unknown until the next start."""
    known = implementation(log) is None or deployment.eras[-1].since >= (log.block_number, log.log_index)
    return [] if known else [(cells.market, ("upgraded",), log.block_number)]


def _oracle_updated(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    return _oracle(cells, log, view, topic_address(log.topics[2]))


def _sentinel_updated(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    return _sentinel(cells, log, view, topic_address(log.topics[2]))


def _address_set(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    """The provider's generic setter can replace any address without the specific event."""
    setter = {b"PRICE_ORACLE": _oracle, b"PRICE_ORACLE_SENTINEL": _sentinel}.get(_id(log))
    return setter(cells, log, view, topic_address(log.topics[3])) if setter else []


def _id(log: Log) -> bytes:
    return bytes.fromhex(log.topics[1][2:]).rstrip(b"\0")


POOL_UPDATED = topic("PoolUpdated(address,address)")
ADDRESS_SET_AS_PROXY = topic("AddressSetAsProxy(bytes32,address,address,address)")

CONFIGURATOR: dict[str, Handler] = {
    topic("ReserveInitialized(address,address,address,address,address)"): _reserve_initialized,
    topic("ReserveDropped(address)"): _reserve_dropped,
    topic("CollateralConfigurationChanged(address,uint256,uint256,uint256)"): _fields(lt=1, bonus=2),
    topic("LiquidationProtocolFeeChanged(address,uint256,uint256)"): _fields(fee=1),
    topic("ReserveFactorChanged(address,uint256,uint256)"): _fields(factor=1),
    topic("ReserveActive(address,bool)"): _fields(active=0),
    topic("ReservePaused(address,bool)"): _fields(paused=0),
    topic("ReserveFrozen(address,bool)"): _fields(frozen=0),
    topic("ReserveFlashLoaning(address,bool)"): _fields(flash=0),
    topic("LiquidationGracePeriodChanged(address,uint40)"): _fields(grace=0),
    topic("LiquidationGracePeriodDisabled(address)"): _grace_disabled,
    topic("EModeAssetCategoryChanged(address,uint8,uint8)"): _fields(emode=1),
    topic("EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)"): _emode_added,
    topic("AssetCollateralInEModeChanged(address,uint8,bool)"): _emode_collateral,
    topic("FlashloanPremiumTotalUpdated(uint128,uint128)"): _market(premium_bps=1),
    topic("FlashloanPremiumToProtocolUpdated(uint128,uint128)"): _market(to_protocol_bps=1),
}
PROVIDER: dict[str, Handler] = {
    topic("PriceOracleUpdated(address,address)"): _oracle_updated,
    topic("PriceOracleSentinelUpdated(address,address)"): _sentinel_updated,
    topic("AddressSet(bytes32,address,address)"): _address_set,
    POOL_UPDATED: _upgraded,
    ADDRESS_SET_AS_PROXY: _upgraded,
}
