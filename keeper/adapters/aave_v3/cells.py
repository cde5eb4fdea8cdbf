"""The market's tables: their names, and typed readers over any view.

Table: key: value (addresses are stored as integers).

market: (field): oracle, oracle_block, sentinel, liquidation_allowed, premium_bps, to_protocol_bps, upgraded
slot: (reserve id): the asset's address
id: (asset): reserve id + 1
reserve: (reserve id, field): atoken, vtoken, block, lt, bonus, fee, factor (bps), active, paused, frozen, grace (s), flash, emode, deficit,
    accrued
index: (reserve id, field): li, bi, lr, br (ray), ts (s)
asset: (asset, field): decimals, treasury, price, unpriced, source, source_block, answer, distrusted, symbol, cash,
    before (its last price), at (s), least, most (of the aggregator), asked (which aggregator), capped, uncapped (which source)
aggregator: (source): the contract that emits the source's answers
token: (token): 2 · reserve id + 1 for an aToken, + 2 for a debt token
emode: (category, field): lt, bonus (bps), oracle, collateral (bitmap of reserve ids)
supply, debt: (reserve id, account): scaled balance
total: (reserve id, side): sum of scaled balances, side "supply" or "debt"
bits: (reserve id // 64, account): the contract's own user configuration map, 128 bits a cell
category: (account): the eMode the account is in
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keeper.adapters.aave_v3.codec import to_address
from keeper.adapters.aave_v3.versions import RuleSet
from keeper.ports import View
from keeper.types import Address, Write

RESERVES_A_PAGE = 64

SUPPLY, DEBT, BITS, CATEGORY = range(4)
"""Of `Cells.columns`, which is which."""


@dataclass(frozen=True, slots=True)
class Era:
    """The rules in force from a log position on."""

    since: tuple[int, int]  # (block, log index)
    rules: RuleSet


@dataclass(frozen=True, slots=True)
class Deployment:
    """What discovery found of one market; constant for its life. `eras` ascend; the last one is in force now."""

    name: str
    provider: Address
    pool: Address
    configurator: Address
    first_block: int
    eras: tuple[Era, ...]
    unit: str

    @property
    def rules(self) -> RuleSet:
        return self.eras[-1].rules

    def rules_at(self, position: tuple[int, int]) -> RuleSet:
        newest = self.eras[-1]
        if newest.since <= position:
            return newest.rules
        return next((era.rules for era in reversed(self.eras) if era.since <= position), self.eras[0].rules)


@dataclass(frozen=True, slots=True)
class Index:
    """A reserve's indexes and rates (ray) as of `ts` (s)."""

    li: int
    bi: int
    lr: int
    br: int
    ts: int


@dataclass(frozen=True, slots=True)
class Reserve:
    """One reserve's configuration and indexes. Thresholds, bonus and fee in bps."""

    id: int
    asset: Address
    unit: int
    lt: int
    bonus: int
    fee: int
    emode: int
    index: Index


class Cells:
    """Names of one market's tables and readers of their cells."""

    def __init__(self, name: str) -> None:
        self.market = f"{name}/market"
        self.slot = f"{name}/slot"
        self.id = f"{name}/id"
        self.reserve = f"{name}/reserve"
        self.index = f"{name}/index"
        self.asset = f"{name}/asset"
        self.aggregator = f"{name}/aggregator"
        self.token = f"{name}/token"
        self.emode = f"{name}/emode"
        self.supply = f"{name}/supply"
        self.debt = f"{name}/debt"
        self.total = f"{name}/total"
        self.bits = f"{name}/bits"
        self.category = f"{name}/category"
        self.columns: tuple[str, ...] = (self.supply, self.debt, self.bits, self.category)
        self.shaping = dict.fromkeys((self.slot, self.id, self.token, self.aggregator), True)
        """Tables that say who a contract is: with all of their cells, or with some fields only."""
        self.shaping |= dict.fromkeys((self.market, self.reserve, self.asset, self.emode), False)

    # --- reserves

    def reserve_id(self, view: View, asset: str) -> int | None:
        found = view.get(self.id, (asset,))
        return found - 1 if found else None

    def asset_of(self, view: View, reserve: int) -> Address | None:
        found = view.get(self.slot, (reserve,))
        return to_address(found) if found else None

    def reserve_ids(self, view: View) -> list[int]:
        return sorted(int(key[0]) for key in view.keys(self.slot))

    def of(self, view: View, reserve: int, field: str) -> int:
        return view.get(self.reserve, (reserve, field))

    def index_of(self, view: View, reserve: int) -> Index:
        li, bi, lr, br, ts = (view.get(self.index, (reserve, field)) for field in ("li", "bi", "lr", "br", "ts"))
        return Index(li, bi, lr, br, ts)

    def load(self, view: View, reserve: int) -> Reserve | None:
        """None for a slot whose reserve was dropped."""
        asset = self.asset_of(view, reserve)
        if asset is None:
            return None
        lt, bonus, fee, emode = (self.of(view, reserve, field) for field in ("lt", "bonus", "fee", "emode"))
        unit = 10 ** self.of_asset(view, asset, "decimals")
        return Reserve(reserve, asset, unit, lt, bonus, fee, emode, self.index_of(view, reserve))

    # --- assets

    def of_asset(self, view: View, asset: str, field: str) -> int:
        return view.get(self.asset, (asset, field))

    def price(self, view: View, asset: str) -> int:
        return view.get(self.asset, (asset, "price"))

    def priced(self, view: View, asset: str) -> bool:
        """The oracle has a price above zero for it."""
        return self.price(view, asset) > 0 and not self.of_asset(view, asset, "unpriced")

    def assets(self, view: View) -> list[Address]:
        """Every listed asset, in order of reserve id."""
        return [to_address(view.get(self.slot, (reserve,))) for reserve in self.reserve_ids(view)]

    def price_keys(self, view: View) -> list[Address]:
        """Every asset the oracle is asked for: the listed ones, then the price sources of eModes."""
        listed = self.assets(view)
        special = {to_address(view.get(self.emode, key)) for key in view.keys(self.emode) if key[1] == "oracle"}
        return listed + sorted(special.difference(listed))

    # --- market

    def of_market(self, view: View, field: str) -> int:
        return view.get(self.market, (field,))

    def address_of_market(self, view: View, field: str) -> Address | None:
        found = self.of_market(view, field)
        return to_address(found) if found else None

    def of_emode(self, view: View, category: int, field: str) -> int:
        return view.get(self.emode, (category, field))

    def emodes(self, view: View) -> list[int]:
        return sorted(int(key[0]) for key in view.keys(self.emode) if key[1] == "lt")

    # --- accounts

    def borrowers(self, view: View) -> Iterator[Address]:
        return view.accounts(self.debt)

    def flags(self, view: View, account: str) -> int:
        """The contract's own user configuration map."""
        return view.get(self.bits, (0, account)) | view.get(self.bits, (1, account)) << 2 * RESERVES_A_PAGE

    def move(self, view: View, side: str, reserve: int, account: str, scaled: int) -> list[Write]:
        """Set a scaled balance and keep the sum in step."""
        table = self.supply if side == "supply" else self.debt
        change = scaled - view.get(table, (reserve, account))
        total = view.get(self.total, (reserve, side)) + change
        return [(table, (reserve, account), scaled), (self.total, (reserve, side), total)]
