"""Tiny bank: one collateral, one debt. Start at `market.py`."""

from tiny_bank.discovery import TinyBank

__all__ = ["TinyBank"]
