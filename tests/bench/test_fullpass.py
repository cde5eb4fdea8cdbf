"""Every way to look at all rows sees the same ones, and they are the right ones."""

from __future__ import annotations

import numpy as np
import pytest

from keeper.bench import rows
from keeper.bench.fullpass import FullPass, candidates, fastest
from keeper.bench.passes import numba_pass, textbook
from keeper.bench.paths import crash
from keeper.bench.population import Spec, populate
from keeper.types import RowBlock


@pytest.fixture(scope="module")
def block() -> RowBlock:
    return rows.block(populate(Spec(20_000, seed=2)))


def test_all_ways_agree_with_the_textbook_all_along_a_crash(block: RowBlock) -> None:
    path = rows.values(crash(np.random.default_rng(1), 20))
    slow = textbook(block)
    ways = list(candidates(block))
    assert len({way.name for way in ways}) == len(ways) >= 5
    for at in path:
        expected = np.flatnonzero(slow(at)).tolist()
        assert all(way.negative(at).tolist() == expected for way in ways)
    assert len(expected) > 1000


def test_the_uneconomic_hundredth_is_below_zero_at_the_start(block: RowBlock) -> None:
    assert len(FullPass(block, 1 << 14, by_width=True).negative(rows.values())) == 200


def test_the_fastest_is_one_of_them_and_says_what_it_is(block: RowBlock) -> None:
    found = fastest(block, rows.values())
    assert found.name in {way.name for way in candidates(block)}
    assert len(found.order) == 20_000


def test_a_book_without_accounts_has_a_pass_too() -> None:
    some = rows.block(populate(Spec(100)))
    none = RowBlock(some.factors, some.slot[:0], some.column[:0], some.weight[:0], some.constant[:0], some.slack[:0])
    assert fastest(none, rows.values()).negative(rows.values()).tolist() == []


def test_the_compiled_pass_agrees_where_there_is_a_compiler(block: RowBlock) -> None:
    pytest.importorskip("numba")
    assert (numba_pass(block)(rows.values()) == textbook(block)(rows.values())).all()
