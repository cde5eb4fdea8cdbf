"""A restart: what is loaded is what was saved, and ready for a tick."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from keeper.bench import restart
from keeper.bench.bed import Bed
from keeper.bench.market import LANDING, MARKET, certified, fill, watched
from keeper.bench.measure import run
from keeper.bench.population import Spec, populate
from keeper.bench.restart import MEASURES, Restart
from keeper.book.state import Tables

POPULATION = populate(Spec(500, 2))


@pytest.mark.parametrize("columned", [True, False])
async def test_what_is_loaded_is_what_was_saved(tmp_path: Path, columned: bool) -> None:
    book = Restart(tmp_path / "book.sqlite", columned)
    await book.save(POPULATION)
    filled = Tables({MARKET.name: MARKET.columns})
    fill(POPULATION)(filled)
    assert sorted((await book.load()).cells(), key=repr) == sorted(filled.cells(), key=repr)
    assert any(name.endswith(".image") for name in os.listdir(tmp_path)) is columned


def test_after_a_restart_the_set_is_known_and_nothing_is_left_to_certify(tmp_path: Path) -> None:
    book = Restart(tmp_path / "book.sqlite", columned=True)
    asyncio.run(book.save(POPULATION))
    watch, tables = book.ready(), asyncio.run(book.load())
    assert watch.work() is None
    fresh = certified(watched(tables), tables)
    found, expected = ([candidate.account for candidate in each.nearest(tables, LANDING.timestamp_s, 500)] for each in (watch, fresh))
    assert found == expected
    assert len(found) > 400


def test_the_baseline_makes_a_row_for_everybody(tmp_path: Path) -> None:
    book = Restart(tmp_path / "plain.sqlite", columned=False)
    asyncio.run(book.save(POPULATION))
    rows = book.ready_plainly()
    assert len(rows) == 500
    assert all(len(each) == 1 for each in rows.values())


async def test_the_measure_has_a_baseline_only_where_it_is_worth_waiting_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await run(MEASURES[0], Bed(300))).row()["ratio"] is not None
    monkeypatch.setattr(restart, "PLAIN_MOST", 200)
    assert (await run(MEASURES[0], Bed(300))).row()["ratio"] is None
