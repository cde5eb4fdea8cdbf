"""A match: one scenario on one devnet, slot by slot, between these participants; and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from keeper.arena.barrier import Barrier
from keeper.arena.builder import Builder
from keeper.arena.entrants import US, Entrant, enter, running, watched, write_config
from keeper.arena.front import Front
from keeper.arena.memory import Memory
from keeper.arena.mempool import Tx
from keeper.arena.scenarios import Scenario, Slot
from keeper.arena.score import Scores, Worth, shot_of
from keeper.devnet import Devnet
from keeper.devnet.drain import drain
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.names import TRADER

MARKET_MS = 4_000
"""When the market's own transactions of a slot are there."""

ROUNDS_MS = (4_000, 6_000, 8_000, 10_000)
"""When those who read the mempool look."""


async def match(
    net: Devnet,
    chosen: Scenario,
    seed: int,
    names: Sequence[str],
    tell: Callable[[str], None],
    share_bps: int | None = None,
    memory: Memory | None = None,
) -> Scores:
    """Returns the devnet to where it was. `names`: in the order of their seats; `share_bps`: what our own bids are, instead of what it
    learns; `memory`: what it knows of earlier matches, and then of this one. Raises Halt when a participant fails."""
    snapshot = await net.snapshot()
    try:
        entrants = [await enter(net, name, seed, seat, share_bps if name == US else None) for seat, name in enumerate(names)]
        with tempfile.TemporaryDirectory(prefix="keeper-arena-") as folder:
            played = _Match(net, entrants, memory or Memory())
            return await played.run(chosen.slots(seed, await net.prices()), Path(folder), seed, tell)
    finally:
        await net.revert(snapshot)


class _Match:
    def __init__(self, net: Devnet, entrants: Sequence[Entrant], memory: Memory) -> None:
        self._memory = memory
        self._net, self._entrants = net, {one.name: one for one in entrants}
        self.builder = Builder(net, {one.name: one.latency_ms for one in entrants})
        quick = frozenset(one.name for one in entrants if one.quick)
        self.barrier = Barrier(frozenset(self._entrants) - quick, quick)
        self.scores = Scores()
        self.front = Front(self.builder, self.barrier, self.scores, net.rpc, net.ws)
        self._later: list[Tx] = []
        people = (*net.population, *net.isolated, *net.vaults, *net.traders)
        self._accounts = list(dict.fromkeys(one.address.lower() for one in people))

    async def run(self, slots: Sequence[Slot], folder: Path, seed: int, tell: Callable[[str], None]) -> Scores:
        async with self.front.serving() as port, self._playing(port, folder, seed):
            number = int(await self._net.request("eth_blockNumber"), 16)
            tell(f"{', '.join(self._entrants)}: getting ready")
            await self.barrier.announce("head", number)
            for done, slot in enumerate(slots, 1):
                number = await self._slot(number, slot)
                tell(f"{', '.join(self._entrants)}: block {number}, {done} of {len(slots)}")
            await self.barrier.announce("end", number)
        return self.scores

    async def _slot(self, number: int, slot: Slot) -> int:
        """Participants have reacted to block `number`; now the market moves, those who watch react, and a block is made of it."""
        self.builder.now_ms = MARKET_MS
        await self._market(slot)
        await self._rounds(number)
        number = await self.builder.build(slot.step_s, slot.base_fee_factor)
        await self._score(number)
        await self.barrier.announce("head", number)
        return number

    async def _market(self, slot: Slot) -> None:
        """Pools move first; the oracles that follow them report a block later."""
        self.builder.put(self._later)
        if slot.drain_percent:
            await drain(self._net, slot.drain_percent)
        if slot.prices is not None:
            await self._net.set_prices(slot.prices)
        found = await self.builder.adopt()
        self.builder.put([tx for tx in found if tx.sender == TRADER])
        self._later = [tx for tx in found if tx.sender != TRADER]

    async def _rounds(self, number: int) -> None:
        """As long as there is something new to react to."""
        shown: set[str] = set()
        for at_ms in ROUNDS_MS:
            self.builder.now_ms = at_ms
            fresh = [tx for tx in self.builder.visible() if tx.hash not in shown]
            shown.update(tx.hash for tx in fresh)
            if fresh:
                await self.front.show(fresh)
                await self.barrier.announce("pending", number)

    async def _score(self, number: int) -> None:
        receipts = await self._net.request("eth_getBlockReceipts", hex(number))
        base_fee_wei = int((await self._net.request("eth_getBlockByNumber", hex(number), False))["baseFeePerGas"], 16)
        worth = await self._worth()
        for receipt in receipts:
            tx = self.builder.seen.get(receipt["transactionHash"])
            if tx is not None and tx.owner:
                who = tx.owner, self._entrants[tx.owner].beneficiary
                self.scores.shots.append(shot_of(receipt, tx, who, self._accounts, worth, base_fee_wei))

    async def _worth(self) -> Worth:
        prices = await self._net.prices()
        return {
            self._net.addresses[f"token.{symbol}"]: (price * 10**18 // prices["WETH"], BY_SYMBOL[symbol].unit)
            for symbol, price in prices.items()
        }

    @contextlib.asynccontextmanager
    async def _playing(self, port: int, folder: Path, seed: int) -> AsyncIterator[None]:
        """Everybody's process; if one ends, so does the match."""
        async with contextlib.AsyncExitStack() as stack:
            watchers = []
            for one in self._entrants.values():
                config = write_config(self._net, one, port, folder / one.name)
                if one.name == US:
                    self._memory.recall(config.parent)
                    stack.callback(self._memory.keep, config.parent)
                process = await stack.enter_async_context(running(one, config, seed))
                watchers.append((one, process, config))
            tasks = [asyncio.create_task(watched(*watcher)) for watcher in watchers]
            stack.callback(lambda: [task.cancel() for task in tasks])
            self.barrier.failures = tasks
            yield
