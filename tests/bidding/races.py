"""Auctions against rivals who do not learn: what a bidder nets, and what the best constant share would have."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from keeper.bidding.channels import Channel
from keeper.bidding.expected import Stakes, best_bid_wei
from keeper.bidding.odds import Odds, Race

GAS, BASE_FEE_WEI = 600_000, 20 * 10**9
SHARES = [share / 1000 for share in range(0, 1000, 2)]

Rival = Callable[[random.Random, int], int | None]
"""What the best of the others offers for a liquidation of this value, in wei; None: nobody came."""


class Held(NamedTuple):
    """One auction: the value to us, and the best offer of the others."""

    value_wei: int
    rival_wei: int | None


def held(rival: Rival, seed: int, count: int, values: tuple[float, float] = (17.0, 18.5)) -> list[Held]:
    """Values from 10^low to 10^high wei."""
    dice = random.Random(seed)
    found = []
    for _ in range(count):
        value_wei = int(10 ** dice.uniform(*values))
        found.append(Held(value_wei, rival(dice, value_wei)))
    return found


def net_wei(auction: Held, bid_wei: int, channel: Channel) -> int:
    if auction.rival_wei is None or bid_wei > auction.rival_wei:
        return auction.value_wei - bid_wei
    return -channel.lost_gas * (BASE_FEE_WEI + bid_wei // GAS)


def played(auctions: Sequence[Held], channel: Channel, odds: Odds) -> int:
    """What the policy nets, learning as it goes: from each race, what the chain shows of it."""
    total = 0
    for auction in auctions:
        curve = odds.curve("m", channel, auction.value_wei)
        bid_wei = best_bid_wei(curve, channel, Stakes(auction.value_wei, GAS, BASE_FEE_WEI))
        total += net_wei(auction, bid_wei, channel)
        ours = auction.rival_wei is None or bid_wei > auction.rival_wei
        paid_wei = bid_wei if ours or auction.rival_wei is None else auction.rival_wei
        odds.observe(Race("m", channel, auction.value_wei, GAS, paid_wei // GAS, ours))
    return total


def best_constant(auctions: Sequence[Held], channel: Channel) -> int:
    """In hindsight."""
    return max(sum(net_wei(auction, int(auction.value_wei * share), channel) for auction in auctions) for share in SHARES)
