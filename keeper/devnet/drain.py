"""Takes liquidity out of the devnet's pools: what crashes do to real ones."""

from __future__ import annotations

from keeper.devnet.devnet import Devnet
from keeper.devnet.names import TRADER

NEVER_S = 2**32
LIQUIDITY = 7
"""Its place among what the position manager says of a position."""


async def drain(net: Devnet, percent: int) -> None:
    """Put into the mempool what withdraws this share of every position of the pools' provider."""
    (count,) = await net.read("uniswap.nfpm", "balanceOf", TRADER)
    for index in range(count):
        (token,) = await net.read("uniswap.nfpm", "tokenOfOwnerByIndex", TRADER, index)
        liquidity = (await net.read("uniswap.nfpm", "positions", token))[LIQUIDITY]
        data = net.encode("uniswap.nfpm", "decreaseLiquidity", (token, liquidity * percent // 100, 0, 0, NEVER_S))
        await net.send(TRADER, net.addresses["uniswap.nfpm"], data, gas=500_000)
