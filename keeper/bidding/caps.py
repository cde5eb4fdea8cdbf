"""What no bid may break, whoever made it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from keeper.bidding.budget import Budget
from keeper.bidding.offers import Offers
from keeper.errors import Skip
from keeper.ports import BidPolicy
from keeper.types import Bid, Landing, Prediction

GAS_HEADROOM_PERCENT = 150
"""Gas limit as a share of the simulated gas: the pools may have moved in the block it lands in, and unused gas costs nothing."""


@dataclass(frozen=True, slots=True)
class Caps:
    """All fees in wei per gas; `min_profit_wei` is what must be left after gas."""

    min_priority_fee_wei: int
    max_priority_fee_wei: int
    max_fee_wei: int
    min_profit_wei: int


def spare_wei(caps: Caps, prediction: Prediction, gas_used: int, landing: Landing) -> int:
    """What may be spent beyond the least bid. Raises Skip("unprofitable") when that is nothing."""
    floor_wei = gas_used * (landing.base_fee_wei + caps.min_priority_fee_wei)
    net_wei = prediction.value_wei - floor_wei - caps.min_profit_wei
    if net_wei <= 0:
        raise Skip("unprofitable", f"worth {prediction.value_wei} wei, gas costs {floor_wei} wei at the least bid")
    return net_wei


def with_tip(caps: Caps, prediction: Prediction, gas_used: int, landing: Landing, tip_wei: int) -> Bid:
    """At this tip per gas, or the highest that is allowed: headroom for a rising base fee as far as it still pays. Raises
    Skip("fee_cap")."""
    priority = min(tip_wei, caps.max_priority_fee_wei)
    needed = landing.base_fee_wei + priority
    if needed > caps.max_fee_wei:
        raise Skip("fee_cap", f"needs {needed} wei per gas, the cap is {caps.max_fee_wei}")
    affordable = (prediction.value_wei - caps.min_profit_wei) // gas_used
    max_fee = max(needed, min(2 * landing.base_fee_wei + priority, affordable, caps.max_fee_wei))
    return Bid(max_fee_wei=max_fee, priority_fee_wei=priority, gas_limit=gas_used * GAS_HEADROOM_PERCENT // 100)


@dataclass(frozen=True, slots=True)
class Capped:
    """A `BidPolicy`: another's tip, as far as it leaves the least profit and no cap is in the way."""

    policy: BidPolicy
    caps: Caps
    budget: Budget
    offers: Offers = field(default_factory=Offers)

    def bid(self, prediction: Prediction, gas_used: int, landing: Landing) -> Bid:
        """The least bid when the block or the day has no money left. Raises what the policy raises, Skip("unprofitable") and
        Skip("fee_cap")."""
        wanted = self.policy.bid(prediction, gas_used, landing)
        least = self.caps.min_priority_fee_wei
        spare = spare_wei(self.caps, prediction, gas_used, landing)
        most_wei = min(self.budget.left_wei(prediction.plan, landing), spare)
        tip_wei = max(min(wanted.priority_fee_wei, least + most_wei // gas_used), least)
        made = with_tip(self.caps, prediction, gas_used, landing, tip_wei)
        self.offers.note(prediction.plan, landing, least * gas_used + spare, gas_used)
        self.budget.commit(prediction.plan, landing, max(made.priority_fee_wei - least, 0) * gas_used)
        return made
