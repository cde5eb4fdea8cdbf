"""Who of our signers gives ether to whom: each keeps a float for gas, what is beyond all floats goes to the beneficiary. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from keeper.types import Address

FLOAT, SWEEP = "float", "sweep"


@dataclass(frozen=True, slots=True)
class GasMoney:
    """A signer with less than `least_wei` is filled up to `float_wei`. `sweep_above_wei`: so much more than its float, and all beyond the
    float is swept; None: never."""

    least_wei: int
    float_wei: int
    sweep_above_wei: int | None


@dataclass(frozen=True, slots=True)
class Transfer:
    giver: Address
    to: Address
    wei: int
    why: str


def transfers(
    terms: GasMoney,
    balances: Mapping[Address, int],
    idle: Collection[Address],
    due: Collection[Address],
    beneficiary: Address | None,
    cost_wei: int,
) -> list[Transfer]:
    """At most one of each giver. `idle`: signers with nothing on its way, who alone give; `due`: to whom something is on its way already;
    `beneficiary`: None: nothing is swept now; `cost_wei`: of a transfer at most. Nobody gives so that less than a float is left; nothing is
    swept while somebody is short."""
    spare = {who: balances[who] - terms.float_wei - cost_wei for who in balances if who in idle}
    short = [who for who, wei in balances.items() if wei < terms.least_wei]
    made: list[Transfer] = []
    for who in sorted(short, key=lambda who: balances[who]):
        giver = max((one for one in spare if one != who), key=lambda one: spare[one], default=None)
        if who in due or giver is None:
            continue
        wei = min(terms.float_wei - balances[who], spare[giver])
        if balances[who] + wei >= terms.least_wei:
            made.append(Transfer(giver, who, wei, FLOAT))
            del spare[giver]
    if short or beneficiary is None or terms.sweep_above_wei is None:
        return made
    return [Transfer(who, beneficiary, wei, SWEEP) for who, wei in spare.items() if wei > terms.sweep_above_wei]
