"""What may be put at stake for things that may not come: by day. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from keeper.errors import Skip
from keeper.types import Landing, Outcome, Plan, Verdict

DAY_S = 86_400

GAS = 120_000
"""What a transaction takes at most that finds nothing to do."""


@dataclass
class Stake:
    """`per_day_wei`: the most that may be lost in 24 hours. What was won is no longer at stake."""

    per_day_wei: int
    _open: list[tuple[int, Plan, int]] = field(default_factory=list)

    def put(self, plan: Plan, landing: Landing, fee_wei: int) -> None:
        """At this fee per gas. Raises Skip("lookahead_cap")."""
        self._open = [item for item in self._open if item[0] > landing.timestamp_s - DAY_S]
        at_stake_wei = sum(wei for _, _, wei in self._open)
        if at_stake_wei + GAS * fee_wei > self.per_day_wei:
            raise Skip("lookahead_cap", f"{at_stake_wei} wei are at stake within a day, {self.per_day_wei} may be")
        self._open.append((landing.timestamp_s, plan, GAS * fee_wei))

    def heard(self, outcomes: Sequence[Outcome]) -> None:
        won = {(outcome.market, outcome.account) for outcome in outcomes if outcome.verdict is Verdict.WON}
        self._open = [item for item in self._open if (item[1].market, item[1].account) not in won]
