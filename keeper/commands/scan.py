"""`keeper scan`: every account's health now, or those most likely to fall next."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from keeper.app import Chain, open_chain
from keeper.coming import due_at
from keeper.commands.output import price_in_unit
from keeper.commands.progress import backfill_progress
from keeper.config import Settings
from keeper.outlook import Hazards, Outlook, Prospect, assumption, finite, outlook
from keeper.ports import Market
from keeper.types import Address, Health

Row = dict[str, Any]

NEAREST = 200
"""So many of the lowest health factors are followed through a day in which nothing happens."""

NEVER_S = 2**63


async def scan(settings: Settings, next_block: bool = False, below_wad: int | None = None) -> AsyncIterator[Row]:
    """Rows, the worst health first, at the newest block (or at the landing block) of each chain."""
    return _rows(settings, next_block, below_wad)


async def watch(settings: Settings, most: int, next_block: bool = False, below_wad: int | None = None) -> AsyncIterator[Row]:
    """Rows of the accounts of each chain that are healthy, and most likely not to be within a day: those whom time alone makes
    liquidatable, the soonest first, then the likeliest."""
    return _watched(settings, most, next_block, below_wad)


async def _rows(settings: Settings, next_block: bool, below_wad: int | None) -> AsyncIterator[Row]:
    for named in settings.chains:
        with backfill_progress() as progress:
            async with open_chain(settings, named, progress, owned=False) as chain:
                await chain.catch_up()
                rows = healths(chain, next_block)
        for row in rows:
            if below_wad is None or row["health_factor_wad"] < below_wad:
                yield row


async def _watched(settings: Settings, most: int, next_block: bool, below_wad: int | None) -> AsyncIterator[Row]:
    for named in settings.chains:
        with backfill_progress() as progress:
            async with open_chain(settings, named, progress, owned=False) as chain:
                await chain.catch_up()
                rows = prospects(chain, await outlook(chain), most, next_block, below_wad)
        for row in rows:
            yield row
        said = assumption(symbol for row in rows for symbol in row["assumed"])
        if said:
            print(said, file=sys.stderr)


def healths(chain: Chain, next_block: bool = False) -> list[Row]:
    """One row per indebted account at the book's head; `next_block`: at the timestamp of the block after it."""
    block = _block(chain, next_block)[0]
    rows = [_row(market, health, block) for market in chain.markets for health in _healths(chain, market, next_block)]
    return sorted(rows, key=lambda row: (row["health_factor_wad"], row["market"], row["account"]))


def prospects(chain: Chain, view_ahead: Outlook, most: int, next_block: bool = False, below_wad: int | None = None) -> list[Row]:
    """One row for each of those indebted accounts that are not liquidatable, but the likeliest to be within a day; the first first."""
    found: list[tuple[Hazards, Market, Health]] = []
    for market in chain.markets:
        healthy = [
            health
            for health in _healths(chain, market, next_block)
            if not health.liquidatable and (below_wad is None or health.health_factor_wad < below_wad)
        ]
        found += [
            (hazards, market, health) for hazards, health in zip(view_ahead.hazards(market, chain.view, healthy), healthy, strict=True)
        ]
    found.sort(key=lambda item: (-item[0][1], -item[0][0], item[2].health_factor_wad, item[1].name, item[2].account))
    due = _by_time(chain, found)
    found.sort(key=lambda item: due.get((item[1].name, item[2].account), NEVER_S))
    block = _block(chain, next_block)[0]
    return [
        {
            **_row(market, health, block),
            **_ahead(view_ahead.seen(market, health, hazards), health),
            "due_at": due.get((market.name, health.account)),
        }
        for hazards, market, health in found[:most]
    ]


def _by_time(chain: Chain, found: Sequence[tuple[Hazards, Market, Health]]) -> dict[tuple[str, Address], int]:
    """Those of the lowest health factors that time alone makes liquidatable within a day, and when."""
    nearest = sorted(found, key=lambda item: item[2].health_factor_wad)[:NEAREST]
    moments = ((market, health, due_at(market, chain.view, health.account, health.timestamp_s)) for _, market, health in nearest)
    return {(market.name, health.account): due_s for market, health, due_s in moments if due_s is not None}


def _block(chain: Chain, next_block: bool) -> tuple[int, int]:
    """(number, timestamp)"""
    landing = chain.landing(chain.head)
    return (landing.number, landing.timestamp_s) if next_block else (chain.head.number, chain.head.timestamp_s)


def _healths(chain: Chain, market: Market, next_block: bool) -> Iterator[Health]:
    """Of everybody who owes something."""
    at_s = _block(chain, next_block)[1]
    return (market.health(chain.view, account, at_s) for account in market.accounts(chain.view))


def _row(market: Market, health: Health, block: int) -> Row:
    return {
        "adapter": market.adapter,
        "market": market.name,
        "account": health.account,
        "block": block,
        "timestamp": health.timestamp_s,
        "health_factor_wad": health.health_factor_wad,
        "liquidatable": health.liquidatable,
        "weighted_collateral": health.weighted_collateral,
        "debt": health.debt,
        "unit": health.unit,
    }


def _ahead(prospect: Prospect, health: Health) -> Row:
    nearest = prospect.nearest
    hour, day = prospect.hazards
    sigmas = finite(prospect.greeks.distance_sigma)
    found = {"distance_sigma": sigmas, "hazard_1h": hour, "hazard_24h": day, "assumed": prospect.assumed}
    if nearest is None or nearest.liquidation_price is None or nearest.move_bps is None:
        return {**found, "token": None, "symbol": None, "price": None, "move_bps": None, "liquidated_by": "no single price"}
    at = f"{nearest.symbol} at {price_in_unit(nearest.liquidation_price, health.unit)} ({nearest.move_bps / 100:+.2f} %)"
    of = {"token": nearest.token, "symbol": nearest.symbol, "price": nearest.liquidation_price, "move_bps": nearest.move_bps}
    return {**found, **of, "liquidated_by": at}
