"""The eight stages of one chain: feed → book → scan → plan → simulate → bid → submit → settle. Read this first.

State moves in order and nothing is lost (`follow`). Work is conflated to the newest head (`work`): a slow plan never queues stale work.
Every candidate ends in exactly one outcome per block, with its reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from keeper.errors import ConfigError, Halt, KeeperError, Skip, Transient
from keeper.ports import BidPolicy, ColumnView, Feed, OutcomeSink, Simulator, View
from keeper.types import Address, Bid, ChainUpdate, Head, Health, Job, Landing, Outcome, Plan, Prediction, Simulation, Upcoming, Verdict


class Candidate(Protocol):
    @property
    def account(self) -> Address: ...
    @property
    def health(self) -> Health: ...
    @property
    def market_name(self) -> str: ...


class Books(Protocol):
    """The book and the rows of its accounts: ordered, lossless. `save`: its file may wait until the work on a head has begun, for it can
    be read from the chain again."""

    async def advance(self, update: ChainUpdate) -> None: ...

    async def save(self) -> None: ...

    @property
    def view(self) -> ColumnView: ...

    @property
    def head(self) -> Head: ...


class Watcher(Protocol):
    def candidates(self, state: ColumnView, landing: Landing) -> Sequence[Candidate]: ...


class Ahead(Protocol):
    """Of what waits to happen. `watch`: for ever; `state`: the newest one as it would then be; `candidates`: who would be due
    then, whether or not now; `simulate`: behind it; `bid`: less than it offers, so as to be right behind it, raises Skip."""

    async def watch(self, act: Callable[[Upcoming], Awaitable[None]]) -> None: ...

    def moved(self) -> None: ...

    def state(self, upcoming: Upcoming) -> View: ...

    def candidates(self, upcoming: Upcoming, landing: Landing) -> Sequence[Candidate]: ...

    async def simulate(self, calls: Sequence[bytes], landing: Landing, upcoming: Upcoming) -> list[Simulation]: ...

    def bid(self, prediction: Prediction, gas_used: int, landing: Landing, upcoming: Upcoming) -> Bid: ...

    def looked(self, upcoming: Upcoming, planned: int, outcomes: Sequence[Outcome], seconds: float) -> None:
        """All has been done about it."""
        ...


class Rejection(Protocol):
    @property
    def candidate(self) -> Candidate: ...
    @property
    def reason(self) -> str: ...
    @property
    def detail(self) -> str: ...


class Planning(Protocol):
    """`ahead`: plans on their way, which land before what is planned now."""

    def block(
        self, candidates: Sequence[Any], view: View, landing: Landing, ahead: Sequence[Plan] = ()
    ) -> tuple[Sequence[Prediction], Sequence[Rejection]]: ...


class Trusting(Protocol):
    """Which plans may be sent before the node has proven them. `learn`: what it said of plans, each behind the ones before it."""

    def enough(self, plans: Sequence[Prediction]) -> bool: ...

    def assumed(self, plan: Prediction) -> Simulation: ...

    def learn(self, plans: Sequence[Prediction], simulations: Sequence[Simulation]) -> None: ...


class Submitter(Protocol):
    """Sends jobs and remembers them. `busy`: one for the account is on its way; `ahead`: all that are, in order, with their calldata."""

    def busy(self, market: str, account: Address) -> bool: ...

    def ahead(self) -> Sequence[tuple[Plan, bytes]]: ...

    async def submit(self, jobs: Sequence[Job], landing: Landing) -> list[Outcome]: ...


class Settling(Protocol):
    async def settle(self, update: ChainUpdate) -> list[Outcome]: ...


@dataclass(frozen=True, slots=True)
class BlockReport:
    """What one block's work came to. Every candidate has an outcome; one with several calls has one for each."""

    head: Head
    candidates: int
    outcomes: tuple[Outcome, ...]
    seconds: float
    planned: int = 0
    warm: int = 0
    """Of the plans, those that were ready before they were due."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds each stage of the work took: scan, plan, encode, simulate, bid, submit."""


class _Laps:
    """How long each stage takes; what is done again adds up."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s, self._last_s = now_s, now_s()
        self.seconds: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """It ends here."""
        now_s = self._now_s()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now_s - self._last_s
        self._last_s = now_s


async def _nobody(plans: Sequence[tuple[Prediction, int]], landing: Landing) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Parts:
    """Who answers at each stage. `landing`: the block a transaction sent at this head would land in; `now_s`: a monotonic clock;
    `audit`: compares a sample of the book with the chain."""

    feed: Feed
    books: Books
    watcher: Watcher
    planning: Planning
    encode: Callable[[Prediction], bytes]
    simulator: Simulator
    policy: BidPolicy
    submitter: Submitter
    settling: Settling
    sink: OutcomeSink
    landing: Callable[[Head], Landing]
    report: Callable[[BlockReport], None]
    now_s: Callable[[], float]
    audit: Callable[[], Awaitable[None]]
    foresee: Callable[[], Awaitable[None]]
    """Gets ready for what the next heads may bring, beside the work."""
    consult: Callable[[], Awaitable[bool]]
    """Whether somebody outside, asked about what was just planned, wants it planned again; in bounded time."""
    advise: Callable[[Sequence[tuple[Prediction, int]], Landing], Awaitable[None]] = _nobody
    """Asks somebody outside what to bid for plans that were proven, with their gas, before the policy is asked; in bounded time."""
    ahead: Ahead | None = None
    """Looks at what waits in the mempool."""
    trust: Trusting | None = None
    """None: every plan is proven before it is sent."""


Call = tuple[Prediction, bytes]
Proven = tuple[Prediction, bytes, Simulation]

CONSULTATIONS = 3
"""What is planned again raises other questions; after so many it stays as it is."""


class Pipeline:
    """Runs the stages of one chain; knows none of them by class."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._woken = asyncio.Event()
        self._worked = asyncio.Event()
        self._turn = asyncio.Lock()
        self._hand: set[tuple[str, Address]] = set()
        self._proofs: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There is work without a step of the chain: the book was resumed on the newest block."""
        self._woken.set()

    async def run(self, blocks: int | None = None) -> None:
        """Run until cancelled, or until `blocks` heads have been worked on."""
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(self._follow(), name="follow"), group.create_task(self._foresee(), name="foresee")]
            if self._parts.ahead:
                beside.append(group.create_task(self._parts.ahead.watch(self.on_upcoming), name="ahead"))
            await group.create_task(self._work(blocks), name="work")
            for task in (*beside, *self._proofs):
                task.cancel()

    async def _follow(self) -> None:
        async for update in self._parts.feed.updates():
            async with self._turn:
                await self._parts.books.advance(update)  # feed, book
            await self._parts.sink.record(await self._parts.settling.settle(update))  # settle
            if update.newest:
                self._woken.set()
            await self._parts.books.save()
            if update.newest:
                await self._parts.audit()

    async def _work(self, blocks: int | None) -> None:
        done = 0
        while blocks is None or done < blocks:
            await self._woken.wait()
            self._woken.clear()
            await self.on_newest()
            if self._parts.ahead:
                self._parts.ahead.moved()
            self._worked.set()
            done += 1

    async def _foresee(self) -> None:
        while True:
            await self._worked.wait()
            self._worked.clear()
            await self._parts.foresee()

    async def on_newest(self) -> None:
        """All there is to do about the newest head."""
        started = self._parts.now_s()
        async with self._turn:  # never on half an update
            laps = _Laps(self._parts.now_s)
            head = self._parts.books.head
            landing = self._parts.landing(head)
            candidates = self._parts.watcher.candidates(self._parts.books.view, landing)  # scan
            laps.lap("scan")
            ahead = self._parts.submitter.ahead()
            view = self._parts.books.view
            plans, outcomes = self._plan(candidates, view, landing, [plan for plan, _ in ahead])
            for _ in range(CONSULTATIONS):
                if not await self._parts.consult():
                    break
                plans, outcomes = self._plan(candidates, view, landing, [plan for plan, _ in ahead])
            laps.lap("plan")
        with self._in_hand(plans):
            calls = self._encoded(plans, landing, outcomes)
            laps.lap("encode")
            jobs = await self._jobs(calls, landing, outcomes, [data for _, data in ahead], laps)
            if self._parts.books.head.number >= landing.number:  # its block has come and gone
                outcomes += [_skipped(job.prediction, landing, "late") for job in jobs]
            else:
                outcomes += await self._parts.submitter.submit(jobs, landing)
            laps.lap("submit")
        await self._parts.sink.record(outcomes)
        seconds, warm = self._parts.now_s() - started, sum(plan.warm for plan in plans)
        self._parts.report(BlockReport(head, len(candidates), tuple(outcomes), seconds, len(plans), warm, laps.seconds))

    async def on_upcoming(self, upcoming: Upcoming) -> None:
        """All there is to do about what waits, so as to be right behind it. What is not worth sending is told once it has happened."""
        look, started = self._parts.ahead, self._parts.now_s()
        async with self._turn:
            head = self._parts.books.head
            if look is None or head.hash != upcoming.parent:
                return
            landing = self._parts.landing(head)
            ahead = self._parts.submitter.ahead()
            plans, outcomes = self._plan(look.candidates(upcoming, landing), look.state(upcoming), landing, [plan for plan, _ in ahead])
        with self._in_hand(plans):
            jobs = await self._behind(
                look, self._encoded(plans, landing, outcomes), landing, upcoming, [data for _, data in ahead], outcomes
            )
            sent = await self._parts.submitter.submit(jobs, landing) if jobs and self._parts.books.head.number < landing.number else []
        await self._parts.sink.record(sent)
        look.looked(upcoming, len(plans), [*outcomes, *sent], self._parts.now_s() - started)

    async def _behind(
        self, look: Ahead, calls: list[Call], landing: Landing, upcoming: Upcoming, ahead: list[bytes], outcomes: list[Outcome]
    ) -> list[Job]:
        jobs = list[Job]()
        try:
            simulations = (await look.simulate([*ahead, *(data for _, data in calls)], landing, upcoming))[len(ahead) :] if calls else []
        except Transient as unproven:
            outcomes += [_skipped(plan, landing, "not_simulated", str(unproven)) for plan, _ in calls]
            return jobs
        for (plan, data), simulation in zip(calls, simulations, strict=True):
            try:
                if not simulation.ok:
                    raise Skip("simulation_failed", simulation.error)
                jobs.append(Job(plan, data, simulation, look.bid(plan, simulation.gas_used, landing, upcoming), upcoming.before))
            except Skip as skip:
                outcomes.append(_skipped(plan, landing, skip.reason, skip.detail))
        return jobs

    @contextmanager
    def _in_hand(self, plans: Sequence[Prediction]) -> Iterator[None]:
        """From being planned to being sent they are as good as on their way."""
        taken = {(plan.plan.market, plan.plan.account) for plan in plans}
        self._hand |= taken
        try:
            yield
        finally:
            self._hand -= taken

    def _plan(
        self, candidates: Sequence[Candidate], view: View, landing: Landing, ahead: Sequence[Plan]
    ) -> tuple[Sequence[Prediction], list[Outcome]]:
        in_flight = [(c.market_name, c.account) in self._hand or self._parts.submitter.busy(c.market_name, c.account) for c in candidates]
        busy = [candidate for candidate, pending in zip(candidates, in_flight, strict=True) if pending]
        free = [candidate for candidate, pending in zip(candidates, in_flight, strict=True) if not pending]
        plans, rejected = self._parts.planning.block(free, view, landing, ahead)
        outcomes = [_rejected(c, landing, "in_flight", "") for c in busy]
        return plans, outcomes + [_rejected(no.candidate, landing, no.reason, no.detail) for no in rejected]

    async def _jobs(self, calls: list[Call], landing: Landing, outcomes: list[Outcome], ahead: Sequence[bytes], laps: _Laps) -> list[Job]:
        """Each was planned and proven behind the ones before it. Where one of them is not worth sending, what the same account would have
        after it falls with it, and the others are proven again."""
        while True:
            proven = await self._simulate(calls, landing, outcomes, ahead)
            laps.lap("simulate")
            await self._parts.advise([(plan, simulation.gas_used) for plan, _, simulation in proven], landing)
            jobs, first = self._bid(proven, landing, outcomes)
            laps.lap("bid")
            if first is None or not jobs[first:]:
                return jobs
            calls = [(job.prediction, job.data) for job in jobs]

    async def _simulate(self, calls: list[Call], landing: Landing, outcomes: list[Outcome], ahead: Sequence[bytes]) -> list[Proven]:
        """Each after the ones before it, and all after what is on its way. Where plans are trusted that is done beside the sending."""
        trust, plans = self._parts.trust, [plan for plan, _ in calls]
        if trust and calls and trust.enough(plans):
            task = asyncio.create_task(self._prove(calls, landing, ahead))
            self._proofs.add(task)
            task.add_done_callback(self._proofs.discard)
            return [(plan, data, trust.assumed(plan)) for plan, data in calls]
        try:
            simulations = await self._verdicts(calls, landing, ahead) if calls else []
        except (Halt, ConfigError):
            raise
        except KeeperError as unproven:
            outcomes += [_skipped(plan, landing, "not_simulated", str(unproven)) for plan, _ in calls]
            return []
        proven = []
        for (plan, data), simulation in zip(calls, simulations, strict=True):
            if simulation.ok:
                proven.append((plan, data, simulation))
            else:
                outcomes.append(_skipped(plan, landing, "simulation_failed", simulation.error))
        return proven

    async def _prove(self, calls: list[Call], landing: Landing, ahead: Sequence[bytes]) -> None:
        with suppress(KeeperError):  # not to know is no reason to distrust
            await self._verdicts(calls, landing, ahead)

    async def _verdicts(self, calls: list[Call], landing: Landing, ahead: Sequence[bytes]) -> list[Simulation]:
        simulations = (await self._parts.simulator.simulate([*ahead, *(data for _, data in calls)], landing))[len(ahead) :]
        if self._parts.trust:
            self._parts.trust.learn([plan for plan, _ in calls], simulations)
        return simulations

    def _encoded(self, plans: Sequence[Prediction], landing: Landing, outcomes: list[Outcome]) -> list[Call]:
        calls = []
        for plan in plans:
            try:
                calls.append((plan, self._parts.encode(plan)))
            except Skip as skip:
                outcomes.append(_skipped(plan, landing, skip.reason, skip.detail))
        return calls

    def _bid(self, proven: list[Proven], landing: Landing, outcomes: list[Outcome]) -> tuple[list[Job], int | None]:
        """And the place of the first job before which one is missing."""
        jobs, first, missing = list[Job](), None, dict[tuple[str, Address], Skip]()
        for plan, call, simulation in proven:
            whose = plan.plan.market, plan.plan.account
            try:
                if whose in missing:
                    raise missing[whose]
                jobs.append(Job(plan, call, simulation, self._parts.policy.bid(plan, simulation.gas_used, landing)))
            except Skip as skip:
                missing[whose] = Skip(skip.reason, skip.detail)
                first = len(jobs) if first is None else first
                outcomes.append(_skipped(plan, landing, skip.reason, skip.detail))
        return jobs, first


def _rejected(candidate: Candidate, landing: Landing, reason: str, detail: str) -> Outcome:
    health_factor_wad = candidate.health.health_factor_wad
    return Outcome(landing.number, candidate.market_name, candidate.account, Verdict.SKIPPED, reason, health_factor_wad, detail=detail)


def _skipped(prediction: Prediction, landing: Landing, reason: str, detail: str = "") -> Outcome:
    plan = prediction.plan
    return Outcome(landing.number, plan.market, plan.account, Verdict.SKIPPED, reason, detail=detail)
