"""The life of a submission against a model written down by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.execution.states import LANDED, RESOLVED, UNRESOLVED, IllegalTransitionError, State, check, legal

S = State
ENDS = {S.INCLUDED, S.REVERTED, S.REPLACED, S.CANCELLED, S.DROPPED}
MODEL: dict[State, set[State]] = {
    S.SIGNED: {S.SENT, S.UNKNOWN, *ENDS},
    S.SENT: ENDS,
    S.UNKNOWN: {S.SENT, *ENDS},
    S.REORGED_OUT: {S.SENT, S.UNKNOWN, *ENDS},
    **{end: {S.REORGED_OUT} for end in ENDS},
}


def test_every_transition_is_as_the_model_says() -> None:
    assert {(a, b) for a in State for b in State if legal(a, b)} == {(a, b) for a, nexts in MODEL.items() for b in nexts}


def test_a_state_is_open_or_decided_and_landed_is_decided() -> None:
    assert set(State) == UNRESOLVED | RESOLVED
    assert not UNRESOLVED & RESOLVED
    assert LANDED < RESOLVED


@given(st.lists(st.sampled_from(State), max_size=30))
def test_a_walk_is_accepted_exactly_while_the_model_allows_it(walk: list[State]) -> None:
    now = State.SIGNED
    for wanted in walk:
        if wanted is now or wanted in MODEL[now]:
            check(now, wanted)
            now = wanted
        else:
            with pytest.raises(IllegalTransitionError):
                check(now, wanted)


@given(st.lists(st.sampled_from(State), max_size=30))
def test_nothing_comes_back_from_its_end_but_by_a_reorg(walk: list[State]) -> None:
    now = State.SIGNED
    for wanted in walk:
        if legal(now, wanted):
            assert not (now in RESOLVED and wanted is not State.REORGED_OUT)
            assert wanted is not State.SIGNED
            now = wanted
