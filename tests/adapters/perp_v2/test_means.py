"""Means over time: the pool's ring of observations, the feed's cached prices, and when they next change their pace."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.adapters.perp_v2 import index, oracle
from keeper.adapters.perp_v2.breaks import next_change
from keeper.adapters.perp_v2.cells import unzigzag, zigzag
from keeper.adapters.perp_v2.rounding import divide_truncated
from keeper.book.state import Tables
from keeper.concentrated import sqrt_ratio_at_tick
from keeper.errors import Skip
from tests.adapters.perp_v2.synthetic import CELLS, DEPLOYMENT, FEED

START_S = 1_000_000
MOVES = st.lists(st.tuples(st.integers(0, 700), st.integers(-5000, 5000), st.sampled_from([0, 0, 0, 3, 6])), min_size=1, max_size=40)


class Ring:
    """The pool's own oracle as its contract keeps it: slots that are written over."""

    def __init__(self, time_s: int) -> None:
        self.slots: dict[int, tuple[int, int]] = {0: (time_s, 0)}
        self.at, self.room, self.wanted, self.tick = 0, 1, 1, 0

    def write(self, time_s: int) -> None:
        last_s, total = self.slots[self.at]
        if last_s == time_s:
            return
        if self.at == self.room - 1 and self.wanted > self.room:
            self.room = self.wanted
        self.at = (self.at + 1) % self.room
        self.slots[self.at] = time_s, total + self.tick * (time_s - last_s)

    def sum(self, time_s: int) -> int | None:
        """None where the contract reverts "OLD"."""
        last_s, total = self.slots[self.at]
        if time_s >= last_s:
            return total + self.tick * (time_s - last_s)
        known = sorted(self.slots.values())
        before = [one for one in known if one[0] <= time_s]
        if not before:
            return None
        (t0, c0), (t1, c1) = before[-1], known[len(before)]
        return c0 + (c1 - c0) * (time_s - t0) // (t1 - t0)


def moved(moves: list[tuple[int, int, int]]) -> tuple[Tables, Ring, int]:
    """A pool whose tick went this way, as cells and as a ring; and the time."""
    tables, ring, now_s = Tables(), Ring(START_S), START_S
    tables.write(oracle.started(CELLS, 0, START_S))
    for wait_s, tick, room in moves:
        now_s += wait_s
        if room > ring.wanted:
            ring.wanted = room
            tables.write([(CELLS.pool, (0, "room_next"), room)])
        if tick != ring.tick:
            tables.write(oracle.written(CELLS, tables, 0, now_s))
            ring.write(now_s)
            ring.tick = tick
            tables.write([(CELLS.pool, (0, "tick"), tick)])
    return tables, ring, now_s


@given(MOVES, st.integers(0, 4000), st.integers(10, 3600))
def test_the_mean_tick_is_that_of_the_pools_own_ring(moves: list[tuple[int, int, int]], ahead_s: int, window_s: int) -> None:
    tables, ring, now_s = moved(moves)
    at_s = now_s + ahead_s
    start, end = ring.sum(at_s - window_s), ring.sum(at_s)
    if start is None or end is None:
        with pytest.raises(Skip, match="no_price"):
            oracle.sqrt_mean(CELLS, tables, 0, at_s, window_s)
    else:
        assert oracle.sqrt_mean(CELLS, tables, 0, at_s, window_s) == sqrt_ratio_at_tick(divide_truncated(end - start, window_s))


def test_observations_that_no_window_reaches_are_dropped() -> None:
    tables, _, _ = moved([(60, tick, 1000) for tick in range(1, 1000)])
    kept = sum(1 for _ in tables.keys(CELLS.seen))
    assert kept <= oracle.MEMORY_S // 60 + 3


@given(MOVES, st.integers(0, 2000))
def test_a_mean_keeps_its_pace_until_the_next_change(moves: list[tuple[int, int, int]], ahead_s: int) -> None:
    """Sums over a window are straight lines in time up to the change, and bend nowhere before."""
    tables, _, now_s = moved([(wait_s, tick, 1000) for wait_s, tick, _ in moves])
    at_s = now_s + 4000 + ahead_s if ahead_s > 1000 else now_s + 1900
    until_s = oracle.following(CELLS, tables, 0, at_s, 1800)
    end_s = min(until_s or at_s + 500, at_s + 500)
    steps = [spent(tables, time_s) for time_s in range(at_s, end_s)]
    paces = {later - earlier for earlier, later in pairwise(steps)}
    assert len(paces) <= 1


def spent(tables: Tables, at_s: int) -> int:
    ends = [oracle.sum_at(CELLS, tables, 0, time_s) if time_s >= START_S else 0 for time_s in (at_s - 1800, at_s)]
    return ends[1] - ends[0]


def cached(*prices: tuple[int, int]) -> Tables:
    """A feed that cached these (seconds after the start, price)."""
    tables = Tables()
    for after_s, price in prices:
        tables.write(index.cached(CELLS, tables, FEED.address, price, START_S + after_s))
        fields = {"answer": price, "answer_at": START_S + after_s}
        tables.write([(CELLS.feed, (FEED.address, field), value) for field, value in fields.items()])
    return tables


def answered(tables: Tables, after_s: int, price: int) -> None:
    fields = {"answer": price, "answer_at": START_S + after_s}
    tables.write([(CELLS.feed, (FEED.address, field), value) for field, value in fields.items()])


@pytest.mark.parametrize(("after_s", "mean"), [(450, 1950), (900, 1900), (1800, 1800), (3600, 1600), (7200, 1200), (14400, 400)])
def test_an_index_that_nobody_caches_overshoots(after_s: int, mean: int) -> None:
    """As the chain did: 2000, then 1900 uncached."""
    tables = cached((0, 2000))
    answered(tables, 1000, 1900)
    assert index.mean(CELLS, tables, FEED.address, START_S + 1000 + after_s, 900) == mean
    tables.write(index.cached(CELLS, tables, FEED.address, 1900, START_S + 1000))
    assert index.mean(CELLS, tables, FEED.address, START_S + 1000 + max(after_s, 900), 900) == 1900


def test_an_index_that_has_overshot_zero_has_no_price() -> None:
    tables = cached((0, 2000))
    answered(tables, 1000, 1900)
    with pytest.raises(Skip, match="no_price"):
        index.mean(CELLS, tables, FEED.address, START_S + 31_000, 900)


def test_a_feed_younger_than_the_window_gives_its_answer() -> None:
    tables = cached((0, 2000), (100, 2100))
    assert index.mean(CELLS, tables, FEED.address, START_S + 500, 900) == 2100
    assert index.mean(CELLS, tables, FEED.address, START_S + 900, 900) == (2000 * 100 + 2100 * 800) // 900


def test_the_next_change_is_where_a_window_meets_an_observation() -> None:
    tables = cached((0, 2000), (100, 2100))
    tables.write(oracle.started(CELLS, 0, START_S))
    tables.write([(CELLS.pool, (0, "room_next"), 10)])
    for after_s, tick in ((40, 5), (70, 9)):
        tables.write(oracle.written(CELLS, tables, 0, START_S + after_s))
        tables.write([(CELLS.pool, (0, "tick"), tick)])
    found, at_s = [], START_S + 200
    while (upcoming := next_change(DEPLOYMENT, CELLS, tables, 0, at_s)) is not None:
        found.append(upcoming - START_S)
        at_s = upcoming
    assert found == [900, 940, 970, 1000, 1800, 1840, 1870]


@given(st.integers(-(2**127), 2**127))
def test_a_signed_number_comes_back_from_its_column(value: int) -> None:
    assert unzigzag(zigzag(value)) == value
    assert zigzag(value) >= 0
