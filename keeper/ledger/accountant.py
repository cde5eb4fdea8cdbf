"""Keeps the books of accounts of ours, block by block: what each deal of ours did, and what time, prices and strangers did to what is held.

Beside the work, from the journal: a restart goes on where the last one left off. What happened further back than the journal reaches is
one entry, so that the sum of all is always the change of what the account has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from keeper.book.book import Book, apply_logs
from keeper.book.bookkeeper import Bookkeeper
from keeper.book.state import Overlay
from keeper.errors import Skip, Transient
from keeper.inventory.inventory import House
from keeper.inventory.money import Deal, Where, deal_of, dealt, drift, moved
from keeper.ledger.holdings import Had, Holdings
from keeper.ledger.settle import by_transaction
from keeper.ports import View
from keeper.types import CLOSE, OPEN, Block, Entry, Fill, Hash, Head, Plan, Standing

RECENT = 1024
"""More than a reorg can undo."""

Tell = Callable[[str, Standing, Sequence[Entry]], None]


class Accountant:
    """Of one chain. `tell`: is told of the market, what we have there, and the entries that are new."""

    def __init__(self, book: Book, bookkeeper: Bookkeeper, houses: Sequence[House], holdings: Holdings, tell: Tell) -> None:
        self._book, self._bookkeeper, self._houses, self._holdings, self._tell = book, bookkeeper, houses, holdings, tell
        self._known: dict[str, list[Had]] = {}
        """What was written down since the oldest block a reorg can undo, and the last before that; by market."""
        self._seen: dict[str, Head] = {}
        """The newest block looked at, whether there was something to write down or not."""

    async def look(self) -> None:
        """At every block since the last time. A node that is away is asked again at the next head."""
        with suppress(Transient):
            for house in self._houses:
                await self._after_reorgs(house)
                for head in self._news(house):
                    await self._block(house, head)

    async def _after_reorgs(self, house: House) -> None:
        name, branch = house.market.name, {head.hash for head in self._book.ancestors()}
        oldest = min((head.number for head in self._book.ancestors()), default=0)
        if name not in self._known:
            self._known[name] = await self._holdings.had(name, house.account, RECENT)
        recent = [had for had in self._known[name] if had.block >= oldest]
        gone = [had.block_hash for had in recent if had.block_hash not in branch]
        await self._holdings.undo(gone)
        left = [had for had in self._known[name] if had.block_hash not in gone]
        if name in self._seen and self._seen[name].hash not in branch:
            del self._seen[name]
        self._known[name] = [*[had for had in left if had.block < oldest][-1:], *[had for had in left if had.block >= oldest]]

    def _news(self, house: House) -> Iterator[Head]:
        """Blocks that were not looked at yet; at the very first, the newest alone."""
        heads, name = [entry.head for entry in self._book.journal], house.market.name
        if name in self._seen:
            since = self._seen[name].number
        else:
            since = self._known[name][-1].block if self._known[name] else heads[-1].number - 1 if heads else 0
        return (head for head in heads if head.number > since)

    async def _block(self, house: House, head: Head) -> None:
        block = await self._bookkeeper.block(head)
        plans = await self._holdings.plans({log.tx_hash for log in block.logs})
        before, after = self._book.before(head.hash), self._after(head)
        known = self._known[house.market.name]
        if before is None or after is None:
            return
        try:
            now = house.market.standing(after, house.account, head.timestamp_s)
            last = known[-1].standing if known else now
            entries = list(self._entries(house, block, plans, Overlay(before), last, now))
        except Skip:  # nobody can tell what it is worth: the next block that can tells of this one too
            return
        if not known or entries or _what(now) != _what(last):
            await self._holdings.append(head, house.market.name, now, entries)
            self._tell(house.market.name, now, entries)
            known.append(Had(house.market.name, head.number, head.hash, now))
        self._seen[house.market.name] = head

    def _after(self, head: Head) -> View | None:
        heads = [entry.head for entry in self._book.journal]
        following = next((later for later in heads if later.number == head.number + 1), None)
        return self._book.before(following.hash) if following else self._book.tables

    def _entries(
        self, house: House, block: Block, plans: Mapping[Hash, Plan], state: Overlay, last: Standing, now: Standing
    ) -> Iterator[Entry]:
        """From one standing to the next, by way of those around each transaction that concerns the account."""
        market, at_s, number = house.market, block.head.timestamp_s, block.head.number
        for tx, logs in by_transaction(block.logs, ()):
            left = Overlay(state)
            apply_logs(self._book.sources, logs, left)
            if house.account in market.touched(left.writes()):
                met, found = (market.standing(view, house.account, at_s) for view in (state, left))
                yield from drift(last, met, Where(market.name, number))
                where, last, plan = Where(market.name, number, tx), found, plans.get(tx)
                ours = plan if plan and (plan.market, plan.by) == (market.name, house.account) else None
                yield from dealt(met, found, _deal(house, ours, state, at_s), where) if ours else moved(met, found, where)
            state.write(left.writes())
        yield from drift(last, now, Where(market.name, number))


def _deal(house: House, plan: Plan, state: View, at_s: int) -> Deal:
    fill = house.market.fill(state, plan, plan.cover, at_s)
    return deal_of(fill, house.market.standing(state, house.account, at_s).scale, _fee(house, fill, state, at_s))


def _fee(house: House, fill: Fill, state: View, at_s: int) -> int:
    """Of trading, which the fill does not tell apart."""
    if fill.kind not in {CLOSE, OPEN}:
        return 0
    held = house.market.standing(state, house.account, at_s).holding(fill.target).size
    size = -fill.cover if fill.kind == OPEN else fill.counted if held > 0 else -fill.counted
    return house.market.exit(state, fill.target, size, at_s).fee


def _what(standing: Standing) -> tuple[object, ...]:
    return standing.equity, standing.idle, [(held.target, held.size) for held in standing.holdings]
