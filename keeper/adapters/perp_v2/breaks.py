"""When a book moves by the clock alone: where the windows of its means meet an observation, from then on they move at another pace.

Between two such times the mean ticks of the pool climb by staircases and those of the index by ramps, at a known pace.
"""

from __future__ import annotations

from keeper.adapters.perp_v2 import index, oracle
from keeper.adapters.perp_v2.cells import OPEN, Cells, Deployment
from keeper.ports import View


def next_change(deployment: Deployment, cells: Cells, view: View, number: int, at_s: int) -> int | None:
    """The first such time after `at_s`; None: never again without an event."""
    if cells.of_book(view, number, "status") != OPEN:
        return None
    mark_s, premium_s, funding_s = (cells.setting(view, field) for field in ("mark_window_s", "premium_window_s", "twap_window_s"))
    feed = deployment.books[number].feed.address
    found = [oracle.following(cells, view, number, at_s, window_s) for window_s in {mark_s, premium_s, funding_s, deployment.spot_window_s}]
    found += [index.following(cells, view, feed, at_s, window_s) for window_s in {premium_s, funding_s}]
    found.append(cells.of_feed(view, feed, "answer_at"))
    first = cells.of_book(view, number, "first_trade")
    found += [first + oracle.SHORTEST_S, first + funding_s] if first else []
    return min((time_s for time_s in found if time_s is not None and time_s > at_s), default=None)
