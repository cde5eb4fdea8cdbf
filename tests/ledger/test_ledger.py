"""Outcomes and the append-only ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from keeper.ledger.ledger import TRANSFERRED, Ledger, LedgerRow, Totals
from keeper.types import Address, Hash, Head, Outcome, Verdict

TOKEN = Address("0x" + "70" * 20)
ALICE, BOB = Address("0x" + "a1" * 20), Address("0x" + "b0" * 20)


def hash_of(n: int) -> Hash:
    return Hash(f"0x{n:064x}")


def head(n: int) -> Head:
    return Head(n, hash_of(n), hash_of(n - 1), 1000 + n, 10**9, 30_000_000, 0)


def row(tx: int, block: int = 5, profit: int = 2**200) -> LedgerRow:
    return LedgerRow(
        tx=hash_of(tx),
        block=block,
        block_hash=hash_of(block),
        market="m",
        account=ALICE,
        result="won",
        reason="",
        profit_token=TOKEN,
        predicted_profit=profit,
        realised_profit=profit,
        gas_predicted_wei=10**19,
        gas_paid_wei=10**19 + 1,
        net_eth_wei=-3,
        timestamp_s=1000 + block,
        foreign=(hash_of(77), hash_of(78)),
    )


def outcome(block: int, verdict: Verdict, account: Address = ALICE, reason: str = "why") -> Outcome:
    return Outcome(block, "m", account, verdict, reason, 2**255, None, "detail")


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = await Ledger.open(tmp_path / "ledger.sqlite", 1)
    yield opened
    await opened.close()


async def raw(ledger: Ledger, query: str) -> list[tuple[object, ...]]:
    result = await ledger.database.read(lambda connection: connection.exec_driver_sql(query))
    return [tuple(found) for found in result.all()]


# --- the ledger


async def test_rows_come_back_exactly_newest_first(ledger: Ledger) -> None:
    rows = [row(1), row(2, profit=-(2**255)), row(3)]
    await ledger.append(rows)
    assert await ledger.rows() == rows[::-1]
    assert await ledger.rows(1) == [rows[2]]


async def test_a_repeated_append_changes_nothing(ledger: Ledger) -> None:
    await ledger.append([row(1), row(2)])
    await ledger.append([row(1), row(2)])
    assert await raw(ledger, "SELECT count(*) FROM ledger") == [(2,)]


async def test_a_reorged_out_row_stays_and_a_reversal_nets_it(ledger: Ledger) -> None:
    await ledger.append([row(1), row(2)])
    await ledger.reverse([hash_of(1)], head(6))
    assert await ledger.rows() == [row(2)]
    found = await raw(ledger, "SELECT reverses, reason, timestamp_s, realised_profit FROM ledger ORDER BY id")
    assert found == [(None, "", 1005, str(2**200)), (None, "", 1005, str(2**200)), (1, "reorged_out", 1006, str(-(2**200)))]


async def test_reversing_what_does_not_stand_changes_nothing(ledger: Ledger) -> None:
    await ledger.append([row(1)])
    for _ in range(2):
        await ledger.reverse([hash_of(1), hash_of(9)], head(6))
    assert await raw(ledger, "SELECT count(*) FROM ledger") == [(2,)]


async def test_a_row_for_a_new_block_reverses_the_one_for_the_old_block_by_itself(ledger: Ledger) -> None:
    await ledger.append([row(1, block=5)])
    await ledger.append([row(1, block=6, profit=9)])
    assert await ledger.rows() == [row(1, block=6, profit=9)]
    await ledger.append([row(1, block=5)])
    assert await ledger.rows() == [row(1, block=5)]


async def test_the_file_itself_refuses_to_change_or_delete_a_row(ledger: Ledger) -> None:
    await ledger.append([row(1)])
    for statement in ("UPDATE ledger SET net_eth_wei = '1'", "DELETE FROM ledger"):
        with pytest.raises(IntegrityError, match="append-only"):
            await raw(ledger, statement)
    assert await ledger.rows() == [row(1)]


async def test_totals_are_exact_sums_of_what_stands(ledger: Ledger) -> None:
    assert await ledger.totals() == Totals()
    lost = replace(row(3), result="lost", predicted_profit=0, realised_profit=0)
    await ledger.append([row(1), row(2), lost, row(4)])
    await ledger.reverse([hash_of(4)], head(6))
    totals = await ledger.totals()
    assert totals.results == {"won": 2, "lost": 1}
    assert totals.realised_profit == {TOKEN: 2**201}
    assert (totals.gas_paid_wei, totals.net_eth_wei) == (3 * (10**19 + 1), -9)


STEPS = st.lists(st.tuples(st.sampled_from(["append", "reverse"]), st.integers(1, 3), st.integers(5, 7)), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_after_any_reorgs_the_sum_over_all_rows_is_the_sum_over_those_that_stand(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    ledger = await Ledger.open(tmp_path_factory.mktemp("ledger") / "ledger.sqlite", 1)
    model: dict[int, int] = {}
    for step, tx, block in steps:
        if step == "append":
            model[tx] = block
            await ledger.append([row(tx, block, profit=block)])
        else:
            model.pop(tx, None)
            await ledger.reverse([hash_of(tx)], head(9))
    every = await raw(ledger, "SELECT realised_profit FROM ledger")
    standing = await ledger.rows()
    await ledger.close()
    assert {(r.tx, r.block) for r in standing} == {(hash_of(tx), block) for tx, block in model.items()}
    assert len(standing) == len(model)
    assert sum(int(str(profit)) for (profit,) in every) == sum(model.values())


# --- outcomes


async def test_outcomes_come_back_exactly_newest_block_first(ledger: Ledger) -> None:
    outcomes = [outcome(block, Verdict.SKIPPED, reason=f"r{block}") for block in (1, 2, 3)]
    await ledger.record(outcomes)
    await ledger.record([replace(outcome(3, Verdict.WON, BOB), tx=hash_of(1))])
    assert await ledger.outcomes_of(ALICE) == outcomes[::-1]
    assert await ledger.outcomes_of(ALICE, 1) == outcomes[2:]
    assert await ledger.outcomes_of(BOB) == [replace(outcome(3, Verdict.WON, BOB), tx=hash_of(1))]


async def test_a_candidate_has_one_outcome_per_block_and_the_later_word_counts(ledger: Ledger) -> None:
    await ledger.record([outcome(1, Verdict.PENDING)])
    await ledger.record([outcome(1, Verdict.WON)])
    assert await ledger.outcomes_of(ALICE) == [outcome(1, Verdict.WON)]


@pytest.mark.parametrize("sent", [Verdict.PENDING, Verdict.WON, Verdict.REVERTED])
@pytest.mark.parametrize("later", [Verdict.SKIPPED, Verdict.DRY])
async def test_a_skip_on_the_same_block_after_a_restart_does_not_hide_what_was_sent(ledger: Ledger, sent: Verdict, later: Verdict) -> None:
    await ledger.record([outcome(1, sent)])
    await ledger.record([outcome(1, later)])
    assert [o.verdict for o in await ledger.outcomes_of(ALICE)] == [sent]


async def test_only_the_newest_skips_of_an_account_are_kept_and_all_that_was_sent(tmp_path: Path) -> None:
    ledger = Ledger((await Ledger.open(tmp_path / "ledger.sqlite", 1)).database, keep_skipped=10)
    await ledger.record([outcome(1, Verdict.WON), outcome(1, Verdict.SKIPPED, BOB)])
    for block in range(2, 101):
        await ledger.record([outcome(block, Verdict.SKIPPED)])
    kept = [o.block for o in await ledger.outcomes_of(ALICE, 1000)]
    assert kept == [*range(100, 90, -1), 1]
    assert len(await ledger.outcomes_of(BOB)) == 1
    await ledger.close()


async def test_when_ether_was_last_transferred_is_known_and_a_reorg_takes_it_back(ledger: Ledger) -> None:
    assert await ledger.transferred_s("sweep") == 0
    moved = [replace(row(i, block=i, profit=0), result=TRANSFERRED, reason=why) for i, why in enumerate(("sweep", "sweep", "float"), 5)]
    await ledger.append(moved)
    assert await ledger.transferred_s("sweep") == 1006
    await ledger.reverse([moved[1].tx], head(9))
    assert await ledger.transferred_s("sweep") == 1005
