"""Others' bids that wait in the mempool, for what ours on their way are after: they are answered within the slot.

Whose transaction names the account that one of ours is about is taken for a rival. He is outbid by little, as far as the place is worth it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from keeper.bidding.answers import answer_wei
from keeper.bidding.budget import Budget
from keeper.execution.desk import gas_of, plan_of
from keeper.execution.fleet import Fleet
from keeper.execution.submission import Submission
from keeper.log import get_logger
from keeper.types import Address, Landing, Waiting

KEEP_BLOCKS = 5
MOST = 4096
"""Transactions that are remembered; the newest."""

LEAST_DATA = 24
"""Bytes of a call that names an account."""

_log = get_logger("rivalry")


@dataclass(frozen=True, slots=True)
class Terms:
    """`share_bps`: of what a place is worth beyond the base fee, the most that is offered for it; `least_wei`, `most_wei`: per gas."""

    share_bps: int
    least_wei: int
    most_wei: int


class Rivalry:
    """`ours`: addresses that act for us."""

    def __init__(self, fleet: Fleet, budget: Budget, terms: Terms, ours: Collection[Address]) -> None:
        self._fleet, self._budget, self._terms, self._ours = fleet, budget, terms, frozenset(ours)
        self._heard: dict[tuple[Address, int], tuple[Waiting, int]] = {}

    def heard(self, waiting: Waiting, block: int) -> bool:
        """Whether it names an account that one of ours on its way is about. `block`: the newest."""
        if len(waiting.data) < LEAST_DATA or not self._ours.isdisjoint({waiting.sender, waiting.to}):
            return False
        self._heard[waiting.sender, waiting.nonce] = waiting, block
        if len(self._heard) > MOST:
            del self._heard[next(iter(self._heard))]
        return any(_about(waiting, top) for top in self._fleet.ahead())

    async def answer(self, landing: Landing) -> int:
        """Outbid whoever offers as much as we do; returns how many of ours offer more now."""
        self._heard = {key: item for key, item in self._heard.items() if item[1] > landing.number - KEEP_BLOCKS}
        tips = {top.id: tip for top in self._fleet.ahead() if not top.is_transfer and (tip := self._tip(top, landing))}
        raised = await self._fleet.outbid(tips) if tips else []
        for submission in raised:
            _log.info("outbid", market=submission.market, account=submission.account, tx=submission.tx, tip_wei=submission.priority_fee_wei)
        return len(raised)

    def _tip(self, top: Submission, landing: Landing) -> int | None:
        """Per gas; None: nobody is ahead of it, or it is not worth more."""
        theirs = [item.tip_wei(landing.base_fee_wei) for item, _ in self._heard.values() if _about(item, top)]
        own = min(top.priority_fee_wei, top.max_fee_wei - landing.base_fee_wei)
        if not theirs or max(theirs) < own or top.fee_cap_wei is None:
            return None
        gas, plan, terms = gas_of(top), plan_of(top), self._terms
        spare = (top.fee_cap_wei - landing.base_fee_wei) * terms.share_bps // 10_000
        most = min(spare, terms.most_wei, terms.least_wei + self._budget.left_wei(plan, landing) // gas)
        tip = answer_wei(own, max(theirs), most, sealed=bool(top.last_block))
        if tip is not None:
            self._budget.commit(plan, landing, max(tip - terms.least_wei, 0) * gas)
        return tip


def _about(waiting: Waiting, top: Submission) -> bool:
    return bytes.fromhex(top.account[2:]) in waiting.data
