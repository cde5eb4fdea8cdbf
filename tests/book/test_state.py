"""Tables and overlays behave as a dictionary of integers would."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from keeper.book.state import Overlay, Tables
from keeper.types import Key, Write

keys: st.SearchStrategy[Key] = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 2))
writes: st.SearchStrategy[list[Write]] = st.lists(st.tuples(st.sampled_from(["t", "u"]), keys, st.integers(0, 3)))


def as_dict(cells: list[Write]) -> dict[tuple[str, Key], int]:
    return {(table, key): value for table, key, value in cells if value}


@given(writes, writes)
def test_undo_writes_restore_the_tables_exactly(first: list[Write], second: list[Write]) -> None:
    tables = Tables()
    tables.write(first)
    before = as_dict(list(tables.cells()))
    tables.write(tables.write(second))
    assert as_dict(list(tables.cells())) == before


@given(writes, writes)
def test_an_overlay_reads_as_if_its_writes_had_been_made(first: list[Write], second: list[Write]) -> None:
    tables, truth = Tables(), Tables()
    tables.write(first)
    truth.write([*first, *second])
    overlay = Overlay(tables, second)
    for table in ("t", "u"):
        assert sorted(overlay.keys(table)) == sorted(truth.keys(table))
        assert all(overlay.get(table, key) == truth.get(table, key) for key in overlay.keys(table))
    assert as_dict(list(tables.cells())) == as_dict(first[:0] + _last(first))


@given(writes, writes)
def test_the_net_writes_of_an_overlay_make_the_same_state(first: list[Write], second: list[Write]) -> None:
    tables, truth = Tables(), Tables()
    tables.write(first)
    truth.write([*first, *second])
    tables.write(Overlay(tables, second).writes())
    assert as_dict(list(tables.cells())) == as_dict(list(truth.cells()))


def _last(cells: list[Write]) -> list[Write]:
    return [(table, key, value) for (table, key), value in {(t, k): v for t, k, v in cells}.items()]


def test_a_table_that_was_emptied_is_looked_through_no_further_than_one_that_never_was_full() -> None:
    full, little = Tables(), Tables()
    full.write([("t", (number,), 1) for number in range(100_000)])
    full.write([("t", (number,), 0) for number in range(3, 100_000)])
    little.write([("t", (number,), 1) for number in range(3)])
    assert sorted(full.keys("t")) == sorted(little.keys("t")) == [(0,), (1,), (2,)]
    assert sys.getsizeof(full._tables["t"]) < 2000 < sys.getsizeof(dict.fromkeys(range(100000), 1))
