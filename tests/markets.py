"""Which of the devnet's markets a test is about."""

from __future__ import annotations

import re

from keeper.config import Settings

LENDING = ("aave-v36", "aave-v302")
ALL = (*LENDING, "morpho", "perp", "yield")

_TABLE = re.compile(r'\[\[chains\.markets\]\]\nname = "([^"]+)"\n(?:(?!\[\[|\[chains\.(?!markets)).*\n)*')


def config_of(text: str, *names: str) -> str:
    """A config with these markets and no others."""
    return _TABLE.sub(lambda table: table[0] if table[1] in names else "", text)


def only(settings: Settings, *names: str) -> Settings:
    """With these markets of its only chain and no others."""
    (chain,) = settings.chains
    kept = tuple(market for market in chain.markets if market.name in names)
    return settings.model_copy(update={"chains": (chain.model_copy(update={"markets": kept}),)})
