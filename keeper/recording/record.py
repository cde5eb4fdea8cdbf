"""What sits at the pipeline's seams while it is recorded, or replayed: the same wrappers, with a recorder or a player behind them."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeVar, cast

from keeper.bidding.auction import AuctionModel, Decision, Standing
from keeper.book.book import JournalEntry
from keeper.book.resume import ResumeReader, ResumeStore
from keeper.book.state import Tables
from keeper.book.store import Cursors, Snapshot
from keeper.errors import Halt, Skip
from keeper.pipeline import Books, Parts, Submitter
from keeper.planning.codec import dump_plan, load_plan
from keeper.planning.planner import Warmth
from keeper.ports import BidPolicy, ColumnView, Simulator
from keeper.recording.tape import Tape, plain, shaped
from keeper.types import (
    Address,
    Bid,
    ChainUpdate,
    Hash,
    Head,
    Job,
    Landing,
    Log,
    LogFilter,
    Outcome,
    Plan,
    Prediction,
    Read,
    Simulation,
    Write,
)

EXECUTOR, UPDATE, WORK, PLAN = "executor", "update", "work", "plan"

T = TypeVar("T")
BlockId = int | Hash | Literal["latest"]


class Deck(Protocol):
    """A recorder asks and keeps the reply; a player gives the kept reply and asks nobody."""

    async def reply(self, kind: str, asked: object, shape: Any, ask: Callable[[], Awaitable[Any]]) -> Any: ...

    def answer(self, kind: str, asked: object, ask: Callable[[], T]) -> T: ...


class Recorder:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    async def reply(self, kind: str, asked: object, shape: Any, ask: Callable[[], Awaitable[Any]]) -> Any:
        reply = await ask()
        self.tape.write(kind, [plain(asked), plain(reply)])
        return reply

    def answer(self, kind: str, asked: object, ask: Callable[[], T]) -> T:
        answer = ask()
        self.tape.write(kind, [plain(asked), plain(answer)])
        return answer


class Player:
    """Replies by question, in the order in which they were given. Raises Halt when asked what was never asked."""

    def __init__(self, entries: Iterable[tuple[str, Any]]) -> None:
        self._kept: dict[tuple[str, str], deque[Any]] = defaultdict(deque)
        for kind, value in entries:
            if isinstance(value, list) and len(value) == 2:
                self._kept[kind, json.dumps(value[0])].append(value[1])

    async def reply(self, kind: str, asked: object, shape: Any, ask: Callable[[], Awaitable[Any]]) -> Any:
        return shaped(shape, self._next(kind, asked))

    def answer(self, kind: str, asked: object, ask: Callable[[], T]) -> T:
        kept: T = self._next(kind, asked)
        return kept

    def _next(self, kind: str, asked: object) -> Any:
        kept = self._kept[kind, json.dumps(plain(asked))]
        if not kept:
            raise Halt(f"the replay asks what the recorded run did not: {kind}")
        return kept.popleft()


class TapedReader:
    """A node behind a deck; a player needs none."""

    def __init__(self, deck: Deck, reader: ResumeReader | None) -> None:
        self._deck, self._reader = deck, reader

    async def call(self, read: Read, block: BlockId = "latest") -> bytes:
        reply: bytes = await self._deck.reply("call", (read, block), bytes, lambda: self._node.call(read, block))
        return reply

    async def calls(self, reads: Sequence[Read], block: BlockId = "latest") -> list[bytes | None]:
        shape = list[bytes | None]
        reply: list[bytes | None] = await self._deck.reply("calls", (reads, block), shape, lambda: self._node.calls(reads, block))
        return reply

    async def code(self, address: Address) -> bytes:
        reply: bytes = await self._deck.reply("code", address, bytes, lambda: self._node.code(address))
        return reply

    async def head(self) -> Head:

        async def ask() -> Head:
            return await self._node.head()

        reply: Head = await self._deck.reply("head", None, Head, ask)
        return reply

    async def header(self, block: int | Hash) -> Head | None:
        reply: Head | None = await self._deck.reply("header", block, Head | None, lambda: self._node.header(block))
        return reply

    async def logs(self, filters: Sequence[LogFilter], from_block: int, to_block: int) -> list[Log]:
        asked = (from_block, to_block, _followed(filters))
        reply: list[Log] = await self._deck.reply("logs", asked, list[Log], lambda: self._node.logs(filters, from_block, to_block))
        return reply

    async def logs_of_block(self, filters: Sequence[LogFilter], head: Head) -> tuple[Log, ...]:
        return (await self.logs_of_blocks(filters, [head]))[0]

    async def logs_of_blocks(self, filters: Sequence[LogFilter], heads: Sequence[Head]) -> list[tuple[Log, ...]]:
        asked = ([head.hash for head in heads], _followed(filters))
        shape = list[tuple[Log, ...]]
        reply: list[tuple[Log, ...]] = await self._deck.reply("block_logs", asked, shape, lambda: self._node.logs_of_blocks(filters, heads))
        return reply

    @property
    def _node(self) -> ResumeReader:
        if self._reader is None:
            raise Halt("a replay has no node")
        return self._reader


class TapedStore:
    """The snapshot a run started from. Saving goes on as before; a replay saves nothing."""

    def __init__(self, deck: Deck, store: ResumeStore | None) -> None:
        self._deck, self._store = deck, store

    async def load(self, tables: Tables) -> Snapshot:
        """The tape keeps every cell: an image is nothing without its file."""

        async def ask() -> tuple[list[Write], Snapshot]:
            snapshot = await self._owner.load(tables)
            return list(tables.cells()), snapshot

        cells, snapshot = await self._deck.reply("snapshot", None, tuple[list[Write], Snapshot], ask)
        if self._store is None:
            tables.write(cells)
        return cast("Snapshot", snapshot)

    @property
    def _owner(self) -> ResumeStore:
        if self._store is None:
            raise Halt("a replay has no store")
        return self._store

    async def save_update(self, undone: Sequence[Head], applied: Sequence[JournalEntry], cells: Sequence[Write], cursors: Cursors) -> None:
        if self._store is not None:
            await self._store.save_update(undone, applied, cells, cursors)

    async def save_backfill(self, writes: Iterable[Write], cursors: Cursors, base: Head | None = None, whole: bool = False) -> None:
        if self._store is not None:
            await self._store.save_backfill(writes, cursors, base, whole)


class RecordedBooks:
    """Updates in the order in which they were applied: between them lies the work. One that fails comes again after the restart, so it is
    written down when it is done."""

    def __init__(self, tape: Tape, books: Books) -> None:
        self._tape, self._books = tape, books

    async def advance(self, update: ChainUpdate) -> None:
        await self._books.advance(update)
        self._tape.write(UPDATE, update)

    async def save(self) -> None:
        await self._books.save()

    @property
    def view(self) -> ColumnView:
        return self._books.view

    @property
    def head(self) -> Head:
        return self._books.head


class TapedSimulator:
    def __init__(self, deck: Deck, simulator: Simulator | None) -> None:
        self._deck, self._simulator = deck, simulator

    async def simulate(self, calls: Sequence[bytes], landing: Landing) -> list[Simulation]:
        async def ask() -> list[Simulation]:
            return await self._simulator.simulate(calls, landing) if self._simulator else []

        reply: list[Simulation] = await self._deck.reply("simulate", (calls, landing), list[Simulation], ask)
        return reply


class TapedSubmitter:
    """What is in flight decides what is planned, so it is consumed like any reply. A replay sends nothing."""

    def __init__(self, deck: Deck, submitter: Submitter | None) -> None:
        self._deck, self._submitter = deck, submitter

    def busy(self, market: str, account: Address) -> bool:
        return self._deck.answer("busy", (market, account), lambda: bool(self._submitter and self._submitter.busy(market, account)))

    def ahead(self) -> list[tuple[Plan, bytes]]:
        def ask() -> list[Any]:
            return [[dump_plan(plan), plain(data)] for plan, data in self._submitter.ahead()] if self._submitter else []

        return [(load_plan(plan), shaped(bytes, data)) for plan, data in self._deck.answer("ahead", None, ask)]

    async def submit(self, jobs: Sequence[Job], landing: Landing) -> list[Outcome]:
        return [] if self._submitter is None else await self._submitter.submit(jobs, landing)


class TapedWarmth:
    """Which plans were made ahead hangs on how much time there was, so it is consumed like any reply."""

    def __init__(self, deck: Deck, warmth: Warmth | None) -> None:
        self._deck, self._warmth = deck, warmth

    def known(self, market: str, account: Address) -> list[Plan]:
        def ask() -> list[Any]:
            return [dump_plan(plan) for plan in self._warmth.known(market, account)] if self._warmth else []

        return [load_plan(plan) for plan in self._deck.answer("warm", (market, account), ask)]


class TapedModel:
    """What a bidding model says hangs on all that it has seen, so it is consumed like any reply."""

    def __init__(self, deck: Deck, model: AuctionModel | None) -> None:
        self._deck, self._model = deck, model

    def decide(self, standing: Standing) -> Decision:
        return Decision(**self._deck.answer("auction", standing, lambda: plain(self._model.decide(standing)) if self._model else {}))


class TapedPolicy:
    """What is bid hangs on all that was won so far, so it is consumed like any reply."""

    def __init__(self, deck: Deck, policy: BidPolicy | None) -> None:
        self._deck, self._policy = deck, policy

    def bid(self, prediction: Prediction, gas_used: int, landing: Landing) -> Bid:
        """Raises Skip as the policy did."""

        def ask() -> dict[str, Any]:
            try:
                return {"bid": plain(self._policy.bid(prediction, gas_used, landing))} if self._policy else {}
            except Skip as skip:
                return {"skip": [skip.reason, skip.detail]}

        said = self._deck.answer("bid", (dump_plan(prediction.plan), gas_used, landing), ask)
        if "skip" in said:
            raise Skip(*said["skip"])
        made: Bid = shaped(Bid, said["bid"])
        return made


def _followed(filters: Sequence[LogFilter]) -> list[str]:
    return sorted(f.address for f in filters)


def recorded(parts: Parts, recorder: Recorder) -> Parts:
    """The same parts, with what they give the pipeline kept on tape, and the plans it comes to."""

    def landing(head: Head) -> Landing:
        return recorder.answer(WORK, head, lambda: parts.landing(head))

    def encode(prediction: Prediction) -> bytes:
        data = parts.encode(prediction)
        recorder.tape.write(PLAN, planned(prediction, data))
        return data

    async def consult() -> bool:
        again: bool = await recorder.reply("consult", None, bool, parts.consult)
        return again

    def now_s() -> float:
        return recorder.answer("clock", None, parts.now_s)

    return replace(
        parts,
        books=RecordedBooks(recorder.tape, parts.books),
        simulator=TapedSimulator(recorder, parts.simulator),
        policy=TapedPolicy(recorder, parts.policy),
        submitter=TapedSubmitter(recorder, parts.submitter),
        landing=landing,
        encode=encode,
        now_s=now_s,
        consult=consult,
    )


def planned(prediction: Prediction, data: bytes) -> dict[str, Any]:
    """A plan as the tape has it: what is done, what it was to earn, and the calldata."""
    return {"plan": dump_plan(prediction.plan), "profit": prediction.profit, "gas": prediction.gas, "data": "0x" + data.hex()}
