"""What each event log changes: pure, exact, by fixed word positions.

The formulas are the protocol's own rounding turned around: up to 3.4 an event carries the action's amount, from 3.5 a difference of rounded
balances. Applied strictly in log order from the market's first block.
"""

from __future__ import annotations

from collections.abc import Callable

from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.codec import signed, to_address, topic, topic_address, word
from keeper.adapters.aave_v3.governance import CONFIGURATOR, PROVIDER
from keeper.adapters.aave_v3.interest import accrue
from keeper.fixedpoint import MAX_UINT256
from keeper.ports import View
from keeper.types import Log, Write

Handler = Callable[[Deployment, Cells, Log, View], list[Write]]

DEBT_BIT, COLLATERAL_BIT = 0, 1


def apply(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    """The cells this log changes; none for a log of a contract or kind that is not followed."""
    handler = _handlers(deployment, cells, log, view).get(log.topics[0]) if log.topics else None
    return handler(deployment, cells, log, view) if handler else []


def _handlers(deployment: Deployment, cells: Cells, log: Log, view: View) -> dict[str, Handler]:
    """A contract is only believed in its own role: a price source cannot mint."""
    fixed = {deployment.pool: POOL, deployment.configurator: CONFIGURATOR, deployment.provider: PROVIDER}
    if log.address in fixed:
        return fixed[log.address]
    if log.address == cells.address_of_market(view, "oracle"):
        return ORACLE
    token = view.get(cells.token, (log.address,))
    return (ATOKEN if token % 2 else VTOKEN) if token else OTHER


# --- aTokens and debt tokens --------------------------------------------------------------------------------------


def _mint(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    """Also a burn whose accrued interest exceeds it (negative change), and interest made visible by a transfer (zero)."""
    change = word(log.data, 0) - word(log.data, 1)
    return _change(deployment, cells, log, view, topic_address(log.topics[2]), change)


def _burn(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    change = -(word(log.data, 0) + word(log.data, 1))
    return _change(deployment, cells, log, view, topic_address(log.topics[1]), change)


def _change(deployment: Deployment, cells: Cells, log: Log, view: View, account: str, change: int) -> list[Write]:
    reserve, is_debt = divmod(view.get(cells.token, (log.address,)) - 1, 2)
    rules = deployment.rules_at((log.block_number, log.log_index))
    index = word(log.data, 2)
    if not is_debt:
        before = view.get(cells.supply, (reserve, account))
        return cells.move(view, "supply", reserve, account, rules.tokens.supply_after(before, change, index))
    before = view.get(cells.debt, (reserve, account))
    after = rules.tokens.debt_after(before, change, index)
    writes = cells.move(view, "debt", reserve, account, after)
    if change > 0:
        writes.append(flag(cells, view, account, reserve, DEBT_BIT, on=True))
    if change < 0 and rules.debt_free(-change, rules.tokens.debt_balance(before, index), after):
        writes.append(flag(cells, view, account, reserve, DEBT_BIT, on=False))
    return writes


def _balance_transfer(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    """The value is scaled already. A transfer to oneself changes nothing."""
    reserve = (view.get(cells.token, (log.address,)) - 1) // 2
    sender, receiver, scaled = topic_address(log.topics[1]), topic_address(log.topics[2]), word(log.data, 0)
    if sender == receiver:
        return []
    return [
        (cells.supply, (reserve, sender), view.get(cells.supply, (reserve, sender)) - scaled),
        (cells.supply, (reserve, receiver), view.get(cells.supply, (reserve, receiver)) + scaled),
    ]


def _initialized(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    """Comes before the ReserveInitialized that announces its emitter, so it is keyed by asset."""
    asset = topic_address(log.topics[1])
    if topic_address(log.topics[2]) != deployment.pool:
        return []
    return [(cells.asset, (asset, "treasury"), word(log.data, 0)), (cells.asset, (asset, "decimals"), word(log.data, 2))]


# --- pool ---------------------------------------------------------------------------------------------------------


def _reserve_data_updated(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    reserve = cells.reserve_id(view, topic_address(log.topics[1]))
    if reserve is None:
        return []
    values = {"lr": 0, "br": 2, "li": 3, "bi": 4}
    writes: list[Write] = [(cells.index, (reserve, field), word(log.data, at)) for field, at in values.items()]
    return [*writes, (cells.index, (reserve, "ts"), log.timestamp_s)]


def _collateral(on: bool) -> Handler:
    def handler(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
        reserve = cells.reserve_id(view, topic_address(log.topics[1]))
        return [] if reserve is None else [flag(cells, view, topic_address(log.topics[2]), reserve, COLLATERAL_BIT, on=on)]

    return handler


def _user_emode_set(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    return [(cells.category, (topic_address(log.topics[1]),), word(log.data, 0))]


def _liquidation_call(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    """From 3.5 a liquidation paid in aTokens updates the collateral's indexes without a ReserveDataUpdated."""
    rules = deployment.rules_at((log.block_number, log.log_index))
    reserve = cells.reserve_id(view, topic_address(log.topics[1]))
    if reserve is None or not rules.silent_index or not word(log.data, 3):
        return []
    return accrue(cells, rules, view, reserve, log.timestamp_s)


def _deficit(account_first: bool, sign: int) -> Handler:
    """DeficitCreated(user, asset, amount) and DeficitCovered(asset, caller, amount)."""

    def handler(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
        reserve = cells.reserve_id(view, topic_address(log.topics[2 if account_first else 1]))
        if reserve is None:
            return []
        amount = word(log.data, 0 if account_first else 1)
        return [(cells.reserve, (reserve, "deficit"), cells.of(view, reserve, "deficit") + sign * amount)]

    return handler


def flag(cells: Cells, view: View, account: str, reserve: int, bit: int, *, on: bool) -> Write:
    """The account's configuration map with one bit set or cleared."""
    mask = 1 << (2 * reserve + bit)
    bits = view.get(cells.bits, (account,))
    return cells.bits, (account,), bits | mask if on else bits & (MAX_UINT256 ^ mask)


# --- oracle -------------------------------------------------------------------------------------------------------


def _asset_source_updated(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    asset, source = topic_address(log.topics[1]), int(log.topics[2], 16)
    return [
        (cells.asset, (asset, "source"), source),
        (cells.asset, (asset, "source_block"), log.block_number),
        (cells.asset, (asset, "answer"), 0),
        (cells.asset, (asset, "distrusted"), 0),
    ]


def _answer_updated(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    """An answer is the price of every asset whose source passes it on unchanged; the others wait for the head's read."""
    answer = max(signed(int(log.topics[1], 16)), 0)
    writes: list[Write] = []
    for asset in cells.price_keys(view):
        source = cells.of_asset(view, asset, "source")
        if not source or to_address(view.get(cells.aggregator, (to_address(source),))) != log.address:
            continue
        writes.append((cells.asset, (asset, "answer"), answer))
        if answer and not cells.of_asset(view, asset, "distrusted"):
            writes.append((cells.asset, (asset, "price"), answer))
    return writes


VTOKEN: dict[str, Handler] = {
    topic("Mint(address,address,uint256,uint256,uint256)"): _mint,
    topic("Burn(address,address,uint256,uint256,uint256)"): _burn,
}
ANNOUNCEMENT: dict[str, Handler] = {topic("Initialized(address,address,address,address,uint8,string,string,bytes)"): _initialized}
ATOKEN: dict[str, Handler] = {
    **VTOKEN,
    **ANNOUNCEMENT,
    topic("BalanceTransfer(address,address,uint256,uint256)"): _balance_transfer,
}
POOL: dict[str, Handler] = {
    topic("ReserveDataUpdated(address,uint256,uint256,uint256,uint256,uint256)"): _reserve_data_updated,
    topic("ReserveUsedAsCollateralEnabled(address,address)"): _collateral(on=True),
    topic("ReserveUsedAsCollateralDisabled(address,address)"): _collateral(on=False),
    topic("UserEModeSet(address,uint8)"): _user_emode_set,
    topic("LiquidationCall(address,address,address,uint256,uint256,address,bool)"): _liquidation_call,
    topic("DeficitCreated(address,address,uint256)"): _deficit(account_first=True, sign=1),
    topic("DeficitCovered(address,address,uint256)"): _deficit(account_first=False, sign=-1),
}
ORACLE: dict[str, Handler] = {topic("AssetSourceUpdated(address,address)"): _asset_source_updated}
AGGREGATOR: dict[str, Handler] = {topic("AnswerUpdated(int256,uint256,uint256)"): _answer_updated}
# An aToken speaks before it is announced; any other contract that is followed is an aggregator.
OTHER: dict[str, Handler] = {**AGGREGATOR, **ANNOUNCEMENT}
