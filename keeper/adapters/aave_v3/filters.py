"""Which contracts and events to follow: grows as events announce tokens, oracles and, through reads, aggregators."""

from __future__ import annotations

from collections.abc import Iterator

from keeper.adapters.aave_v3.cells import Cells, Deployment
from keeper.adapters.aave_v3.codec import to_address
from keeper.adapters.aave_v3.events import AGGREGATOR, ATOKEN, ORACLE, POOL, VTOKEN
from keeper.adapters.aave_v3.governance import CONFIGURATOR, PROVIDER
from keeper.ports import View
from keeper.types import Address, LogFilter

Wanted = tuple[Address, frozenset[str], int]


def filters(deployment: Deployment, cells: Cells, view: View) -> tuple[LogFilter, ...]:
    """One filter per contract: a contract in two roles is followed for both, from the earlier block."""
    merged: dict[Address, LogFilter] = {}
    for address, topics, since in _wanted(deployment, cells, view):
        known = merged.get(address, LogFilter(address, topics, since))
        merged[address] = LogFilter(address, topics | known.topics, min(since, known.since_block))
    return tuple(merged.values())


def _wanted(deployment: Deployment, cells: Cells, view: View) -> Iterator[Wanted]:
    first = deployment.first_block
    yield deployment.provider, frozenset(PROVIDER), first
    yield deployment.pool, frozenset(POOL), first
    yield deployment.configurator, frozenset(CONFIGURATOR), first
    for reserve in cells.reserve_ids(view):
        since = cells.of(view, reserve, "block")
        yield to_address(cells.of(view, reserve, "atoken")), frozenset(ATOKEN), since
        yield to_address(cells.of(view, reserve, "vtoken")), frozenset(VTOKEN), since
    yield from _oracle(cells, view)


def _oracle(cells: Cells, view: View) -> Iterator[Wanted]:
    """Older answers are not needed: a head's read gives the price."""
    oracle = cells.address_of_market(view, "oracle")
    if oracle is not None:
        yield oracle, frozenset(ORACLE), cells.of_market(view, "oracle_block")
    for asset in cells.price_keys(view):
        source = cells.of_asset(view, asset, "source")
        emitter = view.get(cells.aggregator, (to_address(source),)) if source else 0
        if emitter:
            yield to_address(emitter), frozenset(AGGREGATOR), cells.of_asset(view, asset, "source_block")
