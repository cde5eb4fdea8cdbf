"""Sampled reconciliation: a few accounts per head, compared with what the contract itself says of them at that block.

A difference is a defect of ours, never corrected in silence: the market is marked as diverged, durably, and no longer traded. But nodes
are known to answer a question about one block from the next one's state, so it takes some heads in a row at which an account differs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from math import gcd

from keeper.book.bookkeeper import Bookkeeper
from keeper.book.state import DIVERGED
from keeper.ports import Market, Reader
from keeper.types import Address, Audit, Head

HEADS_TO_CONFIRM = 8
LOOKS = 16
"""Accounts looked at, at most, to find one that owes something."""


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
        suspects = [(market, account) for market in self._markets for name, account in self._suspects if name == market.name]
        looked_at = islice(self._shuffled(random.Random(head.hash)), LOOKS * self._count)
        owing = (
            (market, account)
            for market, account in looked_at
            if (market, account) not in suspects and market.health(view, account, head.timestamp_s).debt
        )
        return [*suspects, *islice(owing, self._count)]

    def _shuffled(self, source: random.Random) -> Iterator[tuple[Market, Address]]:
        """Every account that the book knows once, from anywhere and in strides of any length: nothing is listed or sorted."""
        known = [(market, *self._known(market)) for market in self._markets]
        total = sum(count for _, count, _ in known)
        strides = (source.randrange(1, total + 1) for _ in repeat(None))
        place, stride = (source.randrange(total), next(n for n in strides if gcd(n, total) == 1)) if total else (0, 0)
        for _ in range(total):
            yield _at(known, place)
            place = (place + stride) % total

    def _known(self, market: Market) -> tuple[int, Callable[[int], Address]]:
        """How many accounts there are, and which is the nth."""
        view = self._bookkeeper.book.tables
        if market.columns:
            return view.slots(market.name), partial(view.account, market.name)
        listed = sorted(market.accounts(view))
        return len(listed), listed.__getitem__


def _at(known: Sequence[tuple[Market, int, Callable[[int], Address]]], place: int) -> tuple[Market, Address]:
    for market, count, account in known:
        if place < count:
            return market, account(place)
        place -= count
    raise IndexError("the place must be one of an account")


def _different(audit: Audit, reply: bytes | None) -> tuple[dict[int, int], dict[int, int]] | None:
    """A call that reverts says nothing: an oracle may be down."""
    if reply is None:
        return None
    found = {word: int.from_bytes(reply[32 * word : 32 * word + 32]) for word in audit.words}
    wrong = [word for word, value in audit.words.items() if found[word] != value]
    return ({word: audit.words[word] for word in wrong}, {word: found[word] for word in wrong}) if wrong else None
