"""What comes of a lot that we put up for sale is ours when somebody buys it: in his transaction, blocks later. Beside the work, like all
watching of others.

A row tells what the market's rules gave us on the state the purchase met, what the token's own log says came, and which of our transactions
earned it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress

from keeper.book.book import Book
from keeper.book.bookkeeper import Bookkeeper, BlockReader
from keeper.errors import Skip, Transient
from keeper.ledger.ledger import PAID, Ledger, LedgerRow
from keeper.planning.predict import Predictor
from keeper.planning.rivals import Bought, Reckoner
from keeper.types import Address, Block, Hash, Head, Log, LogFilter, Reward

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""Transfer(address,address,uint256)"""

STRANGER = "somebody else started it"


class Rewards:
    """Of one chain."""

    def __init__(
        self, book: Book, bookkeeper: Bookkeeper, reader: BlockReader, reckoner: Reckoner, predictor: Predictor, ledger: Ledger
    ) -> None:
        self._book, self._bookkeeper, self._reader = book, bookkeeper, reader
        self._reckoner, self._predictor, self._ledger = reckoner, predictor, ledger
        self._looked: set[Hash] | None = None
        """Those blocks of the journal that nothing is left to be learned from."""
        self._paid: dict[Hash, int] = {}
        """Blocks, with their numbers, that rows stand for, as far as a reorg can undo them."""

    async def look(self) -> None:
        """At every block since the last time. A node that is away is asked again at the next head."""
        heads = [entry.head for entry in self._book.journal]
        if not heads or not self._reckoner.watches:
            return
        with suppress(Transient):
            looked = await self._after_reorgs(heads)
            for head in heads:
                if head.hash not in looked:
                    await self._block(head)
                    looked.add(head.hash)

    async def _after_reorgs(self, heads: list[Head]) -> set[Hash]:
        """Takes back what was paid in blocks that are no more; of those that are, which were looked at."""
        branch, oldest = {head.hash for head in heads}, heads[0].number
        if self._looked is None:
            self._paid = {row.block_hash: row.block for row in await self._ledger.paid(oldest)}
        gone = [block for block, number in self._paid.items() if number >= oldest and block not in branch]
        await self._ledger.take_back(gone, heads[-1])
        self._paid = {block: number for block, number in self._paid.items() if block in branch}
        known = await self._known(heads) if self._looked is None else self._looked
        self._looked = known & branch
        return self._looked

    async def _known(self, heads: list[Head]) -> set[Hash]:
        """At a start: before the last payment everything is known, and before we ever sent anything nothing was due."""
        first = await self._ledger.won()
        since = max([first.block if first else heads[-1].number, *self._paid.values()])
        return {head.hash for head in heads if head.number <= since}

    async def _block(self, head: Head) -> None:
        block, before = await self._bookkeeper.block(head), self._book.before(head.hash)
        if before is None or not block.logs:
            return
        transfers = _Transfers(self._reader, block)
        rows = [row async for row in self._rows(self._reckoner.bought(block, before), transfers, head)]
        await self._ledger.pay(rows)
        if rows:
            self._paid[head.hash] = head.number
