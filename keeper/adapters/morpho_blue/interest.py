"""A market's sums at any timestamp."""

from __future__ import annotations

from keeper.adapters.morpho_blue import rules
from keeper.adapters.morpho_blue.cells import Cells, Params, Totals
from keeper.adapters.morpho_blue.irm import Model, adaptive_rate, recognised
from keeper.fixedpoint import WAD
from keeper.ports import View
from keeper.types import ZERO_ADDRESS


def model(cells: Cells, view: View, params: Params, totals: Totals) -> Model:
    if params.irm == ZERO_ADDRESS:
        return Model.NONE
    refuted, seen = (view.get(cells.irm, (params.irm, field)) for field in ("refuted", "seen"))
    return recognised(refuted, seen, totals.told)


def accrued(totals: Totals, by: Model, at_s: int) -> Totals:
    """`_accrueInterest` at `at_s`. A model that is not known is taken to go on as it last did."""
    elapsed_s = at_s - totals.at_s
    if elapsed_s <= 0 or by is Model.NONE:
        return totals
    rate, target = adaptive_rate(totals, at_s) if by is Model.ADAPTIVE else (totals.told, totals.target)
    interest = totals.borrowed * rules.compounded(rate, elapsed_s) // WAD
    return grown(totals, rate, target, interest, at_s)


def grown(totals: Totals, rate: int, target: int, interest: int, at_s: int) -> Totals:
    """With this much interest, of which the fee is paid in new shares of the supply."""
    supplied = totals.supplied + interest
    fee = interest * totals.fee // WAD
    shares = rules.shares_down(fee, supplied - fee, totals.supply_shares)
    borrowed = totals.borrowed + interest
    return Totals(supplied, totals.supply_shares + shares, borrowed, totals.borrow_shares, at_s, totals.fee, target, rate)


def at(cells: Cells, view: View, params: Params, at_s: int) -> Totals:
    totals = cells.totals(view, params.id)
    return accrued(totals, model(cells, view, params, totals), at_s)
