"""The book's image and its log: whatever happens while one is taken, a restart finds the state of the last save, or says that it cannot."""

from __future__ import annotations

import asyncio
import errno
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from keeper.book import image as images
from keeper.book.images import Images
from keeper.book.state import Tables
from keeper.book.store import BookStore, Glimpse
from keeper.errors import Halt
from keeper.types import Entries, Head, Write
from tests.book.saga import SOURCES, Life, fork_of, head, open_store, state_at


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.sqlite"


@pytest.fixture
async def life(path: Path) -> AsyncIterator[Life]:
    begun = await Life.begin(path)
    yield begun
    await begun.store.close()


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image takes many turns of the loop, as a large one would."""
    monkeypatch.setattr(images, "SLICE", 40)


def image_names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob("book.*.image*"))


def copy_book(path: Path, copy: Path) -> None:
    """All at one moment: once more when an image got its name, or went, meanwhile."""
    while True:
        copy.mkdir()
        before = image_names(path)
        with suppress(FileNotFoundError):
            for file in path.parent.glob("book.*"):
                if not file.name.endswith("lock"):
                    shutil.copy(file, copy)
            if image_names(path) == before:
                return
        shutil.rmtree(copy)


async def steps_until_named(life: Life) -> None:
    """Until the log is short again: an image has taken its place."""
    for _ in range(100):
        await life.step()
        if life.store._images._named:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no image was named")


async def stored(path: Path) -> tuple[set[Write], int]:
    """What a restart would find: the cells, and the block they are the state of."""
    cells, reached = await found(path)
    return cells, reached.number


async def found(path: Path) -> tuple[set[Write], Head]:
    store, tables = await open_store(path), Tables(SOURCES)
    try:
        snapshot = await store.load(tables)
    finally:
        await store.close()
    assert snapshot.head is not None
    return set(tables.cells()), snapshot.head


@pytest.mark.usefixtures("small_slices")
async def test_a_copy_of_the_files_at_any_moment_is_a_whole_book(life: Life, path: Path, tmp_path: Path) -> None:
    """Images begin, are half-written, finished and named between these moments; blocks are undone and replaced."""
    seen = set[tuple[str, ...]]()
    for number in range(120):
        await (life.reorg() if number % 7 == 0 else life.step())
        copy = tmp_path / f"copy{number}"
        copy_book(path, copy)
        seen.add(tuple(image_names(path)))
        cells, reached = await stored(copy / path.name)
        assert reached == life.number
        assert cells == state_at(reached) == set(life.tables.cells())
        shutil.rmtree(copy)
        await asyncio.sleep(0.002 * (number % 3))
    assert any(name.endswith(".part") for names in seen for name in names)
    assert len([name for names in seen for name in names if name.endswith(".image")]) > 3


@pytest.mark.usefixtures("small_slices")
async def test_what_is_changed_but_not_saved_when_an_image_is_taken_is_not_in_a_restart(life: Life, path: Path) -> None:
    """The keeper dies between a block's place in memory and its save, with an image finished that has seen the block."""
    await steps_until_named(life)
    before = state_at(life.number)
    life.tables.write([(table, key, 123) for table, key, _ in before])
    await life.store._images.take_now()
    assert life.store._images.ready
    await life.store.close()
    assert await stored(path) == (before, life.number)


async def test_restarts_go_on_where_the_last_one_stopped(path: Path) -> None:
    for _ in range(5):
        life = await Life.begin(path)
        assert set(life.tables.cells()) == state_at(life.number)
        for _ in range(9):
            await life.step()
        await life.store.close()
    assert await stored(path) == (state_at(45), 45)


async def test_the_log_stays_short_and_old_images_go(life: Life, path: Path) -> None:
    for _ in range(60):
        await life.step()
        await asyncio.sleep(0.002)
        assert len(image_names(path)) <= 3
    (logged,) = (await life.store.database.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM log"))).one()
    assert logged < 1000


async def killed_at(path: Path, source: random.Random) -> int:
    """A keeper in a process of its own, killed at any moment after it has saved; returns the last block that it told of."""
    program = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.book.saga", str(path), stdout=asyncio.subprocess.PIPE)
    assert program.stdout
    first = await program.stdout.readline()
    await asyncio.sleep(source.random() * 0.6)
    program.kill()
    told = [first, *(await program.stdout.read()).splitlines(keepends=True)]
    await program.wait()
    return int([line for line in told if line.endswith(b"\n")][-1])


async def test_a_keeper_killed_at_any_moment_leaves_the_state_of_a_block(path: Path) -> None:
    source, named = random.Random(7), set[str]()
    for _ in range(6):
        told = await killed_at(path, source)
        named.update(image_names(path))
        cells, reached = await found(path)
        assert reached.number >= told
        assert cells == state_at(reached.number, fork_of(reached))
    assert len(named) > 3


# --- damage -------------------------------------------------------------------------------------------------------


async def with_image(path: Path) -> Path:
    """A closed book; the image that it names."""
    life = await Life.begin(path)
    await steps_until_named(life)
    named = life.store._images._named
    assert named
    await life.store.close()
    return path.with_name(named.name)


def damages(image: Path) -> Iterator[bytes]:
    whole = image.read_bytes()
    yield whole[:-1]
    yield whole[: len(whole) // 2]
    yield b""
    yield whole + b"\0"
    yield whole.replace(b'"cells":', b'"cellz":', 1)
    yield whole.replace(b'"slots":', b'"slots":-', 1)
    for at in range(0, len(whole), len(whole) // 20):
        yield whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


async def test_a_damaged_image_is_corrupt_and_never_a_wrong_state(path: Path) -> None:
    image = await with_image(path)
    for content in list(damages(image)):
        image.write_bytes(content)
        with pytest.raises(Halt, match=r"book.sqlite is corrupt, book.\d+.image is damaged: move it away and restart; it is rebuilt"):
            await stored(path)


async def test_a_lost_image_is_told_and_one_of_another_book_is_none_of_this(path: Path, tmp_path: Path) -> None:
    image, other = await with_image(path), await with_image(tmp_path / "other" / "book.sqlite")
    content = image.read_bytes()
    image.unlink()
    with pytest.raises(Halt, match=r"book.sqlite is corrupt, book.\d+.image is missing: move it away and restart"):
        await stored(path)
    life = await Life.begin(other.with_name("book.sqlite"))
    await life.step()
    await life.store.save_backfill((), {}, whole=True)
    await life.store.close()
    (newer,) = set(image_names(other)) - {other.name}
    shutil.copy(other.with_name(newer), image)
    with pytest.raises(Halt, match=r"book.\d+.image is damaged"):
        await stored(path)
    image.write_bytes(content)
    assert (await stored(path))[1] > 0


async def test_a_book_moved_away_is_begun_anew_whatever_images_are_left(path: Path) -> None:
    image = await with_image(path)
    for file in path.parent.glob("book.sqlite*"):
        file.unlink()
    store, tables = await open_store(path), Tables(SOURCES)
    snapshot = await store.load(tables)
    await store.close()
    assert snapshot.head is None
    assert set(tables.cells()) == set()
    assert not image.exists()


async def test_tables_that_were_other_ones_when_they_were_saved_are_told(path: Path) -> None:
    await with_image(path)
    store = await open_store(path)
    with pytest.raises(Halt, match="the tables of m were other ones when it was saved"):
        await store.load(Tables({"m": ("m/held",)}))
    await store.close()
    store = await open_store(path)
    with pytest.raises(Halt, match="keeps tables as another version did"):
        await store.load(Tables({**SOURCES, "o": ("m/other",)}))
    await store.close()


# --- a full disk --------------------------------------------------------------------------------------------------


async def test_without_room_for_an_image_the_keeper_goes_on_with_its_log_and_tries_again(
    life: Life, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(images._Writer, "write", full)
        for _ in range(30):
            await life.step()
            await asyncio.sleep(0.002)
    assert "image_not_written" in "".join(capsys.readouterr())
    assert image_names(path) == []
    await steps_until_named(life)
    await life.store.close()
    assert await stored(path) == (state_at(life.number), life.number)


async def test_without_room_a_book_that_must_be_kept_as_a_whole_halts_with_the_remedy(
    life: Life, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    await life.step()
    before = state_at(life.number)
    with monkeypatch.context() as patch:
        patch.setattr(images._Writer, "finish", full)
        with pytest.raises(Halt, match=r"book.sqlite cannot be written .No space left on device.: make room and restart"):
            await life.store.save_backfill((), {}, whole=True)
    await life.store.close()
    assert await stored(path) == (before, life.number)
    assert image_names(path) == []


# --- others -------------------------------------------------------------------------------------------------------


async def test_a_source_begun_anew_leaves_nothing_of_what_it_had(life: Life, path: Path) -> None:
    await steps_until_named(life)
    kept = {cell for cell in state_at(life.number) if not cell[0].startswith("m/") or cell[0] == "m/other"}
    life.tables.keep_columns("m", SOURCES["m"])
    await life.store.save_backfill((), {}, whole=True)
    await life.store.close()
    assert (await stored(path))[0] == kept == set(life.tables.cells())


async def test_a_source_that_left_the_config_has_its_cells_when_it_comes_back(path: Path) -> None:
    await with_image(path)
    store, tables = await open_store(path), Tables({"n": SOURCES["n"]})
    await store.load(tables)
    await store.save_backfill((), {}, whole=True)
    await store.close()
    cells, reached = await stored(path)
    assert cells == state_at(reached)


@pytest.mark.usefixtures("small_slices")
async def test_a_glimpse_is_the_state_of_a_block_while_images_come_and_go(life: Life, path: Path) -> None:
    async def write() -> None:
        for _ in range(60):
            await life.step()

    writing, seen = asyncio.create_task(write()), set[int]()
    while not writing.done():
        tables = Tables(SOURCES)
        snapshot = await Glimpse(path, 1).load(tables)
        if snapshot.head:
            assert set(tables.cells()) == state_at(snapshot.head.number)
            seen.add(snapshot.head.number)
    await writing
    assert len(seen) > 3


async def test_a_glimpse_whose_image_is_replaced_under_it_looks_again(life: Life, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await steps_until_named(life)
    old, tables = life.store._images._named, Tables(SOURCES)
    glimpsing = await BookStore.open(path, 1, read_only=True)
    await rows_then_a_newer_image(glimpsing, life, monkeypatch)
    snapshot = await glimpsing.load(tables)
    await glimpsing.close()
    assert life.store._images._named != old
    assert snapshot.head == head(life.number)
    assert set(tables.cells()) == state_at(life.number)


async def rows_then_a_newer_image(glimpsing: BookStore, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a glimpse of the rows and of the image, the owner names two more images."""
    read, calls = glimpsing.database.read, iter(range(9))

    async def slow(work: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:
        rows = await read(work)
        if next(calls) == 0:
            for _ in range(2):
                await life.store._images.take_now()
                await life.step()
            await life.store._images.take_now()
        return rows

    monkeypatch.setattr(glimpsing.database, "read", slow)


async def test_an_image_begins_only_when_the_log_is_long(tmp_path: Path) -> None:
    watch = Images(tmp_path / "book.sqlite", 100)
    await watch.resume(Tables(SOURCES), None, [])
    watch.saved(None, 100)
    assert not watch._taking
    watch.saved(None, 1)
    assert watch._taking
    await watch.close()
    assert image_names(tmp_path / "book.sqlite") == []


async def test_a_hundred_thousand_accounts_are_opened_in_little_time_without_holding_the_loop(path: Path) -> None:
    """Goals on an idle machine: opened in 0.2 s; slices of a millisecond. Many times that are allowed here."""
    source, accounts = np.random.default_rng(1), 100_000
    store, tables = await BookStore.open(path, 1), Tables(SOURCES)
    await store.load(tables)
    tables.columns["m"].roll.extend(source.integers(0, 256, (accounts, 20), dtype=np.uint8))
    slot, number = np.arange(accounts, dtype=np.int32), np.zeros(accounts, np.int32)
    for place in range(5):
        low, high = source.integers(1, 2**63, (2, accounts), dtype=np.uint64)
        tables.columns["m"].fill("m/held", Entries(number + place, slot, low, high))
    saving, held = asyncio.create_task(store.save_backfill((), {}, head(1), whole=True)), 0.0
    while not saving.done():
        started = time.perf_counter()
        await asyncio.sleep(0)
        held = max(held, time.perf_counter() - started)
    await store.close()
    started = time.perf_counter()
    again, store = Tables(SOURCES), await BookStore.open(path, 1)
    await store.load(again)
    opened_s = time.perf_counter() - started
    await store.close()
    assert again.columns["m"].count == 5 * accounts
    sample = [tables.account("m", slot) for slot in range(0, accounts, 1000)]
    assert all(again.get("m/held", (n, who)) == tables.get("m/held", (n, who)) > 0 for n in range(5) for who in sample)
    assert opened_s < 3
    assert held < 0.1
