from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.bidding.answers import answer_wei

WEI = st.integers(0, 10**15)


@given(own=WEI, theirs=WEI, most=WEI, sealed=st.booleans())
def test_an_answer_beats_the_bid_that_is_seen_never_costs_more_than_it_is_worth_and_is_never_less_than_before(
    own: int, theirs: int, most: int, sealed: bool
) -> None:
    answer = answer_wei(own, theirs, most, sealed)
    if answer is not None:
        assert theirs < answer <= most
        assert answer > own
        assert sealed or answer * 8 >= own * 9
        assert answer <= max(theirs * 102 // 100 + 2, own * 9 // 8 + 2)


def test_where_nobody_sees_it_an_answer_is_just_enough() -> None:
    assert answer_wei(1000, 1000, 10**6, sealed=True) == 1011
    assert answer_wei(1000, 1000, 10**6, sealed=False) == 1126
    assert answer_wei(1000, 1000, 1010, sealed=True) is None
