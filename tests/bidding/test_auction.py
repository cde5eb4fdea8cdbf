"""The buyer of a falling price takes it where waiting longer would lose more than it gains."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.bidding.auction import ABOVE_BPS, PRIOR_BPS, REMEMBERED, RivalMargins, Standing, most_for
from keeper.fixedpoint import BPS

margins = st.lists(st.integers(-500, 3000), max_size=40)
amounts = st.integers(1, 10**24)


def standing(price_wei: int, value_wei: int = 10**18, cost_wei: int = 10**15) -> Standing:
    return Standing("market 0x1", 1, 1, price_wei, value_wei, cost_wei)


def first_taken(model: RivalMargins) -> int:
    """The margin at which a lot is taken whose price falls in small steps."""
    for price_wei in range(10**18, 5 * 10**17, -(10**14)):
        if model.decide(standing(price_wei)).take:
            return standing(price_wei).margin_bps
    raise AssertionError("it was never taken")


def test_nothing_is_taken_at_a_loss() -> None:
    assert not RivalMargins().decide(standing(10**18)).take
    assert not RivalMargins([0] * 50).decide(standing(10**18 - 10**15 + 1)).take


def test_who_has_seen_nobody_waits_for_a_margin_of_the_prior() -> None:
    assert 0 < RivalMargins().least_margin_bps() < max(PRIOR_BPS)


def test_rivals_who_wait_long_make_us_wait_almost_as_long() -> None:
    assert RivalMargins([400] * 30).least_margin_bps() == 399
    assert 399 <= first_taken(RivalMargins([400] * 30)) <= 402


def test_eager_rivals_make_us_eager() -> None:
    assert RivalMargins([11] * 100).least_margin_bps() == 10


def test_few_patient_rivals_among_eager_ones_do_not_make_us_wait() -> None:
    assert RivalMargins([50] * 40 + [60] * 2).least_margin_bps() == 49


def test_old_purchases_are_forgotten() -> None:
    model = RivalMargins([30] * REMEMBERED)
    for _ in range(REMEMBERED):
        model.observe(700)
    assert model.least_margin_bps() == 699


def test_a_buyer_who_came_very_late_tells_nothing() -> None:
    assert RivalMargins([ABOVE_BPS + 1] * 50).seen_bps == ()


@given(margins)
def test_the_margin_asked_is_worth_as_much_as_any_other(seen: list[int]) -> None:
    model = RivalMargins(seen)
    waiting = [*model.seen_bps, *PRIOR_BPS]

    def worth(margin_bps: int) -> int:
        return margin_bps * sum(rival > margin_bps for rival in waiting)

    best = model.least_margin_bps()
    assert all(worth(best) >= worth(other) for other in range(0, 3001))


@given(amounts, amounts, amounts, st.integers(0, 5000))
def test_the_highest_price_leaves_the_margin_and_one_wei_more_does_not(price: int, value: int, cost: int, margin_bps: int) -> None:
    most = most_for(standing(price, value, cost), margin_bps)
    if most:
        assert (value - cost - most) * BPS >= margin_bps * most
        assert (value - cost - most - 1) * BPS < margin_bps * (most + 1)
    else:
        assert (value - cost - 1) * BPS < margin_bps


@given(amounts, amounts, amounts, margins)
def test_a_lot_is_taken_exactly_at_the_highest_price_or_below(price: int, value: int, cost: int, seen: list[int]) -> None:
    decision = RivalMargins(seen).decide(standing(price, value, cost))
    assert decision.take == (price <= decision.most_wei)
