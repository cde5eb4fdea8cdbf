"""The book's file is written after the work on a head: a keeper that ends in between has sent, and settled, more than its file knows."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from keeper.book.store import BookStore
from tests.e2e.test_reorg import ACCOUNTS, FALL_PERCENT, SEED, assert_agreed, bodies
from tests.e2e.world import World, drop, keeper_on, query, settle_down, step, waiting, world


async def never_saved(*_: Any) -> None:
    await asyncio.Event().wait()


def saved(here: World) -> int:
    """The head of the book's file."""
    path = here.ledger_file.with_name("book.sqlite")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute("select max(number) from journal").fetchone()[0])


async def test_what_was_sent_before_the_save_is_found_again_and_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            with monkeypatch.context() as broken:
                broken.setattr(BookStore, "save_update", never_saved)
                fell = await step(here, keeper, await drop(here, FALL_PERCENT))
                assert await waiting(here.net) >= 5
                await keeper.stop()
        assert saved(here) < fell
        async with keeper_on(here) as keeper:
            await settle_down(here, keeper, at_least=2)
        assert len(await assert_agreed(here, {"won"})) >= 5


@pytest.mark.parametrize("reorg", ["none", "kept", "dropped"])
async def test_what_was_settled_before_the_save_is_found_again_and_counted_once(monkeypatch: pytest.MonkeyPatch, reorg: str) -> None:
    """Also when the block that the file never knew is replaced while nobody is there, with what was in it or without."""
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await step(here, keeper, await drop(here, FALL_PERCENT))
            with monkeypatch.context() as broken:
                broken.setattr(BookStore, "save_update", never_saved)
                settled = await step(here, keeper)
                assert len(query(here, "select * from ledger")) >= 5
                await keeper.stop()
        assert saved(here) < settled
        if reorg != "none":
            again = [[body, 0] for body in await bodies(here.net, settled)] if reorg == "kept" else []
            await here.net.request("anvil_reorg", 1, again)
        async with keeper_on(here) as keeper:
            await settle_down(here, keeper, at_least=3)
        assert len(await assert_agreed(here, {"won"})) >= 5
