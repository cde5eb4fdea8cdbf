"""Which amounts are worth trying: the break-points of the rules, per (debt, collateral) pair.

A cover that must close the whole debt, or take the whole collateral, has headroom: debt grows until inclusion, and a cover one unit short
would leave dust. The contract caps it, so the excess is never pulled; whoever funds the call should fund `Fill.cover`. A cover that must
leave enough is a hair short of the most that does, for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from keeper.adapters.aave_v3 import liquidation
from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.interest import debt_index
from keeper.adapters.aave_v3.liquidation import Terms
from keeper.adapters.aave_v3.position import Holding, Position
from keeper.adapters.aave_v3.rules import MIN_LEFTOVER_BASE
from keeper.adapters.aave_v3.versions import RuleSet
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import Pair

HEADROOM_S = 600
COLLATERAL_HEADROOM = 1000  # one part in this many more debt than takes all collateral at these prices
HAIR = 1_000_000  # one part in this many less debt than leaves the least that may be left
ROUNDING = 2  # smallest units that no rounding on the way exceeds


def pairs(deployment: Deployment, cells: Cells, view: View, position: Position) -> tuple[Pair, ...]:
    """Every legal choice with its amounts. Raises Skip with the first rule met when there is none."""
    liquidation.check_account(deployment, cells, view, position)
    found, why_not = [], ("no_collateral", "")  # not the exception: it holds this frame, and only the collector could part them
    for debt in position.debts:
        for collateral in position.collaterals:
            try:
                terms = liquidation.terms(deployment, cells, view, position, debt, collateral)
                covers = legal(deployment, cells, view, terms)
            except Skip as skip:
                why_not = skip.reason, skip.detail
                continue
            found.append(Pair(position.account, debt.reserve.asset, collateral.reserve.asset, covers))
    if not found:
        raise Skip(*why_not)
    return tuple(found)


def legal(deployment: Deployment, cells: Cells, view: View, terms: Terms) -> tuple[int, ...]:
    """The amounts to try, ascending. Raises Skip when none is legal."""
    allowed, why_not = [], ("no_debt", "")
    for cover in sorted(set(_covers(deployment.rules, terms))):
        try:
            moved = liquidation.amounts(deployment.rules, terms, cover)
            liquidation.check_amounts(cells, deployment.rules, view, terms, cover, moved)
            allowed.append(cover)
        except Skip as skip:
            why_not = skip.reason, skip.detail
    if not allowed:
        raise Skip(*why_not)
    return tuple(allowed)


def _covers(rules: RuleSet, terms: Terms) -> Iterator[int]:
    """The largest cover that leaves enough on both sides, the half of it, and the largest of all."""
    if rules.must_not_leave_dust:
        largest = min(_leaving_enough(rules, terms), terms.most)
        yield from (cover for cover in (largest // 2, largest) if cover > 0)
    else:
        yield max(terms.most // 2, 1)
    yield _largest(rules, terms)


def _leaving_enough(rules: RuleSet, terms: Terms) -> int:
    """Below 1 when there is too little on a side to leave any of it."""
    debt, collateral = (_beyond_least(terms.debt, terms.debt_price), _beyond_least(terms.collateral, terms.collateral_price))
    most = min(debt, liquidation.cover_for(rules, terms, max(collateral, 0)))
    return most - most // HAIR - ROUNDING


def _beyond_least(holding: Holding, price: int) -> int:
    """What may be taken of it so that the least a liquidation may leave is left."""
    return holding.balance - MIN_LEFTOVER_BASE * holding.reserve.unit // price - ROUNDING


def _largest(rules: RuleSet, terms: Terms) -> int:
    takes_all = liquidation.cover_for(rules, terms, terms.collateral.balance)
    if takes_all < min(terms.most, terms.debt.balance):
        return takes_all + takes_all // COLLATERAL_HEADROOM + 1
    if terms.most < terms.debt.balance:
        return terms.most
    later = debt_index(rules, terms.debt.reserve.index, terms.position.at_s + HEADROOM_S)
    return rules.tokens.debt_balance(terms.debt.scaled, later) + 1
