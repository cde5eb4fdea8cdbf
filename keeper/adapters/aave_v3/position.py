"""An account at a timestamp, as `calculateUserAccountData` sees it, to the wei."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.adapters.aave_v3.cells import Cells, Reserve
from keeper.adapters.aave_v3.codec import to_address
from keeper.adapters.aave_v3.interest import debt_index, income
from keeper.adapters.aave_v3.versions import RuleSet
from keeper.ports import View
from keeper.types import Address


@dataclass(frozen=True, slots=True)
class Holding:
    """One reserve of an account. `index` is at the position's timestamp, `base` in base currency, `threshold` in bps (collateral)."""

    reserve: Reserve
    index: int
    scaled: int
    balance: int
    price: int
    base: int
    threshold: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    account: Address
    at_s: int
    category: int
    collaterals: tuple[Holding, ...]
    debts: tuple[Holding, ...]
    collateral_base: int
    debt_base: int
    weighted: int
    average_bps: int
    health_factor_wad: int

    @property
    def liquidatable(self) -> bool:
        return self.health_factor_wad < 10**18


def evaluate(cells: Cells, rules: RuleSet, view: View, account: Address, at_s: int) -> Position:
    category = view.get(cells.category, (account,))
    collaterals, debts = [], []
    for reserve, borrowed, used in _flags(cells, view, account):
        if used and (reserve.lt or rules.zero_threshold_counts):
            collaterals.append(_collateral(cells, rules, view, account, reserve, category, at_s))
        if borrowed:
            debts.append(_debt(cells, rules, view, account, reserve, category, at_s))
    debt_base = sum(holding.base for holding in debts)
    weighed = rules.health([(holding.base, holding.threshold) for holding in collaterals], debt_base)
    return Position(
        account=account,
        at_s=at_s,
        category=category,
        collaterals=tuple(collaterals),
        debts=tuple(debts),
        collateral_base=sum(holding.base for holding in collaterals),
        debt_base=debt_base,
        weighted=weighed.weighted,
        average_bps=weighed.average_bps,
        health_factor_wad=weighed.health_factor_wad,
    )


def flagged(bits: int) -> list[tuple[int, bool, bool]]:
    """(reserve id, borrowed, used as collateral) of a user configuration map."""
    found = []
    while bits:
        reserve = (bits & -bits).bit_length() - 1 >> 1
        pair = bits >> 2 * reserve & 3
        found.append((reserve, bool(pair & 1), bool(pair & 2)))
        bits ^= pair << 2 * reserve
    return found


def in_category(cells: Cells, rules: RuleSet, view: View, reserve: Reserve, category: int) -> bool:
    """The eMode's parameters apply to this reserve as collateral."""
    if not category:
        return False
    if rules.emode_by_bitmap:
        return bool(cells.of_emode(view, category, "collateral") >> reserve.id & 1)
    return reserve.emode == category


def threshold(cells: Cells, rules: RuleSet, view: View, reserve: Reserve, category: int) -> int:
    """Liquidation threshold, bps, for an account in `category`."""
    if not reserve.lt and not rules.zero_threshold_counts:
        return 0
    return cells.of_emode(view, category, "lt") if in_category(cells, rules, view, reserve, category) else reserve.lt


def price_of(cells: Cells, rules: RuleSet, view: View, reserve: Reserve, category: int) -> int:
    """Base currency per token."""
    return cells.price(view, priced_as(cells, rules, view, reserve.asset, reserve.emode, category))


def priced_as(cells: Cells, rules: RuleSet, view: View, asset: Address, emode: int, category: int) -> Address:
    """The asset whose price counts: up to 3.1 an eMode may have one price for all its assets (those whose category is `emode`)."""
    if rules.emode_has_oracle and category and emode == category:
        special = to_address(cells.of_emode(view, category, "oracle"))
        if cells.price(view, special):
            return special
    return asset


def _flags(cells: Cells, view: View, account: Address) -> list[tuple[Reserve, bool, bool]]:
    loaded = [(cells.load(view, reserve), borrowed, used) for reserve, borrowed, used in flagged(cells.flags(view, account))]
    return [(reserve, borrowed, used) for reserve, borrowed, used in loaded if reserve is not None]


def _collateral(cells: Cells, rules: RuleSet, view: View, account: Address, reserve: Reserve, category: int, at_s: int) -> Holding:
    index = income(reserve.index, at_s)
    scaled = view.get(cells.supply, (reserve.id, account))
    balance = rules.tokens.supply_balance(scaled, index)
    price = price_of(cells, rules, view, reserve, category)
    weight = threshold(cells, rules, view, reserve, category)
    return Holding(reserve, index, scaled, balance, price, balance * price // reserve.unit, weight)


def _debt(cells: Cells, rules: RuleSet, view: View, account: Address, reserve: Reserve, category: int, at_s: int) -> Holding:
    index = debt_index(rules, reserve.index, at_s)
    scaled = view.get(cells.debt, (reserve.id, account))
    balance = rules.tokens.debt_balance(scaled, index)
    price = price_of(cells, rules, view, reserve, category)
    return Holding(reserve, index, scaled, balance, price, rules.tokens.debt_base(balance, price, reserve.unit))
