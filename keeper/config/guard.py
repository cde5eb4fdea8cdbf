"""Which prices to believe, as settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import field_validator

from keeper.config.base import Table, refuse_twins
from keeper.config.fields import Addresses, AddressText, Count, Flag, Whole, Window, one_of

Ruling = Annotated[Literal["trade", "alert", "hold", "halt"], one_of("trade", "alert", "hold", "halt")]


class GuardTokenSettings(Table):
    """One token's exceptions from the guard's settings; what is absent is as for all tokens."""

    token: AddressText
    stale: Ruling | None = None
    clamp: Ruling | None = None
    jump: Ruling | None = None
    apart: Ruling | None = None
    disagree: Ruling | None = None
    heartbeat_s: Count | None = None
    max_jump_bps: Whole | None = None
    max_apart_bps: Whole | None = None
    max_disagree_bps: Whole | None = None
    spot_confirms: Flag | None = None
    second: AddressText | None = None
    """A second source: an AggregatorV3 in the market's currency, read at every head."""


class GuardSettings(Table):
    """When a price is doubted, and what is done about it: trade, alert, hold, or halt everything."""

    stale: Ruling = "alert"
    """The aggregator has been silent for longer than `heartbeat_s`."""
    clamp: Ruling = "hold"
    """The aggregator's answer is at its least or most."""
    jump: Ruling = "hold"
    """One update moved the price by more than `max_jump_bps`, and the pools did not follow."""
    apart: Ruling = "hold"
    """The price is more than `max_apart_bps` from what deep pools trade at."""
    disagree: Ruling = "hold"
    """The price is more than `max_disagree_bps` from the token's second source."""
    heartbeat_s: Count = 90_000
    max_jump_bps: Whole = 2000
    max_apart_bps: Whole = 1000
    max_disagree_bps: Whole = 500
    spot_confirms: Flag = True
    """In a crash the pools' mean lags: a price between it and where the pools stand now is not apart, and no jump. false: only the mean."""
    twap_window_s: Window = 1800
    min_depth: Whole = 10_000
    """What a pool must pay out until its price is 2 % off to be a witness, in whole units of the market's currency."""
    anchors: Addresses = ()
    """Tokens (stablecoins) in which pools' prices are read, at their own oracle price. None: the native token alone."""
    tokens: tuple[GuardTokenSettings, ...] = ()

    @field_validator("tokens")
    @classmethod
    def _distinct(cls, tokens: tuple[GuardTokenSettings, ...]) -> tuple[GuardTokenSettings, ...]:
        refuse_twins("must differ in token", "", [item.token for item in tokens])
        return tokens
