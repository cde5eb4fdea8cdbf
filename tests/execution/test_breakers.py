"""Breakers: each trips at its own figure, on what stands since the last resume, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.errors import Halt
from keeper.execution.breakers import DAY_S, HOUR_S, Breakers, tripped
from keeper.execution.fuse import Fuse
from keeper.execution.haltfile import BY_HAND, HaltFile
from keeper.ledger.ledger import PAID, TRANSFERRED, Ledger, LedgerRow
from keeper.types import Verdict
from tests.ledger.test_ledger import head, row

NOW_S = 10 * DAY_S
BREAKERS = Breakers(reverts_in_a_row=3, loss_per_hour_wei=100, gas_per_day_wei=1000)
WON, LOST, REVERTED = str(Verdict.WON), str(Verdict.LOST), str(Verdict.REVERTED)


def landed(result: str = WON, net_wei: int = 0, gas_wei: int = 0, age_s: int = 0) -> LedgerRow:
    return replace(row(1), result=result, net_eth_wei=net_wei, gas_paid_wei=gas_wei, timestamp_s=NOW_S - age_s)


def which(rows: Sequence[LedgerRow], breakers: Breakers = BREAKERS) -> str:
    return tripped(breakers, rows, NOW_S).partition(":")[0]


@pytest.mark.parametrize(
    ("results", "trips"),
    [
        ([REVERTED] * 2, False),
        ([REVERTED] * 3, True),
        ([REVERTED, REVERTED, WON, REVERTED], False),
        ([REVERTED, LOST, REVERTED, REVERTED], False),
        ([REVERTED, REVERTED, PAID, REVERTED], True),
        ([REVERTED, REVERTED, TRANSFERRED, REVERTED], True),
        ([LOST] * 9, False),
    ],
)
def test_reverts_count_while_nothing_else_of_ours_lands(results: list[str], trips: bool) -> None:
    assert (which([landed(result) for result in results]) == "reverts_in_a_row") is trips


def test_what_is_earned_makes_up_for_what_is_lost_within_the_hour_and_no_longer() -> None:
    assert which([landed(net_wei=-100)]) == "loss_per_hour_wei"
    assert which([landed(net_wei=-100), landed(net_wei=1)]) == ""
    assert which([landed(net_wei=-100), landed(net_wei=1, age_s=HOUR_S)]) == "loss_per_hour_wei"
    assert which([landed(net_wei=-100, age_s=HOUR_S)]) == ""


def test_a_days_gas_counts_whatever_it_earned() -> None:
    assert which([landed(net_wei=10**6, gas_wei=500)] * 2) == "gas_per_day_wei"
    assert which([landed(gas_wei=500), landed(gas_wei=500, age_s=DAY_S)]) == ""


@given(st.lists(st.tuples(st.sampled_from([WON, LOST, REVERTED, PAID]), st.integers(-500, 500), st.integers(0, 5000))))
def test_none_trips_that_is_off(seen: list[tuple[str, int, int]]) -> None:
    assert which([landed(*item) for item in seen], Breakers(0, 0, 0)) == ""


# --- the file -----------------------------------------------------------------------------------------------------


def test_the_first_reason_stands_until_it_is_resumed(tmp_path: Path) -> None:
    file = HaltFile(tmp_path / "chain")
    assert (file.why(), file.counted()) == ("", 0)
    file.halt("odd prices")
    file.halt("something else")
    assert HaltFile(tmp_path / "chain").why() == "odd prices"
    assert (file.resume(7), file.why(), file.counted()) == ("odd prices", "", 7)
    assert (file.resume(9), file.counted()) == ("", 7)


def test_whatever_lies_there_halts(tmp_path: Path) -> None:
    (tmp_path / "HALT").touch()
    assert HaltFile(tmp_path).why() == BY_HAND
    (tmp_path / "HALT").write_bytes(b"\xff\xfe")
    assert HaltFile(tmp_path).why()
    (tmp_path / "HALT").unlink()
    (tmp_path / "HALT").mkdir()
    assert HaltFile(tmp_path).why() == BY_HAND
    with pytest.raises(Halt, match="HALT"):
        HaltFile(tmp_path).resume(1)


async def test_where_the_file_cannot_be_made_it_holds_all_the_same_and_the_ledger_says_so_again(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    ledger = await Ledger.open(tmp_path / "ledger.sqlite", 1)
    try:
        await ledger.append([replace(row(n), result=REVERTED) for n in range(3)])
        for _ in ("a process", "the next one"):
            told: list[str] = []
            fuse = Fuse(HaltFile(tmp_path / "data"), BREAKERS, ledger, told.append)
            assert fuse.why() == ""
            await fuse.judge(head(5))
            await fuse.judge(head(6))
            assert fuse.why().startswith("reverts_in_a_row")
            assert told == [fuse.why()]
    finally:
        await ledger.close()


async def test_only_what_landed_after_the_resume_counts(tmp_path: Path) -> None:
    ledger = await Ledger.open(tmp_path / "ledger.sqlite", 1)
    try:
        told: list[str] = []
        file = HaltFile(tmp_path)
        fuse = Fuse(file, replace(BREAKERS, gas_per_day_wei=0, loss_per_hour_wei=0), ledger, told.append)
        await ledger.append([replace(row(n), result=REVERTED) for n in range(3)])
        await fuse.judge(head(5))
        file.resume(await ledger.newest())
        await ledger.append([replace(row(n), result=REVERTED) for n in (3, 4)])
        await fuse.judge(head(6))
        assert fuse.why() == ""
        await ledger.append([replace(row(5), result=REVERTED)])
        await fuse.judge(head(7))
        assert [why.partition(":")[0] for why in told] == ["reverts_in_a_row", "", "reverts_in_a_row"]
    finally:
        await ledger.close()
