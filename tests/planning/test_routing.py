"""The router against brute force: every path, priced one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.planning.routing import Path, Quotes, Router
from keeper.ports import View
from keeper.types import Address, Hop, PoolKey
from tests.venues.paper import Paper, token

TOKENS = [token(i) for i in range(1, 6)]
A, B, C, D, E = TOKENS
EVERYWHERE = 887_200

pools = st.tuples(
    st.sampled_from(TOKENS),
    st.sampled_from(TOKENS),
    st.sampled_from([500, 3000, 10000]),
    st.integers(-2000, 2000),
    st.floats(9, 22),
).filter(lambda pool: pool[0] < pool[1])
worlds = st.lists(pools, max_size=12, unique_by=lambda pool: pool[:3])
sizes = st.floats(0, 24).map(lambda exponent: int(10**exponent))


def trading(*shapes: tuple[Address, Address, int, int, float]) -> Paper:
    """Pools that hold the same liquidity at every price."""
    paper = Paper(TOKENS)
    for a, b, fee, tick, exponent in shapes:
        last = EVERYWHERE // 200 * 200 if fee == 10000 else 887_220
        paper.pool(a, b, fee, tick, (-last, last, int(10**exponent)))
    return paper


def every_path(pools: tuple[PoolKey, ...], token_in: Address, token_out: Address, hops: int, passed: tuple[Address, ...]) -> Iterator[Path]:
    if token_in == token_out:
        yield ()
        return
    for pool in pools if hops else ():
        if token_in in (pool.token0, pool.token1):
            other = pool.token1 if token_in == pool.token0 else pool.token0
            if other not in passed:
                yield from ((pool, *rest) for rest in every_path(pools, other, token_out, hops - 1, (*passed, other)))


def outputs(paper: Paper, router: Router, paths: tuple[Path, ...], amount: int) -> list[int]:
    """What each path gives, the most first; without those that cannot."""
    found = []
    for path in paths:
        try:
            found.append(router.quote_in(paper.view, path, A, amount)[-1].amount_out)
        except Skip:
            continue
    return sorted(found, reverse=True)


@given(worlds, st.integers(1, 3))
def test_paths_are_all_those_that_pass_no_token_twice(shapes: list[tuple[Address, Address, int, int, float]], max_hops: int) -> None:
    paper = trading(*shapes)
    router = Router([paper.venue])
    found = router.paths(paper.view, A, B, max_hops)
    assert sorted(found, key=repr) == sorted(every_path(paper.venue.pools(paper.view), A, B, max_hops, (A,)), key=repr)
    assert [len(path) for path in found] == sorted(len(path) for path in found)


@given(worlds, sizes, st.integers(1, 4))
def test_the_top_paths_are_those_that_give_the_most(shapes: list[tuple[Address, Address, int, int, float]], amount: int, k: int) -> None:
    paper = trading(*shapes)
    router = Router([paper.venue])
    expected = outputs(paper, router, router.paths(paper.view, A, B), amount)
    if not expected:
        with pytest.raises(Skip, match="no_route"):
            router.top_paths(paper.view, A, B, amount, k)
        return
    chosen = router.top_paths(paper.view, A, B, amount, k)
    assert len(set(chosen)) == len(chosen)
    assert outputs(paper, router, chosen, amount) == expected[:k]
    best = router.best_in(paper.view, A, B, amount)
    assert best == router.quote_in(paper.view, tuple(hop.pool for hop in best), A, amount)
    assert best[-1].amount_out == expected[0]


@given(worlds, sizes)
def test_long_routes_pass_no_token_twice_either(shapes: list[tuple[Address, Address, int, int, float]], amount: int) -> None:
    paper = trading((A, B, 500, 0, 18.0), *(shape for shape in shapes if shape[:3] != (A, B, 500)))
    for hops in Router([paper.venue]).top_in(paper.view, A, B, amount, 5, max_hops=5):
        tokens = [A, *(hop.token_out for hop in hops)]
        assert len(set(tokens)) == len(tokens)


@given(worlds, sizes)
def test_buying_what_a_sale_gave_costs_no_more_than_was_sold(shapes: list[tuple[Address, Address, int, int, float]], amount: int) -> None:
    paper = trading((A, B, 500, 0, 18.0), *(shape for shape in shapes if shape[:3] != (A, B, 500)))
    router = Router([paper.venue])
    sold = router.best_in(paper.view, A, B, amount)
    if not sold[-1].amount_out:
        return
    bought = router.quote_out(paper.view, tuple(hop.pool for hop in sold), A, sold[-1].amount_out)
    assert bought[0].amount_in <= amount
    assert [(hop.token_in, hop.token_out) for hop in bought] == [(hop.token_in, hop.token_out) for hop in sold]
    assert [hop.amount_out for hop in bought[:-1]] == [hop.amount_in for hop in bought[1:]]


def test_a_pool_met_again_is_priced_on_the_state_its_first_swap_left() -> None:
    paper = trading((A, B, 500, 0, 18.0))
    (pool,) = paper.venue.pools(paper.view)
    there, back = Router([paper.venue]).quote_in(paper.view, (pool, pool), A, 10**17)
    untouched = paper.venue.swap_in(paper.view, pool, B, there.amount_out)
    moved = paper.venue.swap_in(Overlay(paper.view, there.writes), pool, B, there.amount_out)
    assert back == moved != untouched


def test_an_exact_output_swaps_the_last_pool_first() -> None:
    paper = trading((A, B, 500, 0, 18.0))
    (pool,) = paper.venue.pools(paper.view)
    first, last = Router([paper.venue]).quote_out(paper.view, (pool, pool), A, 10**16)
    assert last == paper.venue.swap_out(paper.view, pool, B, 10**16)
    assert first == paper.venue.swap_out(Overlay(paper.view, last.writes), pool, A, last.amount_in)


class Counting(Router):
    """Remembers what it sold."""

    def __init__(self, paper: Paper) -> None:
        super().__init__([paper.venue])
        self.sold: list[Hop] = []

    def hop_in(self, view: View, pool: PoolKey, token_in: Address, amount_in: int) -> Hop:
        self.sold.append(super().hop_in(view, pool, token_in, amount_in))
        return self.sold[-1]


@given(worlds, sizes)
def test_quotes_are_the_routers_own_and_none_is_computed_twice(shapes: list[tuple[Address, Address, int, int, float]], amount: int) -> None:
    paper = trading((A, B, 500, 0, 22.0), *(shape for shape in shapes if shape[:3] != (A, B, 500)))
    router = Counting(paper)
    quotes = Quotes(router, paper.view)
    expected = Router([paper.venue]).top_in(paper.view, A, B, amount, 3)
    assert [router.top_in(paper.view, A, B, amount, 3, swaps=quotes) for _ in range(2)] == [expected, expected]
    assert len({(hop.pool, hop.token_in, hop.amount_in) for hop in router.sold}) == len(router.sold) > 0


def test_the_state_it_is_shown_is_left_alone() -> None:
    paper = trading((A, B, 500, 0, 18.0), (B, C, 500, 0, 18.0))
    before = sorted(paper.view.cells(), key=repr)
    Router([paper.venue]).top_paths(paper.view, A, C, 10**17, 3)
    assert sorted(paper.view.cells(), key=repr) == before


def test_the_cheap_pool_wins_small_and_the_deep_pool_wins_large() -> None:
    paper = trading((A, B, 500, 0, 15.0), (A, B, 3000, 0, 20.0))
    router = Router([paper.venue])
    assert router.best_in(paper.view, A, B, 10**10)[0].pool.fee_pips == 500
    assert router.best_in(paper.view, A, B, 10**17)[0].pool.fee_pips == 3000


def test_of_equal_outputs_the_shorter_path_is_first() -> None:
    paper = trading((A, B, 500, 0, 22.0), (A, C, 500, 0, 22.0), (B, C, 500, 0, 22.0))
    assert len(Router([paper.venue]).best_in(paper.view, A, B, 3)) == 1


def test_a_token_sells_for_itself_without_a_swap() -> None:
    paper = trading((A, B, 500, 0, 18.0))
    router = Router([paper.venue])
    assert router.paths(paper.view, A, A) == ((),)
    assert router.top_paths(paper.view, A, A, 5, 3) == ((),)
    assert router.best_in(paper.view, A, A, 5) == ()
    assert router.quote_in(paper.view, (), A, 5) == ()


def test_a_pool_that_appears_opens_new_paths() -> None:
    paper = trading((A, B, 500, 0, 18.0))
    router = Router([paper.venue])
    assert len(router.paths(paper.view, A, B)) == 1
    paper.pool(A, B, 3000, 0, (-600, 600, 10**18))
    assert len(router.paths(paper.view, A, B)) == 2


def test_routes_run_over_several_venues_and_each_hop_is_encoded_by_its_own() -> None:
    first, second = trading((A, B, 500, 0, 18.0)), Paper(TOKENS, "sushi")
    second.pool(B, C, 3000, 0, (-6000, 6000, 10**18))
    first.view.write(second.view.cells())
    router = Router([first.venue, second.venue])
    hops = router.best_in(first.view, A, C, 10**15)
    assert [hop.pool.venue for hop in hops] == ["uni", "sushi"]
    for hop, venue in zip(hops, (first.venue, second.venue), strict=True):
        assert router.encode(hop, E) == venue.encode(hop, E)
        assert router.gas(hop) == venue.gas(hop)
        assert router.hop_out(first.view, hop.pool, hop.token_in, hop.amount_out).amount_in <= hop.amount_in
