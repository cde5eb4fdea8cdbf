"""Two liquidation calls in one transaction. The first leaves the account a hair short of health, so that the second may take what the close
factor allows of what is left: together more than one call may.

Debt D, collateral weighted by thresholds W, the share L of what a call takes off both (bonus times threshold): repaying s leaves the health
factor below one as long as s · (1 - L) < D - W. Above L = 1 every call makes the account less healthy, and calls may simply follow each
other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from keeper.adapters.aave_v3 import liquidation, position, sizing
from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.liquidation import Terms
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.fixedpoint import BPS
from keeper.ports import View
from keeper.types import TWICE, Fill, Pair, Write

HAIR = 50_000
"""One part in this many less than the most that leaves the account liquidatable: the block's interest may not heal it."""

WORTH_WHILE = 100
"""A first call below so small a part of the whole is not worth its gas."""


class Halfway(NamedTuple):
    """What the first call moves, the state it leaves, and the terms of the second."""

    first: Fill
    state: Overlay
    terms: Terms


def pairs(deployment: Deployment, cells: Cells, view: View, once: tuple[Pair, ...], terms: tuple[Terms, ...]) -> tuple[Pair, ...]:
    """Of these choices those that two calls can make more of. `terms`: of each."""
    found = []
    for pair, agreed in zip(once, terms, strict=True):
        cover = first_cover(agreed)
        if cover * WORTH_WHILE > agreed.most:
            try:
                between = halfway(deployment, cells, view, agreed, cover)
                covers = sizing.legal(deployment, cells, between.state, between.terms)
            except Skip:
                continue
            found.append(replace(pair, amounts=tuple(cover + second for second in covers), kind=TWICE, target=str(cover)))
    return tuple(found)


def first_cover(terms: Terms) -> int:
    """The most that leaves the account liquidatable, less a hair; 0 where one call may take all, or leaves it liquidatable anyway."""
    owed, held = terms.position.debt_base, terms.position.weighted
    lost = BPS * BPS - terms.bonus_bps * terms.collateral.threshold
    if terms.most >= terms.debt.balance or lost <= 0 or held >= owed:
        return 0
    base = (owed - held) * BPS * BPS // lost
    cover = (base - base // HAIR - 2) * terms.debt.reserve.unit // terms.debt_price
    return cover if 0 < cover < terms.most else 0


def halfway(deployment: Deployment, cells: Cells, view: View, terms: Terms, cover: int) -> Halfway:
    """After a first call. Raises Skip where it is illegal, or leaves nothing for a second."""
    moved = liquidation.amounts(deployment.rules, terms, cover)
    liquidation.check_amounts(cells, deployment.rules, view, terms, cover, moved)
    first = liquidation.settle(deployment, cells, view, terms, cover, moved)
    state = Overlay(view, first.writes)
    left = position.evaluate(cells, deployment.rules, state, terms.position.account, terms.position.at_s)
    liquidation.check_account(deployment, cells, state, left)
    debt = next((held for held in left.debts if held.reserve.id == terms.debt.reserve.id), None)
    collateral = next((held for held in left.collaterals if held.reserve.id == terms.collateral.reserve.id), None)
    if debt is None or collateral is None:
        raise Skip("nothing_left", "the first call takes all")
    return Halfway(first, state, liquidation.terms(deployment, cells, state, left, debt, collateral))


def fill(deployment: Deployment, cells: Cells, between: Halfway, cover: int) -> Fill:
    """Both calls as one deal: `cover` is what they may repay together. Raises Skip where the second is illegal."""
    first, rest = between.first, cover - between.first.cover
    if rest <= 0:
        raise Skip("nothing_left", "the cover is the first call's alone")
    moved = liquidation.amounts(deployment.rules, between.terms, rest)
    liquidation.check_amounts(cells, deployment.rules, between.state, between.terms, rest, moved)
    second = liquidation.settle(deployment, cells, between.state, between.terms, rest, moved)
    return replace(
        second,
        cover=cover,
        counted=first.cover + second.counted,
        repaid=first.repaid + second.repaid,
        seized=first.seized + second.seized,
        protocol_fee=first.protocol_fee + second.protocol_fee,
        writes=_net(first, second),
        funds=cover,
        kind=TWICE,
        target=str(first.cover),
    )


def _net(first: Fill, second: Fill) -> tuple[Write, ...]:
    """Each cell once, with its last value."""
    cells = {(table, key): value for table, key, value in (*first.writes, *second.writes)}
    return tuple((table, key, value) for (table, key), value in cells.items())
