"""Opening files that are fine, foreign, broken, busy, or on a disk without room."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from asyncio.subprocess import PIPE
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from keeper.book.store import BookStore
from keeper.errors import ConfigError, Halt, Transient
from keeper.ledger.holdings import Holdings
from keeper.ledger.ledger import Ledger
from keeper.storage import database
from keeper.storage.database import Database
from keeper.types import Address, Outcome, Verdict

REMEDY = "restore it from a backup or move it away; nothing was changed"
ACCOUNT = Address("0x" + "aa" * 20)


def outcome(block: int) -> Outcome:
    return Outcome(block, "market", ACCOUNT, Verdict.WON, "")


async def filled(path: Path, rows: int = 400) -> None:
    ledger = await Ledger.open(path, 1)
    await ledger.record([outcome(block) for block in range(rows)])
    await ledger.close()


def one_line(error: BaseException, *parts: str) -> None:
    text = str(error)
    assert "\n" not in text
    assert all(part in text for part in parts), text


async def test_a_file_keeps_what_was_written(tmp_path: Path) -> None:
    await filled(tmp_path / "deep" / "down" / "ledger.sqlite")
    ledger = await Ledger.open(tmp_path / "deep" / "down" / "ledger.sqlite", 1)
    assert len(await ledger.outcomes_of(ACCOUNT, 1000)) == 400
    await ledger.close()


async def test_commits_of_the_ledger_are_synced_and_those_of_the_book_need_not_be(tmp_path: Path) -> None:
    async def modes(database: Database) -> tuple[object, object]:
        async def read(connection: AsyncConnection) -> tuple[object, object]:
            journal = (await connection.exec_driver_sql("PRAGMA journal_mode")).scalar_one()
            return journal, (await connection.exec_driver_sql("PRAGMA synchronous")).scalar_one()

        return await database.read(read)

    ledger, book = await Ledger.open(tmp_path / "ledger.sqlite", 1), await BookStore.open(tmp_path / "book.sqlite", 1)
    assert await modes(ledger.database) == ("wal", 2)
    assert await modes(book.database) == ("wal", 1)
    await ledger.close()
    await book.close()


async def test_another_chains_file_is_refused_with_both_chain_ids(tmp_path: Path) -> None:
    await filled(tmp_path / "ledger.sqlite")
    with pytest.raises(ConfigError) as caught:
        await Ledger.open(tmp_path / "ledger.sqlite", 42161)
    one_line(caught.value, str(tmp_path / "ledger.sqlite"), "chain 1,", "chain 42161")
    await filled(tmp_path / "ledger.sqlite")


async def test_a_file_that_is_no_database_is_named_with_the_remedy_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(Halt) as caught:
        await Ledger.open(path, 1)
    one_line(caught.value, str(path), "is not a database", REMEDY)
    assert path.read_bytes() == b"not a database at all" * 500


async def test_a_book_that_is_no_database_can_be_rebuilt(tmp_path: Path) -> None:
    (tmp_path / "book.sqlite").write_bytes(b"\xff" * 9000)
    with pytest.raises(Halt) as caught:
        await BookStore.open(tmp_path / "book.sqlite", 1)
    one_line(caught.value, "book.sqlite", "move it away and restart; it is rebuilt from the chain")


@pytest.mark.parametrize("at", [100, 4096 + 8, 3 * 4096])
async def test_overwritten_pages_are_found_at_the_start(tmp_path: Path, at: int) -> None:
    path = tmp_path / "ledger.sqlite"
    await filled(path)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(4096 * 3))
    damaged = path.read_bytes()
    with pytest.raises(Halt) as caught:
        await Ledger.open(path, 1)
    one_line(caught.value, str(path), "is corrupt", REMEDY)
    assert path.read_bytes() == damaged


async def test_a_truncated_file_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    await filled(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(Halt, match="is corrupt"):
        await Ledger.open(path, 1)


async def test_damage_found_while_running_halts_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    await filled(path, 4000)
    ledger = await Ledger.open(path, 1)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(Halt, match="is corrupt"):
        await ledger.outcomes_of(ACCOUNT, 10_000)
    await ledger.close()


async def test_somebody_elses_database_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    with pytest.raises(Halt) as caught:
        await Ledger.open(path, 1)
    one_line(caught.value, "is not a keeper ledger", REMEDY)


async def test_a_book_in_the_place_of_the_ledger_is_refused(tmp_path: Path) -> None:
    await (await BookStore.open(tmp_path / "ledger.sqlite", 1)).close()
    with pytest.raises(Halt, match="is not a keeper ledger"):
        await Ledger.open(tmp_path / "ledger.sqlite", 1)


async def test_another_schema_version_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    await filled(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    connection.commit()
    connection.close()
    with pytest.raises(Halt) as caught:
        await Ledger.open(path, 1)
    one_line(caught.value, "schema version 99", REMEDY)


async def test_a_second_keeper_on_the_same_file_is_turned_away_and_the_first_goes_on(tmp_path: Path) -> None:
    ledger = await Ledger.open(tmp_path / "ledger.sqlite", 1)
    with pytest.raises(Halt) as caught:
        await Ledger.open(tmp_path / "ledger.sqlite", 1)
    one_line(caught.value, "in use by another keeper", str(os.getpid()), "data_dir")
    await ledger.record([outcome(1)])
    await ledger.close()
    await (await Ledger.open(tmp_path / "ledger.sqlite", 1)).close()


async def test_a_file_that_another_program_locks_for_long_is_passing_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 50)
    path = tmp_path / "ledger.sqlite"
    ledger = await Ledger.open(path, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(Transient, match=r"ledger\.sqlite is locked by another program"):
            await ledger.record([outcome(1)])
        other.execute("rollback")
    await ledger.record([outcome(2)])
    assert await ledger.outcomes_of(ACCOUNT) == [outcome(2)]
    await ledger.close()


async def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from keeper.storage.lock import FileLock; l = FileLock(Path(sys.argv[1]))"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code + "; print('locked', flush=True); time.sleep(60)", str(tmp_path / "ledger.sqlite"), stdout=PIPE
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"locked\n"
    with pytest.raises(Halt, match=str(child.pid)):
        await Ledger.open(tmp_path / "ledger.sqlite", 1)
    child.kill()
    await child.wait()
    await (await Ledger.open(tmp_path / "ledger.sqlite", 1)).close()


async def test_a_reader_works_beside_the_owner_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    owner = await Ledger.open(path, 1)
    await owner.record([outcome(1)])
    reader = await Ledger.open(path, 1, read_only=True)
    assert len(await reader.outcomes_of(ACCOUNT)) == 1
    await owner.record([outcome(2)])
    assert len(await reader.outcomes_of(ACCOUNT)) == 2
    with pytest.raises(Halt, match="cannot be opened for writing"):
        await reader.record([outcome(3)])
    await reader.close()
    await owner.close()


async def test_a_file_of_before_something_was_kept_is_read_as_it_is_and_completed_by_its_next_owner(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    await filled(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE entries; DROP TABLE standings")
    content = path.read_bytes()
    reader = await Ledger.open(path, 1, read_only=True)
    assert (await Holdings(reader.database).had(), await Holdings(reader.database).entries()) == ([], [])
    assert len(await reader.outcomes_of(ACCOUNT, 1000)) == 400
    await reader.close()
    assert path.read_bytes() == content
    owner = await Ledger.open(path, 1)
    assert await Holdings(owner.database).had() == []
    await owner.close()


async def test_a_reader_of_a_ledger_that_is_not_there_is_told_who_makes_it(tmp_path: Path) -> None:
    with pytest.raises(Halt, match="does not exist yet: `keeper run` creates it"):
        await Ledger.open(tmp_path / "ledger.sqlite", 1, read_only=True)
    assert os.listdir(tmp_path) == []


async def test_a_file_that_is_just_being_made_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """Whoever only looks may do so at any moment."""
    looks = 0
    for path in (tmp_path / f"{number}.sqlite" for number in range(20)):
        making = asyncio.create_task(BookStore.open(path, 1))
        while not making.done():
            if path.exists():
                await (await BookStore.open(path, 1, read_only=True)).close()
                looks += 1
            await asyncio.sleep(0)
        await (await making).close()
    assert looks


async def test_what_a_start_left_half_made_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.with_name("ledger.sqlite.new").write_bytes(b"SQLite format 3" + b"\0" * 2000)
    await filled(path)
    assert sorted(os.listdir(tmp_path)) == ["ledger.sqlite", "ledger.sqlite.lock"]


async def test_a_full_disk_halts_with_nothing_half_written_and_goes_on_after_room_is_made(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = await Ledger.open(path, 1)
    await ledger.record([outcome(1)])
    await limit_pages(ledger.database, 0)
    with pytest.raises(Halt) as caught:
        await ledger.record([outcome(block) for block in range(2, 3000)])
    one_line(caught.value, str(path), "make room and restart", "nothing was half-written")
    assert len(await ledger.outcomes_of(ACCOUNT, 10_000)) == 1
    await limit_pages(ledger.database, 100_000)
    await ledger.record([outcome(2)])
    await ledger.close()
    again = await Ledger.open(path, 1)
    assert [o.block for o in await again.outcomes_of(ACCOUNT)] == [2, 1]
    await again.close()


async def limit_pages(database: Database, more: int) -> None:
    """As if the disk had room for so many pages more."""

    async def limit(connection: AsyncConnection) -> None:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + more}")

    await database.write(limit)


async def test_a_data_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(Halt) as caught:
        await Ledger.open(tmp_path / "data" / "ledger.sqlite", 1)
    one_line(caught.value, str(tmp_path / "data"), "cannot be used")


async def test_a_folder_in_the_place_of_the_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    with pytest.raises(Halt) as caught:
        await Ledger.open(tmp_path / "ledger.sqlite", 1)
    one_line(caught.value, str(tmp_path / "ledger.sqlite"))


async def test_a_cancelled_writer_writes_all_or_nothing_and_the_file_stays_usable(tmp_path: Path) -> None:
    ledger = await Ledger.open(tmp_path / "ledger.sqlite", 1)
    for turn in range(30):
        task = asyncio.create_task(ledger.record([outcome(1000 * turn + i) for i in range(20)]))
        for _ in range(turn):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert len(await ledger.outcomes_of(ACCOUNT, 10_000)) % 20 == 0
    await ledger.record([outcome(99_999)])
    assert len(await ledger.outcomes_of(ACCOUNT, 10_000)) > 20
    await ledger.close()


async def test_a_defect_of_ours_is_not_called_corruption(tmp_path: Path) -> None:
    ledger = await Ledger.open(tmp_path / "ledger.sqlite", 1)
    with pytest.raises(IntegrityError):
        await ledger.database.write(lambda c: c.exec_driver_sql("INSERT INTO meta VALUES ('kind', 'other')"))
    await ledger.close()
