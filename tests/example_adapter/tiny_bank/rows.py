"""Accounts as rows over two factors: what collateral counts, and what a share of debt has grown to. Floats that never miss.

surplus = collateral · price · threshold - shares · index. The contract rounds three times, by less than one unit each; floats err by far
less than `SLACK`. A row is never more than the contract's own surplus, and says by how much less it may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from keeper.fixedpoint import BPS, WAD
from keeper.ports import ColumnView, View
from keeper.types import Address, Cell, Factor, Quote, Row, RowBlock
from tiny_bank.cells import Cells, Deployment
from tiny_bank.rules import index_at

SLACK = 1e-9
ROUNDINGS = 3.0
KEYS_A_TABLE = 4096
TWO_64 = 2.0**64


def collateral_factor(name: str) -> Factor:
    return (name, "collateral")


def debt_factor(name: str) -> Factor:
    return (name, "debt")


def factors(deployment: Deployment, cells: Cells, view: View, at_s: int, wanted: Iterable[Factor]) -> dict[Factor, Quote]:
    """Per smallest unit of collateral and per share, in the debt token's smallest unit."""
    price, index, rate, since = (cells.of_bank(view, field) for field in ("price", "index", "rate", "since"))
    counts = price / deployment.collateral.unit * deployment.terms.threshold_bps / BPS
    costs = index_at(index, rate, at_s - since) / WAD
    known = {collateral_factor(deployment.name): _quote(counts), debt_factor(deployment.name): _quote(costs)}
    return {factor: known[factor] for factor in wanted if factor in known}


def _quote(value: float) -> Quote:
    return Quote(value, 3 * SLACK * value)


def drivers(cells: Cells, factor: Factor) -> tuple[Cell, ...]:
    fields = ("price",) if factor == collateral_factor(factor[0]) else ("index", "rate", "since")
    return tuple((cells.bank, (field,)) for field in fields)


def row(deployment: Deployment, cells: Cells, view: View, account: Address) -> Row | None:
    """None for an account that owes nothing."""
    shares, name = cells.shares_of(view, account), deployment.name
    if not shares:
        return None
    weights = {collateral_factor(name): cells.collateral_of(view, account) * (1 - SLACK), debt_factor(name): -shares * (1 + SLACK)}
    return Row(weights, -ROUNDINGS, slack=2 * ROUNDINGS)


def compiled(deployment: Deployment, state: ColumnView, slots: NDArray[np.int32] | None) -> Iterator[RowBlock]:
    """The same rows, many at once. Balances of 2^128 and more are in no column; whoever has one is asked for by `row`."""
    asked = np.arange(state.slots(deployment.name), dtype=np.int32) if slots is None else slots
    balances = np.zeros((len(asked), 2))
    held = state.held(deployment.name, slots)
    balances[held.slot, held.number // KEYS_A_TABLE] = held.low + held.high * TWO_64
    owing = balances[:, 1] > 0
    weight = balances[owing] * np.array([1 - SLACK, -1 - SLACK])
    column = np.tile(np.arange(2, dtype=np.intp), (len(weight), 1))
    constant, slack = np.full(len(weight), -ROUNDINGS), np.full(len(weight), 2 * ROUNDINGS)
    yield RowBlock((collateral_factor(deployment.name), debt_factor(deployment.name)), asked[owing], column, weight, constant, slack)
