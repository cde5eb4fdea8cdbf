"""`keeper ledger`: what was earned."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from keeper.app import ledger_path
from keeper.config import Settings
from keeper.ledger.ledger import Ledger
from keeper.ledger.schema import LEDGER_FILE
from keeper.storage.database import Database


async def ledger(settings: Settings, limit: int | None = None) -> AsyncIterator[dict[str, Any]]:
    """Rows, oldest first; results undone by a reorg are netted out. Nothing when no keeper has run on this data_dir."""
    return _rows(settings, limit)


async def _rows(settings: Settings, limit: int | None) -> AsyncIterator[dict[str, Any]]:
    for chain in settings.chains:
        path = ledger_path(settings, chain)
        if not path.exists():
            continue
        database = await Database.open(path, chain.chain_id, LEDGER_FILE, read_only=True)
        try:
            rows = await Ledger(database).rows(limit)
        finally:
            await database.close()
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
