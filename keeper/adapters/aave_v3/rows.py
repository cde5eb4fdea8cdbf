"""Accounts as rows over risk factors: floats that never miss.

surplus = Σ threshold · value(collateral) − Σ value(debt), in base currency. A row is an under-estimate of the contract's own integers:
* each scaled balance is taken one unit short (collateral) or over (debt): at an index ≥ 1 that covers the rounding to token units;
* the constant takes back one base unit per leg for the rounding to base currency, and one more for the average's;
* versions that floor the average threshold lose less than 1 bp: accounts with several collaterals use factors 1 bp lower;
* weights are scaled by 1 ∓ 1e-9 against float error, a thousand times its worst here.
"""

from __future__ import annotations

from keeper.adapters.aave_v3 import position as positions
from keeper.adapters.aave_v3.cells import Cells, Deployment, Reserve
from keeper.adapters.aave_v3.interest import debt_index, income
from keeper.fixedpoint import BPS, RAY
from keeper.ports import View
from keeper.types import Address, Factor, Row

SLACK = 1e-9
SEVERAL = "several"


def collateral_factor(name: str, reserve: int, category: int, several: bool) -> Factor:
    base: Factor = (name, "c", str(reserve))
    if category or several:
        base = (*base, str(category))
    return (*base, SEVERAL) if several else base


def debt_factor(name: str, reserve: int, category: int) -> Factor:
    return (name, "d", str(reserve), str(category)) if category else (name, "d", str(reserve))


def factors(deployment: Deployment, cells: Cells, view: View, at_s: int) -> dict[Factor, float]:
    """Base currency per unit of scaled balance, times the threshold for collateral."""
    found: dict[Factor, float] = {}
    categories = [0, *cells.emodes(view)]
    for reserve_id in cells.reserve_ids(view):
        reserve = cells.load(view, reserve_id)
        if reserve is not None:
            for category in categories:
                found.update(_of_reserve(deployment, cells, view, reserve, category, at_s))
    return found


def _of_reserve(deployment: Deployment, cells: Cells, view: View, reserve: Reserve, category: int, at_s: int) -> dict[Factor, float]:
    rules, name = deployment.rules, deployment.name
    threshold = positions.threshold(cells, rules, view, reserve, category)
    per_token = positions.price_of(cells, rules, view, reserve, category) / reserve.unit / RAY
    per_scaled = per_token * income(reserve.index, at_s) / BPS
    found = {collateral_factor(name, reserve.id, category, several=False): per_scaled * threshold}
    if rules.average_floored:
        found[collateral_factor(name, reserve.id, category, several=True)] = per_scaled * max(threshold - 1, 0)
    if not category or rules.emode_has_oracle:
        found[debt_factor(name, reserve.id, category)] = per_token * debt_index(rules, reserve.index, at_s)
    return found


def row(deployment: Deployment, cells: Cells, view: View, account: Address) -> Row:
    rules, name = deployment.rules, deployment.name
    category = view.get(cells.category, (account,))
    supplied, owed = _scaled(cells, view, account)
    several = rules.average_floored and len(supplied) > 1
    debt_category = category if rules.emode_has_oracle else 0
    weights = {collateral_factor(name, reserve, category, several): (scaled - 1) * (1 - SLACK) for reserve, scaled in supplied}
    weights |= {debt_factor(name, reserve, debt_category): -(scaled + 1) * (1 + SLACK) for reserve, scaled in owed}
    return Row(weights, -float(len(weights) + 1))


def _scaled(cells: Cells, view: View, account: Address) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(reserve id, scaled balance) of what secures and what is owed, without empty ones and dropped reserves."""
    flags = [found for found in positions.flagged(view.get(cells.bits, (account,))) if cells.asset_of(view, found[0]) is not None]
    supplied = [(reserve, view.get(cells.supply, (reserve, account))) for reserve, _, used in flags if used]
    owed = [(reserve, view.get(cells.debt, (reserve, account))) for reserve, borrowed, _ in flags if borrowed]
    return [held for held in supplied if held[1]], [held for held in owed if held[1]]
