"""What stands behind a price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from keeper.types.base import ZERO_ADDRESS, Address


@dataclass(frozen=True, slots=True)
class PriceFeed:
    """What stands behind a token's price. `price`, `before` (it last moved): of a whole token, in the market's `unit`, e.g. "usd-8".

    `answer`, `least`, `most`, `updated_at_s`: the aggregator's own words and limits; 0 where it has none, or there is no aggregator.
    `capped`: the price would be higher, but its source does not let it. `source`: whose word it is, where it is a single one's: tokens of
    one source are one thing."""

    token: Address
    symbol: str
    decimals: int
    unit: str
    price: int
    before: int = 0
    answer: int = 0
    least: int = 0
    most: int = 0
    updated_at_s: int = 0
    capped: bool = False
    source: Address = ZERO_ADDRESS


class PoolPrice(NamedTuple):
    """A pool's price of token 0 in token 1, smallest units, with 192 fractional bits: the mean over a window, and now. `depth0`, `depth1`:
    what it pays out of each token until its price is 2 % off."""

    mean_x192: int
    now_x192: int
    depth0: int
    depth1: int
