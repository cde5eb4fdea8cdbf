"""Laws of the swap arithmetic that hold for every price, size and depth."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper import concentrated as m

ticks = st.integers(m.MIN_TICK, m.MAX_TICK)
inner_ticks = st.integers(m.MIN_TICK + 1, m.MAX_TICK - 1)
prices = st.integers(m.MIN_SQRT_RATIO, m.MAX_SQRT_RATIO - 1)
depths = st.integers(1, 2**100)
amounts = st.integers(1, 2**110)
fees = st.sampled_from((0, 100, 500, 3000, 10000, 100_000))


@given(ticks)
def test_the_price_at_a_tick_is_1_0001_to_half_the_tick(tick: int) -> None:
    with localcontext() as context:
        context.prec = 80
        exact = Decimal("1.0001") ** (Decimal(tick) / 2) * 2**96
        assert abs(m.sqrt_ratio_at_tick(tick) - exact) < 1 + exact / 2**60


@given(inner_ticks)
def test_a_tick_begins_at_its_price_and_the_one_before_ends_just_below(tick: int) -> None:
    price = m.sqrt_ratio_at_tick(tick)
    assert m.tick_at_sqrt_ratio(price) == tick
    assert m.tick_at_sqrt_ratio(price - 1) == tick - 1


@given(prices)
def test_a_price_lies_between_its_tick_and_the_next(price: int) -> None:
    tick = m.tick_at_sqrt_ratio(price)
    assert m.sqrt_ratio_at_tick(tick) <= price < m.sqrt_ratio_at_tick(tick + 1)


@pytest.mark.parametrize("tick", [m.MIN_TICK - 1, m.MAX_TICK + 1])
def test_ticks_out_of_range_have_no_price(tick: int) -> None:
    with pytest.raises(ValueError, match="tick must be within"):
        m.sqrt_ratio_at_tick(tick)


@pytest.mark.parametrize("price", [m.MIN_SQRT_RATIO - 1, m.MAX_SQRT_RATIO])
def test_prices_out_of_range_have_no_tick(price: int) -> None:
    with pytest.raises(ValueError, match="price must be in"):
        m.tick_at_sqrt_ratio(price)


@given(prices, prices, depths)
def test_amounts_do_not_depend_on_the_order_of_the_prices_and_round_by_at_most_two(a: int, b: int, depth: int) -> None:
    for up, down in ((m.amount0_up, m.amount0_down), (m.amount1_up, m.amount1_down)):
        assert up(a, b, depth) == up(b, a, depth)
        assert down(a, b, depth) == down(b, a, depth)
        assert 0 <= up(a, b, depth) - down(a, b, depth) <= 2


@given(prices, prices, depths, amounts, fees)
def test_a_step_in_uses_no_more_than_it_is_given_and_stops_at_its_target(
    price: int, target: int, depth: int, amount: int, fee: int
) -> None:
    reached, used, out = m.step_in(price, target, depth, amount, fee)
    assert min(price, target) <= reached <= max(price, target)
    assert used <= amount
    assert out >= 0
    if reached != target:
        assert used == amount


@given(prices, prices, depths, amounts, fees)
def test_a_step_out_gives_no_more_than_is_wanted_and_stops_at_its_target(
    price: int, target: int, depth: int, amount: int, fee: int
) -> None:
    reached, out, used = m.step_out(price, target, depth, amount, fee)
    assert min(price, target) <= reached <= max(price, target)
    assert out <= amount
    if reached != target:
        assert out == amount
    assert used >= (m.amount0_up if price > target else m.amount1_up)(price, reached, depth)


@given(prices, prices, depths, amounts, amounts, fees)
def test_more_in_never_gives_less_out(price: int, target: int, depth: int, a: int, b: int, fee: int) -> None:
    less, more = sorted((a, b))
    assert m.step_in(price, target, depth, less, fee)[2] <= m.step_in(price, target, depth, more, fee)[2]


@given(prices, prices, depths, amounts, fees)
def test_selling_what_a_purchase_cost_gives_back_at_least_what_was_bought(
    price: int, target: int, depth: int, amount: int, fee: int
) -> None:
    _, bought, cost = m.step_out(price, target, depth, amount, fee)
    assert m.step_in(price, target, depth, cost, fee)[2] >= bought


@given(prices, prices, depths, amounts, fees)
def test_selling_and_buying_back_never_pays(price: int, target: int, depth: int, amount: int, fee: int) -> None:
    reached, used, out = m.step_in(price, target, depth, amount, fee)
    assert m.step_in(reached, price, depth, out, fee)[2] <= used
