"""Which pools to sell through: the best of all paths, each priced by its pools' own arithmetic.

A path never passes a token, and so a pool, twice. That makes the best route a sum of best parts: more of a token buys at least as much of
the next, so of all ways to reach a token in so many hops only the best few can be the start of the best few to the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache, partial
from typing import Protocol

from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.ports import Venue, View
from keeper.types import Address, Hop, PoolKey, Step

Path = tuple[PoolKey, ...]
Hops = tuple[Hop, ...]
MAX_HOPS = 3


class _Graph:
    """The pools by token, and what was found among them."""

    def __init__(self, pools: tuple[PoolKey, ...]) -> None:
        self.pools = pools
        self.paths: dict[tuple[Address, Address, int], tuple[Path, ...]] = {}
        self._distances: dict[Address, dict[Address, int]] = {}
        self._edges: dict[Address, list[tuple[PoolKey, Address]]] = {}
        for pool in pools:
            self._edges.setdefault(pool.token0, []).append((pool, pool.token1))
            self._edges.setdefault(pool.token1, []).append((pool, pool.token0))

    def edges(self, token: Address) -> Sequence[tuple[PoolKey, Address]]:
        return self._edges.get(token, ())

    def distances(self, target: Address) -> dict[Address, int]:
        """Fewest hops from each token to the target."""
        found = self._distances.get(target)
        if found is None:
            found = self._distances[target] = {target: 0}
            queue = [target]
            for token in queue:
                for _, other in self.edges(token):
                    if other not in found:
                        found[other] = found[token] + 1
                        queue.append(other)
        return found

    def walks(self, token: Address, target: Address, hops: int, passed: frozenset[Address]) -> Iterator[Path]:
        """Paths of at most so many hops that do not come back to a token."""
        if token == target:
            yield ()
        elif self.distances(target).get(token, hops + 1) <= hops:
            for pool, other in self.edges(token):
                if other not in passed:
                    yield from ((pool, *rest) for rest in self.walks(other, target, hops - 1, passed | {other}))


class Swaps(Protocol):
    """Where single swaps are made. Both raise Skip of the pool that cannot."""

    def hop_in(self, pool: PoolKey, token_in: Address, amount_in: int) -> Hop: ...

    def hop_out(self, pool: PoolKey, token_in: Address, amount_out: int) -> Hop: ...


def sold(swaps: Swaps, path: Path, token_in: Address, amount_in: int) -> Hops:
    """Sell exactly `amount_in` along a path."""
    hops: list[Hop] = []
    for pool in path:
        hop = swaps.hop_in(pool, token_in, amount_in)
        hops.append(hop)
        token_in, amount_in = hop.token_out, hop.amount_out
    return tuple(hops)


class Router:
    """Routes over all venues together. `paths` are from the token sold to the token bought; empty when they are the same. `denied`: tokens
    that are neither taken nor passed through."""

    def __init__(self, venues: Sequence[Venue], denied: Collection[Address] = ()) -> None:
        self.denied = frozenset(denied)
        self._venues = {venue.name: venue for venue in venues}
        self._all: tuple[PoolKey, ...] = ()
        self._graph = _Graph(())

    # --- one hop

    def hop_in(self, view: View, pool: PoolKey, token_in: Address, amount_in: int) -> Hop:
        return self._venue(pool).swap_in(view, pool, token_in, amount_in)

    def hop_out(self, view: View, pool: PoolKey, token_in: Address, amount_out: int) -> Hop:
        return self._venue(pool).swap_out(view, pool, token_in, amount_out)

    def _venue(self, pool: PoolKey) -> Venue:
        venue = self._venues.get(pool.venue)
        if venue is None:
            raise Skip("not_configured", f"venue {pool.venue}")
        return venue

    def encode(self, hop: Hop, executor: Address) -> Step:
        return self._venues[hop.pool.venue].encode(hop, executor)

    def encode_flash(self, hop: Hop, executor: Address) -> bytes:
        return self._venues[hop.pool.venue].encode_flash(hop, executor)

    def gas(self, hop: Hop) -> int:
        return self._venues[hop.pool.venue].gas(hop)

    # --- a given path

    def quote_in(self, view: View, path: Path, token_in: Address, amount_in: int) -> Hops:
        """Sell exactly `amount_in` along a path, each hop on the state the hops before it leave. Raises Skip of the pool that cannot."""
        return sold(Trades(self, Overlay(view)), path, token_in, amount_in)

    def quote_out(self, view: View, path: Path, token_in: Address, amount_out: int) -> Hops:
        """Buy exactly `amount_out` along a path that starts with `token_in`. The last pool swaps first, as on chain: it names what it is
        owed to the one before."""
        trades = Trades(self, Overlay(view))
        hops: list[Hop] = []
        for pool, token in zip(reversed(path), reversed(_tokens(path, token_in)), strict=True):
            hops.append(trades.hop_out(pool, token, amount_out))
            amount_out = hops[-1].amount_in
        return tuple(reversed(hops))

    # --- the choice of a path

    def paths(self, view: View, token_in: Address, token_out: Address, max_hops: int = MAX_HOPS) -> tuple[Path, ...]:
        """Every path, the short ones first. Kept until the set of pools changes."""
        graph, key = self._pools(view), (token_in, token_out, max_hops)
        if key not in graph.paths:
            graph.paths[key] = tuple(sorted(graph.walks(token_in, token_out, max_hops, frozenset({token_in})), key=len))
        return graph.paths[key]

    def best_in(self, view: View, token_in: Address, token_out: Address, amount_in: int, max_hops: int = MAX_HOPS) -> Hops:
        """The hops that turn `amount_in` into the most. Raises Skip("no_route")."""
        return self.top_in(view, token_in, token_out, amount_in, 1, max_hops)[0]

    def top_paths(
        self, view: View, token_in: Address, token_out: Address, amount_in: int, k: int, swaps: Swaps | None = None
    ) -> tuple[Path, ...]:
        """The k paths with the largest output, best first. Raises Skip("no_route"). `swaps`: those of the view, where some are known."""
        return tuple(_path(hops) for hops in self.top_in(view, token_in, token_out, amount_in, k, swaps=swaps))

    def top_in(
        self,
        view: View,
        token_in: Address,
        token_out: Address,
        amount_in: int,
        k: int,
        max_hops: int = MAX_HOPS,
        swaps: Swaps | None = None,
    ) -> tuple[Hops, ...]:
        """The hops of the k paths with the largest output, best first; of equal ones, the shortest. Raises Skip("no_route")."""
        if token_in == token_out:
            return ((),)
        found = _Search(swaps or Quotes(self, view), self._pools(view), token_in, token_out, k).run(amount_in, max_hops)
        if not found:
            raise Skip("no_route", f"from {token_in} to {token_out}")
        return tuple(found)

    def _pools(self, view: View) -> _Graph:
        pools = tuple([pool for venue in self._venues.values() for pool in venue.pools(view)])
        if pools != self._all:
            self._all = pools
            self._graph = _Graph(tuple([pool for pool in pools if self.denied.isdisjoint((pool.token0, pool.token1))]))
        return self._graph


class Trades:
    """Swaps one after another: each on the state the ones before it leave, and written into it."""

    def __init__(self, router: Router, state: Overlay) -> None:
        self._router, self._state = router, state

    def hop_in(self, pool: PoolKey, token_in: Address, amount_in: int) -> Hop:
        return self._written(self._router.hop_in(self._state, pool, token_in, amount_in))

    def hop_out(self, pool: PoolKey, token_in: Address, amount_out: int) -> Hop:
        return self._written(self._router.hop_out(self._state, pool, token_in, amount_out))

    def _written(self, hop: Hop) -> Hop:
        self._state.write(hop.writes)
        return hop


class Quotes:
    """Swaps as if each were the only one, on a state that stays as it is: none is computed twice."""

    def __init__(self, router: Router, view: View) -> None:
        self._in, self._out = cache(partial(router.hop_in, view)), cache(partial(router.hop_out, view))

    def hop_in(self, pool: PoolKey, token_in: Address, amount_in: int) -> Hop:
        return self._in(pool, token_in, amount_in)

    def hop_out(self, pool: PoolKey, token_in: Address, amount_out: int) -> Hop:
        return self._out(pool, token_in, amount_out)


class _Search:
    """The k best ways from one token to another, found hop by hop."""

    def __init__(self, swaps: Swaps, graph: _Graph, token_in: Address, token_out: Address, k: int) -> None:
        self._swaps = swaps
        self._graph = graph
        self._ends = token_in, token_out
        self._distances = graph.distances(token_out)
        self._k = k

    def run(self, amount_in: int, max_hops: int) -> list[Hops]:
        token_in, token_out = self._ends
        found: list[Hops] = []
        layer: dict[Address, list[Hops]] = {token_in: [()]}
        for hops_left in range(max_hops - 1, -1, -1):
            layer = self._further(layer, amount_in, hops_left)
            found += layer.pop(token_out, [])
        return self._best(found)

    def _further(self, layer: dict[Address, list[Hops]], amount_in: int, hops_left: int) -> dict[Address, list[Hops]]:
        """One hop more: for each token from which so many hops can reach the end, the k best ways to have it."""
        reached: dict[Address, list[Hops]] = {}
        for token, ways in layer.items():
            for pool, other in self._graph.edges(token):
                if other != self._ends[0] and self._distances.get(other, hops_left + 1) <= hops_left:
                    reached.setdefault(other, []).extend(self._extended(ways, pool, token, other, amount_in))
        return {token: self._best(ways) for token, ways in reached.items()}

    def _extended(self, ways: Sequence[Hops], pool: PoolKey, token: Address, other: Address, amount_in: int) -> Iterator[Hops]:
        """The ways, each with one hop more; without those the pool cannot serve, and those that have been there."""
        for hops in ways:
            if all(hop.token_in != other for hop in hops):
                try:
                    yield (*hops, self._swaps.hop_in(pool, token, hops[-1].amount_out if hops else amount_in))
                except Skip:
                    continue

    def _best(self, ways: list[Hops]) -> list[Hops]:
        return sorted(ways, key=lambda hops: -hops[-1].amount_out)[: self._k]


def _path(hops: Hops) -> Path:
    return tuple(hop.pool for hop in hops)


def _tokens(path: Path, token: Address) -> list[Address]:
    """What each pool of the path is given, starting with `token`."""
    tokens = []
    for pool in path:
        tokens.append(token)
        token = pool.token1 if token == pool.token0 else pool.token0
    return tokens
