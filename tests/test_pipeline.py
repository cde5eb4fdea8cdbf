"""What the pipeline itself decides. Who answers at its stages is on paper here, and real in `tests/e2e`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from keeper.errors import Skip
from keeper.pipeline import Parts, Pipeline
from keeper.types import (
    ZERO_ADDRESS,
    Address,
    Bid,
    Fill,
    Funding,
    FundingKind,
    Head,
    Job,
    Landing,
    Outcome,
    Plan,
    Prediction,
    Simulation,
)

HERE = Landing(2, 12, 10**9)
ONE, TWO, THREE = (Address("0x" + digit * 40) for digit in "123")


def plan(account: Address, worth_wei: int) -> Prediction:
    unfunded = Funding(FundingKind.NONE, ZERO_ADDRESS, ZERO_ADDRESS, 0, 0)
    made = Plan("market", account, ZERO_ADDRESS, ZERO_ADDRESS, 1, unfunded, (), ZERO_ADDRESS)
    return Prediction(made, 0, 1, 1, 1, {}, worth_wei, 1, Fill(account, ZERO_ADDRESS, ZERO_ADDRESS, 1, 1, 1, 1, 0, False, (), 1), ())


@dataclass
class Stages:
    """Everybody on paper. A call is its account and worth."""

    plans: Sequence[Prediction]
    asked: list[list[bytes]] = field(default_factory=list)
    sent: list[Job] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def block(self, *_: object) -> tuple[Sequence[Prediction], Sequence[Any]]:
        return self.plans, ()

    def encode(self, prediction: Prediction) -> bytes:
        return f"{prediction.plan.account[2]}:{prediction.value_wei}".encode()

    async def simulate(self, calls: Sequence[bytes], landing: Landing) -> list[Simulation]:
        self.asked.append(list(calls))
        return [Simulation(True, 10, "", 0) for _ in calls]

    def bid(self, prediction: Prediction, gas_used: int, landing: Landing) -> Bid:
        if prediction.value_wei < 0:
            raise Skip("unprofitable")
        return Bid(1, 1, gas_used)

    def ahead(self) -> list[tuple[Plan, bytes]]:
        return []

    async def submit(self, jobs: Sequence[Job], landing: Landing) -> list[Outcome]:
        self.sent += jobs
        return []

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes

    def candidates(self, *_: object) -> list[Any]:
        return []

    async def consult(self) -> bool:
        return False

    @property
    def view(self) -> None:
        return None

    @property
    def head(self) -> Head:
        return cast("Head", replace(HERE, number=1))


async def worked(*plans: Prediction) -> Stages:
    stages: Any = Stages(plans)
    parts = Parts(
        feed=stages,
        books=stages,
        watcher=stages,
        planning=stages,
        encode=stages.encode,
        simulator=stages,
        policy=stages,
        submitter=stages,
        settling=stages,
        sink=stages,
        landing=lambda head: HERE,
        report=lambda report: None,
        now_s=lambda: 0.0,
        audit=stages.consult,
        foresee=stages.consult,
        consult=stages.consult,
    )
    await Pipeline(parts).on_newest()
    return cast("Stages", stages)


async def test_what_was_proven_behind_something_that_is_not_sent_is_proven_again_without_it() -> None:
    stages = await worked(plan(ONE, 5), plan(TWO, -1), plan(THREE, 7))
    assert stages.asked == [[b"1:5", b"2:-1", b"3:7"], [b"1:5", b"3:7"]]
    assert [job.data for job in stages.sent] == [b"1:5", b"3:7"]
    assert [(outcome.account, outcome.reason) for outcome in stages.outcomes] == [(TWO, "unprofitable")]


async def test_what_an_account_would_have_done_next_falls_with_what_comes_before_it() -> None:
    stages = await worked(plan(ONE, -1), plan(ONE, 9), plan(TWO, 3))
    assert stages.asked == [[b"1:-1", b"1:9", b"2:3"], [b"2:3"]]
    assert [job.data for job in stages.sent] == [b"2:3"]
    assert [(outcome.account, outcome.reason) for outcome in stages.outcomes] == [(ONE, "unprofitable")] * 2


async def test_what_was_proven_before_anything_was_left_out_is_not_proven_again() -> None:
    stages = await worked(plan(ONE, 5), plan(TWO, -1))
    assert stages.asked == [[b"1:5", b"2:-1"]]
    assert [job.data for job in stages.sent] == [b"1:5"]
