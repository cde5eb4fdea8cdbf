"""Offer a fixed share of the expected profit as priority fee, within caps."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.bidding.caps import Caps, spare_wei, with_tip
from keeper.types import Bid, Landing, Prediction


@dataclass(frozen=True, slots=True)
class ProfitShare:
    """A `BidPolicy`: priority fee = share of the net profit per gas, never below the least nor above what still pays; what nobody else can
    have gets the least."""

    profit_share_bps: int
    caps: Caps

    def bid(self, prediction: Prediction, gas_used: int, landing: Landing) -> Bid:
        """Raises Skip("unprofitable") when the least bid leaves less than the least profit, Skip("fee_cap") above the hard cap."""
        spare = spare_wei(self.caps, prediction, gas_used, landing)
        share_bps = self.profit_share_bps if prediction.plan.contested else 0
        return with_tip(self.caps, prediction, gas_used, landing, self.caps.min_priority_fee_wei + spare * share_bps // 10_000 // gas_used)
