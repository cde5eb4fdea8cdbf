"""The buyer of a falling price takes it where waiting longer would lose more than it gains."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.bidding.auction import (
    ABOVE_BPS,
    ENOUGH,
    HALF_LIFE,
    ONE,
    PRIOR_BPS,
    REMEMBERED,
    Decision,
    RivalMargins,
    Rivals,
    Standing,
    most_for,
)
from keeper.fixedpoint import BPS

NEVER = -ABOVE_BPS
margins = st.lists(st.integers(-500, 3000), max_size=40)
amounts = st.integers(1, 10**24)
PRICE = 10**18
LOTS, LEARNED = 60, 200


def lot(margin_bps: int, step_bps: int, at_s: int = 1, account: str = "0x1") -> Standing:
    """Of a price of one ether."""
    cost_wei = 10**15
    return Standing("market", account, at_s, 1, PRICE, PRICE + cost_wei + margin_bps * PRICE // BPS, cost_wei, step_bps * PRICE // BPS)


def knowing(seen_bps: Iterable[int | None]) -> Rivals:
    rivals = Rivals()
    rivals.restore({"market": list(seen_bps)})
    return rivals


def waited_for(model: RivalMargins) -> set[int]:
    return {bps for bps, _ in model.believed}


def taken_at(decide: Callable[[Standing], Decision], start_bps: int, step_bps: int, account: str = "0x1") -> int:
    """The block in which a lot is taken."""
    return next(block for block in range(10**4) if decide(lot(start_bps + step_bps * block, step_bps, block, account)).take)


def margin_taken(seen_bps: Iterable[int], start_bps: int, step_bps: int) -> int:
    return start_bps + step_bps * taken_at(knowing(seen_bps).decide, start_bps, step_bps)


# --- the rule


def test_nothing_is_taken_at_a_loss() -> None:
    assert not Rivals().decide(lot(-1, 0)).take
    assert not knowing([0] * 50).decide(lot(-1, 10)).take


def test_where_waiting_gains_nothing_any_profit_will_do() -> None:
    assert Rivals().decide(lot(0, 0)).take
    assert knowing([500] * 50).decide(lot(1, 0)).take


def test_a_lot_that_is_free_is_taken() -> None:
    assert Rivals().decide(Standing("market", "0x1", 1, 1, 0, 10**18, 10**15, 10**16)).take


def test_who_has_seen_nobody_waits_for_a_margin_of_the_prior() -> None:
    assert min(PRIOR_BPS) < margin_taken([], -100, 13) < max(PRIOR_BPS)


@pytest.mark.parametrize("step_bps", [1, 7, 13, 40])
def test_it_comes_a_block_before_rivals_who_wait_for_the_same(step_bps: int) -> None:
    """A block later they would come with us."""
    taken = margin_taken([400] * 30, -50, step_bps)
    assert taken < 400 <= taken + step_bps


def test_a_rival_who_is_worth_racing_is_met_in_his_own_block() -> None:
    """Half the chance of 400 is more than all of 40."""
    assert margin_taken([400] * 30, 40, 360) == 400


def test_few_patient_rivals_among_eager_ones_do_not_make_us_wait() -> None:
    assert margin_taken([50] * 40 + [60] * 2, -20, 1) == 49


def test_when_the_eager_rivals_have_not_come_it_waits_for_the_patient_ones() -> None:
    """They had their chance."""
    rivals = knowing([400] * 2 + [50] * 28)
    rivals.decide(lot(53, 2, at_s=1))
    assert not rivals.decide(lot(55, 2, at_s=2)).take
    assert knowing([400] * 2 + [50] * 28).decide(lot(55, 2, at_s=2)).take


def test_a_lot_that_becomes_a_bargain_at_once_is_taken_before_everybody_else_does() -> None:
    assert knowing([100] * 20 + [400]).decide(lot(300, 10)).take


def test_old_purchases_are_forgotten() -> None:
    model = RivalMargins([30] * REMEMBERED)
    for _ in range(REMEMBERED):
        model.observe(700)
    assert waited_for(model) == {700}


def test_the_prior_has_no_say_once_enough_was_seen() -> None:
    assert set(PRIOR_BPS) < waited_for(RivalMargins([7] * (ENOUGH - 1)))
    assert waited_for(RivalMargins([7] * 2 * ENOUGH)) == {7}


def test_a_purchase_weighs_half_after_a_half_life_of_others_or_of_ours() -> None:
    for since in ([9] * HALF_LIFE, [None] * HALF_LIFE):
        weights = dict(RivalMargins([7, *since]).believed)
        assert abs(2 * weights[7] - ONE) <= 1


def test_who_left_is_forgotten_where_only_we_buy() -> None:
    """Then it is as if nobody had ever been seen, and nothing of him is written down any more."""
    rivals = knowing([1500] * 100)
    for _ in range(REMEMBERED):
        rivals.passed_by("market")
    assert rivals.state() == {}
    assert rivals.of("market").believed == RivalMargins().believed


def test_our_own_purchases_are_not_noted_where_no_rival_was_ever_seen() -> None:
    rivals = Rivals()
    rivals.passed_by("market")
    assert rivals.state() == {}


@given(st.lists(st.integers(0, 300), max_size=200), st.integers(0, 300), st.integers(0, 40))
def test_what_is_believed_follows_a_change_within_four_half_lives(former: list[int], now: int, ours: int) -> None:
    """Whatever was seen before, and however often we buy in between."""
    model = RivalMargins(former)
    for number in range(4 * HALF_LIFE):
        model.observe(now)
        if number < ours:
            model.pass_by()
    believed = model.believed
    assert sum(weight for bps, weight in believed if bps == now) >= 0.9 * sum(weight for _, weight in believed)


@given(st.lists(st.one_of(st.none(), st.integers(0, 300)), max_size=2 * REMEMBERED))
def test_what_is_restored_is_believed_as_it_was(seen: list[int | None]) -> None:
    first, second = knowing(seen), Rivals()
    second.restore(first.state())
    assert second.of("market").believed == first.of("market").believed


def test_a_buyer_who_came_very_late_tells_nothing() -> None:
    assert RivalMargins([ABOVE_BPS + 1] * 50).seen_bps == ()


def test_rivals_are_known_by_their_market() -> None:
    rivals = Rivals()
    rivals.restore({"other": [0] * 50})
    assert not rivals.decide(lot(30, 10)).take
    assert rivals.state() == {"other": [0] * 50}


@pytest.mark.parametrize("nonsense", [[], {"market": 3}, {"market": [[]]}, "text", {"market": ["x"]}])
def test_what_no_state_ever_was_is_refused_and_changes_nothing(nonsense: object) -> None:
    rivals = knowing([5])
    with pytest.raises((TypeError, ValueError, AttributeError)):
        rivals.restore(nonsense)  # type: ignore[arg-type]
    assert rivals.state() == {"market": [5]}


def test_the_memory_of_lots_is_bounded() -> None:
    rivals = Rivals()
    for number in range(10_000):
        rivals.decide(lot(10, 1, account=str(number)))
    assert len(rivals._lots) < 5_000


# --- against brute force


def promised(rivals: Iterable[tuple[int, int]], before_bps: int, margin_bps: int, step_bps: int, block: int) -> int:
    """Twice what stopping so many blocks from now earns in all, once against each rival (his margin, his weight) who is still here."""
    worth = 0
    for rival_bps, weight in ((rival_bps, weight) for rival_bps, weight in rivals if rival_bps > before_bps):
        comes = next(later for later in range(10**4) if margin_bps + later * step_bps >= rival_bps)
        worth += weight * max(margin_bps + block * step_bps, 0) * (2 * (block < comes) + (block == comes))
    return worth


@given(st.lists(st.integers(0, 150), max_size=8), st.integers(-40, 160), st.integers(-60, 40), st.integers(1, 40))
def test_no_block_promises_more_than_the_one_it_aims_at(seen: list[int], now: int, before: int, step: int) -> None:
    model = RivalMargins(seen)
    aim = model.aim_bps(min(before, now - 1), now, step)
    worth = [promised(model.believed, min(before, now - 1), now, step, block) for block in range(260)]
    aimed = 0 if aim == max(now, 0) else (aim - now) // step
    assert worth[aimed] == max(worth)
    assert aimed == 0 or worth[0] < max(worth)


Draw = Callable[[random.Random], int]
CROWDS: dict[str, Draw] = {
    "all the same": lambda rng: 100,
    "a narrow crowd": lambda rng: rng.randint(80, 120),
    "anything": lambda rng: rng.randint(0, 300),
    "eager and patient": lambda rng: rng.choice([25, 30, 250, 260]),
    "mostly eager": lambda rng: rng.randint(10, 30) if rng.random() < 0.9 else rng.randint(200, 800),
    "log-normal": lambda rng: round(rng.lognormvariate(4.5, 0.8)),
}


def lots(rng: random.Random, count: int) -> list[tuple[int, int]]:
    """(the first block's margin, what a block adds): not the same for any two."""
    return [(rng.randint(-120, -20), rng.randint(2, 16)) for _ in range(count)]


def reached(threshold_bps: int, start_bps: int, step_bps: int) -> int:
    """The first block with such a margin."""
    return max(-((start_bps - threshold_bps) // step_bps), 0)


def earned(block: int, others: Sequence[int], start_bps: int, step_bps: int) -> int:
    """Twice, against each of these rivals once, by their thresholds, ascending: who comes first takes it, together everyone half of the
    time."""
    margin_bps = start_bps + step_bps * block
    earlier = 0 if block == 0 else bisect_right(others, margin_bps - step_bps)
    return margin_bps * (2 * len(others) - bisect_right(others, margin_bps) - earlier)


def in_hindsight(others: Sequence[int], items: Iterable[tuple[int, int]]) -> int:
    """What the best fixed threshold would have earned."""
    lots = list(items)
    return max(sum(earned(reached(fixed, *item), others, *item) for item in lots) for fixed in range(1, 801))


@pytest.mark.parametrize("crowd", CROWDS)
@pytest.mark.parametrize("seed", range(4))
def test_it_earns_nearly_what_the_best_fixed_threshold_would_have_in_hindsight(crowd: str, seed: int) -> None:
    """All it knows is at which margins these rivals bought other lots, in the blocks they came in."""
    rng, model = random.Random(seed), Rivals()
    others = sorted(CROWDS[crowd](rng) for _ in range(LEARNED))
    for threshold, (start, step) in zip(rng.sample(others, LEARNED), lots(rng, LEARNED), strict=True):
        model.saw(lot(start + step * reached(threshold, start, step), step))
    fresh, rule = lots(rng, LOTS), 0
    for number, (start, step) in enumerate(fresh):
        rule += earned(taken_at(model.decide, start, step, str(number)), others, start, step)
    assert rule >= 0.95 * in_hindsight(others, fresh)


# --- the price


@given(amounts, amounts, amounts, st.integers(0, 5000))
def test_the_highest_price_leaves_the_margin_and_one_wei_more_does_not(price: int, value: int, cost: int, margin_bps: int) -> None:
    most = most_for(Standing("market", "0x1", 1, 1, price, value, cost, 0), margin_bps)
    if most:
        assert (value - cost - most) * BPS >= margin_bps * most
        assert (value - cost - most - 1) * BPS < margin_bps * (most + 1)
    else:
        assert (value - cost - 1) * BPS < margin_bps


@given(amounts, amounts, amounts, st.integers(-(10**20), 10**20), margins)
def test_a_lot_is_taken_exactly_at_the_highest_price_or_below(price: int, value: int, cost: int, gain: int, seen: list[int]) -> None:
    decision = knowing(seen).decide(Standing("market", "0x1", 1, 1, price, value, cost, gain))
    assert decision.take == (price <= decision.most_wei)


@given(amounts, amounts, amounts, st.integers(-(10**20), 10**20), margins)
def test_nothing_is_taken_at_a_loss_and_the_word_stands_when_asked_again(
    price: int, value: int, cost: int, gain: int, seen: list[int]
) -> None:
    model, standing = knowing(seen), Standing("market", "0x1", 1, 1, price, value, cost, gain)
    decision = model.decide(standing)
    assert not decision.take or value - price - cost >= 0
    assert model.decide(standing) == decision


def test_nobody_is_taken_for_a_rival_who_was_not_there_at_all() -> None:
    assert RivalMargins().aim_bps(NEVER, 5, 0) == 5
