"""What comes of a lot that we put up for sale is ours when somebody buys it: in his transaction, blocks later. Beside the work, like all
watching of others.

A row tells what the market's rules gave us on the state the purchase met, what the token's own log says came, and which of our transactions
earned it.
"""

from __future__ import annotations

from contextlib import suppress

from keeper.book.book import Book
from keeper.book.bookkeeper import BlockReader, Bookkeeper
from keeper.errors import Transient
from keeper.ledger.ledger import PAID, Ledger, LedgerRow
from keeper.log import get_logger
from keeper.planning.rivals import Bought, Reckoner
from keeper.types import Address, Hash, Head, Log, LogFilter, Reward

log = get_logger("rewards")

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""Transfer(address,address,uint256)"""

STRANGER = "somebody else started it"


class Rewards:
    """Of one chain."""

    def __init__(self, book: Book, bookkeeper: Bookkeeper, reader: BlockReader, reckoner: Reckoner, ledger: Ledger) -> None:
        self._book, self._bookkeeper, self._reader = book, bookkeeper, reader
        self._reckoner, self._ledger = reckoner, ledger
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
        since = max([first.block - 1 if first else heads[-1].number, *self._paid.values()])
        return {head.hash for head in heads if head.number <= since}

    async def _block(self, head: Head) -> None:
        block, before = await self._bookkeeper.block(head), self._book.before(head.hash)
        if before is None or not block.logs:
            return
        came, rows = _Transfers(self._reader, head), list[LedgerRow]()
        for bought in self._reckoner.bought(block, before):
            if reward := bought.purchase.reward:
                rows.append(await self._row(head, bought, reward, await came.next(bought.tx, reward)))
        await self._ledger.pay(rows)
        if rows:
            self._paid[head.hash] = head.number
        for row in rows:
            log.info("paid", market=row.market, account=row.account, token=row.profit_token, amount=row.realised_profit, why=row.reason)

    async def _row(self, head: Head, bought: Bought, reward: Reward, came: int) -> LedgerRow:
        market, account = bought.market.name, bought.purchase.pair.account
        ours = await self._ledger.won(market, account, reward.since_s)
        return LedgerRow(
            tx=bought.tx,
            block=head.number,
            block_hash=head.hash,
            market=market,
            account=account,
            result=PAID,
            reason=f"started by {ours.tx}" if ours else STRANGER,
            profit_token=reward.token,
            predicted_profit=reward.amount,
            realised_profit=came,
            gas_predicted_wei=0,
            gas_paid_wei=0,
            net_eth_wei=self._reckoner.worth_wei(bought, reward.token, came),
            timestamp_s=head.timestamp_s,
            gains={reward.token: came},
        )


class _Transfers:
    """Those of a block, by the tokens' own logs; each payment is found once."""

    def __init__(self, reader: BlockReader, head: Head) -> None:
        self._reader, self._head = reader, head
        self._left: dict[Address, list[Log]] = {}

    async def next(self, tx: Hash, reward: Reward) -> int:
        """The first that is left from the payer in this transaction; 0 where there is none."""
        if reward.token not in self._left:
            wanted = [LogFilter(reward.token, frozenset({TRANSFER}), 0)]
            self._left[reward.token] = list(await self._reader.logs_of_block(wanted, self._head))
        left, ends = self._left[reward.token], [_topic(reward.payer), _topic(reward.receiver)]
        found = next((log for log in left if log.tx_hash == tx and list(log.topics[1:3]) == ends), None)
        if found is None:
            return 0
        left.remove(found)
        return int.from_bytes(found.data[:32])


def _topic(address: Address) -> str:
    return "0x" + address[2:].rjust(64, "0")
