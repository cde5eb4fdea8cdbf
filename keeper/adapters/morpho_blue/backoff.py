"""Who does not answer is asked again after 1, 2, 4 … heads: what is dead for good must not cost reads at every head.

The heads are counted in the book itself, so a reorg takes a count back and a restart keeps it.
"""

from __future__ import annotations

from keeper.ports import View
from keeper.types import Write

MOST_HEADS = 64


def resting(table: str, key: str, view: View) -> int:
    """How many heads it is still left alone."""
    return view.get(table, (key, "rest"))


def rested(table: str, key: str, view: View) -> list[Write]:
    """One head less."""
    return [(table, (key, "rest"), max(resting(table, key, view) - 1, 0))]


def failed(table: str, key: str, view: View) -> list[Write]:
    """After the first failure it is asked at the next head still."""
    tries = view.get(table, (key, "tries")) + 1
    heads = min(2 ** min(tries - 1, MOST_HEADS), MOST_HEADS)
    return [(table, (key, "tries"), tries), (table, (key, "rest"), heads - 1)]


def answered(table: str, key: str, view: View) -> list[Write]:
    """From now on it is asked at every head again."""
    return [(table, (key, field), 0) for field in ("tries", "rest") if view.get(table, (key, field))]
