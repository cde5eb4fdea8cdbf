"""What we hold for a while, as settings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import model_validator

from keeper.config.base import Table, refuse_twins
from keeper.config.fields import AddressText, Bps, Count, Name, Whole, one_of, refuse


class HedgeSettings(Table):
    """Another position of the same market that moves along with one."""

    target: AddressText
    """What is hedged."""
    against: AddressText
    """What is traded for it: hedges nothing else, and is not hedged itself."""
    beta_bps: Count = 10_000
    """How much the first moves when this moves by 1."""


class InventorySettings(Table):
    """Positions that are taken over and kept for a while, on an account contract of ours."""

    market: Name
    """The name of a market of this chain."""
    account: AddressText
    """Our account contract there (see `keeper deploy --account`); what lies in it is the margin."""
    mode: Annotated[Literal["unwind", "hold", "hedge"], one_of("unwind", "hold", "hedge")] = "unwind"
    """"unwind" keeps nothing new, and trades away what is there."""
    per_market: Whole = 10_000
    """The largest position, in whole units of the quote token."""
    in_all: Whole = 20_000
    """All positions together, in whole units of the quote token."""
    shock_bps: Bps = 4000
    """Every price may go so far against us at once, and margin is left."""
    cushion_bps: Bps = 1000
    """What must be left then beyond the requirement, as a share of it."""
    deadline_blocks: Count = 3
    """What was taken is traded away or hedged within so many blocks."""
    hold_blocks: Count = 300
    """What is hedged is traded away within so many blocks."""
    cost_cap_bps: Bps = 50
    """What a hedge may cost of the value traded."""
    hard_cap_bps: Bps = 300
    """What any trade may cost, even one that is overdue; beyond, it is told of and waits."""
    band_bps: Bps = 1500
    """How far a position and its hedges may be apart before they are brought together."""
    inner_bps: Bps = 500
    """How near they are brought."""
    volatility_percent: Count = 80
    """Of a year: what the risk of holding is reckoned with."""
    hedges: tuple[HedgeSettings, ...] = ()
    """What may be held against what; for mode "hedge"."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.inner_bps >= self.band_bps:
            raise refuse(f"must be less than band_bps ({self.band_bps}), was {self.inner_bps}", "inner_bps")
        if {hedge.target for hedge in self.hedges} & {hedge.against for hedge in self.hedges}:
            raise refuse("must not hedge with what is hedged itself", "hedges")
        if self.mode == "hedge" and not self.hedges:
            raise refuse('must say what is held against what in mode "hedge"', "hedges")
        refuse_twins("must differ in against", "hedges", [hedge.against for hedge in self.hedges])
        return self
