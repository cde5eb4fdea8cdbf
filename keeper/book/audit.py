"""Sampled reconciliation: a few accounts per head, compared with what the contract itself says of them at that block.

A difference is a defect of ours, never corrected in silence: the market is marked as diverged, durably, and no longer traded. But nodes
are known to answer a question about one block from the next one's state, so it takes some heads in a row at which an account differs.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from keeper.book.bookkeeper import Bookkeeper
from keeper.book.state import DIVERGED
from keeper.ports import Market, Reader
from keeper.types import Address, Audit, Head

HEADS_TO_CONFIRM = 8


@dataclass(frozen=True, slots=True)
class Divergence:
    """`expected` and `found`: word → value of the contract's reply, ours and its own, where they differ."""

    market: str
    account: Address
    block: int
    expected: dict[int, int]
    found: dict[int, int]


class Auditor:
    """Looks at `count` accounts of each head, drawn by the block's hash, and at all suspects."""

    def __init__(self, bookkeeper: Bookkeeper, markets: Sequence[Market], reader: Reader, count: int) -> None:
        self._bookkeeper, self._markets, self._reader, self._count = bookkeeper, tuple(markets), reader, count
        self._suspects: dict[tuple[str, Address], tuple[int, int]] = {}

    async def run(self) -> list[Divergence]:
        """Compare; returns what has differed often enough, its market marked. Raises Transient when the node is away."""
        found = await self.differences()
        self._suspects = {(item.market, item.account): self._once_more(item) for item in found}
        confirmed = [item for item in found if self._suspects[item.market, item.account][0] >= HEADS_TO_CONFIRM]
        await self._bookkeeper.note([(DIVERGED, (item.market,), 1) for item in confirmed])
        return confirmed

    async def differences(self) -> list[Divergence]:
        """Where the accounts drawn at this head differ from the chain now. Raises Transient when the node is away."""
        book = self._bookkeeper.book
        head = book.head
        if head is None or not self._count:
            return []
        drawn = self._draw(head)
        audits = [market.audit(book.tables, account, head.timestamp_s) for market, account in drawn]
        replies = await self._reader.calls([audit.read for audit in audits], head.hash)
        return [
            Divergence(market.name, account, head.number, *different)
            for (market, account), audit, reply in zip(drawn, audits, replies, strict=True)
            if (different := _different(audit, reply))
        ]

    def _once_more(self, item: Divergence) -> tuple[int, int]:
        """(heads in a row at which it differed, the newest of them)"""
        heads, newest = self._suspects.get((item.market, item.account), (0, -1))
        return heads + (item.block > newest), item.block

    def _draw(self, head: Head) -> list[tuple[Market, Address]]:
        view = self._bookkeeper.book.tables
        known = [(market, account) for market in self._markets for account in sorted(market.accounts(view))]
        drawn = random.Random(head.hash).sample(known, min(self._count, len(known)))
        suspects = [(market, account) for market in self._markets for name, account in self._suspects if name == market.name]
        return [*suspects, *(one for one in drawn if one not in suspects)]


def _different(audit: Audit, reply: bytes | None) -> tuple[dict[int, int], dict[int, int]] | None:
    """A call that reverts says nothing: an oracle may be down."""
    if reply is None:
        return None
    found = {word: int.from_bytes(reply[32 * word : 32 * word + 32]) for word in audit.words}
    wrong = [word for word, value in audit.words.items() if found[word] != value]
    return ({word: audit.words[word] for word in wrong}, {word: found[word] for word in wrong}) if wrong else None
