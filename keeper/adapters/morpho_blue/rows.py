"""Accounts as rows over risk factors, one for each market they owe in, and the factors' values: floats that never miss.

surplus = limit - debt, in US dollars. The limit loses less than two of the loan token's smallest units to rounding, the debt gains less
than one: a third factor, the worth of that unit, takes three of them off. Weights are scaled by 1 ∓ 1e-9 against float error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from keeper.adapters.morpho_blue import interest, rules
from keeper.adapters.morpho_blue.cells import Cells, Params
from keeper.fixedpoint import WAD
from keeper.ports import View
from keeper.types import Address, Cell, Factor, Quote, Row

SLACK = 1e-9
WIDE = 1e-8
ROUNDED = 3.0
UNVALUED = 10.0**8
"""Dollars (8 decimals) that the smallest unit of a token counts whose worth nobody tells: no debt in it is too small to be looked at."""

ALIKE_WAD = 9 * WAD // 10
"""Markets with such an LLTV are opened for tokens that move together."""

COLLATERAL, DEBT, UNIT = "c", "d", "u"


@cache
def factor_of(name: str, kind: str, number: int) -> Factor:
    return (name, kind, str(number))


# --- factors ------------------------------------------------------------------------------------------------------


def factors(cells: Cells, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
    """Per unit of collateral, per share of debt, per smallest unit of the loan token. A market that never had a price has none."""
    markets: dict[str, Mapping[str, Quote]] = {}
    found: dict[Factor, Quote] = {}
    for factor in wanted:
        number = factor[2]
        if number not in markets:
            markets[number] = _quotes(cells, view, int(number), at_s)
        if factor[1] in markets[number]:
            found[factor] = markets[number][factor[1]]
    return found


def _quotes(cells: Cells, view: View, number: int, at_s: int) -> Mapping[str, Quote]:
    params = cells.params(view, cells.id_of(view, number))
    price, unit = cells.of_oracle(view, params.oracle, "price"), unit_worth(cells, view, params.loan)
    if not price:
        return {}
    totals = interest.at(cells, view, params, at_s)
    secured = price * params.lltv_wad / (rules.PRICE_SCALE * WAD) * unit
    owed = (totals.borrowed + rules.VIRTUAL_ASSETS) / (totals.borrow_shares + rules.VIRTUAL_SHARES) * unit
    return {COLLATERAL: Quote(secured, secured * WIDE), DEBT: Quote(owed, owed * WIDE), UNIT: Quote(unit, unit * (1 + WIDE))}


def unit_worth(cells: Cells, view: View, token: str) -> float:
    """Of a smallest unit."""
    price = cells.of_token(view, token, "price")
    return price / 10 ** cells.decimals(view, token) if price else UNVALUED


def drivers(cells: Cells, view: View, factor: Factor) -> tuple[Cell, ...]:
    """The cells a factor's value hangs on, besides time."""
    market = cells.id_of(view, int(factor[2]))
    params = cells.params(view, market)
    found: list[Cell] = [(cells.oracle, (params.oracle, "price"))]
    found += [(cells.token, (params.loan, field)) for field in ("price", "decimals")]
    if factor[1] == DEBT:
        found += [(cells.total, (market, field)) for field in ("supplied", "borrowed", "borrow_shares", "at", "target", "told")]
        found += [(cells.irm, (params.irm, field)) for field in ("seen", "refuted")]
    return tuple(found)


def margin(cells: Cells, view: View) -> float:
    """The largest bonus of any market, as a share. An oracle that leaves a feed out may give more than its incentive."""
    markets = (cells.params(view, cells.id_of(view, number)) for number in cells.numbers(view))
    return max((_margin(cells, view, params) for params in markets), default=0.0)


def _margin(cells: Cells, view: View, params: Params) -> float:
    price, bonus = cells.of_oracle(view, params.oracle, "price"), rules.incentive(params.lltv_wad) / WAD
    loan, collateral = (cells.of_token(view, token, "price") for token in (params.loan, params.collateral))
    if not (price and loan and collateral):
        return bonus - 1
    told = price * unit_worth(cells, view, params.loan) / rules.PRICE_SCALE
    return max(bonus, bonus * unit_worth(cells, view, params.collateral) / told) - 1


def families(cells: Cells, view: View) -> dict[Address, Address]:
    """Token → the least of those that some market takes for alike."""
    found: dict[Address, Address] = {}
    for number in cells.numbers(view):
        params = cells.params(view, cells.id_of(view, number))
        one, other = (found.setdefault(token, token) for token in (params.loan, params.collateral))
        if params.lltv_wad >= ALIKE_WAD and one != other:
            found = {token: min(one, other) if root in (one, other) else root for token, root in found.items()}
    return found


# --- rows ---------------------------------------------------------------------------------------------------------


def rows(name: str, cells: Cells, view: View, account: Address) -> tuple[Row, ...]:
    """In the order of the markets' numbers."""
    found = []
    for number in cells.debts(view, account):
        shares, collateral = (view.get(table, (number, account)) for table in cells.columns)
        weights = {
            factor_of(name, COLLATERAL, number): collateral * (1 - SLACK),
            factor_of(name, DEBT, number): -shares * (1 + SLACK),
            factor_of(name, UNIT, number): -ROUNDED,
        }
        found.append(Row({factor: weight for factor, weight in weights.items() if weight}, 0.0))
    return tuple(found)
