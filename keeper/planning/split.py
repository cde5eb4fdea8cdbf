"""Selling one amount along several routes at once: so much along each that the last unit brings the same on all. Pure.

What a route pays is concave in what is sold along it, and no two of these pass the same pool; so does the sum, and any two of them are best
balanced by searching between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import combinations

from keeper.planning.routing import Path

Pays = Callable[[int], int]
"""What a route pays for an amount; 0 for what it cannot take."""

CHUNKS = 16
"""What is to be split is first dealt out in so many parts, each to where it brings most;"""

GOLDEN = 0.6180339887498949
STEPS = 8
"""then between any two routes what lies within one part of that is searched: to a thousandth of the whole, where what is lost by that is
less than a millionth."""


def apart(routes: Iterable[Path], most: int) -> list[Path]:
    """The first of them, and those after it that share no pool with one before."""
    chosen: list[Path] = []
    used: set[str] = set()
    for route in routes:
        pools = {pool.address for pool in route}
        if len(chosen) < most and pools and pools.isdisjoint(used):
            chosen.append(route)
            used |= pools
    return chosen


def split(pays: Sequence[Pays], amount: int) -> list[int]:
    """The part of each route; together the amount. Never worse than all of it along the first."""
    routes = [cache(route) for route in pays]
    parts = _dealt(routes, amount)
    for one, other in combinations(range(len(routes)), 2):
        if parts[one] and parts[other]:
            both = parts[one] + parts[other]
            parts[other] = _balanced(routes[one], routes[other], both, parts[other], amount // CHUNKS)
            parts[one] = both - parts[other]
    whole = [amount, *[0] * (len(routes) - 1)]
    return max(whole, parts, key=lambda some: sum([route(part) for route, part in zip(routes, some, strict=True)]))


def _dealt(routes: Sequence[Pays], amount: int) -> list[int]:
    parts, chunk = [0] * len(routes), amount // CHUNKS
    gains = [route(chunk) for route in routes]
    for _ in range(CHUNKS):
        best = max(range(len(routes)), key=gains.__getitem__)
        parts[best] += chunk
        gains[best] = routes[best](parts[best] + chunk) - routes[best](parts[best])
    parts[max(range(len(routes)), key=parts.__getitem__)] += amount - CHUNKS * chunk
    return parts


def _balanced(one: Pays, other: Pays, both: int, start: int, reach: int) -> int:
    """How much of both is for the other: the best within reach of the start."""

    def worth(part: int) -> int:
        return one(both - part) + other(part)

    low, high = max(start - reach, 0), min(start + reach, both)
    left, right = high - round((high - low) * GOLDEN), low + round((high - low) * GOLDEN)
    for _ in range(STEPS):
        if worth(left) >= worth(right):
            high, right = right, left
            left = high - round((high - low) * GOLDEN)
        else:
            low, left = left, right
            right = low + round((high - low) * GOLDEN)
    return max((start, left, right), key=worth)
