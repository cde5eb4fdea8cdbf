"""Lists of certificates: none outlives the move it reaches to."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.risk.factors import Factors, Floats
from keeper.risk.layer import FARTHEST, Layer
from keeper.risk.yardstick import Reference, Yardstick
from keeper.types import Quote

MANY = 3000
NO_LISTS = np.zeros(0, np.int32)


def factors() -> Factors:
    found = Factors()
    found.set([(found.column((str(number),)), Quote(1.0)) for number in range(MANY)])
    return found


def at(value: Floats) -> Factors:
    found = factors()
    found.value = value
    return found


AT = Reference.of(factors())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.floats(-9, 7))
def test_a_certificate_is_used_up_by_the_move_it_reaches_to_in_whichever_list_it_is(seed: int, digits: float) -> None:
    value = AT.value * (1.0 + 10.0**digits * np.random.default_rng(seed).uniform(-0.01, 0.01, len(AT.value)))
    moves = Yardstick(AT, NO_LISTS).moves(at(value)).copy()
    lists = np.flatnonzero(moves > 0.0).astype(np.int32)
    layer = Layer(Yardstick(AT, NO_LISTS), lists, moves[lists], np.arange(len(lists), dtype=np.int32))
    assert sorted(np.concatenate([rows for _, rows in layer.sweep(at(value))]).tolist()) == list(range(len(lists)))
    assert not len(layer.rest(0))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.floats(-2, 7))
def test_a_certificate_that_reaches_clearly_further_is_left_alone(seed: int, digits: float) -> None:
    value = AT.value * (1.0 + 10.0**digits * np.random.default_rng(seed).uniform(-0.01, 0.01, len(AT.value)))
    moves = Yardstick(AT, NO_LISTS).moves(at(value)).copy()
    lists = np.flatnonzero((moves > 0.0) & (moves < FARTHEST / 2)).astype(np.int32)
    layer = Layer(Yardstick(AT, NO_LISTS), lists, moves[lists] * 1.00001 + 1e-5, np.arange(len(lists), dtype=np.int32))
    assert layer.sweep(at(value)) == []
    assert sorted(layer.rest(0).tolist()) == list(range(len(lists)))
