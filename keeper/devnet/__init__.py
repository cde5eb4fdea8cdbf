"""The embedded devnet: anvil with the real Aave v3.6, Aave v3.0.2 and Uniswap v3, oracles of ours, borrowers, and price paths."""

from keeper.devnet.devnet import Devnet, DevnetOptions

__all__ = ["Devnet", "DevnetOptions"]
