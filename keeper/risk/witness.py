"""What deep pools say a token is worth: their mean over a window and their price now, translated into a market's currency.

A pool's price is a ratio, so somebody has to be believed: the anchors (stablecoins, as a rule) are worth what their own oracle says. A
token without a pool against one is priced through the native token. A thin pool is no witness: it says what anyone pays it to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from keeper.ports import View, Witness
from keeper.risk.sanity import Policy, Traded
from keeper.types import Address, PoolKey, PoolPrice, PriceFeed

Market = tuple[Witness, PoolKey]


class Said(NamedTuple):
    """One pool's word, and the value it could be bought for to say something else (2 % of depth)."""

    mean: int
    now: int
    depth: int


class Pools:
    """All pools of a view, by pair of tokens, asked at most once each."""

    def __init__(self, venues: Iterable[Witness], view: View, at_s: int, window_s: int) -> None:
        self._view, self._at_s, self._window_s = view, at_s, window_s
        self._by_pair: dict[frozenset[Address], list[Market]] = {}
        self._heard: dict[Address, PoolPrice | None] = {}
        for venue in venues:
            for pool in venue.pools(view):
                self._by_pair.setdefault(frozenset({pool.token0, pool.token1}), []).append((venue, pool))

    def between(self, a: Address, b: Address) -> list[tuple[PoolKey, PoolPrice]]:
        heard = [(pool, self._ask(venue, pool)) for venue, pool in self._by_pair.get(frozenset({a, b}), ())]
        return [(pool, testimony) for pool, testimony in heard if testimony is not None]

    def _ask(self, venue: Witness, pool: PoolKey) -> PoolPrice | None:
        if pool.address not in self._heard:
            self._heard[pool.address] = venue.testimony(self._view, pool, self._at_s, self._window_s)
        return self._heard[pool.address]


class Worth:
    """What pools say tokens are worth in one market's currency."""

    def __init__(self, pools: Pools, feeds: Mapping[Address, PriceFeed], policy: Policy, native: Address) -> None:
        self._pools, self._feeds, self._policy, self._native = pools, feeds, policy, native

    def __call__(self, token: Address) -> Traded | None:
        """The median of the pools by their depth; None when no pool is deep enough."""
        said = [word for anchor in self._policy.anchors for word in self._against(token, anchor, self._believed(anchor))]
        if not said and token != self._native and self._native in self._feeds:
            said = self._against(token, self._native, self(self._native) or self._believed(self._native))
        return Traded(_median(said, lambda word: word.mean), _median(said, lambda word: word.now)) if said else None

    def _believed(self, token: Address) -> Traded:
        price = self._feeds[token].price if token in self._feeds else 0
        return Traded(price, price)

    def _against(self, token: Address, other: Address, worth: Traded) -> list[Said]:
        if token not in self._feeds or not worth.mean:
            return []
        feed = self._feeds[token]
        said = [self._said(pool, testimony, feed, self._feeds[other], worth) for pool, testimony in self._pools.between(token, other)]
        floor = self._policy.min_depth * 10 ** int(feed.unit.rpartition("-")[2])
        return [word for word in said if word.depth >= floor]

    def _said(self, pool: PoolKey, testimony: PoolPrice, feed: PriceFeed, other: PriceFeed, worth: Traded) -> Said:
        first = pool.token0 == feed.token
        scale = 10**feed.decimals, 10**other.decimals
        mean = _translated(testimony.mean_x192, first, worth.mean, *scale)
        now = _translated(testimony.now_x192, first, worth.now, *scale)
        mine, others = (testimony.depth0, testimony.depth1) if first else (testimony.depth1, testimony.depth0)
        return Said(mean, now, min(mine * now // scale[0], others * worth.now // scale[1]))


def _translated(price_x192: int, first: bool, worth: int, unit: int, other_unit: int) -> int:
    """A whole token's worth, by the ratio of smallest units; `first`: the token is the pool's token 0."""
    if first:
        return price_x192 * worth * unit // other_unit >> 192
    return (worth * unit << 192) // (price_x192 * other_unit)


def _median(said: Sequence[Said], value: Callable[[Said], int]) -> int:
    """Weighted by depth: no pool decides that has less than half of it."""
    ordered = sorted(said, key=value)
    weights = list(accumulate(word.depth for word in ordered))
    return next(value(word) for word, weight in zip(ordered, weights, strict=True) if 2 * weight >= weights[-1])
