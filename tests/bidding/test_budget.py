"""What may be offered in a block and in a day: everything that is in doubt counts as spent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.bidding.budget import DAY_S, Budget, Purse
from keeper.types import Address, Landing, Outcome, Plan, Verdict
from tests.bidding.test_share import worth

PURSE = Purse(per_transaction_wei=60, per_block_wei=100, per_day_wei=150)


def plan(account: str, cover: int = 1) -> Plan:
    return replace(worth(1).plan, account=Address(account), cover=cover)


def landing(block: int, at_s: int | None = None) -> Landing:
    return Landing(block, 12 * block if at_s is None else at_s, 1)


def ended(account: str, block: int, verdict: Verdict) -> Outcome:
    return Outcome(block, "m", Address(account), verdict, "")


def left(budget: Budget, block: int, at_s: int | None = None) -> int:
    return budget.left_wei(plan("new"), landing(block, at_s))


def test_a_transaction_a_block_and_a_day_have_their_own_caps() -> None:
    budget = Budget(PURSE)
    assert left(budget, 1) == 60
    budget.commit(plan("a"), landing(1), 60)
    assert left(budget, 1) == 40
    assert left(budget, 2) == 60
    budget.commit(plan("b"), landing(2), 60)
    assert left(budget, 3) == 30
    assert left(budget, 1 + DAY_S // 12) == 60


def test_what_is_spent_leaves_nothing() -> None:
    budget = Budget(PURSE)
    budget.commit(plan("a"), landing(1), 95)
    assert left(budget, 1) == 5
    budget.commit(plan("b"), landing(1), 6)
    assert left(budget, 1) == 0


def test_the_same_plan_in_the_same_block_is_counted_once() -> None:
    budget = Budget(PURSE)
    for wei in (60, 50):
        budget.commit(plan("a"), landing(1), wei)
    assert budget.spent == [(12, 50)]
    budget.commit(plan("a", cover=2), landing(1), 10)
    assert budget.spent == [(12, 50), (12, 10)]


@pytest.mark.parametrize("verdict", Verdict)
def test_only_what_is_known_to_have_come_to_nothing_is_at_hand_again(verdict: Verdict) -> None:
    budget = Budget(PURSE)
    budget.commit(plan("a"), landing(1), 50)
    budget.heard([ended("a", 2, verdict), ended("b", 1, verdict)])
    assert left(budget, 1) == 50
    budget.heard([ended("a", 1, verdict)])
    assert left(budget, 1) == (50 if verdict in {Verdict.WON, Verdict.REVERTED, Verdict.PENDING} else 60)


def test_of_two_offers_for_an_account_the_smaller_is_released() -> None:
    budget = Budget(PURSE)
    for cover, wei in ((1, 20), (2, 30)):
        budget.commit(plan("a", cover), landing(1), wei)
    budget.heard([ended("a", 1, Verdict.LOST)])
    assert budget.spent == [(12, 30)]


def test_a_days_offers_survive_a_restart() -> None:
    budget = Budget(PURSE)
    budget.commit(plan("a"), landing(1), 60)
    budget.commit(plan("b"), landing(1), 30)
    assert left(Budget(PURSE, budget.spent), 2) == left(budget, 2) == 60
    assert Budget(PURSE, budget.spent).left_wei(plan("c"), landing(2)) == min(60, 150 - 90)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9), st.integers(1, 80)), max_size=60))
def test_no_series_of_bids_exceeds_a_cap(wanted: list[tuple[int, int, int]]) -> None:
    budget, offered = Budget(PURSE), dict[tuple[int, str], int]()
    for block, account, wei in sorted(wanted):
        most = budget.left_wei(plan(str(account)), landing(block))
        offered[block, str(account)] = min(wei, most)
        budget.commit(plan(str(account)), landing(block), min(wei, most))
    assert all(wei <= PURSE.per_transaction_wei for wei in offered.values())
    assert sum(offered.values()) <= PURSE.per_day_wei
    for number in (1, 2, 3):
        assert sum(wei for (block, _), wei in offered.items() if block == number) <= PURSE.per_block_wei
