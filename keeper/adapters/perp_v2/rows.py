"""Accounts as rows over risk factors, and the factors' values: floats that never miss.

value - requirement = c + Σ over books [z · (1 ∓ mm) · mark - z · funding growth] + Σ over collaterals amount · price: linear in what moves
with prices and time alone. c and z of a maker change at every swap, and nothing else does it: such a row holds for one count of swaps.
The contract truncates a few times, each by a wei, and floors the value once: a row takes both off, and its slack gives them back.
What counts against an account is in negative weights: a negative constant is a weight on a factor that is always 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from keeper.adapters.perp_v2.account import Position, position_at
from keeper.adapters.perp_v2.cells import Cells, Deployment
from keeper.adapters.perp_v2.growth import stored
from keeper.adapters.perp_v2.mark import Book
from keeper.adapters.perp_v2.moment import Moment
from keeper.adapters.perp_v2.rounding import DAY_S, Q96, RATIO, WAD
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import Address, Cell, Factor, Quote, Row

SLACK = 1e-9
WIDE = 4e-9
WEI_LOST = 1e6
"""More than all truncations of an account together."""

FINE = 1e-12
"""Floats' own error in sums of integers, as a share; more than that."""

MARK, FUNDING, PRICE, SWAPS, ONE = "mark", "funding", "price", "swaps", "one"


class Trigger(NamedTuple):
    """One condition: requirement = exposure · `mm`; collaterals count for `secured` of their value after ratio; `spare`: what may be owed;
    `floored`: by how much the contract may floor the value before it compares."""

    mm: int
    secured: float
    spare: int = 0
    floored: int = 0


@cache
def factor_of(name: str, kind: str, which: int) -> Factor:
    return (name, kind, str(which))


# --- factors ------------------------------------------------------------------------------------------------------


def factors(moment: Moment, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
    """In wei of 18 decimals per wei of a position, of funding growth (per second of a day) or of a collateral's smallest unit."""
    found: dict[Factor, Quote] = {}
    for factor in wanted:
        try:
            found[factor] = _quote(moment, factor[1], int(factor[2]))
        except Skip:
            continue
    return found


def _quote(moment: Moment, kind: str, number: int) -> Quote:
    if kind == ONE:
        return Quote(1.0)
    if kind == SWAPS:
        return Quote(float(moment.cells.of_book(moment.view, number, "swaps")))
    if kind == PRICE:
        return _collateral(moment, number)
    if kind == MARK:
        value = moment.book(number).mark / WAD
        return Quote(value, WIDE * value)
    value = moment.book(number).growth.g / (DAY_S * Q96)
    return Quote(value, WIDE * abs(value))


def _collateral(moment: Moment, number: int) -> Quote:
    held = moment.deployment.collaterals[number]
    ratio = moment.cells.of_token(moment.view, held.token, "ratio")
    value = moment.price(held) / 10**held.feed.decimals * 10.0 ** (18 - held.decimals) * ratio / RATIO
    return Quote(value, WIDE * value, 2.0 * 10.0 ** (18 - held.decimals))


def drivers(deployment: Deployment, cells: Cells, factor: Factor) -> tuple[Cell, ...]:
    kind, number = factor[1], int(factor[2])
    if kind == ONE:
        return ()
    if kind == SWAPS:
        return ((cells.pool, (number, "swaps")),)
    if kind == PRICE:
        held = deployment.collaterals[number]
        return (*_of_feed(cells, held.feed.address), *((cells.token, (held.token, field)) for field in ("ratio", "moved")))
    fields = ("price", "tick", "liquidity", "swaps", "g", "settled", "status", "paused_price", "closed_price", "moved", "seen_next")
    return (*((cells.pool, (number, field)) for field in fields), *_of_feed(cells, deployment.books[number].feed.address))


def _of_feed(cells: Cells, feed: Address) -> tuple[Cell, ...]:
    return tuple((cells.feed, (feed, field)) for field in ("answer", "answer_at", "cached", "cached_at", "next"))


# --- rows ---------------------------------------------------------------------------------------------------------


def rows(deployment: Deployment, cells: Cells, view: View, account: Address) -> tuple[Row, ...]:
    """The margin trigger; for who has collaterals also those of their liquidation: a margin, a share, a limit of debt."""
    if view.get(cells.stranger, (account,)):
        return ()
    positions = settled_positions(deployment, cells, view, account)
    found = triggers(deployment, cells, view, account) if positions or cells.held_by(view, account) else ()
    return tuple(_row(deployment, cells, view, account, positions, trigger) for trigger in found)


def triggers(deployment: Deployment, cells: Cells, view: View, account: Address) -> tuple[Trigger, ...]:
    mm = cells.setting(view, "mm")
    margin = Trigger(mm, 1.0, floored=deployment.scale)
    if not cells.held_by(view, account):
        return (margin,)
    spare = (threshold(cells, view, account) + 1) * deployment.scale
    share = cells.setting(view, "debt_ratio") / RATIO
    return margin, Trigger(mm + cells.setting(view, "mm_buffer"), 1.0), Trigger(0, share), Trigger(0, 0.0, spare)


def threshold(cells: Cells, view: View, account: Address) -> int:
    """The most settlement token an account may owe against collaterals."""
    return max(view.get(cells.threshold, (account,)) - 1, cells.setting(view, "debt_threshold"))


def settled_positions(deployment: Deployment, cells: Cells, view: View, account: Address) -> list[Position]:
    """As of each book's last settlement: from then on funding takes part with the total size, until the next swap."""
    moment, found = Moment(deployment, cells, view, 0), []
    for number in cells.books_of(view, account):
        price, tick = (cells.of_book(view, number, field) for field in ("price", "tick"))
        found.append(position_at(moment, Book(number, 0, price, tick, stored(cells, view, number)), account))
    return found


def _row(deployment: Deployment, cells: Cells, view: View, account: Address, positions: Sequence[Position], trigger: Trigger) -> Row:
    name, weights, box = deployment.name, dict[Factor, float](), dict[Factor, tuple[float, float]]()
    fixed = cells.signed(view, cells.balance, account) * deployment.scale + cells.signed(view, cells.owed, account) + trigger.spare
    lost = WEI_LOST
    for position in positions:
        number, size, known = position.number, position.size, cells.of_book(view, position.number, "g")
        grown = size * known // (DAY_S * Q96)
        fixed += position.notional + position.orders.fee - position.funding + grown
        lost += FINE * abs(grown)
        weights[factor_of(name, MARK, number)] = _lowered(size - abs(size) * trigger.mm / RATIO)
        weights[factor_of(name, FUNDING, number)] = -float(size)
        if view.get(cells.orders, (number, account)):
            count = float(cells.of_book(view, number, "swaps"))
            box[factor_of(name, SWAPS, number)] = count, count
    for held, amount in cells.held_by(view, account):
        weights[factor_of(name, PRICE, deployment.collaterals.index(held))] = _lowered(amount * trigger.secured)
        lost += 2.0 * 10 ** (18 - held.decimals)
    lost += FINE * abs(fixed)
    low = fixed - trigger.floored - lost
    weights[factor_of(name, ONE, 0)] = min(low, 0.0)
    return Row({factor: weight for factor, weight in weights.items() if weight}, max(low, 0.0), trigger.floored + 2 * lost, box)


def _lowered(weight: float) -> float:
    return weight * (1 - SLACK) if weight > 0 else weight * (1 + SLACK)


def token_of(deployment: Deployment, factor: Factor) -> Address | None:
    """A book's base token, or the collateral."""
    kind, number = factor[1], int(factor[2])
    if kind == PRICE:
        return deployment.collaterals[number].token
    return None if kind == ONE else deployment.books[number].base


def family(deployment: Deployment, factor: Factor) -> str:
    """What moves together: all that hangs on one aggregator."""
    kind, number = factor[1], int(factor[2])
    if kind == ONE:
        return "nothing"
    feed = deployment.collaterals[number].feed if kind == PRICE else deployment.books[number].feed
    return feed.proxy
