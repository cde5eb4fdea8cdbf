"""`keeper ledger`: what was earned."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from keeper.app import ledger_path
from keeper.config import Settings
from keeper.ledger.reading import reading


async def ledger(settings: Settings, limit: int | None = None) -> AsyncIterator[dict[str, Any]]:
    """Rows, oldest first; results undone by a reorg are netted out. Nothing when no keeper has run on this data_dir."""
    return _rows(settings, limit)


async def _rows(settings: Settings, limit: int | None) -> AsyncIterator[dict[str, Any]]:
    for chain in settings.chains:
        async with reading(ledger_path(settings, chain), chain.chain_id) as book:
            rows = await book.rows(limit) if book else []
        for row in reversed(rows):
            yield {
                "tx": row.tx,
                "block": row.block,
                "market": row.market,
                "account": row.account,
                "result": row.result,
                "reason": row.reason,
                "profit_token": row.profit_token,
                "predicted_profit": row.predicted_profit,
                "realised_profit": row.realised_profit,
                "gas_predicted_wei": row.gas_predicted_wei,
                "gas_paid_wei": row.gas_paid_wei,
                "net_eth_wei": row.net_eth_wei,
                "foreign": list(row.foreign),
                "gains": row.gains,
            }
