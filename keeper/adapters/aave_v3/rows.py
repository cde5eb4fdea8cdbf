"""Accounts as rows over risk factors, and the factors' values: floats that never miss.

surplus = Σ threshold · value(collateral) - Σ value(debt), in base currency. A row bounds the contract's own integers from both sides. It is
never more than they are:
* each scaled balance is taken one unit short (collateral) or over (debt): at an index ≥ 1 that covers the rounding to token units;
* the constant takes back one base unit per leg for the rounding to base currency, and one more for the average's;
* weights are scaled by 1 ∓ 1e-9 against float error, a thousand times its worst here;
* versions that floor the average threshold lose less than 1 bp: accounts with several collaterals use factors 1 bp lower.
What all this may have taken too much is the row's slack and the factors' widths and slacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from keeper.adapters.aave_v3 import position as positions
from keeper.adapters.aave_v3.cells import Cells, Deployment, Reserve
from keeper.adapters.aave_v3.interest import debt_index, income
from keeper.fixedpoint import BPS, RAY
from keeper.ports import View
from keeper.types import Address, Cell, Factor, Quote, Row

SLACK = 1e-9
WIDE = 1e-8
UNITS = 2.0 + WIDE
"""Scaled units that a balance may be worth more, or less of a debt, than its weight."""

COLLATERAL, DEBT = "c", "d"


@cache
def collateral_factor(name: str, reserve: int, category: int, several: bool) -> Factor:
    return (name, COLLATERAL, str(reserve), str(category), "several" if several else "alone")


@cache
def debt_factor(name: str, reserve: int, category: int) -> Factor:
    return (name, DEBT, str(reserve), str(category))


# --- factors ------------------------------------------------------------------------------------------------------


def factors(deployment: Deployment, cells: Cells, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
    """Base currency per unit of scaled balance, times the threshold for collateral. A reserve that was dropped has none."""
    reserves: dict[int, Reserve | None] = {}
    found: dict[Factor, Quote] = {}
    for factor in wanted:
        number = int(factor[2])
        if number not in reserves:
            reserves[number] = cells.load(view, number)
        reserve = reserves[number]
        if reserve is not None:
            of_side = _collateral if factor[1] == COLLATERAL else _debt
            found[factor] = of_side(deployment, cells, view, reserve, factor, at_s)
    return found


def _collateral(deployment: Deployment, cells: Cells, view: View, reserve: Reserve, factor: Factor, at_s: int) -> Quote:
    rules, category, several = deployment.rules, int(factor[3]), factor[4] == "several"
    threshold = positions.threshold(cells, rules, view, reserve, category)
    price = positions.price_of(cells, rules, view, reserve, category)
    per_bps = price / reserve.unit / RAY * income(reserve.index, at_s) / BPS
    counted = max(threshold - 1, 0) if several else threshold
    return Quote(per_bps * counted, per_bps * (threshold - counted + WIDE * threshold), UNITS * per_bps * threshold)


def _debt(deployment: Deployment, cells: Cells, view: View, reserve: Reserve, factor: Factor, at_s: int) -> Quote:
    rules = deployment.rules
    price = positions.price_of(cells, rules, view, reserve, int(factor[3]))
    value = price / reserve.unit / RAY * debt_index(rules, reserve.index, at_s)
    return Quote(value, WIDE * value, UNITS * value)


def drivers(cells: Cells, view: View, factor: Factor) -> tuple[Cell, ...]:
    """The cells a factor's value hangs on, besides time."""
    reserve, category = int(factor[2]), int(factor[3])
    asset = cells.asset_of(view, reserve)
    found: list[Cell] = [(cells.slot, (reserve,)), (cells.market, ("oracle",))]
    found += [(cells.index, (reserve, field)) for field in ("li", "bi", "lr", "br", "ts")]
    found += [(cells.reserve, (reserve, field)) for field in ("lt", "emode")]
    if asset:
        found += [(cells.asset, (asset, field)) for field in ("price", "decimals")]
    if category:
        source = cells.of_emode(view, category, "oracle")
        found += [(cells.emode, (category, field)) for field in ("lt", "collateral", "oracle")]
        found += [(cells.asset, (f"0x{source:040x}", "price"))] if source else []
    return tuple(found)


def family(cells: Cells, view: View, factor: Factor) -> str:
    """What moves together: an asset's two sides, and the assets that some eMode takes for alike."""
    reserve = int(factor[2])
    own = cells.of(view, reserve, "emode")
    alike = [category for category in cells.emodes(view) if category == own or cells.of_emode(view, category, "collateral") >> reserve & 1]
    return f"emode {min(alike)}" if alike else f"reserve {reserve}"


def margin(cells: Cells, view: View) -> float:
    """The largest liquidation bonus of any reserve or eMode, as a share."""
    bonuses = [cells.of(view, reserve, "bonus") for reserve in cells.reserve_ids(view)]
    bonuses += [cells.of_emode(view, category, "bonus") for category in cells.emodes(view)]
    return max(max(bonuses, default=BPS) / BPS - 1, 0.0)


# --- rows ---------------------------------------------------------------------------------------------------------


def row(deployment: Deployment, cells: Cells, view: View, account: Address) -> Row | None:
    """None for an account that owes nothing."""
    rules, name = deployment.rules, deployment.name
    supplied, owed = _scaled(cells, view, account)
    if not owed:
        return None
    category = view.get(cells.category, (account,))
    several = rules.average_floored and len(supplied) > 1
    debt_category = category if rules.emode_has_oracle else 0
    weights = {collateral_factor(name, reserve, category, several): (scaled - 1) * (1 - SLACK) for reserve, scaled in supplied}
    weights |= {debt_factor(name, reserve, debt_category): -(scaled + 1) * (1 + SLACK) for reserve, scaled in owed}
    legs = len(supplied) + len(owed) + 1
    return Row(weights, -float(legs), slack=2.0 * legs)


def _scaled(cells: Cells, view: View, account: Address) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(reserve id, scaled balance) of what secures and what is owed, without empty ones. Also in a dropped reserve: a row holds whatever
    becomes of reserves, and a factor without value leaves the word to the integers."""
    flags = positions.flagged(cells.flags(view, account))
    supplied = [(reserve, view.get(cells.supply, (reserve, account))) for reserve, _, used in flags if used]
    owed = [(reserve, view.get(cells.debt, (reserve, account))) for reserve, borrowed, _ in flags if borrowed]
    return [held for held in supplied if held[1]], [held for held in owed if held[1]]
