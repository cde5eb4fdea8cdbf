"""Plays a price path on a devnet, one step a block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from keeper.devnet.devnet import Devnet

OnStep = Callable[[int, Mapping[str, int]], None]


async def drive(net: Devnet, steps: Sequence[Mapping[str, int]], on_step: OnStep | None = None, quiet_blocks: int = 0) -> None:
    """Send each step's oracle updates and swaps, then let a block pass, and `quiet_blocks` more. `on_step` hears the block that has them,
    and the prices."""
    last: Mapping[str, int] = await net.prices()
    for prices in steps:
        await net.set_prices({symbol: price for symbol, price in prices.items() if price != last.get(symbol)})
        block = await net.next_block()
        last = prices
        if on_step is not None:
            on_step(block, prices)
        for _ in range(quiet_blocks):
            await net.arbitrage()
            await net.next_block()
