"""The ledger beside the keeper that writes it: for commands that only look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from keeper.ledger.ledger import Ledger
from keeper.ledger.schema import LEDGER_FILE
from keeper.storage.database import Database


@asynccontextmanager
async def reading(path: Path, chain_id: int) -> AsyncIterator[Ledger | None]:
    """None when no keeper has run here yet. Raises ConfigError (another chain's file), Halt (broken)."""
    if not await asyncio.to_thread(path.exists):
        yield None
        return
    database = await Database.open(path, chain_id, LEDGER_FILE, read_only=True)
    try:
        yield Ledger(database)
    finally:
        await database.close()
