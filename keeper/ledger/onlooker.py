"""Watches others buy, and remembers over restarts at which margins they did: beside the work, for none of it waits for this."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import orjson

from keeper.bidding.auction import Rivals
from keeper.book.book import Book
from keeper.book.bookkeeper import Bookkeeper
from keeper.errors import Transient
from keeper.log import get_logger
from keeper.planning.rivals import Reckoner
from keeper.ports import View
from keeper.types import Address, Block

LOOK_BACK = 64
"""At most so many blocks are made up for after a restart."""

log = get_logger("rivals")


class Onlooker:
    """Of one chain. `path`: where what was seen survives a restart; `ours`: who buys for us; `since`: the last block looked at."""

    def __init__(
        self, book: Book, bookkeeper: Bookkeeper, reckoner: Reckoner, rivals: Rivals, path: Path, ours: Collection[Address], since: int
    ) -> None:
        self._book, self._bookkeeper, self._reckoner, self._rivals = book, bookkeeper, reckoner, rivals
        self._path, self._ours, self._since = path, frozenset(ours), since

    async def look(self) -> None:
        """At every block since the last time, each number once: what a reorg brings again tells nothing new. A node that is away is asked
        again at the next head."""
        with suppress(Transient):
            for head in [entry.head for entry in self._book.journal if entry.head.number > self._since]:
                block = await self._bookkeeper.block(head)
                before = self._book.before(head.hash)
                known = self._rivals.state()
                if before and block.logs:
                    self._learn(block, before)
                self._since = head.number
                if self._rivals.state() != known:
                    await self._save()

    def _learn(self, block: Block, before: View) -> None:
        for bought in self._reckoner.bought(block, before):
            if bought.purchase.buyer in self._ours:
                self._rivals.passed_by(bought.market.name)
                continue
            for standing in self._reckoner.standings(bought, block.head):
                self._rivals.saw(standing)
                log.info("rival_bought", market=standing.market, account=standing.account, margin_bps=standing.margin_bps)

    async def _save(self) -> None:
        """A disk that takes nothing costs a restart what was seen, nothing else."""
        text = orjson.dumps({"block": self._since, "margins_bps": self._rivals.state()})
        with suppress(OSError):
            await asyncio.to_thread(replace_file, self._path, text)

    @classmethod
    async def open(
        cls, book: Book, bookkeeper: Bookkeeper, reckoner: Reckoner, rivals: Rivals, path: Path, ours: Collection[Address]
    ) -> Self:
        """From where the last one left off, if that is not long ago; else from now on."""
        newest = book.head.number if book.head else 0
        seen = await asyncio.to_thread(_read, path)
        return cls(book, bookkeeper, reckoner, rivals, path, ours, max(int(seen["block"]), newest - LOOK_BACK) if seen else newest)


async def recall(path: Path) -> Rivals:
    """What was seen; nothing where there is no file, or none that can be read."""
    rivals, seen = Rivals(), await asyncio.to_thread(_read, path)
    if seen:
        rivals.restore(seen["margins_bps"])
    return rivals


def _read(path: Path) -> Mapping[str, Any]:
    """Checked; empty when it is not what was written."""
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
        seen: dict[str, Any] = orjson.loads(path.read_bytes())
        int(seen["block"])
        Rivals().restore(seen["margins_bps"])
        return seen
    return {}


def replace_file(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".new")
    partial.write_bytes(content)
    os.replace(partial, path)
