"""Yield v2: fixed-rate vaults, whose collateral is sold by Dutch auctions when they go under."""

from keeper.adapters.yield_v2.discovery import YieldV2

__all__ = ["YieldV2"]
