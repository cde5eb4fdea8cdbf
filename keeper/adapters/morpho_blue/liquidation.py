"""One `liquidate` in integers: what may be asked for, what it moves, and the state it leaves.

The contract takes either shares of the debt or an amount of collateral. Where the collateral covers the debt with its bonus, deals are in
shares (`liquidate`): all of them leave nothing owed, whenever they land. Where it does not, they are in collateral (`seize`): all of it
makes the contract write the rest off, at its suppliers' cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from keeper.adapters.morpho_blue import interest, rules
from keeper.adapters.morpho_blue.cells import BORROW, COLLATERAL, Cells, Deployment
from keeper.adapters.morpho_blue.events import liquidated
from keeper.adapters.morpho_blue.irm import Model
from keeper.adapters.morpho_blue.position import Position
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import LIQUIDATE, Fill, Pair

SEIZE = "seize"
HEADROOM_S = 600
HEADROOM = 1000  # one part in this many more than is repaid by collateral at this price
HAIR = 1_000_000


class Amounts(NamedTuple):
    """Debt assets and shares repaid, collateral seized."""

    repaid: int
    shares: int
    seized: int


def check(deployment: Deployment, cells: Cells, view: View, position: Position) -> None:
    """Raises Skip when the position cannot be liquidated now."""
    params, listed = position.params, position.params.id in deployment.policy.markets
    oracle = {field: cells.of_oracle(view, params.oracle, field) for field in ("price", "unpriced", "distrusted")}
    if not oracle["price"] or oracle["unpriced"]:
        raise Skip("no_price", f"oracle {params.oracle}")
    if oracle["distrusted"] and not listed:
        raise Skip("no_price", f"oracle {params.oracle} is not composed of the feeds it names")
    known = interest.model(cells, view, params, position.totals)
    if known is Model.UNKNOWN or (known is Model.FIXED and not listed):  # what always said the same may say something else next
        raise Skip("unknown_irm", params.irm)
    if not position.liquidatable:
        raise Skip("healthy", f"health factor {position.health_factor_wad}")


# --- choices ------------------------------------------------------------------------------------------------------


def pairs(deployment: Deployment, cells: Cells, view: View, positions: Iterable[Position]) -> tuple[Pair, ...]:
    """One for each market in which the account can be liquidated. Raises Skip with the last rule met when there is none."""
    found, why_not = [], ("healthy", "")  # not the exception: it holds this frame, and only the collector could part them
    for position in positions:
        try:
            check(deployment, cells, view, position)
            found.append(_pair(position))
        except Skip as skip:
            why_not = skip.reason, skip.detail
    if not found:
        raise Skip(*why_not)
    return tuple(found)


def _pair(position: Position) -> Pair:
    """Raises Skip where no amount is legal."""
    kind, most = _most(position)
    covers = tuple(dict.fromkeys(cover for cover in (most // 2, most) if cover > 0))
    if not covers:
        raise Skip("no_collateral", position.params.id)
    params = position.params
    return Pair(position.account, params.loan, params.collateral, covers, kind, params.id)


def _most(position: Position) -> tuple[str, int]:
    """All the debt, else all the collateral, else (between the two by rounding) nearly all of that."""
    if _by_shares(position, position.shares).seized <= position.collateral:
        return LIQUIDATE, position.shares
    if _by_collateral(position, position.collateral).shares <= position.shares:
        return SEIZE, position.collateral
    return SEIZE, position.collateral - position.collateral // HAIR - 2


# --- amounts ------------------------------------------------------------------------------------------------------


def amounts(position: Position, kind: str, cover: int) -> Amounts:
    """What a legal cover moves. Raises Skip."""
    if cover <= 0 or kind not in (LIQUIDATE, SEIZE):
        raise Skip("illegal", f"{kind} {cover}")
    moved = _by_shares(position, cover) if kind == LIQUIDATE else _by_collateral(position, cover)
    if moved.shares > position.shares:
        raise Skip("beyond_debt", f"{moved.shares} shares of {position.shares}")
    if moved.seized > position.collateral:
        raise Skip("beyond_collateral", f"{moved.seized} of {position.collateral}")
    return moved


def _by_shares(position: Position, shares: int) -> Amounts:
    totals = position.totals
    worth = rules.assets_down(shares, totals.borrowed, totals.borrow_shares)
    seized = rules.seized_for(worth, position.price, position.params.lltv_wad)
    return Amounts(rules.assets_up(shares, totals.borrowed, totals.borrow_shares), shares, seized)


def _by_collateral(position: Position, collateral: int) -> Amounts:
    totals = position.totals
    worth = rules.repaid_for(collateral, position.price, position.params.lltv_wad)
    shares = rules.shares_up(worth, totals.borrowed, totals.borrow_shares)
    return Amounts(rules.assets_up(shares, totals.borrowed, totals.borrow_shares), shares, collateral)


# --- the state left -----------------------------------------------------------------------------------------------


def settle(cells: Cells, view: View, position: Position, kind: str, cover: int, moved: Amounts) -> Fill:
    """The fill, and with it what a position without collateral leaves to the suppliers."""
    params, state = position.params, Overlay(view)
    rest = position.shares - moved.shares
    written_off = rest if moved.seized == position.collateral else 0
    paid = liquidated(position.totals, moved.repaid, moved.shares, 0, 0)
    bad = min(paid.borrowed, rules.assets_up(written_off, paid.borrowed, paid.borrow_shares))
    state.write(cells.totals_written(params.id, liquidated(paid, 0, 0, bad, written_off)))
    state.write([(*cells.place(position.number, params.id, BORROW, position.account), rest - written_off)])
    state.write([(*cells.place(position.number, params.id, COLLATERAL, position.account), position.collateral - moved.seized)])
    for token, change in ((params.collateral, -moved.seized), (params.loan, moved.repaid)):
        state.write([(cells.token, (token, "cash"), cells.of_token(state, token, "cash") + change)])
    return Fill(
        account=position.account,
        debt_token=params.loan,
        collateral_token=params.collateral,
        cover=cover,
        counted=cover,
        repaid=moved.repaid,
        seized=moved.seized,
        protocol_fee=0,
        bad_debt=written_off > 0,
        writes=tuple(state.writes()),
        funds=max(_funds(cells, view, position, kind, moved)),
        kind=kind,
        target=params.id,
    )


def _funds(cells: Cells, view: View, position: Position, kind: str, moved: Amounts) -> Iterator[int]:
    """What may be asked for when it lands: shares cost more by the second, collateral costs more at a better price."""
    yield moved.repaid
    if kind == SEIZE:
        yield moved.repaid + moved.repaid // HEADROOM + 2
    else:
        later = interest.at(cells, view, position.params, position.at_s + HEADROOM_S)
        yield rules.assets_up(moved.shares, later.borrowed, later.borrow_shares)
