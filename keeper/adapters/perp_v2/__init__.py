"""Perpetual Protocol v2 "Curie", 2.6 and 2.8: perpetuals whose liquidator takes the position over. Start at `account.py`; `market.py` ties
it together."""

from keeper.adapters.perp_v2.discovery import PerpV2

__all__ = ["PerpV2"]
