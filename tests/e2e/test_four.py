"""After the demo, with every market its config names, an independent judge finds nothing left to earn in any protocol."""

from __future__ import annotations

import pytest

from tests.e2e.checker import ALL
from tests.e2e.played import Played, firsts

pytestmark = pytest.mark.timeout(300)
GAS_PERCENT = 3
EACH = pytest.mark.parametrize("protocol", ALL)


@EACH
def test_after_the_demo_no_call_of_the_executor_earns_more_than_its_gas(played: Played, protocol: str) -> None:
    played.judged(protocol)
    assert played.left(protocol) == []


@EACH
def test_the_demo_earns_in_every_protocol_first_where_the_judge_saw_money_a_block_before(played: Played, protocol: str) -> None:
    played.judged(protocol)
    first = firsts(played.story, played.markets)[protocol].landed.plan
    assert first.account in {attempt.choice.account for attempt in played.earlier[protocol].profitable}


@EACH
def test_what_was_predicted_is_what_was_earned(played: Played, protocol: str) -> None:
    played.judged(protocol)
    items = [item for item in played.story.settled if played.markets[item.landed.plan.market] == protocol]
    assert [item.landed.plan.account for item in items if not item.exact] == []
    assert len(items) >= 10
    alone = [item for item in items if not item.foreign]
    off = {item.landed.tx: (item.gas_paid_wei, item.gas_predicted_wei) for item in alone}
    assert {tx: gas for tx, gas in off.items() if abs(gas[0] - gas[1]) * 100 > GAS_PERCENT * gas[1]} == {}


def test_what_is_refused_says_why(played: Played) -> None:
    left = {attempt.choice.account for protocol in ALL for attempt in played.left(protocol)}
    refused = {attempt.choice.account for attempt in played.report.profitable} - left
    assert {played.story.left["morpho", account].reason for account in refused} == {"unknown_irm"}
