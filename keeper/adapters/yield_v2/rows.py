"""Vaults as rows over risk factors, and the factors' values: floats that never miss. Surpluses are in USD with 8 decimals.

A vault that is not on auction: collateral - debt · accrual · ratio. One that is: what is asked for the lot - what is offered, whose price
is a clock's as much as an oracle's. Weights are scaled by 1 ∓ 1e-9 against float error; what the contracts lose by rounding is a factor of
its own. What both may have taken too much is in the factors' widths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from keeper.adapters.yield_v2.cells import A_SERIES, Cells, Deployment
from keeper.adapters.yield_v2.codec import to_address
from keeper.adapters.yield_v2.position import PPM, Side, growth, reward_wad, side
from keeper.adapters.yield_v2.rules import offered_wad
from keeper.fixedpoint import WAD
from keeper.ports import ColumnView, View
from keeper.types import Address, Cell, Factor, Quote, Row, RowBlock

SLACK, WIDE = 1e-9, 1e-8
COLLATERAL, DEBT, LOST, ASKED, OFFERED = "c", "d", "u", "a", "o"
"""Factors: (market, "c" or "u", base, ilk), (market, "d" or "a", ilk, series), (market, "o", account)."""


# --- rows ---------------------------------------------------------------------------------------------------------


def row(deployment: Deployment, cells: Cells, view: View, account: Address) -> Row | None:
    """None for a vault that owes nothing."""
    vault, auction, name = cells.vault_of(view, account), cells.auction_of(view, account), deployment.name
    if vault is None or not vault.art:
        return None
    if auction is not None:
        weights = {
            _factor(name, ASKED, auction.ilk, auction.series): auction.art * (1 - SLACK),
            (name, OFFERED, account): -auction.ink * (1 + SLACK),
            _factor(name, LOST, auction.base, auction.ilk): -1.0,
        }
        return Row(weights, 0.0)
    weights = {
        _factor(name, COLLATERAL, vault.base, vault.ilk): vault.ink * (1 - SLACK),
        _factor(name, DEBT, vault.ilk, vault.series): -vault.art * (1 + SLACK),
        _factor(name, LOST, vault.base, vault.ilk): -1.0,
    }
    return Row(weights, 0.0)


def compiled(deployment: Deployment, cells: Cells, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
    """One by one: there are thousands of vaults, not millions."""
    everyone = range(state.slots(deployment.name)) if slots is None else slots.tolist()
    found = [(slot, made) for slot in everyone if (made := row(deployment, cells, state, state.account(deployment.name, slot)))]
    if not found:
        return
    factors = list(dict.fromkeys(factor for _, made in found for factor in made.weights))
    number = {factor: at for at, factor in enumerate(factors)}
    column = np.zeros((len(found), 3), np.intp)
    weight = np.zeros((len(found), 3))
    for at, (_, made) in enumerate(found):
        column[at, : len(made.weights)] = [number[factor] for factor in made.weights]
        weight[at, : len(made.weights)] = list(made.weights.values())
    nothing = np.zeros(len(found))
    yield RowBlock(tuple(factors), np.array([slot for slot, _ in found], np.int32), column, weight, nothing, nothing.copy())


def _factor(name: str, kind: str, *ids: int) -> Factor:
    return (name, kind, *map(str, ids))


# --- factors ------------------------------------------------------------------------------------------------------


def factors(cells: Cells, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
    """Those that have a value now."""
    found = ((factor, quote(cells, view, factor, at_s)) for factor in wanted)
    return {factor: value for factor, value in found if value is not None}


def quote(cells: Cells, view: View, factor: Factor, at_s: int) -> Quote | None:
    """USD with 8 decimals for each unit of the row's weight; None without a price."""
    kind, (base, ilk, series) = factor[1], _ids(cells, view, factor)
    ilk_side, base_side = _sides(cells, view, base, ilk)
    if ilk_side is None or base_side is None or not ilk_side.price or not base_side.price:
        return None
    if kind == COLLATERAL:
        return _quote(_unit(ilk_side))
    ratio = view.get(cells.spot, (base, ilk, "ratio")) / PPM
    if kind == LOST:
        lost = 2.0 * base_side.price / 10 ** min(ilk_side.decimals, base_side.decimals) + 2 * _unit(ilk_side)
        return Quote(lost, 2 * lost + (2 * ratio + 3) * _unit(base_side) + 2 * _unit(ilk_side))
    if kind == OFFERED:
        return _offered(cells, view, Address(factor[2]), ilk_side, at_s)
    grown = growth(cells, view, series, at_s)
    owed = _unit(base_side) * ((grown.accrual_wad or WAD) / WAD)
    return _quote(owed * ratio if kind == DEBT else owed) if grown.known else None


def _offered(cells: Cells, view: View, account: Address, ilk: Side, at_s: int) -> Quote | None:
    """The price of the collateral times the auction's clock."""
    auction = cells.auction_of(view, account)
    if auction is None:
        return None
    start_wad, duration_s = (view.get(cells.line, (auction.ilk, auction.base, field)) for field in ("start", "duration"))
    share_wad = offered_wad(start_wad, duration_s, max(at_s - auction.start_s, 0))
    return _quote(_unit(ilk) * (share_wad * (WAD - reward_wad(cells, view)) / WAD**2))


def _quote(value: float) -> Quote:
    return Quote(value, WIDE * value)


def _unit(side: Side) -> float:
    return side.price / float(10**side.decimals)


def _sides(cells: Cells, view: View, base: int, ilk: int) -> tuple[Side | None, Side | None]:
    oracle = to_address(view.get(cells.spot, (base, ilk, "oracle")))
    return side(cells, view, oracle, ilk), side(cells, view, oracle, base)


def _ids(cells: Cells, view: View, factor: Factor) -> tuple[int, int, int]:
    """(base, ilk, series) that a factor is of, 0 where it is of none."""
    if factor[1] == OFFERED:
        auction = cells.auction_of(view, Address(factor[2]))
        return (auction.base, auction.ilk, auction.series) if auction else (0, 0, 0)
    first, second = int(factor[2]), int(factor[3])
    if factor[1] in (COLLATERAL, LOST):
        return first, second, 0
    return view.get(cells.series, (second, "base")), first, second


def drivers(cells: Cells, view: View, factor: Factor) -> tuple[Cell, ...]:
    """The cells a factor's value hangs on, besides time."""
    base, ilk, series = _ids(cells, view, factor)
    oracle = to_address(view.get(cells.spot, (base, ilk, "oracle")))
    found: list[Cell] = [(cells.spot, (base, ilk, field)) for field in ("oracle", "ratio")]
    for asset in (base, ilk):
        source, token = cells.source_of(view, oracle, asset), cells.token_of(view, asset)
        found += [(cells.quoted, (oracle, asset)), (cells.asset, (asset,))]
        found += [(cells.source, (source, "price"))] if source else []
        found += [(cells.token, (token, "decimals"))] if token else []
    if factor[1] in (DEBT, ASKED):
        found += [(cells.series, (series, field)) for field in ("base", "matures", "rate")]
        found += [(cells.rate, (base, field)) for field in ("per_second", "stored", "at")]
    if factor[1] == OFFERED:
        found += [(cells.auction, (number, Address(factor[2]))) for number in range(A_SERIES + 1)]
        found += [(cells.line, (ilk, base, field)) for field in ("start", "duration")] + [(cells.market, ("reward",))]
    return tuple(found)


def token_of(cells: Cells, view: View, factor: Factor) -> Address | None:
    """Whose price moves it; a factor of a debt moves with its base."""
    base, ilk, _ = _ids(cells, view, factor)
    return cells.token_of(view, ilk if factor[1] in (COLLATERAL, OFFERED) else base)


def next_change(cells: Cells, view: View, at_s: int) -> int | None:
    """The first moment after `at_s` at which a factor bends."""
    moments = [view.get(cells.series, key) for key in view.keys(cells.series) if key[1] == "matures"]
    for account in view.accounts(cells.auction):
        auction = cells.auction_of(view, account)
        if auction is not None:
            moments.append(auction.start_s + view.get(cells.line, (auction.ilk, auction.base, "duration")))
    return min((moment for moment in moments if moment > at_s), default=None)


def margin(cells: Cells, view: View) -> float:
    """A lot is worth what the ratio asks for, and more if its price has recovered."""
    ratios = [view.get(cells.spot, key) for key in view.keys(cells.spot) if key[2] == "ratio"]
    return max(ratios, default=0) / PPM
