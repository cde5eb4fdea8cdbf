"""Planning never waits: it gets the default's word, and is told when somebody else has decided otherwise."""

from __future__ import annotations

from dataclasses import replace

from keeper.bidding.auction import Decision, Standing
from keeper.execution.counsel import Counsel

LOT = Standing("market", "0x1", 1_000, 5, 400, 1000, 30, 7)
TAKE, LEAVE = Decision(True, 500, "model"), Decision(False, 100, "model")


class Always:
    """One decision, whoever asks; keeps what it was asked."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.asked: list[Standing] = []

    def decide(self, standing: Standing) -> Decision:
        self.asked.append(standing)
        return self.decision


class Outside(Always):
    async def decide(self, standing: Standing) -> Decision:  # type: ignore[override]
        return Always.decide(self, standing)


async def test_without_anybody_else_it_is_the_defaults_word() -> None:
    counsel = Counsel(None, Always(TAKE))
    assert counsel.decide(LOT) == TAKE
    assert not await counsel.consult()


async def test_what_is_decided_otherwise_is_to_be_planned_again_and_then_stands() -> None:
    outside = Outside(LEAVE)
    counsel = Counsel(outside, Always(TAKE))
    assert counsel.decide(LOT) == TAKE
    assert await counsel.consult()
    assert counsel.decide(LOT) == LEAVE
    assert not await counsel.consult()
    assert outside.asked == [LOT]


async def test_where_both_decide_alike_nothing_is_planned_again() -> None:
    counsel = Counsel(Outside(LEAVE), Always(replace(LEAVE, by="default")))
    counsel.decide(LOT)
    assert not await counsel.consult()


async def test_nobody_is_asked_about_nothing() -> None:
    assert not await Counsel(Outside(LEAVE), Always(TAKE)).consult()


async def test_a_lot_that_stands_otherwise_is_asked_about_anew() -> None:
    outside = Outside(LEAVE)
    counsel = Counsel(outside, Always(TAKE))
    for standing in (LOT, replace(LOT, value_wei=1001)):
        assert counsel.decide(standing) == TAKE
        assert await counsel.consult()
    assert len(outside.asked) == 2


async def test_answers_for_blocks_gone_by_are_forgotten() -> None:
    counsel = Counsel(Outside(LEAVE), Always(TAKE))
    for at_s in range(1000, 1100):
        counsel.decide(replace(LOT, timestamp_s=at_s))
        await counsel.consult()
    assert len(counsel._said) == 1
