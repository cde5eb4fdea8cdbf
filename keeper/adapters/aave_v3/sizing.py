"""Which amounts are worth trying: the break-points of the rules, per (debt, collateral) pair.

A cover that must close the whole debt, or take the whole collateral, has headroom: debt grows until inclusion, and a cover one unit short
would leave dust. The contract caps it, so the excess is never pulled; whoever funds the call should fund `Fill.cover`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from keeper.adapters.aave_v3 import liquidation
from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.interest import debt_index
from keeper.adapters.aave_v3.liquidation import Terms
from keeper.adapters.aave_v3.position import Position
from keeper.adapters.aave_v3.versions import RuleSet
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import Pair

HEADROOM_S = 600
COLLATERAL_HEADROOM = 1000  # one part in this many more debt than takes all collateral at these prices


def pairs(deployment: Deployment, cells: Cells, view: View, position: Position) -> tuple[Pair, ...]:
    """Every legal choice with its amounts. Raises Skip with the first rule met when there is none."""
    liquidation.check_account(deployment, cells, view, position)
    found, refused = [], Skip("no_collateral")
    for debt in position.debts:
        for collateral in position.collaterals:
            try:
                terms = liquidation.terms(deployment, cells, view, position, debt, collateral)
                covers = _legal(deployment, cells, view, terms)
            except Skip as skip:
                refused = skip
                continue
            found.append(Pair(position.account, debt.reserve.asset, collateral.reserve.asset, covers))
    if not found:
        raise refused
    return tuple(found)


def _legal(deployment: Deployment, cells: Cells, view: View, terms: Terms) -> tuple[int, ...]:
    """Raises Skip when no amount of the pair is legal."""
    legal, refused = [], Skip("no_debt")
    for cover in sorted(set(_covers(deployment.rules, terms))):
        try:
            moved = liquidation.amounts(deployment.rules, terms, cover)
            liquidation.check_amounts(cells, deployment.rules, view, terms, cover, moved)
            legal.append(cover)
        except Skip as skip:
            refused = skip
    if not legal:
        raise refused
    return tuple(legal)


def _covers(rules: RuleSet, terms: Terms) -> Iterator[int]:
    """The largest cover that leaves enough on both sides, the half of it, and the largest of all."""

    def enough(cover: int) -> bool:
        return liquidation.leaves_enough(rules, terms, liquidation.amounts(rules, terms, cover))

    def closing(cover: int) -> bool:
        return liquidation.closes(terms, liquidation.amounts(rules, terms, cover))

    if rules.must_not_leave_dust:
        largest = first(lambda cover: not enough(cover), terms.most + 1) - 1
        yield from (cover for cover in (largest // 2, largest) if cover > 0)
    else:
        yield max(terms.most // 2, 1)
    yield _largest(rules, terms, closing)


def _largest(rules: RuleSet, terms: Terms, closing: Callable[[int], bool]) -> int:
    if not closing(terms.most):
        return terms.most
    least = first(closing, terms.most)
    if terms.most < terms.debt.balance or least < terms.debt.balance:
        return least + least // COLLATERAL_HEADROOM + 1
    later = debt_index(rules, terms.debt.reserve.index, terms.position.at_s + HEADROOM_S)
    return rules.tokens.debt_balance(terms.debt.scaled, later) + 1


def first(holds: Callable[[int], bool], limit: int) -> int:
    """The least value in 1..limit for which a monotone condition holds; `limit` when it holds for none below."""
    low, high = 1, limit
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
