"""Oracle updates that wait in the mempool: what will be due once they have landed is planned, and sent to land right behind them.

An oracle is known by the logs the book follows. A transaction to one of them, or that names one in its calldata (a forwarder's), is
rehearsed by the node; its logs, taken as if they had happened, say the rest. So no way in which an oracle reports has to be known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

from keeper.ahead.backlog import Backlog
from keeper.app import ANSWER_UPDATED, ChainState
from keeper.bidding.stake import Stake
from keeper.book.book import apply_logs
from keeper.book.state import Overlay
from keeper.errors import Skip, Transient
from keeper.log import get_logger
from keeper.ports import BidPolicy, View
from keeper.risk.watch import Candidate
from keeper.types import Bid, Head, Landing, Log, Outcome, Prediction, Simulation, Upcoming, Verdict, Waiting

Act = Callable[[Upcoming], Awaitable[None]]
Prove = Callable[[Sequence[Waiting], Sequence[bytes], Landing], Awaitable[list[Simulation]]]
Rehearse = Callable[[Sequence[Waiting], Landing], Awaitable[list[tuple[Log, ...] | None]]]

_log = get_logger("lookahead")


class Answer(Protocol):
    """To what others offer for what ours on their way are after. `heard`: whether it is for such a thing."""

    def heard(self, waiting: Waiting, block: int) -> bool: ...

    async def answer(self, landing: Landing) -> int: ...


class Lookahead:
    """The pipeline's `Ahead`, of one chain. `listen`: brings what waits, for ever; `prove`: calls of ours behind it; `policy`: what they
    are worth; `stake`: what may come to nothing, None: nothing can, for ours is tied to what waits; `answer`: to rivals; `hear`: learns of
    each that waits, and whether it is of interest; `tell`: when there is nothing left to look at, and what was seen last; `count`: how each
    that would be due ended."""

    def __init__(
        self,
        chain: ChainState,
        listen: Callable[[Callable[[Waiting], None]], Coroutine[Any, Any, None]],
        rehearse: Rehearse,
        prove: Prove,
        policy: BidPolicy,
        stake: Stake | None,
        answer: Answer | None = None,
        hear: Callable[[Waiting, bool], None] = lambda waiting, concerns: None,
        tell: Callable[[Upcoming | None], None] = lambda upcoming: None,
        count: Callable[[Sequence[Outcome]], None] = lambda outcomes: None,
    ) -> None:
        self._chain, self._listen, self._rehearse, self._prove = chain, listen, rehearse, prove
        self._policy, self._stake, self._answer, self._hear, self._tell = policy, stake, answer, hear, tell
        self._count = count
        self._backlog = Backlog()
        self._oracles: tuple[Head | None, frozenset[bytes]] = None, frozenset()
        self._news = asyncio.Event()

    def heard(self, waiting: Waiting) -> None:
        """A transaction that waits; one with its nonce is replaced by it."""
        concerns = self._backlog.hear(waiting, self._chain.head.number, self._concerns(waiting))
        rivals = self._answer is not None and self._answer.heard(waiting, self._chain.head.number)
        if concerns or rivals:
            self._news.set()
        self._hear(waiting, concerns or rivals)

    def moved(self) -> None:
        """There is another head."""
        self._news.set()

    async def watch(self, act: Act) -> None:
        """Until cancelled: `act` hears of each state that waits, again whenever it or the head has changed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(self.heard))
            group.create_task(self._run(act))

    async def _run(self, act: Act) -> None:
        last: Upcoming | None = None
        while True:
            await self._news.wait()
            self._news.clear()
            upcoming = await self.look()
            if upcoming and upcoming != last:
                await act(upcoming)
            last = upcoming
            if self._answer:
                await self._answer.answer(self._chain.landing(self._chain.head))
            if not self._news.is_set():
                self._tell(upcoming)

    async def look(self) -> Upcoming | None:
        """What waits, on the newest head; None: nothing, or the node cannot say."""
        head = self._chain.head
        landing = self._chain.landing(head)
        self._backlog.forget(head.number)
        ordered = self._backlog.ordered(landing.base_fee_wei)
        if not ordered:
            return None
        try:
            ran = await self._rehearse(ordered, landing)
        except Transient as away:
            _log.debug("lookahead_postponed", reason=str(away))
            return None
        done = self._answering([(item, logs) for item, logs in zip(ordered, ran, strict=True) if logs is not None])
        state = Overlay(self._chain.view)
        for _, logs in done:
            apply_logs(self._chain.book.sources, logs, state)
        writes = tuple(state.writes())
        if not writes or head != self._chain.head:
            return None
        return Upcoming(head.hash, tuple(item for item, _ in done), writes, min(item.tip_wei(landing.base_fee_wei) for item, _ in done))

    def _answering(self, ran: Sequence[tuple[Waiting, tuple[Log, ...]]]) -> list[tuple[Waiting, tuple[Log, ...]]]:
        """Those by which an oracle speaks, and what waits before them of their senders."""
        last = {item.sender: item.nonce for item, logs in ran if self._answers(logs)}
        self._backlog.reported(last)
        return [(item, logs) for item, logs in ran if item.nonce <= last.get(item.sender, -1)]

    # --- what comes of it

    def state(self, upcoming: Upcoming) -> View:
        return Overlay(self._chain.view, upcoming.writes)

    def candidates(self, upcoming: Upcoming, landing: Landing) -> list[Candidate]:
        return self._chain.foreseen(upcoming.writes, landing)

    async def simulate(self, calls: Sequence[bytes], landing: Landing, upcoming: Upcoming) -> list[Simulation]:
        return await self._prove(upcoming.before, calls, landing)

    def bid(self, prediction: Prediction, gas_used: int, landing: Landing, upcoming: Upcoming) -> Bid:
        """The policy's; where nothing but the tip puts it behind what waits, as far as that does. Raises what the policy
        raises, Skip("not_behind") where not even the least bid is, and Skip("lookahead_cap")."""
        made = self._policy.bid(prediction, gas_used, landing)
        if self._stake is None:
            return made
        tip_wei = min(made.priority_fee_wei, upcoming.tip_wei - 1)
        if tip_wei < 0:
            raise Skip("not_behind", "what waits offers nothing: less cannot be offered")
        self._stake.put(prediction.plan, landing, landing.base_fee_wei + tip_wei)
        return Bid(made.max_fee_wei, tip_wei, made.gas_limit)

    def looked(self, upcoming: Upcoming, planned: int, outcomes: Sequence[Outcome], seconds: float) -> None:
        """`outcomes`: of what was sent, and of what was not, why."""
        self._count(outcomes)
        if planned:
            on_way = sum(outcome.verdict is Verdict.PENDING for outcome in outcomes)
            updates, ms = len(upcoming.before), round(seconds * 1000, 1)
            _log.info("looked_ahead", updates=updates, tip_wei=upcoming.tip_wei, planned=planned, sent=on_way, ms=ms)

    # --- whose

    def _answers(self, logs: Sequence[Log]) -> bool:
        """By the word of an oracle that is followed: anybody can say as much."""
        oracles = self._followed()
        return any(log.topics[:1] == (ANSWER_UPDATED,) and bytes.fromhex(log.address[2:]) in oracles for log in logs)

    def _concerns(self, waiting: Waiting) -> bool:
        oracles = self._followed()
        return bytes.fromhex(waiting.to[2:]) in oracles or any(oracle in waiting.data for oracle in oracles)

    def _followed(self) -> frozenset[bytes]:
        """The contracts whose answers the book follows at this head."""
        if self._oracles[0] != self._chain.head:
            found = (f.address for f in self._chain.book.filters() if ANSWER_UPDATED in f.topics)
            self._oracles = self._chain.head, frozenset(bytes.fromhex(address[2:]) for address in found)
        return self._oracles[1]
