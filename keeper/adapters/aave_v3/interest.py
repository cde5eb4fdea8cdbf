"""Indexes at any timestamp, and what a state update writes."""

from __future__ import annotations

from keeper.adapters.aave_v3.cells import Cells, Index
from keeper.adapters.aave_v3.rules import linear_factor
from keeper.adapters.aave_v3.versions import RuleSet
from keeper.fixedpoint import percent_mul_half_up, ray_div_half_up, ray_mul_half_up
from keeper.ports import View
from keeper.types import Write


def income(index: Index, at_s: int) -> int:
    """Liquidity index, ray (`getReserveNormalizedIncome`)."""
    if at_s <= index.ts:
        return index.li
    return ray_mul_half_up(linear_factor(index.lr, at_s - index.ts), index.li)


def debt_index(rules: RuleSet, index: Index, at_s: int) -> int:
    """Variable borrow index, ray (`getReserveNormalizedVariableDebt`)."""
    if at_s <= index.ts:
        return index.bi
    return ray_mul_half_up(rules.compound(index.br, at_s - index.ts), index.bi)


def accrue(cells: Cells, rules: RuleSet, view: View, reserve: int, at_s: int) -> list[Write]:
    """`updateState` at `at_s`. Rates stay: nothing compounds by them before the next block's own event."""
    index = cells.index_of(view, reserve)
    if at_s <= index.ts:
        return []
    scaled_debt = view.get(cells.total, (reserve, "debt"))
    li = income(index, at_s) if index.lr else index.li
    bi = debt_index(rules, index, at_s) if scaled_debt else index.bi
    values = {"li": li, "bi": bi, "ts": at_s}
    writes: list[Write] = [(cells.index, (reserve, field), value) for field, value in values.items()]
    if rules.flash_to_suppliers:
        writes.append(_treasury(cells, view, reserve, scaled_debt, index.bi, bi, li))
    return writes


def _treasury(cells: Cells, view: View, reserve: int, scaled_debt: int, before: int, after: int, li: int) -> Write:
    """The treasury's claim, which a flash premium is spread over up to 3.3."""
    grown = ray_mul_half_up(scaled_debt, after) - ray_mul_half_up(scaled_debt, before)
    minted = ray_div_half_up(percent_mul_half_up(grown, cells.of(view, reserve, "factor")), li)
    return cells.reserve, (reserve, "accrued"), cells.of(view, reserve, "accrued") + minted
