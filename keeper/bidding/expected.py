"""Bid what is worth most: the chance of winning times what is then left, less what losing costs. Pure.

    argmax over b of w(b) · (v - b) - (1 - w(b)) · cost of losing

v: what the place in the block may cost at most; w: see `odds`. In between the bids that beat one more sighting nothing is gained, so these
are all there are to compare.
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.bidding.caps import Caps, spare_wei, with_tip
from keeper.bidding.channels import Channel
from keeper.bidding.odds import PPM, Curve, Odds, bucket_of, middle_of
from keeper.types import Bid, Landing, Prediction


@dataclass(frozen=True, slots=True)
class Stakes:
    """`value_wei`: v; `gas`: of the transaction; `base_fee_wei`: per gas."""

    value_wei: int
    gas: int
    base_fee_wei: int


def best_bid_wei(curve: Curve, channel: Channel, stakes: Stakes) -> int:
    """From nothing to less than v. Of a curve by shares it is a share that is the same for the whole bucket: the cost of losing counts as
    for a value in its middle."""
    if not channel.pays or stakes.value_wei <= 0:
        return 0
    if curve.by_share:
        share = _best(curve, PPM, channel, stakes, middle_of(bucket_of(stakes.value_wei)) / PPM)
        return min(stakes.value_wei * share // PPM, stakes.value_wei - 1)
    return min(_best(curve, stakes.value_wei / stakes.gas, channel, stakes, stakes.gas) * stakes.gas, stakes.value_wei - 1)


def _best(curve: Curve, most: float, channel: Channel, stakes: Stakes, unit_wei: float) -> int:
    """The amount below `most` that promises most; `unit_wei`: what a unit of it costs. Of equals the surest."""
    best, promises = 0, float("-inf")
    for amount, wins in curve.chances:
        if amount < most:
            lost_wei = channel.lost_gas * (stakes.base_fee_wei + amount * unit_wei / stakes.gas)
            promise = wins * (most - amount) * unit_wei - (1 - wins) * lost_wei
            if promise > promises:
                best, promises = amount, promise
    return best


@dataclass(frozen=True, slots=True)
class ExpectedValue:
    """A `BidPolicy`. What nobody else can have gets the least."""

    odds: Odds
    caps: Caps
    channel: Channel

    def bid(self, prediction: Prediction, gas_used: int, landing: Landing) -> Bid:
        """Raises Skip("unprofitable") when the least bid leaves less than the least profit, Skip("fee_cap") above a hard cap per gas."""
        least_wei = self.caps.min_priority_fee_wei * gas_used
        value_wei = least_wei + spare_wei(self.caps, prediction, gas_used, landing)
        wanted_wei = 0
        if prediction.plan.contested:
            curve = self.odds.curve(prediction.plan.market, self.channel, value_wei)
            wanted_wei = best_bid_wei(curve, self.channel, Stakes(value_wei, gas_used, landing.base_fee_wei))
        return with_tip(self.caps, prediction, gas_used, landing, max(least_wei, wanted_wei) // gas_used)
