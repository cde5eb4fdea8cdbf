"""What is at stake for things that may not come never exceeds a day's cap; what was won no longer is."""

from __future__ import annotations

import pytest

from keeper.bidding.stake import DAY_S, GAS, Stake
from keeper.errors import Skip
from keeper.types import Verdict
from tests.bidding.test_budget import ended, landing, plan


def test_a_days_cap_holds_until_the_day_is_over_or_something_is_won() -> None:
    stake = Stake(GAS * 25)
    stake.put(plan("a"), landing(1), 10)
    stake.put(plan("b"), landing(1), 10)
    with pytest.raises(Skip, match="lookahead_cap"):
        stake.put(plan("c"), landing(2), 10)
    stake.put(plan("c"), landing(2), 5)
    stake.heard([ended("a", 1, Verdict.LOST), ended("b", 1, Verdict.PENDING)])
    with pytest.raises(Skip):
        stake.put(plan("d"), landing(2), 1)
    stake.heard([ended("a", 1, Verdict.WON)])
    stake.put(plan("d"), landing(2), 10)
    with pytest.raises(Skip):
        stake.put(plan("e"), landing(3), 1)
    stake.put(plan("e"), landing(3, 24 + DAY_S), 25)
