"""One event: what is timed is the whole way, and it leaves what it should."""

from __future__ import annotations

import numpy as np
import pytest

from keeper.bench.bed import Bed
from keeper.bench.cells import account
from keeper.bench.events import MEASURES, PER_BLOCK, Applied, Events, Plain
from keeper.bench.market import CELLS, LANDING, MARKET, certified, watched
from keeper.bench.measure import run
from keeper.bench.population import Spec, populate
from keeper.book.book import FOLLOWED
from keeper.risk.watch import Watch
from keeper.types import Address

ACCOUNTS = 400


@pytest.fixture
def applied() -> Applied:
    return made(seed=3)


def made(seed: int) -> Applied:
    population = populate(Spec(ACCOUNTS, seed))
    return Applied(population, Events(population, np.random.default_rng(1)))


def order(watch: Watch, applied: Applied) -> list[Address]:
    """Everybody, by distance from liquidation."""
    watch.tick(applied.book.tables, LANDING)
    return [candidate.account for candidate in watch.nearest(applied.book.tables, LANDING.timestamp_s, ACCOUNTS)]


def balances(applied: Applied) -> dict[tuple[int, str], int]:
    tables = applied.book.tables
    return {
        (index, str(key)): tables.get(table, key) for index, table in enumerate((CELLS.supply, CELLS.debt)) for key in tables.keys(table)
    }


def test_every_event_of_a_block_moves_one_balance_of_another_account(applied: Applied) -> None:
    before = balances(applied)
    applied.apply()
    changed = [cell for cell, value in balances(applied).items() if before[cell] != value]
    assert len(changed) == PER_BLOCK
    assert len({log.topics[1] for log in applied.block.logs}) == PER_BLOCK


def test_rows_followed_event_by_event_are_those_of_a_fresh_start(applied: Applied) -> None:
    for _ in range(5):
        applied.next()
        applied.apply()
        assert order(applied.watch, applied) == order(watched(applied.book.tables), applied)


def test_the_next_round_starts_from_the_same_book(applied: Applied) -> None:
    balance, distance = balances(applied), order(applied.watch, applied)
    first = applied.block
    applied.apply()
    applied.next()
    assert balances(applied) == balance
    assert order(applied.watch, applied) == distance
    assert applied.block.logs != first.logs


def test_nothing_is_left_to_be_certified_before_a_round(applied: Applied) -> None:
    applied.apply()
    applied.next()
    assert applied.watch.work() is None


def test_an_account_that_pays_its_debt_back_in_a_block_of_many_is_watched_no_more(applied: Applied) -> None:
    tables, watch = applied.book.tables, applied.watch
    writes = [(CELLS.debt, key, 0) for key in list(tables.keys(CELLS.debt))[:100]]
    tables.write(writes)
    watch.update(writes, tables)
    assert len(watch) == len(watched(tables)) < ACCOUNTS
    assert order(watch, applied) == order(watched(tables), applied)


def test_accounts_that_owe_more_kinds_of_things_in_a_block_of_many_are_followed(applied: Applied) -> None:
    tables, watch = applied.book.tables, applied.watch
    few = [account(number) for number in range(60)]
    reserves = range(20, 30)
    writes = [(CELLS.debt, (reserve, who), 10**7) for who in few for reserve in reserves]
    owed = sum(1 << 2 * reserve for reserve in reserves)
    writes += [(CELLS.bits, (0, who), tables.get(CELLS.bits, (0, who)) | owed) for who in few]
    tables.write(writes)
    watch.update(writes, tables)
    assert len(watch) == ACCOUNTS
    assert order(watch, applied) == order(watched(tables), applied)


def test_an_account_beyond_the_columns_is_followed_in_a_block_of_many(applied: Applied) -> None:
    tables, watch = applied.book.tables, applied.watch
    writes = [(CELLS.supply, key, 2**130) for key in list(tables.keys(CELLS.supply))[:3]]
    writes += [(CELLS.supply, key, 10**6) for key in list(tables.keys(CELLS.supply))[3:60]]
    tables.write(writes)
    watch.update(writes, tables)
    assert order(watch, applied) == order(certified(watched(tables), tables), applied)


def test_the_baseline_comes_to_the_same_balances_and_rows() -> None:
    population = populate(Spec(ACCOUNTS, 3))
    ours = Applied(population, Events(population, np.random.default_rng(1)))
    theirs = Plain(population, Events(population, np.random.default_rng(1)))
    ours.apply()
    theirs.apply()
    assert set(theirs.tables.cells()) == {cell for cell in ours.book.tables.cells() if cell[0] != FOLLOWED}
    assert theirs.rows == {who: MARKET.rows(ours.book.tables, who) for who in theirs.rows}


async def test_the_measure_runs() -> None:
    row = (await run(MEASURES[0], Bed(1000))).row()
    assert row["n"] > 0
    assert row["baseline"].startswith("dicts")
