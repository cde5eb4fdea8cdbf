"""Whoever is short is filled up by who has most to spare; nobody gives its own float away, and nothing is sent twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.execution.gas_money import FLOAT, SWEEP, GasMoney, Transfer, transfers
from keeper.types import Address

A, B, C, SAFE = (Address("0x" + letter * 40) for letter in "abcd")
MONEY = GasMoney(least_wei=50, float_wei=200, sweep_above_wei=1_000)
COST = 10

balances = st.dictionaries(st.sampled_from([A, B, C]), st.integers(0, 3_000), min_size=1)
some = st.sets(st.sampled_from([A, B, C]))


def given_away(balances: dict[Address, int], money: GasMoney = MONEY, due: set[Address] | None = None) -> list[Transfer]:
    return transfers(money, balances, set(balances), due or set(), SAFE, COST)


def test_the_poorest_is_filled_up_first_by_who_has_most() -> None:
    assert given_away({A: 500, B: 10, C: 900}) == [Transfer(C, B, 190, FLOAT)]
    assert given_away({A: 500, B: 10, C: 0}) == [Transfer(A, C, 200, FLOAT)]


def test_who_cannot_lift_another_above_the_least_gives_nothing() -> None:
    assert given_away({A: 200 + COST + 30, B: 10}) == []
    assert given_away({A: 200 + COST + 40, B: 10}) == [Transfer(A, B, 40, FLOAT)]


def test_what_is_beyond_the_float_is_swept_once_it_is_enough() -> None:
    assert given_away({A: 200 + COST + 1_000}) == []
    assert given_away({A: 200 + COST + 1_001, B: 60}) == [Transfer(A, SAFE, 1_001, SWEEP)]
    assert given_away({A: 2_000, B: 60}, GasMoney(50, 200, None)) == []


def test_nothing_is_swept_before_its_time() -> None:
    assert transfers(MONEY, {A: 2_000}, {A}, set(), None, COST) == []


def test_nothing_is_swept_while_somebody_is_short() -> None:
    assert given_away({A: 2_000, B: 10}) == [Transfer(A, B, 190, FLOAT)]
    assert given_away({A: 2_000, B: 10}, due={B}) == []


@given(balances, some, some)
def test_a_giver_is_idle_gives_once_and_keeps_its_float_and_the_cost(
    have: dict[Address, int], idle: set[Address], due: set[Address]
) -> None:
    made = transfers(MONEY, have, idle, due, SAFE, COST)
    givers = [one.giver for one in made]
    assert len(set(givers)) == len(givers)
    assert set(givers) <= idle & set(have)
    assert all(one.wei > 0 and have[one.giver] - one.wei - COST >= MONEY.float_wei for one in made)


@given(balances, some, some)
def test_a_receiver_was_short_has_nothing_on_its_way_and_is_not_filled_beyond_its_float(
    have: dict[Address, int], idle: set[Address], due: set[Address]
) -> None:
    received = [one for one in transfers(MONEY, have, idle, due, SAFE, COST) if one.why == FLOAT]
    assert len({one.to for one in received}) == len(received)
    for one in received:
        assert one.to not in due
        assert have[one.to] < MONEY.least_wei <= have[one.to] + one.wei <= MONEY.float_wei


@given(balances)
def test_once_all_has_arrived_nothing_is_left_to_do_but_for_want_of_money(have: dict[Address, int]) -> None:
    for _ in range(2 * len(have)):
        for one in given_away(have):
            have[one.giver] -= one.wei + COST
            if one.to in have:
                have[one.to] += one.wei
    assert given_away(have) == []
    spare = max((have[who] - MONEY.float_wei - COST for who in have), default=0)
    assert all(wei >= MONEY.least_wei or wei + spare < MONEY.least_wei for wei in have.values())
