"""What a pool remembers of its price: the tick accumulator of the pool's own oracle, without its limit of observations.

The accumulator grows by the tick that ends a block, times the seconds until the next block that changes it. So the blocks that change the
tick are all there is to know: between two of them it is a straight line, and every value the pool's `observe` can give lies on it (v3-core,
Oracle.sol). Anyone may leave a pool with room for one observation; these knots come from its events and do not care.
"""

from __future__ import annotations

from typing import NamedTuple

from keeper.concentrated import MAX_TICK, MIN_TICK, amount0_down, amount1_down, sqrt_ratio_at_tick
from keeper.ports import View
from keeper.types import Address, PoolPrice, Write
from keeper.venues.uniswap_v3.pool import Ticks
from keeper.venues.uniswap_v3.tables import Names

MEMORY_S = 3600
"""Knots older than this are dropped, but for the last one before."""

DROPPED_AT_ONCE = 2
"""More than are added, so that a pool gone quiet catches up, and few, so that no event takes long."""

NEAR_TICKS = 198
"""2 %: how far from the price the depth counts."""


class Knot(NamedTuple):
    """From `time_s` on the pool is at `tick`; there its accumulator was `cumulative`."""

    time_s: int
    cumulative: int
    tick: int

    def at(self, time_s: int) -> int:
        return self.cumulative + self.tick * (time_s - self.time_s)


def ticked(view: View, names: Names, pool: Address, tick: int, time_s: int) -> list[Write]:
    """The cells that an event which leaves the pool at `tick` changes; most leave it where it is."""
    first, after = divmod(view.get(names.span, (pool,)), 1 << 32)
    last = _knot(view, names, pool, after - 1) if after else None
    if last is not None and last.tick == tick:
        return []
    if last is not None and last.time_s == time_s:
        return [(names.knot, (pool, after - 1), _packed(last._replace(tick=tick)))]
    knot = Knot(time_s, last.at(time_s) if last else 0, tick)
    kept = _still_needed(view, names, pool, first, after, time_s - MEMORY_S)
    dropped: list[Write] = [(names.knot, (pool, number), 0) for number in range(first, kept)]
    return [*dropped, (names.knot, (pool, after), _packed(knot)), (names.span, (pool,), kept << 32 | after + 1)]


def mean_tick(view: View, names: Names, pool: Address, at_s: int, window_s: int) -> int | None:
    """Arithmetic mean tick of the `window_s` up to `at_s`, floored as the periphery's OracleLibrary does; None when the pool is younger or
    does not remember that far back. `at_s` may lie in the future: nothing trades until then."""
    start, end = (cumulative(view, names, pool, time_s) for time_s in (at_s - window_s, at_s))
    return None if start is None or end is None else (end - start) // window_s


def cumulative(view: View, names: Names, pool: Address, time_s: int) -> int | None:
    """The pool's accumulator; None before the first knot."""
    first, after = divmod(view.get(names.span, (pool,)), 1 << 32)
    found = None
    while first < after:
        middle = (first + after) // 2
        knot = _knot(view, names, pool, middle)
        if knot.time_s <= time_s:
            found, first = knot, middle + 1
        else:
            after = middle
    return found.at(time_s) if found else None


def testimony(view: View, names: Names, pool: Address, at_s: int, window_s: int) -> PoolPrice | None:
    """The pool as a witness of a price; None when it does not remember the whole window."""
    mean = mean_tick(view, names, pool, at_s, window_s)
    if mean is None:
        return None
    price = view.get(names.price, (pool,))
    return PoolPrice(sqrt_ratio_at_tick(mean) ** 2, price**2, _near(view, names, pool, down=False), _near(view, names, pool, down=True))


def _near(view: View, names: Names, pool: Address, down: bool) -> int:
    """What the pool pays out until its price is 2 % off: token 1 downwards, token 0 upwards."""
    ticks, key = Ticks(view, names, pool), (pool,)
    price, tick, liquidity = view.get(names.price, key), view.get(names.tick, key), view.get(names.liquidity, key)
    end = max(tick - NEAR_TICKS, MIN_TICK) if down else min(tick + NEAR_TICKS, MAX_TICK)
    paid = 0
    while tick >= end if down else tick < end:
        following, initialized = ticks.next(tick, down)
        stop = max(following, end) if down else min(following, end)
        target = sqrt_ratio_at_tick(stop)
        paid += (amount1_down if down else amount0_down)(price, target, liquidity)
        if initialized and stop == following:
            liquidity += -ticks.net(following) if down else ticks.net(following)
        price, tick = target, stop - 1 if down else stop
    return paid


def _still_needed(view: View, names: Names, pool: Address, first: int, after: int, since_s: int) -> int:
    """The first knot to keep: the last one not younger than `since_s` is where a window that begins there starts."""
    for number in range(first, min(first + DROPPED_AT_ONCE, after - 1)):
        if _knot(view, names, pool, number + 1).time_s > since_s:
            return number
    return min(first + DROPPED_AT_ONCE, max(after - 1, first))


def _knot(view: View, names: Names, pool: Address, number: int) -> Knot:
    packed = view.get(names.knot, (pool, number))
    return Knot(packed >> 96, (packed >> 32 & (1 << 64) - 1) - (1 << 63), (packed & (1 << 32) - 1) - (1 << 31))


def _packed(knot: Knot) -> int:
    return knot.time_s << 96 | knot.cumulative + (1 << 63) << 32 | knot.tick + (1 << 31)
