"""The rows of all accounts at once: what `rows` says of each. One block for first rows, one for second ones, and so on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keeper.adapters.perp_v2 import rows
from keeper.adapters.perp_v2.cells import Cells, Deployment
from keeper.ports import ColumnView
from keeper.types import Factor, Row, RowBlock


def compiled(deployment: Deployment, cells: Cells, state: ColumnView, slots: NDArray[np.int32] | None = None) -> Iterator[RowBlock]:
    name = deployment.name
    wanted = range(state.slots(name)) if slots is None else slots.tolist()
    found = [(slot, rows.rows(deployment, cells, state, state.account(name, slot))) for slot in wanted]
    for place in range(max((len(own) for _, own in found), default=0)):
        yield _block([(slot, own[place]) for slot, own in found if len(own) > place])


def _block(found: list[tuple[int, Row]]) -> RowBlock:
    names: dict[Factor, int] = {}
    width = max(len(row.weights) for _, row in found)
    column, weight = np.zeros((len(found), width), np.intp), np.zeros((len(found), width))
    for at, (_, row) in enumerate(found):
        for place, (factor, amount) in enumerate(row.weights.items()):
            column[at, place], weight[at, place] = names.setdefault(factor, len(names)), amount
    slot = np.array([slot for slot, _ in found], np.int32)
    constant, slack = (np.array([getattr(row, field) for _, row in found]) for field in ("constant", "slack"))
    return RowBlock(tuple(names), slot, column, weight, constant, slack)
