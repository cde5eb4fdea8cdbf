"""What accounts of ours had, and why it changed, is appended once a block and netted by the opposite when the block is no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from keeper.ledger.holdings import Holdings
from keeper.ledger.ledger import Ledger
from keeper.ledger.lives import lives
from keeper.types import Address, Entry, Hash, Holding, Standing
from keeper.types.holding import EXIT, INHERITED, PRICE
from tests.ledger.test_ledger import ALICE, BOB, TOKEN, hash_of, head, raw

HUGE = 2**200
LONG = Holding("eth", 3, HUGE, -HUGE, -7, None, 5)
SHORT = Holding("btc", -4, -9, 12, 0, -11)


def standing(*held: Holding, equity: int = HUGE, account: Address = ALICE) -> Standing:
    return Standing(account, 1000, TOKEN, 10**12, equity, 5, -6, 7, held)


def entry(amount: int, block: int = 5, kind: str = PRICE, target: str = "eth", account: Address = ALICE) -> Entry:
    return Entry("m", account, target, kind, amount, TOKEN, block, hash_of(block + 100))


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[tuple[Holdings, Ledger]]:
    ledger = await Ledger.open(tmp_path / "ledger.sqlite", 1)
    yield Holdings(ledger.database), ledger
    await ledger.close()


async def test_what_was_had_and_why_comes_back_exactly(kept: tuple[Holdings, Ledger]) -> None:
    holdings, _ = kept
    had, moved = standing(LONG, SHORT), [entry(-HUGE), entry(HUGE + 1, kind=EXIT)]
    await holdings.append(head(5), "m", had, moved)
    (found,) = await holdings.had()
    assert (found.market, found.block, found.block_hash, found.standing) == ("m", 5, hash_of(5), had)
    assert await holdings.entries() == moved


async def test_a_block_is_told_of_once_for_each_account(kept: tuple[Holdings, Ledger]) -> None:
    """So a keeper that was killed may say it all again."""
    holdings, _ = kept
    for _ in range(3):
        await holdings.append(head(5), "m", standing(LONG), [entry(1)])
        await holdings.append(head(5), "m", standing(account=BOB), [entry(2, account=BOB)])
    assert len(await holdings.had()) == 2
    assert [found.amount for found in await holdings.entries()] == [1, 2]
    assert [found.standing.account for found in await holdings.had("m", BOB)] == [BOB]


async def test_what_an_account_has_is_all_written_or_nothing(kept: tuple[Holdings, Ledger]) -> None:
    holdings, _ = kept
    broken = replace(entry(1), kind=None)  # type: ignore[arg-type]
    with pytest.raises(IntegrityError):
        await holdings.append(head(5), "m", standing(LONG), [entry(1), broken])
    assert await holdings.had() == []
    assert await holdings.entries() == []


@pytest.mark.parametrize("table", ["entries", "standings"])
async def test_the_file_itself_refuses_to_change_or_delete_any_of_it(kept: tuple[Holdings, Ledger], table: str) -> None:
    holdings, ledger = kept
    await holdings.append(head(5), "m", standing(LONG), [entry(1)])
    for statement in (f"UPDATE {table} SET market = 'x'", f"DELETE FROM {table}"):  # noqa: S608 - of this file's own
        with pytest.raises(IntegrityError, match="append-only"):
            await raw(ledger, statement)


STEPS = st.lists(st.tuples(st.sampled_from(["append", "undo"]), st.integers(1, 4), st.integers(-5, 5)), max_size=14)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_after_any_reorgs_what_stands_adds_up_and_so_do_all_rows(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    ledger = await Ledger.open(tmp_path_factory.mktemp("ledger") / "ledger.sqlite", 1)
    holdings, model = Holdings(ledger.database), dict[int, int]()
    for step, block, amount in steps:
        if step == "append":
            model.setdefault(block, amount)
            await holdings.append(head(block), "m", standing(equity=amount), [entry(amount, block)])
        else:
            model.pop(block, None)
            await holdings.undo([hash_of(block), hash_of(99)])
    stands, every = await holdings.entries(), await raw(ledger, "SELECT amount FROM entries")
    had = {found.block: found.standing.equity for found in await holdings.had()}
    await ledger.close()
    assert {found.block: found.amount for found in stands} == model == had
    assert sum(int(str(amount)) for (amount,) in every) == sum(model.values())


# --- lives


async def test_each_position_has_its_own_life_and_no_entry_is_left_out(kept: tuple[Holdings, Ledger]) -> None:
    """Held, gone, held again; and one that came and went within a block."""
    holdings, _ = kept
    small = replace(LONG, value=10)
    path = [(5, standing(small), [entry(3, 5, INHERITED)]), (6, standing(LONG), [entry(4, 6)]), (7, standing(), [entry(-1, 7, EXIT)])]
    path += [(8, standing(), [entry(50, 8, target="sol"), entry(2, 8, target="")]), (9, standing(small), [entry(9, 9, INHERITED)])]
    for block, had, moved in path:
        await holdings.append(head(block), "m", had, moved)
    found = lives(await holdings.had(), await holdings.entries())
    told = [(life.target, life.since, life.until, life.most, life.total) for life in found]
    assert sorted(told) == [("", 8, None, 0, 2), ("eth", 5, 7, HUGE, 6), ("eth", 9, None, 10, 9), ("sol", 8, 8, 0, 50)]
    assert next(life for life in found if life.since == 5).money == {INHERITED: 3, PRICE: 4, EXIT: -1}


def test_what_is_held_by_nobody_has_no_life() -> None:
    assert lives([], []) == []


def test_what_was_traded_away_at_once_is_told_by_its_market() -> None:
    (life,) = lives([], [replace(entry(5), account=Address(""), tx=Hash("0x1"))])
    assert (life.account, life.since, life.until, life.total) == ("", 5, 5, 5)
