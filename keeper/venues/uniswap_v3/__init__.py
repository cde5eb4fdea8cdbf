"""Uniswap v3: concentrated-liquidity pools, priced offline to the wei."""

from keeper.venues.uniswap_v3.discovery import UniswapV3
from keeper.venues.uniswap_v3.venue import SwapHop, UniswapV3Venue

__all__ = ["SwapHop", "UniswapV3", "UniswapV3Venue"]
