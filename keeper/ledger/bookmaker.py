"""Watches who wins liquidations and what they pay, and remembers it over restarts: beside the work, for none of it waits for this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import orjson

from keeper.bidding.budget import Budget, Purse
from keeper.bidding.odds import Odds, Race
from keeper.bidding.offers import Offers
from keeper.book.book import Book
from keeper.book.bookkeeper import Bookkeeper
from keeper.chain.node import Node
from keeper.errors import Transient
from keeper.ledger.onlooker import LOOK_BACK, replace_file
from keeper.ledger.winners import Winner, winners
from keeper.log import get_logger
from keeper.planning.races import Liquidated, Referee
from keeper.types import Address, Head

log = get_logger("races")


class Learned:
    """What outlives a run: what won so far, what was offered in the last day, and up to which block that is known."""

    def __init__(self, purse: Purse) -> None:
        self.odds, self.budget, self.offers, self.block = Odds(), Budget(purse), Offers(), 0

    @classmethod
    async def recall(cls, path: Path, purse: Purse) -> Learned:
        """Nothing where there is no file, or none that can be read."""
        learned = cls(purse)
        with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
            kept = orjson.loads(await asyncio.to_thread(path.read_bytes))
            block, spent = int(kept["block"]), [(int(at_s), int(wei)) for at_s, wei in kept["spent"]]
            learned.odds.restore(kept["odds"])
            learned.block, learned.budget = block, Budget(purse, spent)
        return learned


class Bookmaker:
    """Of one chain. `path`: where what was seen survives a restart; `ours`: senders and contracts of ours; `channel_of`: where a race was
    decided; `tell`: of each, whether it was ours, and in the block of the update that allowed it."""

    def __init__(
        self,
        book: Book,
        bookkeeper: Bookkeeper,
        rpc: Node,
        referee: Referee,
        learned: Learned,
        channel_of: Callable[[Liquidated], str],
        path: Path,
        ours: Collection[Address],
        tell: Callable[[bool, bool], None] = lambda ours, same_block: None,
    ) -> None:
        self._book, self._bookkeeper, self._rpc, self._referee = book, bookkeeper, rpc, referee
        self._learned, self._channel_of, self._path, self._ours = learned, channel_of, path, frozenset(ours)
        self._tell = tell
        newest = book.head.number if book.head else 0
        self._since = max(learned.block, newest - LOOK_BACK) if learned.block else newest
        self._kept = learned.budget.spent

    async def look(self) -> None:
        """At every block since the last time, each number once. A node that is away is asked again at the next head."""
        with suppress(Transient):
            for head in [entry.head for entry in self._book.journal if entry.head.number > self._since]:
                block = await self._bookkeeper.block(head)
                before = self._book.before(head.hash)
                found = list(self._referee.liquidated(block, before)) if before and block.logs else []
                won = await winners(self._rpc, head, found, self._ours) if found else {}
                self._since = head.number
                for race in found:
                    if race.tx in won:
                        nth = sum(won[other.tx].ours for other in found[: found.index(race)] if other.tx in won and _same(other, race))
                        self._saw(race, won[race.tx], head, nth)
                if found:
                    await self._save()
        if self._learned.budget.spent != self._kept:
            await self._save()

    def _saw(self, race: Liquidated, winner: Winner, head: Head, nth: int) -> None:
        """`nth`: of ours about that account in that block, from 0."""
        made = self._learned.offers.made(head.number, race.market, race.account, nth) if winner.ours else None
        value_wei, gas = made or (race.value_wei, race.gas)
        self._learned.odds.observe(Race(race.market, self._channel_of(race), value_wei, gas, winner.tip_wei, winner.ours))
        self._tell(winner.ours, race.due_index >= 0)
        log.info(
            "liquidation_seen",
            block=head.number,
            market=race.market,
            account=race.account,
            tx=race.tx,
            ours=winner.ours,
            winner=winner.sender,
            tip_wei=winner.tip_wei,
            paid_wei=winner.tip_wei * winner.gas_used,
            index=race.tx_index,
            due_index=race.due_index,
            worth_wei=race.value_wei,
        )

    async def _save(self) -> None:
        """A disk that takes nothing costs a restart what was seen, nothing else."""
        self._kept = self._learned.budget.spent
        text = orjson.dumps(
            {"block": self._since, "odds": self._learned.odds.state(), "spent": [[at_s, str(wei)] for at_s, wei in self._kept]}
        )
        with suppress(OSError):
            await asyncio.to_thread(replace_file, self._path, text)


def _same(one: Liquidated, other: Liquidated) -> bool:
    return (one.market, one.account) == (other.market, other.account)
