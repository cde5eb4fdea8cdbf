"""The keeper's settings: one TOML file, environment overrides, no secrets in any output."""

from keeper.config.endpoints import NodeSettings, SignerSettings
from keeper.config.load import load, require_live, schema, show
from keeper.config.settings import (
    BiddingSettings,
    ChainSettings,
    ExecutorSettings,
    LimitSettings,
    MarketSettings,
    Settings,
    VenueSettings,
)

__all__ = [
    "BiddingSettings",
    "ChainSettings",
    "ExecutorSettings",
    "LimitSettings",
    "MarketSettings",
    "NodeSettings",
    "Settings",
    "SignerSettings",
    "VenueSettings",
    "load",
    "require_live",
    "schema",
    "show",
]
