"""The book on disk."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keeper.book.book import JournalEntry
from keeper.book.codec import decode_key, decode_undo, encode_key, encode_undo
from keeper.book.state import Tables
from keeper.book.store import BookStore, Glimpse, Snapshot
from keeper.errors import Halt
from keeper.fixedpoint import MAX_UINT256
from keeper.types import Hash, Head, Key, Write

KEYS = st.lists(st.one_of(st.integers(-(2**255), MAX_UINT256), st.text(max_size=8)), max_size=4).map(tuple)
VALUES = st.one_of(st.just(0), st.integers(-(2**255), MAX_UINT256))
WRITES = st.lists(st.tuples(st.sampled_from(["a", "b"]), KEYS, VALUES), max_size=12)


def hash_of(n: int, branch: str = "") -> Hash:
    return Hash(f"0x{n:064x}{branch}")


def head(n: int, branch: str = "") -> Head:
    return Head(n, hash_of(n, branch), hash_of(n - 1), 12 * n, 2**80, 30_000_000, 21_000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[BookStore]:
    opened = await BookStore.open(tmp_path / "book.sqlite", 1)
    yield opened
    await opened.close()


async def loaded(store: BookStore | Glimpse) -> tuple[set[Write], Snapshot]:
    """The cells and the rest."""
    tables = Tables()
    snapshot = await store.load(tables)
    return set(tables.cells()), snapshot


@given(KEYS)
@example((2**64 - 1, 2**63, 2**63 - 1, -(2**63), -(2**63) - 1))
def test_a_key_survives_whatever_its_size(key: Key) -> None:
    again = decode_key(encode_key(key))
    assert again == key
    assert [type(part) for part in again] == [type(part) for part in key]


@given(KEYS, KEYS)
@example((1,), ("1",))
@example((2**70,), (str(2**70),))
@example(("a", "b"), ('a","b',))
def test_different_keys_have_different_text_and_equal_ones_the_same(one: Key, other: Key) -> None:
    assert (encode_key(one) == encode_key(other)) == (one == other)


def test_a_flag_in_a_key_is_the_same_cell_as_its_number() -> None:
    assert encode_key((True, False)) == encode_key((1, 0))


@given(WRITES)
def test_undo_writes_survive_in_their_order(writes: list[Write]) -> None:
    assert decode_undo(encode_undo(writes)) == tuple(writes)


async def test_a_fresh_book_is_empty(store: BookStore) -> None:
    cells, snapshot = await loaded(store)
    assert (cells, snapshot) == (set(), Snapshot((), None, {}))
    assert snapshot.head is None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WRITES, max_size=4))
async def test_what_is_loaded_is_what_the_tables_in_memory_hold(store: BookStore, batches: list[list[Write]]) -> None:
    before, _ = await loaded(store)
    await store.save_backfill([(table, key, 0) for table, key, _ in before], {})
    tables = Tables()
    for batch in batches:
        tables.write(batch)
        await store.save_backfill(batch, {})
    assert (await loaded(store))[0] == set(tables.cells())


async def test_a_block_is_saved_with_cells_journal_and_cursors(tmp_path: Path) -> None:
    store = await BookStore.open(tmp_path / "book.sqlite", 1)
    await store.save_backfill([("t", (1,), 7), ("t", (2,), 8)], {"m": (10, hash_of(10))}, head(10))
    entries = [JournalEntry(head(11), (("t", (1,), 7),)), JournalEntry(head(12), (("t", (2,), 8), ("t", (3,), 0)))]
    await store.save_update([], entries, [("t", (1,), 0), ("t", (2,), MAX_UINT256), ("t", (3,), -5)], {"m": (12, hash_of(12))})
    await store.close()
    store = await BookStore.open(tmp_path / "book.sqlite", 1)
    cells, snapshot = await loaded(store)
    await store.close()
    assert cells == {("t", (2,), MAX_UINT256), ("t", (3,), -5)}
    assert snapshot.journal == tuple(entries)
    assert (snapshot.base, snapshot.head) == (head(10), head(12))
    assert snapshot.cursors == {"m": (12, hash_of(12))}


async def test_undone_blocks_leave_the_journal_and_their_successors_join_it(store: BookStore) -> None:
    await store.save_backfill([], {}, head(10))
    old = [JournalEntry(head(n), (("t", (n,), 1),)) for n in (11, 12, 13)]
    await store.save_update([], old, [], {})
    new = [JournalEntry(head(12, "b"), ()), JournalEntry(head(13, "b"), (("t", (0,), 2),))]
    await store.save_update([head(13), head(12)], new, [("t", (0,), 3)], {})
    _, snapshot = await loaded(store)
    assert snapshot.journal == (old[0], *new)
    await store.save_update([head(13, "b")], [], [("t", (0,), 2)], {})
    assert (await loaded(store))[1].head == head(12, "b")


async def test_the_journal_keeps_256_blocks_and_the_one_below_as_base(store: BookStore) -> None:
    await store.save_backfill([], {}, head(0))
    entries = [JournalEntry(head(n), (("t", (n,), n),)) for n in range(1, 301)]
    for entry in entries[:290]:
        await store.save_update([], [entry], [], {})
    await store.save_update([], entries[290:], [], {})
    _, snapshot = await loaded(store)
    assert snapshot.journal == tuple(entries[-256:])
    assert snapshot.base == head(44)


async def test_a_new_base_starts_the_journal_anew(store: BookStore) -> None:
    await store.save_backfill([], {}, head(1))
    await store.save_update([], [JournalEntry(head(2), ())], [], {})
    await store.save_backfill([("t", (1,), 1)], {"m": (50, hash_of(50))}, head(50))
    _, snapshot = await loaded(store)
    assert (snapshot.journal, snapshot.base, snapshot.head) == ((), head(50), head(50))


async def test_a_block_that_does_not_fit_is_not_saved_at_all(store: BookStore) -> None:
    await store.save_backfill([("t", (0,), 1)], {"m": (1, hash_of(1))}, head(1))
    before = await loaded(store)
    pages = (await store.database.read(lambda c: c.exec_driver_sql("PRAGMA page_count"))).scalar_one()
    await store.database.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages}"))
    many = [("t", (n,), n) for n in range(1, 20_000)]
    with pytest.raises(Halt, match="make room and restart"):
        await store.save_update([], [JournalEntry(head(2), ())], many, {"m": (2, hash_of(2))})
    assert await loaded(store) == before


async def test_content_that_cannot_be_understood_halts_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "book.sqlite"
    for damage in ("UPDATE cells SET value = 'x'", "UPDATE cells SET key = '[1'", "UPDATE journal SET undo = '[[1]]' WHERE undo NOT NULL"):
        path.unlink(missing_ok=True)
        store = await BookStore.open(path, 1)
        await store.save_backfill([("t", (1,), 1)], {}, head(1))
        await store.save_update([], [JournalEntry(head(2), ())], [], {})
        await store.close()
        connection = sqlite3.connect(path)
        connection.execute(damage)
        connection.commit()
        connection.close()
        store = await BookStore.open(path, 1)
        with pytest.raises(Halt, match="is corrupt: move it away and restart; it is rebuilt from the chain"):
            await store.load(Tables())
        await store.close()


async def test_a_glimpse_sees_the_book_while_its_owner_runs_and_saves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "book.sqlite"
    glimpse = Glimpse(path, 1)
    assert await loaded(glimpse) == (set(), Snapshot((), None, {}))
    owner = await BookStore.open(path, 1)
    await owner.save_backfill([("t", (1,), 1)], {}, head(1))
    await glimpse.save_backfill([("t", (1,), 2)], {}, head(2))
    await glimpse.save_update([], [JournalEntry(head(2), ())], [("t", (1,), 3)], {})
    assert await loaded(glimpse) == await loaded(owner)
    assert (await loaded(glimpse))[0] == {("t", (1,), 1)}
    await glimpse.close()
    await owner.close()


async def test_a_hundred_thousand_cells_are_saved_and_opened_in_little_time(tmp_path: Path) -> None:
    """Goals on an idle machine: saved in 1 s, opened in well under 1 s; three times that are allowed here."""
    source = random.Random(1)
    writes: list[Write] = [("m.balance", (f"0x{source.getrandbits(160):040x}", n % 30), source.getrandbits(120)) for n in range(100_000)]
    store = await BookStore.open(tmp_path / "book.sqlite", 1)
    started = time.perf_counter()
    await store.save_backfill(writes, {}, head(1))
    saved_s = time.perf_counter() - started
    await store.close()
    started = time.perf_counter()
    store = await BookStore.open(tmp_path / "book.sqlite", 1)
    tables = Tables()
    await store.load(tables)
    loaded_s = time.perf_counter() - started
    await store.close()
    assert set(tables.cells()) == set(writes)
    assert saved_s < 3
    assert loaded_s < 2
