"""A pool's own oracle, from its logs: the tick's running sum, written once in a timestamp before the tick or the liquidity at it changes.

An observation is (time, sum); between two of them the tick stood still, so every sum is exact. The contract keeps a ring of them: asked for
what the ring has lost it reverts, so how far the ring reaches is followed too.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from keeper.adapters.perp_v2.cells import Cells
from keeper.adapters.perp_v2.rounding import divide_truncated
from keeper.concentrated import sqrt_ratio_at_tick
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import Write

MEMORY_S = 4 * 3600
"""Observations older than this are dropped, but for the last one before: longer than any window in use."""

DROPPED_AT_ONCE = 2
SHORTEST_S = 10
"""A mean over less is not taken: the price of the moment counts."""

BIAS = 1 << 63


class Seen(NamedTuple):
    """An observation: at `time_s` the sum was `sum`."""

    time_s: int
    sum: int


def started(cells: Cells, number: int, time_s: int) -> list[Write]:
    """Of a pool's initialisation."""
    fields = {"seen_next": 1, "room": 1, "room_next": 1}
    return [(cells.seen, (number, 0), _packed(Seen(time_s, 0))), *((cells.pool, (number, field), value) for field, value in fields.items())]


def written(cells: Cells, view: View, number: int, time_s: int) -> list[Write]:
    """One more observation, unless this timestamp has one."""
    after = cells.of_book(view, number, "seen_next")
    last = _seen(cells, view, number, after - 1)
    if last.time_s == time_s:
        return []
    fresh = Seen(time_s, last.sum + cells.of_book(view, number, "tick") * (time_s - last.time_s))
    kept = [*_ring(cells, view, number, after), *_dropped(cells, view, number, after, time_s)]
    return [(cells.seen, (number, after), _packed(fresh)), *kept]


def _ring(cells: Cells, view: View, number: int, after: int) -> list[Write]:
    """Which of them the contract still has: its ring grows when it is at its end, and overwrites once it is full."""
    room, wanted, slot, oldest = (cells.of_book(view, number, field) for field in ("room", "room_next", "slot", "seen_oldest"))
    if slot == room - 1 and wanted > room:
        room = wanted
    oldest += after - oldest == room
    fields = {"room": room, "slot": (slot + 1) % room, "seen_oldest": oldest, "seen_next": after + 1}
    return [(cells.pool, (number, field), value) for field, value in fields.items()]


def _dropped(cells: Cells, view: View, number: int, after: int, time_s: int) -> list[Write]:
    """A few of what no window reaches any more."""
    first, writes = cells.of_book(view, number, "seen_first"), list[Write]()
    for index in range(first, min(first + DROPPED_AT_ONCE, after - 1)):
        if _seen(cells, view, number, index + 1).time_s > time_s - MEMORY_S:
            break
        writes += [(cells.seen, (number, index), 0), (cells.pool, (number, "seen_first"), index + 1)]
    return writes


def sqrt_mean(cells: Cells, view: View, number: int, at_s: int, window_s: int) -> int:
    """Square root (X96) of the price at the mean tick of the `window_s` up to `at_s`, which may lie in the future. Raises Skip("no_price")
    where the contract reverts."""
    if window_s < SHORTEST_S:
        return cells.of_book(view, number, "price")
    spent = sum_at(cells, view, number, at_s) - sum_at(cells, view, number, at_s - window_s)
    return sqrt_ratio_at_tick(divide_truncated(spent, window_s))


def forgotten(cells: Cells, number: int, last: int) -> list[Write]:
    """As if the tick had never moved: the last observation is as old as can be."""
    return [(cells.seen, (number, last), _packed(Seen(1, 0)))]


def following(cells: Cells, view: View, number: int, at_s: int, window_s: int) -> int | None:
    """When the window's start next meets an observation, from where on its mean moves at another pace; None: never again."""
    after = cells.of_book(view, number, "seen_next")
    index = _place(cells, view, number, at_s - window_s) + 1
    return _seen(cells, view, number, index).time_s + window_s if index < after else None


def sum_at(cells: Cells, view: View, number: int, time_s: int) -> int:
    """The running sum at a time, also one to come. Raises Skip("no_price") where the contract has forgotten."""
    index, after = _place(cells, view, number, time_s), cells.of_book(view, number, "seen_next")
    if index < cells.of_book(view, number, "seen_oldest") or index < cells.of_book(view, number, "seen_first"):
        raise Skip("no_price", "the pool's oracle does not reach that far back")
    here = _seen(cells, view, number, index)
    if index == after - 1:
        return here.sum + cells.of_book(view, number, "tick") * (time_s - here.time_s)
    later = _seen(cells, view, number, index + 1)
    return here.sum + (later.sum - here.sum) // (later.time_s - here.time_s) * (time_s - here.time_s)


def _place(cells: Cells, view: View, number: int, time_s: int) -> int:
    """The last observation not younger than that; one before the first when there is none."""
    kept = range(cells.of_book(view, number, "seen_first"), cells.of_book(view, number, "seen_next"))
    return kept.start - 1 + bisect_right(kept, time_s, key=lambda index: _seen(cells, view, number, index).time_s)


def _seen(cells: Cells, view: View, number: int, index: int) -> Seen:
    time_s, biased = divmod(view.get(cells.seen, (number, index)), 1 << 64)
    return Seen(time_s, biased - BIAS)


def _packed(seen: Seen) -> int:
    return seen.time_s << 64 | seen.sum + BIAS
