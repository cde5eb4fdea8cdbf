"""Decisions about what is held: the cheapest slice, the deadline, the caps, the band."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keeper.fixedpoint import BPS
from keeper.inventory.policy import SLICES, Cost, Hedge, Mode, Policy, Position, closing, hedged, hedging, net, stuck
from keeper.types import CLOSE, OPEN, Holding
from tests.inventory.paper import WAD

PRICE = 2_000
POLICY = Policy()


def pool(depth: int, sign: int = 1) -> Cost:
    """What selling (buying, for the short) into x · y = k costs against the mark, by size."""

    def cost(size: int) -> int | None:
        base, quote = depth * WAD // PRICE, depth * WAD
        after = base + sign * abs(size)
        return None if after <= 0 else abs(size) * PRICE - sign * (quote - -(-base * quote // after))

    return cost


def holding(size: int, target: str = "eth") -> Holding:
    return Holding(target, size, size * PRICE, -size * PRICE, 0, None)


def position(size: int, depth: int = 10**6, age: int = 1, unsafe: bool = False, deviation: float = 5e-4) -> Position:
    return Position(holding(size), pool(depth, 1 if size > 0 else -1), deviation, age, unsafe)


sizes = st.integers(1, 300).map(lambda n: n * WAD + 3).flatmap(lambda size: st.sampled_from((size, -size)))
depths = st.integers(10**6, 10**8)


@settings(deadline=None)
@given(sizes, depths, st.integers(0, 300), st.floats(0, 0.02), st.integers(0, BPS), st.booleans())
def test_what_is_not_due_is_traded_away_in_the_slice_that_costs_least(
    size: int, depth: int, age: int, deviation: float, recovers_bps: int, against: bool
) -> None:
    policy = replace(POLICY, recovers_bps=recovers_bps)
    held = position(size, depth, age, deviation=deviation)
    left = policy.left(age, against)
    assume(left)
    cost, made = pool(depth, 1 if size > 0 else -1), closing(policy, held, against)

    def total(part: int) -> float:
        rest, now, whole = abs(size) - part, cost(part) or 0, cost(abs(size)) or 0
        later = (whole - now) * (1 - recovers_bps / BPS) + (cost(rest) or 0) * recovers_bps / BPS
        return now + later + deviation * (policy.basis_bps / BPS if against else 1) * math.sqrt(left) * rest * PRICE

    totals = {part: total(part) for part in (abs(size) * eighth // SLICES for eighth in range(SLICES + 1))}
    best = made.size if made else 0
    assert totals[best] <= min(totals.values()) + 1e-9 * abs(size) * PRICE
    if made:
        assert made.worth == pytest.approx(totals[0] - totals[best], rel=1e-6, abs=1e-9 * abs(size) * PRICE)
        assert (made.kind, made.reason, made.cost) == (CLOSE, "risk", cost(best))


@settings(deadline=None)
@given(sizes, depths, st.integers(2, 10), st.booleans(), st.integers(0, 1_000))
def test_what_is_due_or_unsafe_goes_as_far_as_the_hard_cap_allows_and_no_further(
    size: int, depth: int, age: int, unsafe: bool, hard_cap_bps: int
) -> None:
    policy = replace(POLICY, hard_cap_bps=hard_cap_bps)
    held = position(size, depth, 0 if unsafe else age, unsafe)
    cost, made = pool(depth, 1 if size > 0 else -1), closing(policy, held, False)
    parts = [abs(size) * eighth // SLICES for eighth in range(1, SLICES + 1)]
    allowed = [part for part in parts if (cost(part) or 0) <= abs(holding(size).value) * part // abs(size) * hard_cap_bps // BPS]
    assert stuck(policy, held, False) == (not allowed)
    if made:
        assert made.size == max(allowed)
        assert made.reason == ("stress" if unsafe else "deadline")
        assert made.urgent
        assert made.worth > 0


def test_a_deadline_of_three_blocks_leaves_time_for_a_second_try() -> None:
    reasons = [made.reason if made else "" for age in range(1, 4) if (made := closing(POLICY, position(WAD, age=age), False)) or True]
    assert reasons == ["risk", "deadline", "deadline"]


def test_in_the_mode_that_unwinds_whatever_is_there_is_due() -> None:
    made = closing(replace(POLICY, mode=Mode.UNWIND), position(WAD, age=0), False)
    assert made is not None
    assert (made.size, made.reason) == (WAD, "deadline")


def test_what_cannot_be_traded_now_waits_and_then_is_stuck() -> None:
    def closed(size: int) -> int | None:
        return 0 if not size else None

    held = Position(holding(WAD), closed, 5e-4, 1)
    assert closing(POLICY, held, False) is None
    assert not stuck(POLICY, held, False)
    assert stuck(POLICY, replace(held, age_blocks=3), False)


def test_without_risk_a_position_is_kept_until_it_is_due() -> None:
    still = position(10 * WAD, deviation=0.0)
    assert closing(replace(POLICY, recovers_bps=0), still, False) is None
    assert closing(replace(POLICY, recovers_bps=0), replace(still, age_blocks=2), False) is not None


def test_the_more_it_moves_the_more_goes_at_once() -> None:
    """A pool that recovers makes slices cheap, risk makes waiting dear."""
    chosen = [closing(POLICY, position(100 * WAD, 10**7, deviation=risk), False) for risk in (1e-3, 1e-2, 5e-2)]
    parts = [made.size * SLICES // (100 * WAD) if made else 0 for made in chosen]
    assert parts == sorted(parts)
    assert parts[0] < parts[-1] == SLICES


# --- hedges


def hedge(size: int = 0, beta_bps: int = BPS, depth: int = 10**9, target: str = "btc") -> Hedge:
    def cost(wanted: int) -> int | None:
        return pool(depth, -1 if wanted > 0 else 1)(wanted)

    return Hedge(holding(size, target), PRICE * WAD, beta_bps, cost)


@settings(deadline=None)
@given(sizes, st.lists(st.integers(-300, 300), min_size=1, max_size=3), st.integers(5_000, 20_000), st.integers(0, 4_000))
def test_after_hedging_the_net_is_at_the_inner_edge(size: int, others: list[int], beta_bps: int, inner_bps: int) -> None:
    policy = replace(POLICY, mode=Mode.HEDGE, inner_bps=inner_bps, band_bps=5_000, hard_cap_bps=BPS)
    against = [hedge(other * WAD, beta_bps, target=f"h{number}") for number, other in enumerate(others)]
    held, value = position(size, age=3), size * PRICE
    made = hedging(policy, held, against)
    away = net(value, against)
    if abs(away) <= abs(value) // 2:
        assert made is None
        return
    assert made is not None
    which = next(item for item in against if item.held.target == made.target)
    signed = made.size if made.kind == OPEN else -made.size if which.held.size > 0 else made.size
    after = [replace(item, held=holding(item.held.size + signed, made.target)) if item is which else item for item in against]
    assert abs(net(value, after)) == pytest.approx(abs(value) * inner_bps / BPS, abs=PRICE * 10)
    assert net(value, after) * away >= -PRICE * 10 * abs(away)
    assert hedged(policy, held.held, after) == any(item.held.size for item in after)


@settings(deadline=None)
@given(sizes, st.integers(10**5, 10**8), st.integers(1, 3), st.integers(0, 100), st.integers(100, 500))
def test_a_hedge_costs_no_more_than_its_cap(size: int, depth: int, age: int, cost_cap_bps: int, hard_cap_bps: int) -> None:
    policy = replace(POLICY, mode=Mode.HEDGE, cost_cap_bps=cost_cap_bps, hard_cap_bps=hard_cap_bps)
    made = hedging(policy, position(size, age=age, deviation=0.1), [hedge(depth=depth)])
    cap = cost_cap_bps if policy.left(age, False) else hard_cap_bps
    if made:
        assert made.cost <= abs(made.size) * PRICE * cap // BPS
        assert made.worth > 0
    else:
        wanted = (abs(size) * PRICE * (BPS - policy.inner_bps) // BPS) * WAD // (PRICE * WAD)
        cost = hedge(depth=depth).cost(-wanted if size > 0 else wanted)
        assert cost is None or cost >= wanted * PRICE * cap // BPS - PRICE


def test_the_cheaper_of_two_markets_is_taken() -> None:
    made = hedging(
        replace(POLICY, mode=Mode.HEDGE), position(10 * WAD), [hedge(depth=10**7, target="thin"), hedge(depth=10**9, target="deep")]
    )
    assert made is not None
    assert made.target == "deep"


def test_a_hedge_of_which_half_has_gone_is_partly_undone() -> None:
    made = hedging(replace(POLICY, mode=Mode.HEDGE), position(5 * WAD), [hedge(-10 * WAD)])
    assert made is not None
    assert (made.kind, made.reason, made.size) == (CLOSE, "unhedge", 475 * WAD // 100)


def test_nothing_is_hedged_until_something_is_held_against_it() -> None:
    assert not hedged(replace(POLICY, band_bps=BPS), holding(WAD), [hedge(0)])
    assert hedged(POLICY, holding(WAD), [hedge(-WAD)])
