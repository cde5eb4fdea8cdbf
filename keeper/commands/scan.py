"""`keeper scan`: every account's health now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from keeper.app import Chain, open_chain
from keeper.commands.progress import backfill_progress
from keeper.config import Settings
from keeper.types import Health


async def scan(settings: Settings, next_block: bool = False, below_wad: int | None = None) -> AsyncIterator[dict[str, Any]]:
    """Rows, the worst health first, at the newest block (or at the landing block) of each chain."""
    return _rows(settings, next_block, below_wad)


async def _rows(settings: Settings, next_block: bool, below_wad: int | None) -> AsyncIterator[dict[str, Any]]:
    for named in settings.chains:
        with backfill_progress() as progress:
            async with open_chain(settings, named, progress, owned=False) as chain:
                await chain.catch_up()
                rows = healths(chain, next_block)
        for row in rows:
            if below_wad is None or row["health_factor_wad"] < below_wad:
                yield row


def healths(chain: Chain, next_block: bool = False) -> list[dict[str, Any]]:
    """One row per indebted account at the book's head; `next_block`: at the timestamp of the block after it."""
    landing = chain.landing(chain.head)
    block, at_s = (landing.number, landing.timestamp_s) if next_block else (chain.head.number, chain.head.timestamp_s)
    rows = [
        {"adapter": market.adapter, "market": market.name, **_row(market.health(chain.view, account, at_s), block)}
        for market in chain.markets
        for account in market.accounts(chain.view)
    ]
    return sorted(rows, key=lambda row: (row["health_factor_wad"], row["market"], row["account"]))


def _row(health: Health, block: int) -> dict[str, Any]:
    return {
        "account": health.account,
        "block": block,
        "timestamp": health.timestamp_s,
        "health_factor_wad": health.health_factor_wad,
        "liquidatable": health.liquidatable,
        "weighted_collateral": health.weighted_collateral,
        "debt": health.debt,
        "unit": health.unit,
    }
