"""A bid never costs more than the profit, whatever the fees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.bidding.caps import Caps
from keeper.bidding.share import ProfitShare
from keeper.errors import Skip
from keeper.types import CLOSE, TAKE, ZERO_ADDRESS, Bid, Fill, Funding, FundingKind, Landing, Plan, Prediction

GWEI = 10**9
caps = st.builds(
    Caps,
    min_priority_fee_wei=st.integers(0, 5 * GWEI),
    max_priority_fee_wei=st.integers(5 * GWEI, 1000 * GWEI),
    max_fee_wei=st.integers(1 * GWEI, 3000 * GWEI),
    min_profit_wei=st.integers(0, 10**17),
)
policies = st.builds(ProfitShare, profit_share_bps=st.integers(0, 9_999), caps=caps)


def worth(value_wei: int) -> Prediction:
    plan = Plan(
        "m", ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, 1, Funding(FundingKind.NONE, ZERO_ADDRESS, ZERO_ADDRESS, 0, 0), (), ZERO_ADDRESS
    )
    fill = Fill(ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, 1, 1, 1, 1, 0, False, (), 1)
    return Prediction(plan, 0, 1, 1, 1, {}, value_wei, 1, fill, ())


def kept(value_wei: int, kind: str = CLOSE) -> Prediction:
    """On an account of ours."""
    return replace(worth(value_wei), plan=replace(worth(1).plan, kind=kind, by=ZERO_ADDRESS))


def offered(policy: ProfitShare, value_wei: int, gas: int, base_fee_wei: int) -> Bid | None:
    try:
        return policy.bid(worth(value_wei), gas, Landing(1, 1, base_fee_wei))
    except Skip:
        return None


@given(policies, st.integers(1, 10**19), st.integers(21_000, 3_000_000), st.integers(1, 500 * GWEI))
def test_what_is_paid_in_the_landing_block_leaves_the_least_profit(policy: ProfitShare, spare: int, gas: int, base: int) -> None:
    value_wei = gas * (base + policy.caps.min_priority_fee_wei) + policy.caps.min_profit_wei + spare
    bid = offered(policy, value_wei, gas, base)
    if bid is None:  # only the hard cap can be in the way
        assert base + policy.caps.max_priority_fee_wei > policy.caps.max_fee_wei
        return
    assert value_wei - gas * (base + bid.priority_fee_wei) >= policy.caps.min_profit_wei
    assert value_wei - gas * bid.max_fee_wei >= policy.caps.min_profit_wei
    assert base + bid.priority_fee_wei <= bid.max_fee_wei <= policy.caps.max_fee_wei
    assert bid.priority_fee_wei <= policy.caps.max_priority_fee_wei
    assert bid.gas_limit >= gas


@given(policies, st.integers(0, 10**17), st.integers(21_000, 3_000_000), st.integers(1, 500 * GWEI))
def test_it_declines_exactly_when_the_least_bid_does_not_pay_or_breaks_the_cap(
    policy: ProfitShare, value_wei: int, gas: int, base: int
) -> None:
    least = gas * (base + policy.caps.min_priority_fee_wei)
    if value_wei - least <= policy.caps.min_profit_wei:
        with pytest.raises(Skip, match="unprofitable"):
            policy.bid(worth(value_wei), gas, Landing(1, 1, base))


def test_it_offers_the_share_of_the_profit_it_was_told() -> None:
    policy = ProfitShare(3_000, Caps(GWEI, 1_000 * GWEI, 3_000 * GWEI, 0))
    bid = policy.bid(worth(10**18), 500_000, Landing(1, 1, 10 * GWEI))
    net = 10**18 - 500_000 * 11 * GWEI
    assert bid.priority_fee_wei == GWEI + net * 3 // 10 // 500_000


def test_what_nobody_else_can_have_gets_the_least_tip() -> None:
    policy = ProfitShare(3_000, Caps(GWEI, 50 * GWEI, 500 * GWEI, 0))
    taken, closed = kept(10**18, TAKE), kept(10**18)
    tips = [policy.bid(prediction, 10**6, Landing(1, 1, GWEI)).priority_fee_wei for prediction in (taken, closed)]
    assert tips == [50 * GWEI, GWEI]
