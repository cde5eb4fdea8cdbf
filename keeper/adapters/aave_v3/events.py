"""What each event log changes: pure, exact, by fixed word positions.

The formulas are the protocol's own rounding turned around: up to 3.4 an event carries the action's amount, from 3.5 a difference of rounded
balances. Applied strictly in log order from the market's first block.

Who a contract is seldom changes, so an `Applier` looks it up once for all states of one shape.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from keeper.adapters.aave_v3.cells import RESERVES_A_PAGE, Cells, Deployment
from keeper.adapters.aave_v3.codec import signed, three_words, to_address, topic, topic_address, word
from keeper.adapters.aave_v3.feeds import priced
from keeper.adapters.aave_v3.governance import CONFIGURATOR, PROVIDER
from keeper.adapters.aave_v3.interest import accrue
from keeper.errors import Transient
from keeper.ports import View
from keeper.types import Address, Log, Write

Table = Mapping[str, Callable[..., list[Write]]]
"""Topic 0 → handler of (who the contract is …, log, view)."""

Role = Mapping[str, Callable[[Log, View], list[Write]]]
"""A table whose handlers know who the contract is."""

DEBT_BIT, COLLATERAL_BIT = 0, 1
SHAPE_FIELDS = frozenset({"oracle", "oracle_block", "source", "source_block", "atoken", "vtoken", "block"})
"""Those of the cells of reserves, assets, eModes and the market that say who a contract is, or since when it is followed."""


class Applier:
    """Log by log, the cells it changes. Holds for every view of the same shape as the one given."""

    def __init__(self, deployment: Deployment, cells: Cells, view: View) -> None:
        self._roles = _roles(deployment, cells, view)
        self._stranger = _other(deployment, cells, ())

    def __call__(self, log: Log, view: View) -> list[Write]:
        """None for a log of a contract or kind that is not followed. Raises Transient for one that lacks words: no contract emits it."""
        handler = self._roles.get(log.address, self._stranger).get(log.topics[0]) if log.topics else None
        try:
            return handler(log, view) if handler else []
        except IndexError:
            raise Transient(f"a log of {log.address} in block {log.block_number} is cut short: the node sent a part of it") from None


def reshapes(cells: Cells, writes: Iterable[Write]) -> bool:
    """Whether these writes may change what is followed, or what an `Applier` has looked up."""
    shaping = cells.shaping
    for table, key, _ in writes:
        whole = shaping.get(table)
        if whole or (whole is False and key[-1] in SHAPE_FIELDS):
            return True
    return False


def _roles(deployment: Deployment, cells: Cells, view: View) -> dict[Address, Role]:
    """A contract is only believed in its own role, the last that it has here: a price source cannot mint."""
    roles = {emitter: _other(deployment, cells, assets) for emitter, assets in _priced_by(cells, view).items()}
    for key in view.keys(cells.token):
        roles[Address(str(key[0]))] = _token(deployment, cells, view.get(cells.token, key))
    oracle = cells.address_of_market(view, "oracle")
    if oracle is not None:
        roles[oracle] = _bound(ORACLE, deployment, cells)
    roles[deployment.provider] = _bound(PROVIDER, deployment, cells)
    roles[deployment.configurator] = _bound(CONFIGURATOR, deployment, cells)
    roles[deployment.pool] = _bound(POOL, Reserves(deployment, cells, view))
    return roles


def _bound(table: Table, *who: object) -> Role:
    return {topic0: partial(handler, *who) for topic0, handler in table.items()}


def _token(deployment: Deployment, cells: Cells, value: int) -> Role:
    """By the value of the token's cell."""
    reserve, is_debt = divmod(value - 1, 2)
    if is_debt:
        return _bound(VTOKEN, DebtToken(deployment, cells, reserve))
    return {**_bound(MOVES, SupplyToken(deployment, cells, reserve)), **_bound(ANNOUNCEMENT, deployment, cells)}


def _other(deployment: Deployment, cells: Cells, assets: tuple[Address, ...]) -> Role:
    """An aToken speaks before it is announced; any other contract that is followed is an aggregator."""
    return {**_bound(AGGREGATOR, cells, assets), **_bound(ANNOUNCEMENT, deployment, cells)}


def _priced_by(cells: Cells, view: View) -> dict[Address, tuple[Address, ...]]:
    """Aggregator → the assets whose price source passes its answers on."""
    found: dict[Address, tuple[Address, ...]] = defaultdict(tuple)
    for asset in cells.price_keys(view):
        source = cells.of_asset(view, asset, "source")
        if source:
            found[to_address(view.get(cells.aggregator, (to_address(source),)))] += (asset,)
    return found


# --- aTokens and debt tokens --------------------------------------------------------------------------------------


class SupplyToken:
    """The scaled balances of one aToken."""

    side = "supply"

    def __init__(self, deployment: Deployment, cells: Cells, reserve: int) -> None:
        self._deployment, self._cells, self._reserve = deployment, cells, reserve
        self._table = cells.supply if self.side == "supply" else cells.debt
        self._total, self._of_side = cells.total, (reserve, self.side)

    def mint(self, log: Log, view: View) -> list[Write]:
        """Also a burn whose accrued interest exceeds it (negative change), and interest made visible by a transfer (zero)."""
        amount, interest, index = three_words(log.data)
        return self._change(log, view, log.topics[2], amount - interest, index)

    def burn(self, log: Log, view: View) -> list[Write]:
        amount, interest, index = three_words(log.data)
        return self._change(log, view, log.topics[1], -amount - interest, index)

    def transfer(self, log: Log, view: View) -> list[Write]:
        """The value is scaled already. A transfer to oneself changes nothing."""
        sender, receiver, scaled = topic_address(log.topics[1]), topic_address(log.topics[2]), word(log.data, 0)
        if sender == receiver:
            return []
        table, paid, got = self._table, (self._reserve, sender), (self._reserve, receiver)
        return [(table, paid, view.get(table, paid) - scaled), (table, got, view.get(table, got) + scaled)]

    def _change(self, log: Log, view: View, topic: str, change: int, index: int) -> list[Write]:
        rules, key = self._deployment.rules_at((log.block_number, log.log_index)), (self._reserve, "0x" + topic[-40:])
        before = view.get(self._table, key)
        return self._moved(view, key, before, rules.tokens.supply_after(before, change, index))

    def _moved(self, view: View, key: tuple[int, str], before: int, after: int) -> list[Write]:
        """The balance, and the sum in step with it."""
        total, of_side = self._total, self._of_side
        return [(self._table, key, after), (total, of_side, view.get(total, of_side) + after - before)]


class DebtToken(SupplyToken):
    """The scaled balances of one debt token, and who is flagged as a borrower."""

    side = "debt"

    def _change(self, log: Log, view: View, topic: str, change: int, index: int) -> list[Write]:
        rules, key = self._deployment.rules_at((log.block_number, log.log_index)), (self._reserve, "0x" + topic[-40:])
        before = view.get(self._table, key)
        after = rules.tokens.debt_after(before, change, index)
        writes = self._moved(view, key, before, after)
        if change > 0:
            writes.append(flag(self._cells, view, key[1], self._reserve, DEBT_BIT, on=True))
        elif change < 0 and rules.debt_free(-change, rules.tokens.debt_balance(before, index), after):
            writes.append(flag(self._cells, view, key[1], self._reserve, DEBT_BIT, on=False))
        return writes


def _initialized(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    """Comes before the ReserveInitialized that announces its emitter, so it is keyed by asset."""
    asset = topic_address(log.topics[1])
    if topic_address(log.topics[2]) != deployment.pool:
        return []
    return [(cells.asset, (asset, "treasury"), word(log.data, 0)), (cells.asset, (asset, "decimals"), word(log.data, 2))]


# --- pool ---------------------------------------------------------------------------------------------------------


class Reserves:
    """What the Pool speaks of: reserve ids by asset."""

    def __init__(self, deployment: Deployment, cells: Cells, view: View) -> None:
        self.deployment, self.cells = deployment, cells
        self._ids = {str(key[0]): view.get(cells.id, key) - 1 for key in view.keys(cells.id)}

    def of(self, log: Log, topic_index: int = 1) -> int | None:
        return self._ids.get(topic_address(log.topics[topic_index]))


def _reserve_data_updated(reserves: Reserves, log: Log, view: View) -> list[Write]:
    reserve, table, data = reserves.of(log), reserves.cells.index, log.data
    if reserve is None:
        return []
    return [
        (table, (reserve, "lr"), word(data, 0)),
        (table, (reserve, "br"), word(data, 2)),
        (table, (reserve, "li"), word(data, 3)),
        (table, (reserve, "bi"), word(data, 4)),
        (table, (reserve, "ts"), log.timestamp_s),
    ]


def _collateral(reserves: Reserves, log: Log, view: View, *, on: bool) -> list[Write]:
    reserve = reserves.of(log)
    return [] if reserve is None else [flag(reserves.cells, view, topic_address(log.topics[2]), reserve, COLLATERAL_BIT, on=on)]


def _user_emode_set(reserves: Reserves, log: Log, view: View) -> list[Write]:
    return [(reserves.cells.category, (topic_address(log.topics[1]),), word(log.data, 0))]


def _liquidation_call(reserves: Reserves, log: Log, view: View) -> list[Write]:
    """From 3.5 a liquidation paid in aTokens updates the collateral's indexes without a ReserveDataUpdated."""
    rules = reserves.deployment.rules_at((log.block_number, log.log_index))
    reserve = reserves.of(log)
    if reserve is None or not rules.silent_index or not word(log.data, 3):
        return []
    return accrue(reserves.cells, rules, view, reserve, log.timestamp_s)


def _deficit(reserves: Reserves, log: Log, view: View, *, asset_topic: int, amount_word: int, sign: int) -> list[Write]:
    """DeficitCreated(user, asset, amount) and DeficitCovered(asset, caller, amount)."""
    reserve, cells = reserves.of(log, asset_topic), reserves.cells
    if reserve is None:
        return []
    return [(cells.reserve, (reserve, "deficit"), cells.of(view, reserve, "deficit") + sign * word(log.data, amount_word))]


def flag(cells: Cells, view: View, account: str, reserve: int, bit: int, *, on: bool) -> Write:
    """The account's configuration map with one bit set or cleared."""
    page, place = divmod(reserve, RESERVES_A_PAGE)
    key, mask = (page, account), 1 << (2 * place + bit)
    bits = view.get(cells.bits, key)
    return cells.bits, key, bits | mask if on else bits & ~mask


# --- oracle -------------------------------------------------------------------------------------------------------


def _asset_source_updated(deployment: Deployment, cells: Cells, log: Log, view: View) -> list[Write]:
    asset, source = topic_address(log.topics[1]), int(log.topics[2], 16)
    return [
        (cells.asset, (asset, "source"), source),
        (cells.asset, (asset, "source_block"), log.block_number),
        (cells.asset, (asset, "answer"), 0),
        (cells.asset, (asset, "distrusted"), 0),
    ]


def _answer_updated(cells: Cells, assets: tuple[Address, ...], log: Log, view: View) -> list[Write]:
    """An answer is the price of every asset whose source passes it on unchanged; the others wait for the head's read."""
    answer = max(signed(int(log.topics[1], 16)), 0)
    writes: list[Write] = []
    for asset in assets:
        writes += [(cells.asset, (asset, "answer"), answer), (cells.asset, (asset, "at"), word(log.data, 0))]
        if answer and not cells.of_asset(view, asset, "distrusted"):
            writes += priced(cells, view, asset, answer)
    return writes


VTOKEN: Table = {
    topic("Mint(address,address,uint256,uint256,uint256)"): SupplyToken.mint,
    topic("Burn(address,address,uint256,uint256,uint256)"): SupplyToken.burn,
}
MOVES: Table = {**VTOKEN, topic("BalanceTransfer(address,address,uint256,uint256)"): SupplyToken.transfer}
ANNOUNCEMENT: Table = {topic("Initialized(address,address,address,address,uint8,string,string,bytes)"): _initialized}
ATOKEN: Table = {**MOVES, **ANNOUNCEMENT}
POOL: Table = {
    topic("ReserveDataUpdated(address,uint256,uint256,uint256,uint256,uint256)"): _reserve_data_updated,
    topic("ReserveUsedAsCollateralEnabled(address,address)"): partial(_collateral, on=True),
    topic("ReserveUsedAsCollateralDisabled(address,address)"): partial(_collateral, on=False),
    topic("UserEModeSet(address,uint8)"): _user_emode_set,
    topic("LiquidationCall(address,address,address,uint256,uint256,address,bool)"): _liquidation_call,
    topic("DeficitCreated(address,address,uint256)"): partial(_deficit, asset_topic=2, amount_word=0, sign=1),
    topic("DeficitCovered(address,address,uint256)"): partial(_deficit, asset_topic=1, amount_word=1, sign=-1),
}
ORACLE: Table = {topic("AssetSourceUpdated(address,address)"): _asset_source_updated}
AGGREGATOR: Table = {topic("AnswerUpdated(int256,uint256,uint256)"): _answer_updated}
