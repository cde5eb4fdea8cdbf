"""When time alone will make an account liquidatable: interest, funding, means that catch up with a price, the clocks of auctions.

Looked for at the moments at which something is known to bend, and at others ever further away; then between the last one at which the
account is healthy and the first at which it is not, to the second.
"""

from __future__ import annotations

from collections.abc import Iterator

from keeper.ports import Clocked, Market, View
from keeper.types import Address

DAY_S = 86_400
BENDS = 32
"""So many of a market's bends are looked at at most."""

AHEAD_S = (12, 60, 180, 420, 900, 1800, 3600, 3 * 3600, 8 * 3600, DAY_S)


def due_at(market: Market, view: View, account: Address, at_s: int, horizon_s: int = DAY_S) -> int | None:
    """The first second after `at_s` at which it is liquidatable if nothing happens until then; None: it is now, or not so soon."""
    healthy_s = at_s
    if market.health(view, account, at_s).liquidatable:
        return None
    for moment_s in _moments(market, view, at_s, at_s + horizon_s):
        if market.health(view, account, moment_s).liquidatable:
            return _first(market, view, account, healthy_s, moment_s)
        healthy_s = moment_s
    return None


def _first(market: Market, view: View, account: Address, healthy_s: int, due_s: int) -> int:
    while due_s - healthy_s > 1:
        middle_s = (healthy_s + due_s) // 2
        if market.health(view, account, middle_s).liquidatable:
            due_s = middle_s
        else:
            healthy_s = middle_s
    return due_s


def _moments(market: Market, view: View, at_s: int, until_s: int) -> list[int]:
    ahead = (at_s + ahead_s for ahead_s in AHEAD_S)
    return sorted({moment_s for moment_s in ahead if moment_s <= until_s} | set(_bends(market, view, at_s, until_s)))


def _bends(market: Market, view: View, at_s: int, until_s: int) -> Iterator[int]:
    if not isinstance(market, Clocked):
        return
    for _ in range(BENDS):
        moment_s = market.next_change(view, at_s)
        if moment_s is None or moment_s > until_s:
            return
        yield moment_s
        at_s = moment_s
