"""What is done about a transaction that has not landed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.execution.drafts import cancel, draft, pay_more
from keeper.execution.escalation import Cancel, Limits, Replace, Resend, due, filler, next_step, raise_bid
from keeper.execution.signer import decode
from keeper.execution.states import State
from keeper.execution.submission import Submission
from keeper.types import Bid
from tests.execution.rig import GWEI, LIMITS, SIGNER, intent

FEES = st.integers(0, 10**13)


def sent(max_fee_wei: int = 20 * GWEI, cap_wei: int | None = None) -> Submission:
    return replace(draft(SIGNER, 1, intent(0, max_fee_wei=max_fee_wei, cap_wei=cap_wei), 0), id=1, state=State.SENT, sent_block=10)


@given(FEES, FEES, FEES, st.integers(0, 2 * 10**13))
def test_a_raised_bid_passes_every_node_and_never_the_cap(max_fee: int, priority: int, base_fee: int, cap: int) -> None:
    bid = Bid(max_fee, min(priority, max_fee), 21_000)
    raised = raise_bid(bid, base_fee, cap)
    if raised is None:
        needed = max(max_fee + 1, -(-max_fee * 9 // 8), base_fee + max(bid.priority_fee_wei + 1, -(-bid.priority_fee_wei * 9 // 8)))
        assert cap < needed
        return
    assert raised.max_fee_wei * 8 >= max_fee * 9
    assert raised.priority_fee_wei * 8 >= bid.priority_fee_wei * 9
    assert raised.max_fee_wei > max_fee
    assert raised.priority_fee_wei > bid.priority_fee_wei
    assert base_fee + raised.priority_fee_wei <= raised.max_fee_wei <= cap


@given(FEES)
def test_a_filler_pays_at_least_the_base_fee_where_the_cap_allows(base_fee: int) -> None:
    bid = filler(base_fee, LIMITS)
    assert bid.priority_fee_wei <= bid.max_fee_wei <= LIMITS.max_fee_wei
    assert bid.max_fee_wei >= min(base_fee + bid.priority_fee_wei, LIMITS.max_fee_wei)


@pytest.mark.parametrize(
    ("state", "block", "expected"), [("sent", 12, False), ("sent", 13, True), ("unknown", 10, True), ("signed", 10, True)]
)
def test_an_accepted_one_is_given_three_blocks_and_a_doubtful_one_none(state: str, block: int, expected: bool) -> None:
    assert due(replace(sent(), state=State(state)), block, LIMITS) is expected


def test_one_that_can_pay_is_sent_again_as_it_is() -> None:
    assert next_step(sent(20 * GWEI), False, 20 * GWEI, LIMITS) == Resend()


def test_one_that_cannot_pay_pays_more() -> None:
    step = next_step(sent(20 * GWEI), False, 21 * GWEI, LIMITS)
    assert isinstance(step, Replace)
    assert step.bid.gas_limit == sent().gas_limit


def test_one_that_is_not_worth_more_is_cancelled() -> None:
    step = next_step(sent(20 * GWEI, cap_wei=21 * GWEI), False, 30 * GWEI, LIMITS)
    assert isinstance(step, Cancel)
    assert step.bid.gas_limit == LIMITS.cancel_gas


@pytest.mark.parametrize("alone", [True, False])
def test_a_transfer_that_is_not_worth_more_waits_as_long_as_nothing_waits_behind_it(alone: bool) -> None:
    top = replace(sent(20 * GWEI, cap_wei=21 * GWEI), plan_json="")
    step = next_step(top, False, 30 * GWEI, LIMITS, alone)
    assert step is None if alone else isinstance(step, Cancel)
    assert isinstance(next_step(top, True, 30 * GWEI, LIMITS, alone), Cancel)
    assert next_step(top, False, 20 * GWEI, LIMITS, alone) == Resend()


def test_a_transfer_that_pays_more_moves_the_same_ether() -> None:
    transfer = draft(SIGNER, 1, replace(intent(0), plan_json="", data=b"", value_wei=7), 0)
    more = decode(pay_more(SIGNER, transfer, Bid(30 * GWEI, 2 * GWEI, 21_000), 12).raw)
    assert (more.value_wei, more.to, more.nonce, more.max_fee_wei) == (7, transfer.to, 0, 30 * GWEI)
    assert decode(cancel(SIGNER, transfer, Bid(30 * GWEI, 2 * GWEI, 21_000), 12).raw).value_wei == 0


def test_a_priority_fee_at_its_cap_is_cancelled_not_raised() -> None:
    step = next_step(sent(20 * GWEI), False, 30 * GWEI, Limits(max_fee_wei=500 * GWEI, max_priority_fee_wei=GWEI))
    assert isinstance(step, Cancel)


def test_what_no_relay_takes_is_cancelled_even_when_it_could_pay() -> None:
    assert isinstance(next_step(sent(20 * GWEI), True, 10 * GWEI, LIMITS), Cancel)


def test_above_the_hard_cap_there_is_nothing_to_do_but_wait() -> None:
    assert next_step(sent(499 * GWEI), False, 600 * GWEI, LIMITS) is None


def test_a_cancel_is_never_cancelled() -> None:
    top = replace(cancel(SIGNER, sent(), Bid(30 * GWEI, 2 * GWEI, 21_000), 12), id=2, state=State.UNKNOWN)
    assert isinstance(next_step(top, False, 40 * GWEI, LIMITS), Replace)
    assert next_step(top, True, 10 * GWEI, LIMITS) == Resend()
    assert next_step(replace(top, max_fee_wei=499 * GWEI), False, 600 * GWEI, LIMITS) is None
