"""Tables kept as columns behave as dictionaries of integers would, whatever is written to them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.book.columns import MOST_TABLES, Cells, Columns
from keeper.book.roll import NEXT, RECORD
from keeper.book.state import Overlay, Tables
from keeper.ports import View
from keeper.types import Address, Entries, Key, Write

SOURCES = {"m": ("m/held", "m/alone"), "n": ("n/held",)}
NAMES = (*SOURCES["m"], *SOURCES["n"], "m/other")


def address(n: int) -> Address:
    return Address(f"0x{n:040x}")


ACCOUNTS = [address(n) for n in (0, 1, 2, 2**160 - 1)]
STRANGE: list[Key] = [
    (),
    ("x",),
    (5,),
    (ACCOUNTS[1].upper(),),
    (4096, ACCOUNTS[1]),
    (-1, ACCOUNTS[1]),
    ("0", ACCOUNTS[1]),
    (1, 2, ACCOUNTS[1]),
]

accounts = st.sampled_from(ACCOUNTS)
keys: st.SearchStrategy[Key] = st.one_of(st.tuples(st.sampled_from([0, 1, 4095]), accounts), st.tuples(accounts), st.sampled_from(STRANGE))
values = st.one_of(st.sampled_from([0, 1, 2**64 - 1, 2**64, 2**128 - 1, 2**128, 2**255, -1]), st.integers(0, 2**128))
writes: st.SearchStrategy[list[Write]] = st.lists(st.tuples(st.sampled_from(NAMES), keys, values), max_size=30)


def columned(*batches: list[Write]) -> Tables:
    tables = Tables(SOURCES)
    for batch in batches:
        tables.write(batch)
    return tables


def plain(*batches: list[Write]) -> Tables:
    tables = Tables()
    for batch in batches:
        tables.write(batch)
    return tables


def assert_same(view: View, truth: View) -> None:
    """By every question a view answers; no key or account comes twice."""
    for name in NAMES:
        held = sorted(view.keys(name), key=repr)
        assert held == sorted(truth.keys(name), key=repr)
        assert [view.get(name, key) for key in held] == [truth.get(name, key) for key in held]
        assert sorted(view.accounts(name)) == sorted(truth.accounts(name))
        for account in ACCOUNTS:
            assert sorted(view.keys_of(name, account), key=repr) == sorted(truth.keys_of(name, account), key=repr)
            assert all(view.get(name, key) == truth.get(name, key) for key in [(account,), *((n, account) for n in range(3))])


@given(writes)
def test_columns_hold_what_dictionaries_hold(batch: list[Write]) -> None:
    tables, truth = Tables(SOURCES), Tables()
    for table, key, value in batch:
        assert tables.put(table, key, value) == truth.put(table, key, value)
    assert_same(tables, truth)
    assert sorted(tables.cells(), key=repr) == sorted(truth.cells(), key=repr)


@given(st.lists(writes, max_size=4))
def test_undoing_the_newest_writes_one_after_the_other_restores_every_state(batches: list[list[Write]]) -> None:
    tables = Tables(SOURCES)
    undo = [tables.write(batch) for batch in batches]
    for number in reversed(range(len(batches))):
        tables.write(undo[number])
        assert_same(tables, plain(*batches[:number]))


@given(writes, writes, writes)
def test_overlays_on_columns_read_as_if_their_writes_had_been_made(below: list[Write], first: list[Write], second: list[Write]) -> None:
    tables = columned(below)
    overlay = Overlay(tables, first)
    assert_same(overlay, plain(below, first))
    assert_same(Overlay(overlay, second), plain(below, first, second))
    assert_same(tables, plain(below))
    tables.write(overlay.writes())
    assert_same(tables, plain(below, first))


@given(writes)
def test_entries_are_all_cells_that_are_not_kept_apart(batch: list[Write]) -> None:
    tables = columned(batch)
    for source, names in SOURCES.items():
        for name in names:
            number, slot, low, high = (column.tolist() for column in tables.entries(name))
            owner = [tables.account(source, s) for s in slot]
            found = {key: tables.get(name, key) for key in tables.keys(name) if key not in tables.apart(name)}
            alone = bool(found) and len(next(iter(found))) == 1
            assert {(who,) if alone else (n, who): lo | hi << 64 for n, who, lo, hi in zip(number, owner, low, high, strict=True)} == found
            assert all(0 <= key[0] < 4096 for key in found if not alone and isinstance(key[0], int))


@given(writes, st.lists(accounts, unique=True))
def test_what_is_held_is_every_entry_of_every_table_and_of_some_accounts_theirs_in_order(batch: list[Write], chosen: list[Address]) -> None:
    tables = columned(batch)
    for source, names in SOURCES.items():
        entries = [(4096 * index, tables.entries(name)) for index, name in enumerate(names)]
        whole = {(base + n, s): lo | hi << 64 for base, found in entries for n, s, lo, hi in rows_of(found)}
        assert {(n, s): lo | hi << 64 for n, s, lo, hi in rows_of(tables.held(source))} == whole
        slots = [slot for account in chosen if (slot := tables.slot(source, account)) is not None]
        some = tables.held(source, np.array(slots, np.int32))
        assert some.slot.tolist() == sorted(some.slot.tolist())
        theirs = {cell: value for cell, value in whole.items() if cell[1] in slots}
        assert {(n, slots[place]): lo | hi << 64 for n, place, lo, hi in rows_of(some)} == theirs
        assert len(some.slot) == len(theirs)


def rows_of(entries: Entries) -> list[tuple[int, ...]]:
    return list(zip(*(column.tolist() for column in entries), strict=True))


@given(writes)
def test_an_account_keeps_its_slot_for_ever(batch: list[Write]) -> None:
    tables = Tables(SOURCES)
    seen: dict[Address, int] = {}
    for write in batch:
        tables.write([write])
        for account in ACCOUNTS:
            slot = tables.slot("m", account)
            assert slot == seen.get(account, slot)
            if slot is not None:
                seen[account] = slot
                assert tables.account("m", slot) == account
    assert sorted(seen.values()) == list(range(tables.slots("m")))
    tables.write([(table, key, 0) for table, key, _ in batch])
    assert {account: tables.slot("m", account) for account in seen} == seen


def test_thousands_of_accounts_are_each_found_and_no_other() -> None:
    tables = Tables(SOURCES)
    source = random.Random(1)
    known = [address(source.getrandbits(160)) for _ in range(20_000)]
    for number, account in enumerate(known, start=1):
        tables.put("m/held", (number % 7, account), number)
    assert [tables.get("m/held", (number % 7, account)) for number, account in enumerate(known, start=1)] == list(range(1, 20_001))
    assert [tables.slot("m", account) for account in known] == list(range(20_000))
    assert all(tables.slot("m", address(source.getrandbits(160))) is None for _ in range(1000))


def test_what_is_filled_at_once_is_what_is_put_one_by_one() -> None:
    source = np.random.default_rng(1)
    tables, truth = Tables(SOURCES), Tables(SOURCES)
    for block in range(3):
        columns, first = tables.columns["m"], tables.slots("m")
        assert columns.roll.extend(source.integers(0, 256, (500, 20), dtype=np.uint8)) == first
        slot = np.repeat(np.arange(first, first + 500, dtype=np.int32), 3)
        number = np.tile(np.arange(3, dtype=np.int32) + block, 500)
        low, high = source.integers(1, 2**63, (2, 1500), dtype=np.uint64)
        columns.fill("m/held", Entries(number, slot, low, high))
        for n, s, lo, hi in zip(number.tolist(), slot.tolist(), low.tolist(), high.tolist(), strict=True):
            truth.put("m/held", (n, tables.account("m", s)), lo | hi << 64)
    assert set(tables.cells()) == set(truth.cells())
    assert all(tables.slot("m", account) == truth.slot("m", account) for account in truth.accounts("m/held"))
    for table, key, value in list(truth.cells())[::7]:
        assert tables.put(table, key, 0) == value
        truth.put(table, key, 0)
    assert set(tables.cells()) == set(truth.cells())


def test_a_cell_that_became_free_is_used_again_by_its_account() -> None:
    tables = Tables(SOURCES)
    for number in range(1000):
        tables.put("m/held", (number, ACCOUNTS[1]), 1)
        tables.put("m/held", (number, ACCOUNTS[1]), 0)
    assert tables.columns["m"].count == 1


class Mined(str):
    """An address whose hash is that of all others of its kind."""

    def __hash__(self) -> int:
        return 7


def test_accounts_whose_hashes_collide_are_told_apart() -> None:
    tables = Tables(SOURCES)
    mined = [Address(Mined(address(n))) for n in range(50)]
    for n, account in enumerate(mined):
        assert tables.slot("m", account) is None
        tables.put("m/held", (1, account), n + 1)
    assert [tables.get("m/held", (1, account)) for account in mined] == list(range(1, 51))


def test_chains_stay_short_while_accounts_join() -> None:
    roll, source = Columns(["t"]).roll, random.Random(2)
    for number in range(20_000):
        account = address(source.getrandbits(160))
        roll.add(account, bytes.fromhex(account[2:]))
        assert roll.buckets == number + 2
    lengths = []
    for head in roll.heads[: roll.buckets]:
        at, length = head, 0
        while at:
            at, length = roll.records[RECORD * at + NEXT], length + 1
        lengths.append(length)
    assert sum(lengths) == 20_000
    assert max(lengths) < 20


def test_restored_columns_have_each_cell_once_and_no_account_that_has_none() -> None:
    source, columns = Tables(SOURCES), Columns(SOURCES["m"])
    source.write([("m/held", (number, account), 9) for account in ACCOUNTS for number in range(3)])
    source.write([("m/held", (number, ACCOUNTS[1]), 0) for number in range(3)])
    once = source.columns["m"].part(0, 12)
    columns.restore(source.columns["m"].roll.addresses(0, 4), Cells(*(np.concatenate([part, part]) for part in once)))
    columns.tables["m/held"].key_parts = 2
    assert (columns.count, columns.roll.count) == (9, 3)
    left = [(number, account) for account in ACCOUNTS if account != ACCOUNTS[1] for number in range(3)]
    assert sorted(columns.tables["m/held"].keys(), key=repr) == sorted(left, key=repr)
    assert [columns.tables["m/held"].put(key, 0) for key in left] == [9] * 9
    assert [columns.tables["m/held"].get(key) for key in left] == [0] * 9


@pytest.mark.parametrize("now", [0, 7, 2**128, -1])
def test_a_cell_that_an_image_saw_both_apart_and_in_a_column_is_what_it_is_now(now: int) -> None:
    """It was apart when the image was begun, and moved into a column before that was copied; then the log says what it is."""
    key: Key = (1, ACCOUNTS[1])
    tables = columned([("n/held", key, 5)])
    tables.columns["n"].tables["n/held"].odd[key] = 2**200
    tables.write([("n/held", key, now)])
    assert_same(tables, plain([("n/held", key, now)]))


def test_a_source_that_asks_for_too_many_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="may have 15 tables of accounts, had 16"):
        Columns([str(n) for n in range(MOST_TABLES + 1)])


def test_a_slot_that_was_not_handed_out_is_an_error() -> None:
    tables = columned([("m/held", (0, ACCOUNTS[0]), 1)])
    for slot in (-1, 1):
        with pytest.raises(IndexError, match="slot must be below 1"):
            tables.account("m", slot)
    assert tables.slot("unheard of", ACCOUNTS[0]) is None
    assert tables.slots("unheard of") == 0
