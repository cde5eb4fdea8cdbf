"""Plans go out unproven only where the node has agreed for long, and no longer once it disagrees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from keeper.execution.trust import Simulate, Trust, strictest
from keeper.types import Prediction, Simulation
from tests.test_pipeline import ONE, plan


def of(market: str, profit: int = 7) -> Prediction:
    made = plan(ONE, 1)
    return replace(made, plan=replace(made.plan, market=market), profit=profit, gas=100)


def says(profit: int = 7, ok: bool = True, gas_used: int = 90) -> Simulation:
    return Simulation(ok, gas_used, "", profit)


def learned(trust: Trust, times: int, market: str = "a", gas_used: int = 90) -> None:
    for _ in range(times):
        trust.learn([of(market)], [says(gas_used=gas_used)])


@pytest.mark.parametrize(
    ("policy", "times", "enough"), [("always", 99, False), ("unless_proven", 2, False), ("unless_proven", 3, True), ("never", 0, True)]
)
def test_each_policy_wants_its_proofs(policy: Simulate, times: int, enough: bool) -> None:
    trust = Trust(policy, 3)
    learned(trust, times)
    assert trust.enough([of("a"), of("a")]) is enough


def test_every_market_of_a_batch_must_be_proven() -> None:
    trust = Trust("unless_proven", 3)
    learned(trust, 5)
    assert not trust.enough([of("a"), of("b")])


@pytest.mark.parametrize("verdict", [says(profit=6), says(ok=False)], ids=["another profit", "a revert"])
def test_the_first_disagreement_is_told_and_the_market_starts_anew(verdict: Simulation) -> None:
    trust = Trust("unless_proven", 3)
    learned(trust, 5)
    learned(trust, 5, "b")
    with capture_logs() as logs:
        trust.learn([of("a")], [verdict])
    assert [(line["event"], line["market"], line["log_level"]) for line in logs] == [("plan_mismatch", "a", "error")]
    assert not trust.enough([of("a")])
    assert trust.enough([of("b")])
    learned(trust, 3)
    assert trust.enough([of("a")])


def test_what_comes_behind_a_failure_says_nothing_about_its_own_market() -> None:
    trust = Trust("unless_proven", 3)
    learned(trust, 3, "b")
    trust.learn([of("a"), of("b")], [says(ok=False), says(profit=0)])
    assert trust.enough([of("b")])


def test_gas_is_assumed_as_much_as_was_ever_used_of_an_estimate() -> None:
    trust = Trust("never", 0)
    assert trust.assumed(of("a")) == Simulation(True, 101, "", 7)
    learned(trust, 1, gas_used=130)
    learned(trust, 1, gas_used=90)
    assert trust.assumed(of("a")).gas_used == 131


def test_of_several_channels_the_strictest_holds() -> None:
    assert strictest([]) == strictest(["never", "always", "unless_proven"]) == "always"
    assert strictest(["never", "unless_proven"]) == "unless_proven"
