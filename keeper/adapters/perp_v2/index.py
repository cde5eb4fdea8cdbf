"""The index: what a price feed says now, and its time-weighted mean over what it has cached.

Only what somebody had it cache counts in the mean, and only where it changed the price; the last cached price is carried on to the newest
answer, so a mean can overshoot while nobody has the answer cached. That is the protocol's own arithmetic, and followed exactly.
Source: perp-oracle `ChainlinkPriceFeedV3`, `CumulativeTwap`.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from keeper.adapters.perp_v2.cells import Cells
from keeper.errors import Skip
from keeper.ports import View
from keeper.types import Address, Write

RING = 1800
DROPPED_AT_ONCE = 2
MEMORY_S = 4 * 3600


class Cached(NamedTuple):
    """An observation: from `time_s` on the price was `price`; there the sum of price · seconds was `sum`."""

    time_s: int
    price: int
    sum: int

    def at(self, time_s: int) -> int:
        return self.sum + self.price * (time_s - self.time_s)


def cached(cells: Cells, view: View, feed: Address, price: int, time_s: int) -> list[Write]:
    """Of the feed's word that it has cached an answer: an observation, if the price is another one."""
    writes: list[Write] = [(cells.feed, (feed, "cached"), price), (cells.feed, (feed, "cached_at"), time_s)]
    after = cells.of_feed(view, feed, "next")
    last = _quoted(cells, view, feed, after - 1) if after else None
    if last and last.price == price:
        return writes
    fresh = Cached(time_s, price, last.at(time_s) if last else 0)
    writes += [(cells.quoted, (feed, after), _packed(fresh)), (cells.feed, (feed, "next"), after + 1)]
    return writes + _dropped(cells, view, feed, after, time_s)


def _dropped(cells: Cells, view: View, feed: Address, after: int, time_s: int) -> list[Write]:
    first, writes = cells.of_feed(view, feed, "first"), list[Write]()
    for index in range(first, min(first + DROPPED_AT_ONCE, after - 1)):
        if after - index < RING and _quoted(cells, view, feed, index + 1).time_s > time_s - MEMORY_S:
            break
        writes += [(cells.quoted, (feed, index), 0), (cells.feed, (feed, "first"), index + 1)]
    return writes


def answered(cells: Cells, view: View, feed: Address, answer: int, at_s: int) -> list[Write]:
    """The aggregator's word, and the one before if it is another."""
    last = cells.of_feed(view, feed, "answer")
    moved: list[Write] = [(cells.feed, (feed, "before"), last)] if last != answer else []
    return [(cells.feed, (feed, "answer"), answer), (cells.feed, (feed, "answer_at"), at_s), *moved]


def latest(cells: Cells, view: View, feed: Address, at_s: int) -> tuple[int, int]:
    """(price, since when): the aggregator's answer where it is valid, else what was cached last."""
    answer, answer_at, known, known_at = (cells.of_feed(view, feed, field) for field in ("answer", "answer_at", "cached", "cached_at"))
    valid = answer > 0 and known_at < answer_at <= at_s
    return (answer, answer_at) if valid else (known, known_at)


def unheard(cells: Cells, view: View, feed: Address, at_s: int) -> list[Write]:
    """Of having it cache the answer it has not cached yet; nothing where that would change nothing it says."""
    price, since_s = latest(cells, view, feed, at_s)
    told = since_s > cells.of_feed(view, feed, "cached_at") and cells.of_feed(view, feed, "next") > cells.of_feed(view, feed, "first")
    return cached(cells, view, feed, price, since_s) if told else []


def mean(cells: Cells, view: View, feed: Address, at_s: int, window_s: int) -> int:
    """In the feed's decimals; the latest price while no observation is as old as the window. Raises Skip("no_price") where the feed
    reverts, and when it has no price at all."""
    price, since_s = latest(cells, view, feed, at_s)
    if not price:
        raise Skip("no_price", feed)
    first, after = cells.of_feed(view, feed, "first"), cells.of_feed(view, feed, "next")
    start_s = at_s - window_s
    if not window_s or first == after or _quoted(cells, view, feed, first).time_s > start_s:
        return price
    now = _quoted(cells, view, feed, after - 1).at(since_s) + price * (at_s - since_s)
    found = now - _sum(cells, view, feed, start_s)
    if found < 0:
        raise Skip("no_price", f"the mean of {feed} has overshot zero")
    return found // window_s or price


def following(cells: Cells, view: View, feed: Address, at_s: int, window_s: int) -> int | None:
    """When the window's start next meets an observation; None: never again."""
    after = cells.of_feed(view, feed, "next")
    index = _place(cells, view, feed, at_s - window_s) + 1
    return _quoted(cells, view, feed, index).time_s + window_s if index < after else None


def _sum(cells: Cells, view: View, feed: Address, time_s: int) -> int:
    index = _place(cells, view, feed, time_s)
    here = _quoted(cells, view, feed, index)
    if index == cells.of_feed(view, feed, "next") - 1 or here.time_s == time_s:
        return here.at(time_s)
    later = _quoted(cells, view, feed, index + 1)
    return here.sum + (later.sum - here.sum) * (time_s - here.time_s) // (later.time_s - here.time_s)


def _place(cells: Cells, view: View, feed: Address, time_s: int) -> int:
    """The last observation not younger than that; one before the first when there is none."""
    kept = range(cells.of_feed(view, feed, "first"), cells.of_feed(view, feed, "next"))
    return kept.start - 1 + bisect_right(kept, time_s, key=lambda index: _quoted(cells, view, feed, index).time_s)


def _quoted(cells: Cells, view: View, feed: Address, index: int) -> Cached:
    packed = view.get(cells.quoted, (feed, index))
    return Cached(packed & (1 << 64) - 1, packed >> 64 & (1 << 128) - 1, packed >> 192)


def _packed(seen: Cached) -> int:
    return seen.sum << 192 | seen.price << 64 | seen.time_s
