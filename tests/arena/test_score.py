"""Why a race was lost, and that no rival bids more than it may."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.arena.scenarios import SCENARIOS, scenario
from keeper.arena.score import Scores, Shot, Told, losses, summary
from keeper.arena.tactics import Tactic, most_wei, tactics
from keeper.errors import ConfigError
from keeper.types import Hash, Landing

ACCOUNT, OTHER = "0x" + "aa" * 20, "0x" + "bb" * 20


def shot(who: str, won: bool, block: int = 5, paid: int = 100, arrived_ms: int = 50, value: int = 1000) -> Shot:
    return Shot(who, block, 0, ACCOUNT, won, value if won else 0, 10, paid, 100, Hash("0x"), arrived_ms)


@pytest.mark.parametrize(
    ("ours", "told", "reason"),
    [
        (shot("us", False, paid=90), (), "outbid"),
        (shot("us", False, arrived_ms=80), (), "later"),
        (shot("us", False), (), "behind_own_nonce"),
        (shot("us", False, block=6), (), "landed_later"),
        (shot("us", True, block=4), (), "took_the_rest"),
        (None, (), "oracle_backrun"),
        (None, (Told(5, ACCOUNT, "skipped", "unprofitable"),), "unprofitable"),
        (None, (Told(5, ACCOUNT, "pending", ""),), "not_included"),
        (shot("us", True, block=4), (Told(5, ACCOUNT, "skipped", "price_held"),), "price_held"),
        (None, (Told(5, OTHER, "skipped", "unprofitable"), Told(4, ACCOUNT, "skipped", "late")), "oracle_backrun"),
    ],
)
def test_every_loss_has_its_reason(ours: Shot | None, told: tuple[Told, ...], reason: str) -> None:
    won = shot("them", True)
    (loss,) = losses(Scores([won, *([ours] if ours else [])], list(told)), "us")
    assert (loss["reason"], loss["winner"], loss["they_paid_wei"], loss["could_pay_wei"]) == (reason, "them", 100, 990)


def test_the_figures_of_a_match_add_up() -> None:
    scores = Scores([shot("us", True), shot("us", False, paid=30), shot("them", True, value=500)])
    figures = summary(scores, "us", 2000)
    assert figures["net_profit"] == (1000 - 10 - 100) - (10 + 30)
    assert figures["captured_share"] == (1000 - 10 - 10) / 2000
    assert (figures["win_rate"], figures["losses_by_reason"], figures["cost_of_losing_wei"]) == (0.5, {"outbid": 1}, 40)


@given(st.integers(0, 9), st.integers(-(10**18), 10**19), st.integers(21_000, 10**7), st.integers(0, 10**11))
def test_no_rival_bids_more_than_nine_tenths_of_its_estimate(seed: int, value: int, gas: int, base_fee: int) -> None:
    landing = Landing(1, 12, base_fee)
    for tactic in tactics(seed).values():
        tip = tactic.bid(value, gas, landing)
        assert tip is None or tip * gas <= (value - gas * base_fee) * 9 // 10


def test_an_escalator_answers_a_better_bid_as_far_as_it_pays() -> None:
    tactic = Tactic(50, 1, escalates=True)
    assert tactic.answer(100, 99, 10**6) is None
    assert tactic.answer(100, 200, 10**6) == 205
    assert tactic.answer(100, 200, 204) is None
    assert tactic.answer(100, 100, 10**6) == 113
    assert most_wei(10**6, 100, Landing(1, 12, 1000)) == 8100


def test_a_scenario_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    start = {"WETH": 2500 * 10**8, "USDC": 10**8}
    for chosen in SCENARIOS.values():
        assert chosen.slots(1, start) == chosen.slots(1, start) != chosen.slots(2, start)
    with pytest.raises(ConfigError, match="must be one of big, fifty"):
        scenario("large")
