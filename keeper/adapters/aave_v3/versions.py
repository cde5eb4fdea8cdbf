"""The versions of Aave v3 as rows of data. Nothing else in the adapter knows a version by name.

A deployment's row is chosen by its `POOL_REVISION`. The tests run 3.0.2 and 3.6 against the real contracts; 3.2 to 3.5 and 3.7 were
compared once in the same way, from the protocol's source at its tags; 3.1 was only read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from keeper.adapters.aave_v3 import rules
from keeper.adapters.aave_v3.rules import TwoToOne
from keeper.errors import ConfigError
from keeper.fixedpoint import (
    mul_div_down,
    mul_div_up,
    percent_div_down,
    percent_div_half_up,
    percent_div_up,
    percent_mul_down,
    percent_mul_half_up,
    percent_mul_up,
    ray_div_down,
    ray_div_half_up,
    ray_div_up,
    ray_mul_down,
    ray_mul_half_up,
    ray_mul_up,
)


@dataclass(frozen=True, slots=True)
class TokenRounding:
    """Scaled amounts to token amounts and back."""

    supply_balance: TwoToOne
    debt_balance: TwoToOne
    supply_taken: TwoToOne
    debt_burnt: TwoToOne
    supply_after: rules.ThreeToOne
    debt_after: rules.ThreeToOne
    debt_base: rules.ThreeToOne


@dataclass(frozen=True, slots=True)
class SeizureRounding:
    """Collateral for debt: with bonus, without it, the fee on it, and the debt for all of the collateral."""

    with_bonus: TwoToOne
    without_bonus: TwoToOne
    fee: TwoToOne
    needed: TwoToOne


HALF_UP = TokenRounding(
    supply_balance=ray_mul_half_up,
    debt_balance=ray_mul_half_up,
    supply_taken=ray_div_half_up,
    debt_burnt=ray_div_half_up,
    supply_after=rules.scaled_by_delta,
    debt_after=rules.scaled_by_delta,
    debt_base=mul_div_down,
)
DIRECTED = TokenRounding(
    supply_balance=ray_mul_down,
    debt_balance=ray_mul_up,
    supply_taken=ray_div_up,
    debt_burnt=ray_div_down,
    supply_after=rules.supply_by_balance,
    debt_after=rules.debt_by_balance,
    debt_base=mul_div_up,
)
SEIZE_HALF_UP = SeizureRounding(percent_mul_half_up, percent_div_half_up, percent_mul_half_up, percent_div_half_up)
SEIZE_NEEDED_UP = replace(SEIZE_HALF_UP, needed=percent_div_up)
SEIZE_DIRECTED = SeizureRounding(percent_mul_down, percent_div_down, percent_mul_up, percent_div_up)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """One version: its revisions and every rule that ever differed."""

    version: str
    revisions: tuple[int, ...]
    tokens: TokenRounding
    seizure: SeizureRounding
    compound: TwoToOne
    health: Callable[[Sequence[tuple[int, int]], int], rules.Weighed]
    average_floored: bool  # the threshold may be understated by up to 1 bp
    close_factor: Callable[[rules.Exposure], int]
    must_not_leave_dust: bool
    burns_bad_debt: bool
    emptied: Callable[[rules.Emptying], tuple[bool, bool]]
    debt_free: Callable[[int, int, int], bool]
    zero_threshold_counts: bool  # a reserve with threshold 0 can be collateral
    emode_by_bitmap: bool
    emode_has_oracle: bool
    grace_period: bool
    sentinel: bool
    silent_index: bool  # a liquidation paid in aTokens moves the collateral's index without saying so
    virtual_cash: bool
    flash_premium: TwoToOne
    flash_to_suppliers: bool
    gas_liquidation: int
    gas_bad_debt: int


V3_0 = RuleSet(
    version="3.0",
    revisions=(1, 2, 3),
    tokens=HALF_UP,
    seizure=SEIZE_HALF_UP,
    compound=rules.compound_binomial,
    health=rules.health_by_average,
    average_floored=True,
    close_factor=rules.close_factor_by_reserve,
    must_not_leave_dust=False,
    burns_bad_debt=False,
    emptied=rules.emptied_by_amount,
    debt_free=rules.debt_free_when_repaid,
    zero_threshold_counts=False,
    emode_by_bitmap=False,
    emode_has_oracle=True,
    grace_period=False,
    sentinel=True,
    silent_index=False,
    virtual_cash=False,
    flash_premium=percent_mul_half_up,
    flash_to_suppliers=True,
    gas_liquidation=370_000,
    gas_bad_debt=0,
)
V3_1 = replace(V3_0, version="3.1", revisions=(4,), grace_period=True, virtual_cash=True)
V3_2 = replace(V3_1, version="3.2", revisions=(5, 6), emode_by_bitmap=True, emode_has_oracle=False)
V3_3 = replace(
    V3_2,
    version="3.3",
    revisions=(7,),
    close_factor=rules.close_factor_by_position,
    must_not_leave_dust=True,
    burns_bad_debt=True,
    gas_bad_debt=75_000,
)
V3_4 = replace(
    V3_3,
    version="3.4",
    revisions=(8,),
    compound=rules.compound_taylor,
    debt_free=rules.debt_free_when_burnt,
    flash_to_suppliers=False,
    gas_liquidation=330_000,
)
V3_5 = replace(
    V3_4,
    version="3.5",
    revisions=(9,),
    tokens=DIRECTED,
    seizure=SEIZE_NEEDED_UP,
    health=rules.health_by_sum,
    average_floored=False,
    silent_index=True,
    flash_premium=percent_mul_up,
    gas_liquidation=315_000,
)
V3_6 = replace(V3_5, version="3.6", revisions=(10,), zero_threshold_counts=True)
V3_7 = replace(V3_6, version="3.7", revisions=(11,), seizure=SEIZE_DIRECTED, emptied=rules.emptied_by_scaled, sentinel=False)

VERSIONS = (V3_0, V3_1, V3_2, V3_3, V3_4, V3_5, V3_6, V3_7)
BY_REVISION = {revision: row for row in VERSIONS for revision in row.revisions}


def rule_set(revision: int) -> RuleSet:
    """The row of a `POOL_REVISION`. Raises ConfigError naming the known ones."""
    row = BY_REVISION.get(revision)
    if row is None:
        known = ", ".join(f"{'/'.join(map(str, v.revisions))} (v{v.version})" for v in VERSIONS)
        raise ConfigError(f"Aave v3 POOL_REVISION must be one of {known}, was {revision}")
    return row
