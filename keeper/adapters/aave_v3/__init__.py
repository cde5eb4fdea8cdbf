"""Aave v3, versions 3.0 to 3.7: swap-style liquidations. Start at `versions.py`; `market.py` ties it together."""

from keeper.adapters.aave_v3.discovery import AaveV3

__all__ = ["AaveV3"]
