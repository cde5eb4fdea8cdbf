"""One amount sold along several routes at once brings as much as any other division of it would have."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from keeper.planning.split import Pays, apart, split
from keeper.types import Address, PoolKey

pools = st.tuples(st.integers(10**6, 10**12), st.integers(10**6, 10**12), st.integers(0, 30_000))
"""Reserves of what is sold and of what is paid, and the fee in millionths."""

amounts = st.integers(10**4, 10**12)
PARTS = 12


def pool(reserve_in: int, reserve_out: int, fee: int) -> Pays:
    """Constant product, rounded down."""

    def pays(amount: int) -> int:
        taken = amount * (10**6 - fee)
        return reserve_out * taken // (reserve_in * 10**6 + taken)

    return pays


def brought(pays: list[Pays], parts: list[int]) -> int:
    return sum(route(part) for route, part in zip(pays, parts, strict=True))


@given(st.lists(pools, min_size=2, max_size=3), amounts)
def test_no_other_division_brings_more_than_a_thousandth_more(made: list[tuple[int, int, int]], amount: int) -> None:
    pays = [pool(*one) for one in made]
    parts = split(pays, amount)
    assert sum(parts) == amount
    assert min(parts) >= 0
    ours = brought(pays, parts)
    for shares in product(range(PARTS + 1), repeat=len(pays) - 1):
        if sum(shares) <= PARTS:
            others = [amount * share // PARTS for share in shares]
            assert brought(pays, [amount - sum(others), *others]) <= ours * 1.001 + len(pays)


@given(pools, amounts)
def test_two_alike_share_alike(one: tuple[int, int, int], amount: int) -> None:
    half, other = split([pool(*one), pool(*one)], amount)
    evenly = brought([pool(*one)] * 2, [amount // 2, amount - amount // 2])
    assert brought([pool(*one)] * 2, [half, other]) >= evenly - 4 - evenly // 1000


@given(pools, amounts)
def test_a_route_that_takes_nothing_gets_nothing(one: tuple[int, int, int], amount: int) -> None:
    parts = split([pool(*one), lambda part: 0], amount)
    assert pool(*one)(parts[0]) == pool(*one)(amount)


def test_routes_that_share_a_pool_with_one_before_are_left_out() -> None:
    a, b, c, d = (PoolKey("v", Address(f"0x{number:040x}"), Address("0x0"), Address("0x1"), 500) for number in range(4))
    assert apart([(a,), (b, a), (b, c), (c,), (d,)], 3) == [(a,), (b, c), (d,)]
    assert apart([(a,), (b,), (c,)], 2) == [(a,), (b,)]
    assert apart([(), (a,)], 2) == [(a,)]
