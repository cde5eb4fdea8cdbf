"""Offer a fixed share of the expected profit as priority fee, within caps."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.errors import Skip
from keeper.types import Bid, Landing, Prediction

GAS_HEADROOM_PERCENT = 150
"""Gas limit as a share of the simulated gas: the pools may have moved in the block it lands in, and unused gas costs nothing."""


@dataclass(frozen=True, slots=True)
class ProfitShare:
    """A `BidPolicy`: priority fee = share of the net profit per gas, never below `min_priority_fee_wei` nor above what still pays; what
    nobody else can have gets the least.

    All fees in wei per gas; `min_profit_wei` is what must be left after gas."""

    profit_share_bps: int
    min_priority_fee_wei: int
    max_priority_fee_wei: int
    max_fee_wei: int
    min_profit_wei: int

    def bid(self, prediction: Prediction, gas_used: int, landing: Landing) -> Bid:
        """Raises Skip("unprofitable") when the least bid leaves less than `min_profit_wei`, Skip("fee_cap") above the hard cap."""
        floor_wei = gas_used * (landing.base_fee_wei + self.min_priority_fee_wei)
        net_wei = prediction.value_wei - floor_wei - self.min_profit_wei
        if net_wei <= 0:
            raise Skip("unprofitable", f"worth {prediction.value_wei} wei, gas costs {floor_wei} wei at the least bid")
        share_bps = self.profit_share_bps if prediction.plan.contested else 0
        priority = self.min_priority_fee_wei + net_wei * share_bps // 10_000 // gas_used
        priority = min(priority, self.max_priority_fee_wei)
        needed = landing.base_fee_wei + priority
        if needed > self.max_fee_wei:
            raise Skip("fee_cap", f"needs {needed} wei per gas, the cap is {self.max_fee_wei}")
        affordable = (prediction.value_wei - self.min_profit_wei) // gas_used
        max_fee = max(needed, min(2 * landing.base_fee_wei + priority, affordable, self.max_fee_wei))
        return Bid(max_fee_wei=max_fee, priority_fee_wei=priority, gas_limit=gas_used * GAS_HEADROOM_PERCENT // 100)
