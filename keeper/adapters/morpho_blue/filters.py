"""Which contracts and events to follow: the singleton, and the aggregators behind the feeds of markets that are followed."""

from __future__ import annotations

from keeper.adapters.morpho_blue import prices
from keeper.adapters.morpho_blue.cells import Cells, Deployment
from keeper.adapters.morpho_blue.events import ANSWER_UPDATED, SINGLETON
from keeper.ports import View
from keeper.types import LogFilter


def filters(deployment: Deployment, cells: Cells, view: View) -> tuple[LogFilter, ...]:
    """Older answers are not needed: a head's read gives the price."""
    found = [LogFilter(deployment.address, SINGLETON, deployment.first_block)]
    opened = max(
        (view.get(cells.param, (cells.id_of(view, number), "block")) for number in cells.numbers(view)), default=deployment.first_block
    )
    return (*found, *(LogFilter(aggregator, frozenset({ANSWER_UPDATED}), opened) for aggregator in prices.fed(deployment, cells, view)))
