"""A book's pool: the path of a swap along its ticks, step by step as the contracts take it.

A step ends at the next initialised tick or at the end of a bitmap word, and every step rounds, so the steps must be the contracts' own.
Source: Uniswap v3 `SwapMath`, `TickBitmap`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from keeper.adapters.perp_v2.cells import Cells
from keeper.book.state import Overlay
from keeper.concentrated import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    sqrt_ratio_at_tick,
    step_in,
    step_out,
    tick_at_sqrt_ratio,
)
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import Write

WORD_BITS = 256
MOST_STEPS = 500
"""A longer swap counts as illiquid."""

LOWEST_PRICE, HIGHEST_PRICE = MIN_SQRT_RATIO + 1, MAX_SQRT_RATIO - 1


class Part(NamedTuple):
    """One step of a path. `crossed`: the initialised tick at its end, None when there is none. `tick`: the tick it leaves."""

    start: int
    end: int
    liquidity: int
    crossed: int | None
    tick: int


class Step(NamedTuple):
    """One step of a swap: `paid` includes the fee."""

    part: Part
    paid: int
    got: int


class Stop(NamedTuple):
    """Where the next step ends at the latest."""

    tick: int
    price: int
    initialised: bool


class Pool:
    """A pool's state, as a view shows it."""

    def __init__(self, cells: Cells, view: View, number: int, spacing: int) -> None:
        self._cells, self._view, self._number, self._spacing = cells, view, number, spacing
        self.price, self.tick, self.liquidity = (cells.of_book(view, number, field) for field in ("price", "tick", "liquidity"))

    def path(self, end: int, down: bool) -> Iterator[Part]:
        """From the price it has to another, at least one step."""
        price, tick, liquidity = self.price, self.tick, self.liquidity
        for _ in range(MOST_STEPS):
            stop = self._next(tick, down)
            reached = max(stop.price, end) if down else min(stop.price, end)
            part = _part(price, reached, stop, tick, liquidity, down)
            yield part
            if reached == end:
                return
            price, tick, liquidity = reached, part.tick, self._beyond(part, liquidity, down)
        raise Skip("illiquid", "the swap takes too many steps")

    def swap(self, amount: int, down: bool, exact_in: bool, fee_ratio: int, limit: int = 0) -> Iterator[Step]:
        """The steps of a swap of `amount` (input if `exact_in`), up to the square root of the price at which it ends anyway."""
        price, tick, liquidity, left = self.price, self.tick, self.liquidity, amount
        limit = limit or (LOWEST_PRICE if down else HIGHEST_PRICE)
        for _ in range(MOST_STEPS):
            if not left or price == limit:
                return
            stop = self._next(tick, down)
            target = max(stop.price, limit) if down else min(stop.price, limit)
            reached, used, other = (step_in if exact_in else step_out)(price, target, liquidity, left, fee_ratio)
            left -= used
            part = _part(price, reached, stop, tick, liquidity, down)
            yield Step(part, used, other) if exact_in else Step(part, other, used)
            price, tick, liquidity = reached, part.tick, self._beyond(part, liquidity, down)
        raise Skip("illiquid", "the swap takes too many steps")

    def _beyond(self, part: Part, liquidity: int, down: bool) -> int:
        if part.crossed is None:
            return liquidity
        net = self._view.get(self._cells.tick, (self._number, part.crossed, "net"))
        return liquidity - net if down else liquidity + net

    def _next(self, tick: int, down: bool) -> Stop:
        """The next initialised tick within the bitmap word, or the word's last one."""
        index = tick // self._spacing + (not down)
        word, bit = index >> 8, index & 255
        marks = self._view.get(self._cells.word, (self._number, word))
        marks &= (2 << bit) - 1 if down else -1 << bit
        end = 0 if down else WORD_BITS - 1
        place = (marks if down else marks & -marks).bit_length() - 1 if marks else end
        following = min(max((word << 8 | place) * self._spacing, MIN_TICK), MAX_TICK)
        return Stop(following, sqrt_ratio_at_tick(following), marks != 0)


def _part(start: int, end: int, stop: Stop, tick: int, liquidity: int, down: bool) -> Part:
    if end != stop.price:
        return Part(start, end, liquidity, None, tick if start == end else tick_at_sqrt_ratio(end))
    return Part(start, end, liquidity, stop.tick if stop.initialised else None, stop.tick - 1 if down else stop.tick)


def liquidity_moved(cells: Cells, view: View, number: int, spacing: int, lower: int, upper: int, change: int) -> list[Write]:
    """The cells that a change of liquidity between two ticks changes, but for the growths outside of ticks that begin or end by it."""
    state = Overlay(view)
    for tick, net in ((lower, change), (upper, -change)):
        gross = state.get(cells.tick, (number, tick, "gross"))
        state.write([(cells.tick, (number, tick, "gross"), gross + change)])
        state.write([(cells.tick, (number, tick, "net"), state.get(cells.tick, (number, tick, "net")) + net)])
        if (gross == 0) != (gross + change == 0):
            word, bit = divmod(tick // spacing, WORD_BITS)
            state.write([(cells.word, (number, word), state.get(cells.word, (number, word)) ^ 1 << bit)])
    if lower <= cells.of_book(view, number, "tick") < upper:
        state.write([(cells.pool, (number, "liquidity"), cells.of_book(view, number, "liquidity") + change)])
    return state.writes()
