"""The running keeper: the second half of the composition root. One task group per chain, restarted by the path of a cold start.

Dry-run and live are this same graph; what differs is the relay, and that dry-run acts through an executor placed by state override.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server

from keeper import acting
from keeper.ahead.lookahead import Lookahead
from keeper.app import Chain, halt_file, ledger_path, open_chain, open_state, races_path, unpriced
from keeper.bidding.caps import Capped
from keeper.bidding.stake import Stake
from keeper.book.audit import Auditor
from keeper.book.indexer import Progress
from keeper.chain.pool import Pool
from keeper.chain.rehearse import rehearse
from keeper.chain.rpc_errors import RpcError
from keeper.chain.simulate import NodeSimulator
from keeper.config import Settings
from keeper.config.settings import ChainSettings
from keeper.errors import ConfigError, Halt, Transient
from keeper.execution.bids import advised
from keeper.execution.counsel import Counsel, counsel
from keeper.execution.desk import Desk, DeskLimits
from keeper.execution.fleet import Fleet
from keeper.execution.fuse import Fuse
from keeper.execution.gas_money import SWEEP
from keeper.execution.hand import Hand, open_accounts, open_hand, require_funds
from keeper.execution.rivalry import Rivalry
from keeper.execution.treasurer import Treasurer
from keeper.foresight import Foresight
from keeper.ledger.bookmaker import Learned
from keeper.ledger.ledger import Ledger
from keeper.ledger.schema import LEDGER_FILE
from keeper.ledger.settle import Settled, Settler
from keeper.log import get_logger
from keeper.looking import Looker, lookers
from keeper.monitor import health
from keeper.monitor.left_out import LeftOut
from keeper.monitor.prices import PriceAlerts
from keeper.monitor.report import Metrics, Reporter
from keeper.nodes import meet, pending_of
from keeper.pipeline import BlockReport, Parts, Pipeline
from keeper.ports import BidPolicy
from keeper.recording.record import EXECUTOR, Player, Recorder, TapedModel, TapedPolicy, TapedReader, TapedStore, TapedWarmth, recorded
from keeper.recording.replay import Replayed, run_again
from keeper.recording.tape import read_tape
from keeper.risk.sanity import halting
from keeper.storage.database import Database
from keeper.terms import answers, behind, bid_policy, breakers, caps, gas_money, purse, trust
from keeper.types import Hash, Head, Outcome, Upcoming, Waiting

RESTART_FIRST_S, RESTART_MOST_S = 0.5, 10.0

_log = get_logger("daemon")


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told of each block, outcome and settled transaction, besides the log and the metrics."""

    block: tuple[Callable[[str, BlockReport], None], ...] = ()
    outcomes: tuple[Callable[[str, Sequence[Outcome]], None], ...] = ()
    settled: tuple[Callable[[str, Sequence[Settled]], None], ...] = ()
    ready: tuple[Callable[[str, Head], None], ...] = ()
    """Everything that can be prepared at a head is."""
    heard: tuple[Callable[[str, Hash, bool], None], ...] = ()
    """A transaction waits in the mempool, and whether it is an oracle's."""
    looked: tuple[Callable[[str, Upcoming | None], None], ...] = ()
    """Everything has been done about what waits in the mempool."""
    ahead: tuple[Callable[[str, Sequence[Outcome]], None], ...] = ()
    """How each ended that what waits would make due."""
    progress: Progress = field(default=lambda source, block, target: None)


async def run(
    settings: Settings, live: bool, blocks: int | None = None, listeners: Listeners | None = None, recorder: Recorder | None = None
) -> None:
    """Run all chains until cancelled, or each until it worked on `blocks` heads. Raises ConfigError, Halt."""
    metrics = Metrics(registry := CollectorRegistry())
    if settings.metrics_port:
        _serve_metrics(settings.metrics_port, registry)
    async with asyncio.TaskGroup() as group:
        for chain in settings.chains:
            work = _supervise(settings, chain, live, blocks, metrics, listeners or Listeners(), recorder)
            group.create_task(work, name=chain.name)


def _serve_metrics(port: int, registry: CollectorRegistry) -> None:
    try:
        start_http_server(port, "127.0.0.1", registry)
    except OSError as error:
        raise Halt(f"metrics_port {port}: {error.strerror}: use another, or 0 for none") from None


async def _supervise(
    settings: Settings,
    chain: ChainSettings,
    live: bool,
    blocks: int | None,
    metrics: Metrics,
    listeners: Listeners,
    recorder: Recorder | None,
) -> None:
    """Start the chain again when its node fails it; anything else is not ours to retry. A node that is not there to begin with is a mistake
    to tell of."""
    await meet(chain)
    delay_s = RESTART_FIRST_S
    while True:
        started = time.monotonic()
        try:
            return await _life(open_pipeline(settings, chain, live, metrics, listeners, recorder), blocks)
        except* (Transient, RpcError) as trouble:
            _log.warning("chain_restarts", chain=chain.name, reason=str(_first(trouble)), delay_s=delay_s)
        gc.collect()  # two books at once would take twice the memory, and what was taken once is not given back
        delay_s = RESTART_FIRST_S if time.monotonic() - started > RESTART_MOST_S else min(2 * delay_s, RESTART_MOST_S)
        await asyncio.sleep(delay_s)


async def _life(opening: AbstractAsyncContextManager[Pipeline], blocks: int | None) -> None:
    """From one start to the next. Nothing of it must be left when that begins."""
    async with opening as pipeline:
        gc.collect()
        gc.freeze()  # the book stays: no collection needs to walk it
        try:
            await pipeline.run(blocks)
        finally:
            gc.unfreeze()


def _first(trouble: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = trouble.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


# --- one chain ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_pipeline(
    settings: Settings, named: ChainSettings, live: bool, metrics: Metrics, listeners: Listeners, recorder: Recorder | None = None
) -> AsyncIterator[Pipeline]:
    """One chain's pipeline, its outbox reconciled, ready to run. `recorder`: keeps what it consumes, for a replay."""
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(open_chain(settings, named, listeners.progress, owned=True, deck=recorder))
        database = await Database.open(ledger_path(settings, named), named.chain_id, LEDGER_FILE)
        stack.push_async_callback(database.close)
        hand = await open_accounts(named, chain.reader, await open_hand(named, chain.rpc, chain.reader, live), live)
        if live:
            await require_funds(named, chain.rpc, [signer.address for signer in hand.signers])
        if recorder:
            recorder.tape.write(EXECUTOR, hand.executor)
        prover = acting.simulator(chain, hand)
        carrier = await stack.enter_async_context(acting.open_carrier(chain, live))
        engine = acting.fleet(chain, database, hand, carrier, prover)
        learned = await Learned.recall(races_path(settings, named), purse(named.bidding))
        sink = _Sink(Ledger(database), Reporter(named.name, _log, metrics), listeners, named.name, learned.budget.heard)
        fuse = Fuse(halt_file(settings, named), breakers(named.breakers), Ledger(database), sink.reporter.halted)
        desk = _desk(chain, engine, database, hand, listeners, fuse)
        await sink.record(await desk.take(await engine.recover(chain.head), chain.head))
        await fuse.judge(chain.head)
        foresight = await Foresight.open(chain, settings.data_dir / named.name / "volatility.json")
        alerts = PriceAlerts(named.name, _log, metrics)
        judge = await stack.enter_async_context(counsel(named.auctions, settings.path.parent, chain.rivals))
        looking = await lookers(settings, chain, hand, database, learned, metrics)
        treasurer = _treasurer(chain, engine, hand, fuse, Ledger(database), metrics)
        await treasurer.count("latest")
        foresee = partial(_foresee, chain, looking, foresight, treasurer, listeners)
        inner = bid_policy(named.bidding, learned.odds)
        bidder = await stack.enter_async_context(advised(named.bidding, settings.path.parent, inner))
        bids = Capped(bidder, caps(named.bidding), learned.budget, learned.offers)
        report = _Report(settings, chain, sink, alerts, listeners, fuse, metrics)
        parts = _parts(chain, hand, prover, desk, sink, report, foresee, judge, bids)
        parts = replace(parts, advise=bidder.advise, trust=trust(named) if live else None)
        if named.lookahead.enabled and not recorder:
            placed = replace(bids, policy=bid_policy(named.bidding, learned.odds, behind(named))) if carrier.ties else bids
            rivalry = Rivalry(engine, learned.budget, answers(named), hand.ours) if live and named.lookahead.answer_bps else None
            parts = replace(parts, ahead=_lookahead(chain, prover, placed, carrier.ties, rivalry, sink, listeners))
        chain.patience.model = TapedModel(recorder, judge) if recorder else judge
        chain.planner.warmth = TapedWarmth(recorder, chain.prewarmer) if recorder else chain.prewarmer
        pipeline = Pipeline(recorded(parts, recorder) if recorder else parts)
        if (await chain.reader.head()).hash == chain.head.hash:
            pipeline.wake()
        yield pipeline


def _treasurer(chain: Chain, engine: Fleet, hand: Hand, fuse: Fuse, ledger: Ledger, metrics: Metrics) -> Treasurer:
    return Treasurer(
        engine,
        chain.rpc,
        hand.purses,
        hand.beneficiary,
        gas_money(chain.settings),
        head=lambda: chain.head,
        landing=chain.landing,
        halted=fuse.why,
        swept_s=partial(ledger.transferred_s, SWEEP),
        tell=partial(metrics.signer, chain.settings.name),
    )


def _lookahead(
    chain: Chain, prover: NodeSimulator, bids: BidPolicy, tied: bool, rivalry: Rivalry | None, sink: _Sink, listeners: Listeners
) -> Lookahead:
    settings = chain.settings
    stake = None if tied else Stake(settings.lookahead.max_at_stake_per_day_wei)
    if stake:
        sink.hearers += (stake.heard,)

    def tell(upcoming: Upcoming | None) -> None:
        for listener in listeners.looked:
            listener(settings.name, upcoming)

    def hear(waiting: Waiting, concerns: bool) -> None:
        for listener in listeners.heard:
            listener(settings.name, waiting.tx, concerns)

    def count(outcomes: Sequence[Outcome]) -> None:
        sink.reporter.ahead(outcomes)
        for listener in listeners.ahead:
            listener(settings.name, outcomes)

    listen, run_before = pending_of(settings, chain.rpc).run, partial(rehearse, chain.rpc)
    return Lookahead(chain, listen, run_before, prover.behind, bids, stake, rivalry, hear, tell, count)


def _desk(chain: Chain, engine: Fleet, database: Database, hand: Hand, listeners: Listeners, fuse: Fuse) -> Desk:
    settler = Settler(chain.book, chain.bookkeeper, chain.predictor, partial(acting.earnings, hand.beneficiary))
    limits = DeskLimits(chain.settings.limits.max_in_flight, chain.settings.limits.max_gas_per_block)
    tell = partial(_tell, listeners, chain.settings.name)
    return Desk(engine, settler, Ledger(database), hand.executor, limits, lambda: chain.head, chain.reader.header, tell, fuse)


def _parts(
    chain: Chain,
    hand: Hand,
    simulator: NodeSimulator,
    desk: Desk,
    sink: _Sink,
    report: _Report,
    foresee: Callable[[], Awaitable[None]],
    judge: Counsel,
    policy: BidPolicy,
) -> Parts:
    settings = chain.settings
    return Parts(
        feed=chain.feed,
        books=chain,
        watcher=chain.watch,
        planning=chain.planner,
        encode=partial(acting.encode, chain, hand.executor),
        simulator=simulator,
        policy=policy,
        submitter=desk,
        settling=desk,
        sink=sink,
        landing=chain.landing,
        report=report,
        now_s=time.monotonic,
        audit=partial(_audit, Auditor(chain.bookkeeper, chain.markets, chain.reader, settings.audit_accounts), settings.name),
        foresee=foresee,
        consult=judge.consult,
    )


async def replay(settings: Settings, path: Path) -> Replayed:
    """Run a recording of `settings`' chain again, without node or store. Raises ConfigError, Halt."""
    entries = list(read_tape(path))
    player = Player(entries)
    named = one_chain(settings)
    address = next((value for kind, value in entries if kind == EXECUTOR), None)
    if address is None:
        raise ConfigError(f"{path} is not the recording of a run")
    state = await open_state(named, TapedReader(player, None), TapedStore(player, None), lambda source, block, target: None)
    state.planner.warmth = TapedWarmth(player, None)
    state.patience.model = TapedModel(player, None)
    encode, policy = partial(acting.encode, state, address), TapedPolicy(player, None)
    return await run_again(entries, player, state, state.watch, state.planner, encode, policy, state.landing)


def one_chain(settings: Settings) -> ChainSettings:
    """The config's only chain. Raises ConfigError: a recording is of one chain."""
    if len(settings.chains) != 1:
        raise ConfigError(f"a recording is of one chain, but the config has {len(settings.chains)}")
    return settings.chains[0]


async def _foresee(chain: Chain, lookers: Sequence[Looker], foresight: Foresight, treasurer: Treasurer, listeners: Listeners) -> None:
    """What may wait comes last."""
    head = chain.head
    for looker in lookers:
        await looker.look()
    prepared = await foresight.prepare(head)
    await treasurer.look()
    if prepared:
        for listener in listeners.ready:
            listener(chain.settings.name, head)


async def _audit(auditor: Auditor, chain: str) -> None:
    try:
        for found in await auditor.run():
            _log.error(
                "market_diverged",
                chain=chain,
                market=found.market,
                block=found.block,
                account=found.account,
                expected=found.expected,
                found=found.found,
            )
    except Transient as away:
        _log.debug("audit_postponed", chain=chain, reason=str(away))


def _tell(listeners: Listeners, chain: str, settled: Sequence[Settled]) -> None:
    for listener in listeners.settled:
        listener(chain, settled)


class _Sink:
    """Outcomes go to the ledger, the log, the metrics and the listeners."""

    def __init__(
        self, ledger: Ledger, reporter: Reporter, listeners: Listeners, chain: str, heard: Callable[[Sequence[Outcome]], None]
    ) -> None:
        self._ledger, self.reporter, self._listeners, self._chain = ledger, reporter, listeners, chain
        self.hearers: tuple[Callable[[Sequence[Outcome]], None], ...] = (heard,)

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        for heard in self.hearers:
            heard(outcomes)
        await self._ledger.record(outcomes)
        self.reporter.outcomes(outcomes)
        for listener in self._listeners.outcomes:
            listener(self._chain, outcomes)


class _Report:
    """Each block: the log line, the heartbeat, the listeners. The first one with a look at what only a book in step can tell."""

    def __init__(
        self, settings: Settings, chain: Chain, sink: _Sink, alerts: PriceAlerts, listeners: Listeners, fuse: Fuse, metrics: Metrics
    ) -> None:
        self._metrics = metrics
        self._settings, self._chain, self._sink, self._alerts, self._listeners, self._fuse = settings, chain, sink, alerts, listeners, fuse
        self._looked = False
        self._left_out = LeftOut(chain.settings.name, _log)

    def __call__(self, report: BlockReport) -> None:
        if not self._looked and (problem := unpriced(self._chain)):
            raise ConfigError(problem)
        self._looked = True
        self._left_out.tell(self._chain.markets, self._chain.view)
        self._sink.reporter.block(report)
        prices = self._chain.prices()
        for market in self._chain.markets:
            self._alerts.tell(market.name, verdicts := prices.of(market))
            if fatal := halting(verdicts):
                self._fuse.blow(fatal)
        self._metrics.tasks.set(len(asyncio.all_tasks()))
        if isinstance(self._chain.rpc, Pool):
            for node in self._chain.rpc.statuses():
                self._metrics.node(self._chain.settings.name, node.name, not node.problem, node.behind)
        health.touch(self._settings.data_dir)
        for listener in self._listeners.block:
            listener(self._chain.settings.name, report)
