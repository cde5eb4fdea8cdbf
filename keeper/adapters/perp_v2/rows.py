"""Accounts as rows over risk factors, and the factors' values: floats that never miss.

value - requirement = c + Σ over books [z · (1 ∓ mm) · mark - z · funding growth] + Σ over collaterals amount · price: linear in what moves
with prices and time alone. c and z of a maker change at every swap, and nothing else does it: such a row holds for one count of swaps.
The contract truncates a few times, each by a wei, and floors the value once: a row takes both off, and its slack gives them back.
What may be set anew, and is the same for all, is part of factors: no row changes with it.
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

MARK, BUFFER, FUNDING, PRICE, SHARE, LIMIT, SWAPS = "mark", "buffer", "funding", "price", "share", "limit", "swaps"
"""Kinds of factors. Buffer: the mark times what collaterals' liquidation requires beyond the margin. Share: the price times what may be
owed of a collateral's worth. Limit: what may be owed at all."""


class Trigger(NamedTuple):
    """One condition, by its factors. `floored`: by how much the contract may floor the value before it compares."""

    margin: bool = False
    buffer: bool = False
    secured: str = ""
    limit: bool = False
    floored: bool = False


MARGIN = Trigger(margin=True, secured=PRICE, floored=True)
OF_COLLATERALS = (Trigger(margin=True, buffer=True, secured=PRICE), Trigger(secured=SHARE), Trigger(limit=True))


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
    cells, view = moment.cells, moment.view
    if kind == SWAPS:
        return Quote(float(cells.of_book(view, number, "swaps")))
    if kind == LIMIT:
        return _wide(float((cells.setting(view, "debt_threshold") + 1) * moment.deployment.scale))
    if kind == FUNDING:
        return _wide(moment.book(number).growth.g / (DAY_S * Q96))
    if kind in (MARK, BUFFER):
        share = 1.0 if kind == MARK else cells.setting(view, "mm_buffer") / RATIO
        return _wide(moment.book(number).mark / WAD * share)
    return _collateral(moment, number, 1.0 if kind == PRICE else cells.setting(view, "debt_ratio") / RATIO)


def _wide(value: float) -> Quote:
    return Quote(value, WIDE * abs(value))


def _collateral(moment: Moment, number: int, share: float) -> Quote:
    held = moment.deployment.collaterals[number]
    ratio = moment.cells.of_token(moment.view, held.token, "ratio")
    value = moment.price(held) / 10**held.feed.decimals * 10.0 ** (18 - held.decimals) * ratio / RATIO * share
    return Quote(value, WIDE * value, 2.0 * 10.0 ** (18 - held.decimals))


def drivers(deployment: Deployment, cells: Cells, factor: Factor) -> tuple[Cell, ...]:
    kind, number = factor[1], int(factor[2])
    if kind == SWAPS:
        return ((cells.pool, (number, "swaps")),)
    if kind == LIMIT:
        return ((cells.config, ("debt_threshold",)),)
    if kind in (PRICE, SHARE):
        held = deployment.collaterals[number]
        own = [(cells.token, (held.token, field)) for field in ("ratio", "moved")]
        return (*own, *_settings(cells, "debt_ratio", "twap_window_s"), *_of_feed(cells, held.feed.address))
    fields = ("price", "tick", "liquidity", "swaps", "g", "settled", "status", "paused_price", "closed_price", "moved", "seen_next")
    settings = _settings(cells, "mm_buffer", "max_funding", "twap_window_s", "mark_window_s", "premium_window_s")
    return (*((cells.pool, (number, field)) for field in fields), *settings, *_of_feed(cells, deployment.books[number].feed.address))


def _settings(cells: Cells, *fields: str) -> tuple[Cell, ...]:
    return tuple((cells.config, (field,)) for field in fields)


def _of_feed(cells: Cells, feed: Address) -> tuple[Cell, ...]:
    return tuple((cells.feed, (feed, field)) for field in ("answer", "answer_at", "cached", "cached_at", "next"))


# --- rows ---------------------------------------------------------------------------------------------------------


def rows(deployment: Deployment, cells: Cells, view: View, account: Address) -> tuple[Row, ...]:
    """The margin trigger; for who has collaterals also those of their liquidation: a margin, a share, a limit of debt."""
    if view.get(cells.stranger, (account,)):
        return ()
    positions, held = settled_positions(deployment, cells, view, account), cells.held_by(view, account)
    found = (MARGIN, *OF_COLLATERALS) if held else (MARGIN,) if positions else ()
    return tuple(_row(deployment, cells, view, account, positions, trigger) for trigger in found)


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
    name, own = deployment.name, view.get(cells.threshold, (account,))
    weights = _weights(cells, view, name, positions, trigger)
    fixed = cells.signed(view, cells.balance, account) * deployment.scale + cells.signed(view, cells.owed, account)
    lost = WEI_LOST
    for position in positions:
        grown = position.size * cells.of_book(view, position.number, "g") // (DAY_S * Q96)
        fixed += position.notional + position.orders.fee - position.funding + grown
        lost += FINE * abs(grown)
    for held, amount in cells.held_by(view, account):
        weights[factor_of(name, trigger.secured, deployment.collaterals.index(held))] = _lowered(amount) if trigger.secured else 0.0
        lost += 2.0 * 10 ** (18 - held.decimals)
    if trigger.limit and own:
        fixed += (threshold(cells, view, account) + 1) * deployment.scale
    elif trigger.limit:
        weights[factor_of(name, LIMIT, 0)] = _lowered(1.0)
    lost += FINE * abs(fixed)
    floored = deployment.scale if trigger.floored else 0
    box = _box(cells, view, name, positions, account)
    return Row({factor: weight for factor, weight in weights.items() if weight}, fixed - floored - lost, floored + 2 * lost, box)


def _box(cells: Cells, view: View, name: str, positions: Sequence[Position], account: Address) -> dict[Factor, tuple[float, float]]:
    """With orders, a row holds until the next swap of their book."""
    numbers = [position.number for position in positions if view.get(cells.orders, (position.number, account))]
    return {factor_of(name, SWAPS, number): (float(cells.of_book(view, number, "swaps")),) * 2 for number in numbers}


def _weights(cells: Cells, view: View, name: str, positions: Sequence[Position], trigger: Trigger) -> dict[Factor, float]:
    """Of the positions."""
    mm, found = cells.setting(view, "mm") / RATIO if trigger.margin else 0.0, dict[Factor, float]()
    for position in positions:
        size = float(position.size)
        found[factor_of(name, MARK, position.number)] = _lowered(size - abs(size) * mm)
        found[factor_of(name, FUNDING, position.number)] = -size
        if trigger.buffer:
            found[factor_of(name, BUFFER, position.number)] = _lowered(-abs(size))
    return found


def _lowered(weight: float) -> float:
    return weight * (1 - SLACK) if weight > 0 else weight * (1 + SLACK)


def token_of(deployment: Deployment, factor: Factor) -> Address | None:
    """A book's base token, or the collateral."""
    kind, number = factor[1], int(factor[2])
    if kind in (PRICE, SHARE):
        return deployment.collaterals[number].token
    return None if kind == LIMIT else deployment.books[number].base


def family(deployment: Deployment, factor: Factor) -> str:
    """What moves together: all that hangs on one aggregator."""
    kind, number = factor[1], int(factor[2])
    if kind == LIMIT:
        return kind
    feed = deployment.collaterals[number].feed if kind in (PRICE, SHARE) else deployment.books[number].feed
    return feed.proxy
