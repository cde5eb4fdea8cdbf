"""Morpho Blue: isolated markets anyone may open, liquidated without a close factor. Start at `rules.py`; `market.py` ties it together."""

from keeper.adapters.morpho_blue.discovery import MorphoBlue

__all__ = ["MorphoBlue"]
