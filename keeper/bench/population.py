"""The accounts of the synthetic book: part of every figure that is measured on it, so it is drawn from a seed and described in print.

Accounts → positions (reserve, side, scaled integer) + flags + category. Rows (`rows.py`) and cells (`cells.py`) follow from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keeper.bench.reserves import (
    BASE_UNIT,
    COUNT,
    EMODE_THRESHOLD,
    OWED_FIRST,
    RESERVES,
    STAKED,
    STAKED_SHARES,
    SUPPLIED_FIRST,
    shares,
    thresholds,
    unit_values,
)

Floats = NDArray[np.float64]
Sides = NDArray[np.int8]

PLACES = 4
"""Positions an account may have."""

ORDINARY, LOOP, DOOMED = 0, 1, 2
EMODE = 1
"""The category of loops: the one of ether and its staked forms."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a book is drawn from. Shares are of all accounts, and exact; health factors and debts are drawn."""

    accounts: int
    seed: int = 1
    loops: float = 0.10
    single: float = 0.60  # of one collateral, loops among them
    doomed: float = 0.01  # liquidatable, and not worth it
    loop_health: tuple[float, float] = (1.01, 1.06)
    doomed_health: tuple[float, float] = (0.50, 0.98)
    spare_median: float = 0.5  # of the others: health factor - 1, lognormal
    spare_sigma: float = 1.0
    debt_median_usd: float = 3000.0
    debt_sigma: float = 2.0
    debt_least_usd: float = 50.0
    dust_usd: tuple[float, float] = (0.5, 5.0)


@dataclass(frozen=True, slots=True)
class Population:
    """N accounts. `reserve` int16[N, 4]; `side` int8[N, 4]: 1 supplied, -1 owed, 0 no position; scaled amounts `low` + `high` · 2^64;
    `flags` uint64[N]: two bits a reserve, owed and used as collateral; `category` uint8[N]; `kind` and the `health` aimed at."""

    spec: Spec
    kind: NDArray[np.int8]
    health: Floats
    reserve: NDArray[np.int16]
    side: Sides
    low: NDArray[np.uint64]
    high: NDArray[np.uint64]
    flags: NDArray[np.uint64]
    category: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.kind)

    def scaled(self) -> Floats:
        """Scaled amounts as floats [N, 4]."""
        return self.low + self.high * 2.0**64

    def holders(self) -> Floats:
        """Share of the accounts that hold each reserve, on either side."""
        held = np.bincount(self.reserve[self.side != 0], minlength=COUNT)
        return held / max(len(self), 1)


def populate(spec: Spec) -> Population:
    """The same spec gives the same accounts."""
    rng = np.random.default_rng(spec.seed)
    kind, single = _kinds(spec, rng)
    side = _sides(kind, single, rng)
    reserve = _reserves(kind, side, rng)
    health = _healths(spec, kind, rng)
    low, high = _amounts(spec, kind, side, reserve, health, rng)
    flags = np.bitwise_or.reduce(_flag(reserve, side), axis=1)
    return Population(spec, kind, health, reserve, side, low, high, flags, np.where(kind == LOOP, EMODE, 0).astype(np.uint8))


def _kinds(spec: Spec, rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """(kind, has one collateral) of each account, in random order."""
    loops, doomed, single = (round(spec.accounts * share) for share in (spec.loops, spec.doomed, spec.single))
    kind = np.zeros(spec.accounts, np.int8)
    kind[:loops] = LOOP
    kind[loops : loops + doomed] = DOOMED
    rng.shuffle(kind)
    one = kind == LOOP
    others = np.flatnonzero(~one)
    one[rng.choice(others, min(max(single - loops, 0), len(others)), replace=False)] = True
    return kind, one


def _sides(kind: NDArray[np.int8], single: NDArray[np.bool_], rng: np.random.Generator) -> Sides:
    """Collaterals first, then debts: 1 and up to 3, or 2 to 3 and up to 2."""
    count = len(kind)
    supplied = np.where(single, 1, rng.choice([2, 3], count, p=[0.75, 0.25]))
    owed = np.where(single, rng.choice([1, 2, 3], count, p=[0.75, 0.20, 0.05]), rng.choice([1, 2], count, p=[0.8, 0.2]))
    owed = np.where(kind == LOOP, 1, np.minimum(owed, PLACES - supplied))
    place = np.arange(PLACES)
    side = np.where(place < supplied[:, None], 1, np.where(place < (supplied + owed)[:, None], -1, 0))
    return side.astype(np.int8)


def _reserves(kind: NDArray[np.int8], side: Sides, rng: np.random.Generator) -> NDArray[np.int16]:
    """By Zipf's law, no reserve twice in one account; loops owe ether against a staked form of it."""
    supplied, owed = np.cumsum(shares(SUPPLIED_FIRST)), np.cumsum(shares(OWED_FIRST))
    found = np.zeros(side.shape, np.int16)
    todo = np.flatnonzero(kind != LOOP)
    while len(todo):
        drawn, of = rng.random((len(todo), PLACES)), side[todo]
        taken = np.where(of > 0, np.searchsorted(supplied, drawn), np.searchsorted(owed, drawn)).clip(max=COUNT - 1)
        found[todo] = np.where(of == 0, 0, taken)
        ordered = np.sort(np.where(of == 0, COUNT + np.arange(PLACES), taken), axis=1)
        todo = todo[(ordered[:, 1:] == ordered[:, :-1]).any(axis=1)]
    loops = np.flatnonzero(kind == LOOP)
    found[loops, 0] = rng.choice(STAKED, len(loops), p=STAKED_SHARES)
    return found


def _healths(spec: Spec, kind: NDArray[np.int8], rng: np.random.Generator) -> Floats:
    count = len(kind)
    ordinary = 1.0 + spec.spare_median * rng.lognormal(0.0, spec.spare_sigma, count)
    loop, doomed = rng.uniform(*spec.loop_health, count), rng.uniform(*spec.doomed_health, count)
    return np.choose(kind, [ordinary, loop, doomed])


def _amounts(
    spec: Spec, kind: NDArray[np.int8], side: Sides, reserve: NDArray[np.int16], health: Floats, rng: np.random.Generator
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Scaled integers that give each account its health: collateral rounded down, debt up."""
    count = len(kind)
    debt = np.maximum(spec.debt_median_usd * rng.lognormal(0.0, spec.debt_sigma, count), spec.debt_least_usd)
    debt = np.where(kind == DOOMED, rng.uniform(*spec.dust_usd, count), debt) * BASE_UNIT
    part = rng.random(side.shape) + 0.25
    supplied, owed = (np.where(side == sign, part, 0.0) for sign in (1, -1))
    supplied /= supplied.sum(axis=1, keepdims=True)
    owed /= owed.sum(axis=1, keepdims=True)
    threshold = np.where((kind == LOOP)[:, None], EMODE_THRESHOLD, thresholds()[reserve])
    worth_supplied, worth_owed = unit_values()
    up = np.floor(supplied * (health * debt)[:, None] / threshold / worth_supplied[reserve])
    down = np.ceil(owed * debt[:, None] / worth_owed[reserve])
    scaled = np.where(side > 0, up, np.where(side < 0, down, 0.0))
    high = np.floor(scaled / 2.0**64)
    return (scaled - high * 2.0**64).astype(np.uint64), high.astype(np.uint64)


def _flag(reserve: NDArray[np.int16], side: Sides) -> NDArray[np.uint64]:
    bit = 2 * reserve.astype(np.uint64) + (side > 0).astype(np.uint64)
    return np.where(side == 0, np.uint64(0), np.uint64(1) << bit)


def described(spec: Spec) -> dict[str, Any]:
    """The book in print: what it is drawn from, and the share of the accounts that hold each reserve."""
    found = populate(spec)
    held = found.holders()
    order = np.argsort(-held, kind="stable")
    return {
        "seed": spec.seed,
        "staked_loops": f"{spec.loops:.0%} at health {_range(spec.loop_health)}",
        "single_collateral": f"{spec.single:.0%}",
        "liquidatable_dust": f"{spec.doomed:.0%} at health {_range(spec.doomed_health)}, debts {_range(spec.dust_usd)} usd",
        "others": f"health 1 + {spec.spare_median} · lognormal({spec.spare_sigma})",
        "debts": f"lognormal, median {spec.debt_median_usd:.0f} usd, sigma {spec.debt_sigma}",
        "positions_per_account": round(float((found.side != 0).sum() / max(len(found), 1)), 2),
        "held_by": {RESERVES[number].symbol: round(float(held[number]), 4) for number in order},
    }


def _range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:g}-{bounds[1]:g}"
