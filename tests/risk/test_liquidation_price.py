"""A liquidation price is the price at which the surplus is gone."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from keeper.risk.liquidation_price import liquidation_prices
from keeper.types import Address, Health, Leg

ACCOUNT = Address("0x" + "1" * 40)
PRICE = 10**12


def token(n: int) -> Address:
    return Address(f"0x{n:040x}")


def leg(n: int, side: str, value: int) -> Leg:
    return Leg(token(n), f"T{n}", side, value, value, 8_000 if side == "collateral" else 0, PRICE, 18)


legs = st.lists(
    st.builds(leg, st.integers(1, 3), st.sampled_from(["collateral", "debt"]), st.integers(10**6, 10**12)), min_size=1, max_size=5
)


def surplus(parts: list[Leg], moved: Address, price: int) -> Fraction:
    total = Fraction()
    for part in parts:
        value = Fraction(part.value) * (Fraction(price, PRICE) if part.token == moved else 1)
        total += value * Fraction(part.threshold_bps, 10_000) if part.side == "collateral" else -value
    return total


@given(legs)
def test_at_the_liquidation_price_the_surplus_is_zero_up_to_one_unit_of_price(parts: list[Leg]) -> None:
    weighted = sum(part.value * part.threshold_bps for part in parts if part.side == "collateral") // 10_000
    debt = sum(part.value for part in parts if part.side == "debt")
    health = Health(ACCOUNT, 0, 0, weighted, debt, "usd-8", tuple(parts))
    for found in liquidation_prices(health):
        around = [surplus(parts, found.token, found.price + step) for step in (-2, 2)]
        slack = 2  # weighted_collateral is floored
        assert min(around) - slack <= 0 <= max(around) + slack


def test_a_long_fears_a_fall_and_a_short_a_rise() -> None:
    parts = (leg(1, "collateral", 1_000), leg(2, "debt", 700))
    found = {item.symbol: item.move_bps for item in liquidation_prices(Health(ACCOUNT, 0, 0, 800, 700, "usd-8", parts))}
    assert found == {"T1": -1_250, "T2": 1_428}
