"""What tokens are worth in ether, by a market's own oracle."""

from __future__ import annotations

from collections.abc import Mapping

from keeper.devnet import Devnet
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.types import Address

WAD = 10**18


async def prices_of(net: Devnet, market: str, block: int | str = "latest") -> dict[Address, int]:
    """Of every token, by the market's own oracle."""
    tokens = [net.addresses[f"token.{symbol}"] for symbol in BY_SYMBOL]
    prices = await net.read(f"{market}.oracle", "getAssetsPrices", tokens, block=block)
    return dict(zip(tokens, prices[0], strict=True))


def worth_wei(net: Devnet, prices: Mapping[Address, int], gains: Mapping[Address, int]) -> int:
    """Floored where the market floors: token to base currency, base currency to ether. Tokens without a price are worth nothing."""
    ether = net.addresses["token.WETH"]
    units = {net.addresses[f"token.{symbol}"]: info.unit for symbol, info in BY_SYMBOL.items()}
    return sum(
        amount if token == ether else amount * prices[token] // units[token] * WAD // prices[ether]
        for token, amount in gains.items()
        if token in prices
    )
