"""How much may still be offered beyond the least bid: by transaction, by block and by day. Pure.

A bid counts from when it is made until it is known to have come to nothing: what is in doubt counts as spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keeper.types import Landing, Outcome, Plan, Verdict

DAY_S = 86_400
NOTHING_PAID = frozenset({Verdict.SKIPPED, Verdict.DRY, Verdict.LOST, Verdict.DROPPED})
"""Of these at most the gas of leaving early was paid."""


@dataclass(frozen=True, slots=True)
class Purse:
    """The most that may be offered beyond the least bid, in wei; a day is the last 24 hours."""

    per_transaction_wei: int
    per_block_wei: int
    per_day_wei: int


class _Offer(NamedTuple):
    """`made_s`: the landing block's time; `plan`: None of one made before a restart."""

    block: int
    made_s: int
    plan: Plan | None
    wei: int


class Budget:
    def __init__(self, purse: Purse, spent: Iterable[tuple[int, int]] = ()) -> None:
        """`spent`: as the property tells it, of a run before."""
        self._purse = purse
        self._offers = [_Offer(-1, made_s, None, wei) for made_s, wei in spent]

    def left_wei(self, plan: Plan, landing: Landing) -> int:
        """For this plan."""
        others = self._others(plan, landing)
        in_block = sum(offer.wei for offer in others if offer.block == landing.number)
        left = min(
            self._purse.per_transaction_wei,
            self._purse.per_block_wei - in_block,
            self._purse.per_day_wei - sum(offer.wei for offer in others),
        )
        return max(left, 0)

    def commit(self, plan: Plan, landing: Landing, wei: int) -> None:
        """One that was made for the same block already is taken back."""
        self._offers = [*self._others(plan, landing), _Offer(landing.number, landing.timestamp_s, plan, wei)]

    def heard(self, outcomes: Sequence[Outcome]) -> None:
        """What came to nothing is at hand again; of several for an account the smallest: nobody says which it was."""
        for outcome in outcomes:
            if outcome.verdict in NOTHING_PAID and (mine := [offer for offer in self._offers if _meant(offer, outcome)]):
                self._offers.remove(min(mine, key=lambda offer: offer.wei))

    @property
    def spent(self) -> list[tuple[int, int]]:
        """(unix seconds, wei) of every offer of the last day that counts, the oldest first."""
        return [(offer.made_s, offer.wei) for offer in self._offers]

    def _others(self, plan: Plan, landing: Landing) -> list[_Offer]:
        """The last day's, without this plan's own of this block."""
        day = [offer for offer in self._offers if offer.made_s > landing.timestamp_s - DAY_S]
        return [offer for offer in day if offer.block != landing.number or offer.plan != plan]


def _meant(offer: _Offer, outcome: Outcome) -> bool:
    plan = offer.plan
    return plan is not None and (offer.block, plan.market, plan.account) == (outcome.block, outcome.market, outcome.account)
