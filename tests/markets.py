"""Which of the devnet's markets a test is about."""

from __future__ import annotations

from keeper.config import Settings

LENDING = ("aave-v36", "aave-v302")


def only(settings: Settings, *names: str) -> Settings:
    """With these markets of its only chain and no others."""
    (chain,) = settings.chains
    kept = tuple(market for market in chain.markets if market.name in names)
    return settings.model_copy(update={"chains": (chain.model_copy(update={"markets": kept}),)})


def lending(settings: Settings) -> Settings:
    return only(settings, *LENDING)
