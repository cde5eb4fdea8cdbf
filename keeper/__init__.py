"""Keeper: a competitive liquidation keeper for lending and derivative protocols."""

__version__ = "0.1.0"
