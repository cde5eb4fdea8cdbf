"""What our daemon has learned of others' bids, from one match to the next: as it would over one long run."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

RACES = Path("data", "devnet", "races.json")


class Memory:
    """`lasts`: over more than one match."""

    def __init__(self, lasts: bool = False) -> None:
        self._lasts = lasts
        self._odds: list[Any] = []

    def recall(self, folder: Path) -> None:
        """Before the daemon whose folder this is starts. Which blocks there were, and what was spent there, is of another chain."""
        if self._odds:
            path = folder / RACES
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(orjson.dumps({"block": 0, "odds": self._odds, "spent": []}))

    def keep(self, folder: Path) -> None:
        """When it has ended. A match without a race leaves nothing."""
        if self._lasts:
            with suppress(FileNotFoundError):
                self._odds = orjson.loads((folder / RACES).read_bytes())["odds"]
