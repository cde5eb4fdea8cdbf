"""A bidding model from outside, for a planner that waits for nobody.

Planning asks, and gets the in-process model's word; what was asked is then put to the process, all at once. Where it decides otherwise the
block is planned again, with its answers at hand: a purchase that is left out, or added, moves the pools that others sell into.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from keeper.bidding.auction import AuctionModel, Decision, Standing
from keeper.config.settings import AuctionSettings
from keeper.execution.model import LotModel, ModelProcess, program


class Outsider(Protocol):
    async def decide(self, standing: Standing) -> Decision:
        """In bounded time, whatever happens."""
        ...


class Counsel:
    """Implements `AuctionModel` with the answers at hand. Without an outsider it is the default's word."""

    def __init__(self, outsider: Outsider | None, default: AuctionModel) -> None:
        self._outsider, self._default = outsider, default
        self._said: dict[Standing, Decision] = {}
        self._open: dict[Standing, Decision] = {}

    def decide(self, standing: Standing) -> Decision:
        if standing in self._said:
            return self._said[standing]
        decision = self._default.decide(standing)
        if self._outsider:
            self._open[standing] = decision
        return decision

    async def consult(self) -> bool:
        """Put what is open to the outsider; whether he decides anything otherwise."""
        asked, self._open = self._open, {}
        if not self._outsider or not asked:
            return False
        answers = await asyncio.gather(*(self._outsider.decide(standing) for standing in asked))
        newest_s = max(standing.timestamp_s for standing in asked)
        kept = {standing: said for standing, said in self._said.items() if standing.timestamp_s == newest_s}
        self._said = kept | dict(zip(asked, answers, strict=True))
        return any(answer.take != asked[standing].take for standing, answer in zip(asked, answers, strict=True))


@asynccontextmanager
async def counsel(wanted: AuctionSettings, folder: Path, default: AuctionModel) -> AsyncIterator[Counsel]:
    """With the user's own model, if there is one, kept running as long as this lasts. Raises ConfigError where it is not to be found."""
    if not wanted.model:
        yield Counsel(None, default)
        return
    program(wanted.model, folder)
    async with ModelProcess.start(wanted.model, wanted.answer_ms / 1000, folder=folder) as process:
        yield Counsel(LotModel(process, default), default)
