"""What grows per unit of a position or of liquidity: funding, funding over √price, and makers' fees, globally and outside of every tick.

As in a Uniswap pool, a tick keeps what grew on its other side, so that what grew between two ticks follows from three numbers. Fees wrap
at 2^256; funding is signed.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.adapters.perp_v2.cells import Cells
from keeper.adapters.perp_v2.rounding import WORD_MASK
from keeper.ports import View
from keeper.types import Write

KINDS = ("fee", "g", "gd")


@dataclass(frozen=True, slots=True)
class Growth:
    """`fee` per liquidity (X128), `g` per base (X96), `gd` per liquidity over √price (X96)."""

    fee: int
    g: int
    gd: int

    def __sub__(self, other: Growth) -> Growth:
        return Growth(self.fee - other.fee & WORD_MASK, self.g - other.g, self.gd - other.gd)


def stored(cells: Cells, view: View, number: int) -> Growth:
    """As of the last settlement."""
    return Growth(*(cells.of_book(view, number, field) for field in ("fee_growth", "g", "gd")))


def outside(cells: Cells, view: View, number: int, tick: int) -> Growth:
    return Growth(*(view.get(cells.tick, (number, tick, kind)) for kind in KINDS))


def put_outside(cells: Cells, number: int, tick: int, growth: Growth) -> list[Write]:
    return [(cells.tick, (number, tick, kind), getattr(growth, kind)) for kind in KINDS]


def below(cells: Cells, view: View, number: int, tick: int, now: Growth, current: int) -> Growth:
    """What grew at prices under a tick; `current`: the tick the pool is at."""
    beyond = outside(cells, view, number, tick)
    return beyond if current >= tick else now - beyond


def inside(cells: Cells, view: View, number: int, lower: int, upper: int, now: Growth, current: int) -> Growth:
    beyond = outside(cells, view, number, upper)
    above = beyond if current < upper else now - beyond
    return now - below(cells, view, number, lower, now, current) - above
