"""The policies that can be named in the config: entry-point group `keeper.bidding`, each a function of these terms."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.bidding.caps import Caps
from keeper.bidding.channels import Channel
from keeper.bidding.expected import ExpectedValue
from keeper.bidding.odds import Odds
from keeper.bidding.share import ProfitShare
from keeper.ports import BidPolicy


@dataclass(frozen=True, slots=True)
class Terms:
    """What a policy is told. `odds`: what won so far; it goes on learning. Whatever it bids, the caps are kept."""

    caps: Caps
    channel: Channel
    profit_share_bps: int
    odds: Odds


def expected(terms: Terms) -> BidPolicy:
    return ExpectedValue(terms.odds, terms.caps, terms.channel)


def share(terms: Terms) -> BidPolicy:
    return ProfitShare(terms.profit_share_bps, terms.caps)
