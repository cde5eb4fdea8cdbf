"""Nonce lanes against a naive model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.execution.lanes import NonceLane

NONCES = st.integers(0, 40)


@given(NONCES, st.sets(NONCES), st.integers(0, 20))
def test_taken_nonces_are_the_lowest_that_neither_the_chain_nor_we_have_used(floor: int, held: set[int], count: int) -> None:
    free = [nonce for nonce in range(floor, 200) if nonce not in held]
    assert NonceLane(floor, held).take(count) == free[:count]


@given(NONCES, st.sets(NONCES), st.lists(st.integers(0, 5), max_size=8))
def test_no_nonce_is_handed_out_twice(floor: int, held: set[int], counts: list[int]) -> None:
    lane = NonceLane(floor, held)
    taken = [nonce for count in counts for nonce in lane.take(count)]
    assert len(set(taken)) == len(taken)
    assert not set(taken) & held


@given(NONCES, st.sets(NONCES))
def test_after_the_holes_are_taken_everything_up_to_the_highest_is_contiguous(floor: int, held: set[int]) -> None:
    lane = NonceLane(floor, held)
    holes = lane.holes()
    above = {nonce for nonce in held if nonce >= floor}
    assert sorted(above | set(holes)) == list(range(floor, max(above, default=floor - 1) + 1))
    assert lane.take(len(holes)) == holes
    assert lane.holes() == []


def test_the_chain_moves_the_floor_and_frees_what_is_below() -> None:
    lane = NonceLane(5, [5, 6])
    lane.sync(7, [6, 8])
    assert lane.holes() == [7]
    assert lane.take(2) == [7, 9]
