"""The running keeper: the second half of the composition root. One task group per chain, restarted by the path of a cold start.

Dry-run and live are this same graph; what differs is the relay, and that dry-run acts through an executor placed by state override.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server

from keeper.app import Chain, ChainState, ledger_path, meet, open_chain, open_state, unpriced
from keeper.bidding.share import ProfitShare
from keeper.book.audit import Auditor
from keeper.book.indexer import Progress
from keeper.chain.fees import next_base_fee
from keeper.chain.relay import DryRelay, PublicRelay
from keeper.chain.rpc_errors import RpcError
from keeper.chain.simulate import NodeSimulator
from keeper.chain.wire import AccountOverride, from_hex, hex_bytes
from keeper.config import Settings
from keeper.config.settings import ChainSettings
from keeper.errors import ConfigError, Halt, Transient
from keeper.execution import executor
from keeper.execution.calls import calldata
from keeper.execution.desk import Desk, DeskLimits
from keeper.execution.engine import Doubt, Limits, TxEngine
from keeper.execution.keys import Key, load_key, throwaway_key
from keeper.execution.outbox import Outbox
from keeper.execution.receipts import NodeReceipts
from keeper.execution.signer import Signer, decode
from keeper.execution.submission import Submission
from keeper.ledger.ledger import Ledger
from keeper.ledger.schema import LEDGER_FILE
from keeper.ledger.settle import Settled, Settler
from keeper.log import get_logger
from keeper.monitor import health
from keeper.monitor.report import Metrics, Reporter
from keeper.pipeline import BlockReport, Parts, Pipeline
from keeper.recording.record import EXECUTOR, Player, Recorder, TapedReader, TapedStore, recorded
from keeper.recording.replay import Replayed, run_again
from keeper.recording.tape import read_tape
from keeper.secret import Secret
from keeper.storage.database import Database
from keeper.types import Address, Head, Log, Outcome, Prediction

PLACEHOLDER = Address("0x" + "ee" * 20)
"""Where dry-run puts an executor that is not deployed."""

DRY_BALANCE_WEI = 10**21
RESTART_FIRST_S, RESTART_MOST_S = 0.5, 10.0

_log = get_logger("daemon")


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told of each block, outcome and settled transaction, besides the log and the metrics."""

    block: tuple[Callable[[str, BlockReport], None], ...] = ()
    outcomes: tuple[Callable[[str, Sequence[Outcome]], None], ...] = ()
    settled: tuple[Callable[[str, Sequence[Settled]], None], ...] = ()
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
            async with open_pipeline(settings, chain, live, metrics, listeners, recorder) as pipeline:
                return await pipeline.run(blocks)
        except* (Transient, RpcError) as trouble:
            _log.warning("chain_restarts", chain=chain.name, reason=str(_first(trouble)), delay_s=delay_s)
        delay_s = RESTART_FIRST_S if time.monotonic() - started > RESTART_MOST_S else min(2 * delay_s, RESTART_MOST_S)
        await asyncio.sleep(delay_s)


def _first(trouble: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = trouble.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


# --- one chain ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hand:
    """Who acts: the signer, the executor, and what must be pretended for a dry run."""

    signer: Signer
    executor: Address
    beneficiary: Address
    overrides: Mapping[Address, AccountOverride]


@asynccontextmanager
async def open_pipeline(
    settings: Settings, named: ChainSettings, live: bool, metrics: Metrics, listeners: Listeners, recorder: Recorder | None = None
) -> AsyncIterator[Pipeline]:
    """One chain's pipeline, its outbox reconciled, ready to run. `recorder`: keeps what it consumes, for a replay."""
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(open_chain(settings, named, listeners.progress, owned=True, deck=recorder))
        database = await Database.open(ledger_path(settings, named), named.chain_id, LEDGER_FILE)
        stack.push_async_callback(database.close)
        ledger = Ledger(database)
        hand = await open_hand(chain, live)
        if live:
            await _require_funds(chain, hand.signer.address)
        if recorder:
            recorder.tape.write(EXECUTOR, hand.executor)
        simulator = _simulator(chain, hand)
        engine = _engine(chain, database, hand, live, partial(_stale, chain, simulator))
        settler = Settler(chain.book, chain.bookkeeper, chain.predictor, partial(_earnings, hand.beneficiary))
        limits = DeskLimits(named.limits.max_in_flight, named.limits.max_gas_per_block)
        desk = Desk(
            engine, settler, ledger, hand.executor, limits, lambda: chain.head, chain.reader.header, partial(_tell, listeners, named.name)
        )
        sink = _Sink(ledger, Reporter(named.name, _log, metrics), listeners, named.name)
        await sink.record(await desk.take(await engine.recover(chain.head), chain.head))
        parts = Parts(
            feed=chain.feed,
            books=chain,
            watcher=chain.watch,
            planning=chain.planner,
            encode=partial(_encode, chain, hand.executor),
            simulator=simulator,
            policy=ProfitShare(**named.bidding.model_dump()),
            submitter=desk,
            settling=desk,
            sink=sink,
            landing=chain.landing,
            report=_Report(settings, chain, sink, listeners),
            now_s=time.monotonic,
            audit=partial(_audit, Auditor(chain.bookkeeper, chain.markets, chain.reader, named.audit_accounts), named.name),
        )
        pipeline = Pipeline(recorded(parts, recorder) if recorder else parts)
        if (await chain.reader.head()).hash == chain.head.hash:
            pipeline.wake()
        yield pipeline


async def replay(settings: Settings, path: Path) -> Replayed:
    """Run a recording of `settings`' chain again, without node or store. Raises ConfigError, Halt."""
    entries = list(read_tape(path))
    player = Player(entries)
    named = one_chain(settings)
    address = next((value for kind, value in entries if kind == EXECUTOR), None)
    if address is None:
        raise ConfigError(f"{path} is not the recording of a run")
    state = await open_state(named, TapedReader(player, None), TapedStore(player, None), lambda source, block, target: None)
    policy = ProfitShare(**named.bidding.model_dump())
    return await run_again(entries, player, state, state.watch, state.planner, partial(_encode, state, address), policy, state.landing)


def one_chain(settings: Settings) -> ChainSettings:
    """The config's only chain. Raises ConfigError: a recording is of one chain."""
    if len(settings.chains) != 1:
        raise ConfigError(f"a recording is of one chain, but the config has {len(settings.chains)}")
    return settings.chains[0]


async def open_hand(chain: Chain, live: bool) -> Hand:
    """Live: the configured key and executor, which must exist and know us. Dry-run signs with a throwaway key, so that nothing it does can
    meet what a live run left in the outbox, and makes up what is missing."""
    settings = chain.settings
    configured = await _key(settings, live)
    key = configured if live and configured else throwaway_key()
    signer = Signer(Secret(key.reveal().hex()))
    wanted = settings.executor
    if wanted is not None and wanted.address is not None:
        return await _deployed(chain, signer, wanted.address, live)
    if live:
        raise ConfigError(f"chains.{settings.name}.executor.address: live needs a deployed executor; see `keeper deploy`")
    beneficiary = (wanted.beneficiary if wanted else None) or signer.address
    owner = (wanted.owner if wanted else None) or signer.address
    code = from_hex(await chain.rpc.request("eth_call", {"data": hex_bytes(executor.deploy_data(owner, beneficiary, ()))}, "latest"))
    placed = AccountOverride(code=code, storage={int(executor.operator_slot(signer.address), 16): 1})
    return Hand(signer, PLACEHOLDER, beneficiary, {PLACEHOLDER: placed, signer.address: AccountOverride(balance_wei=DRY_BALANCE_WEI)})


async def _key(settings: ChainSettings, live: bool) -> Key | None:
    """Looked at in any mode: better a word now than on the day it goes live."""
    if settings.signer is not None:
        return await load_key(settings.signer, os.environ)
    if live:
        raise ConfigError(f"chains.{settings.name}.signer: live needs a key")
    return None


async def _deployed(chain: Chain, signer: Signer, address: Address, live: bool) -> Hand:
    where = f"chains.{chain.settings.name}.executor.address"
    if not await chain.reader.code(address):
        raise ConfigError(f"{where}: no contract at {address}; see `keeper deploy`")
    reads = [executor.beneficiary(address), executor.is_operator(address, signer.address)]
    beneficiary, allowed = await chain.reader.calls(reads)
    if beneficiary is None or allowed is None or len(beneficiary) != 32:
        raise ConfigError(f"{where}: {address} is not an executor; see `keeper deploy`")
    if live and not int.from_bytes(allowed):
        raise ConfigError(f"{where}: {signer.address} is not an operator of {address}; its owner can add it")
    role = AccountOverride(storage={int(executor.operator_slot(signer.address), 16): 1})
    pretended = {} if live else {address: role, signer.address: AccountOverride(balance_wei=DRY_BALANCE_WEI)}
    return Hand(signer, address, Address("0x" + beneficiary[-20:].hex()), pretended)


async def _require_funds(chain: Chain, address: Address) -> None:
    if not int(await chain.rpc.request("eth_getBalance", address, "latest"), 16):
        raise Halt(f"chains.{chain.settings.name}.signer: {address} has no eth to pay for gas: send it some")


def _engine(chain: Chain, database: Database, hand: Hand, live: bool, doubt: Doubt) -> TxEngine:
    settings = chain.settings
    limits = Limits(
        max_fee_wei=settings.bidding.max_fee_wei,
        max_priority_fee_wei=settings.bidding.max_priority_fee_wei,
        resend_after_blocks=settings.limits.resend_after_blocks,
        confirmations=settings.confirmations,
    )
    relay = PublicRelay(chain.rpc) if live else DryRelay()
    outbox = Outbox(database, settings.chain_id, hand.signer.address)
    return TxEngine(outbox, hand.signer, relay, NodeReceipts(chain.rpc), next_base_fee, limits, doubt)


async def _stale(chain: Chain, simulator: NodeSimulator, ahead: Sequence[Submission], head: Head) -> set[int]:
    """Which of our transactions on their way would fail in the node's next block, each behind the ones before it; none if it does not say.
    At a start `head` is where the book was left: long ago, or on a branch that is no more."""
    runs = [submission for submission in ahead if not submission.is_cancel]
    try:
        newest = max(head, await chain.reader.head(), key=lambda known: known.number)
        verdicts = await simulator.simulate([decode(submission.raw).data for submission in runs], chain.landing(newest))
    except (Transient, RpcError) as unproven:
        _log.warning("not_simulated", chain=chain.settings.name, reason=str(unproven))
        return set()
    return {submission.id for submission, verdict in zip(runs, verdicts, strict=True) if not verdict.ok}


def _simulator(chain: Chain, hand: Hand) -> NodeSimulator:
    def decode(data: bytes) -> str | None:
        return executor.decode_error(data) or next((name for m in chain.markets if (name := m.decode_error(data))), None)

    def profit(logs: Sequence[Log]) -> int:
        return _earnings(hand.beneficiary, hand.executor, logs)[0]

    return NodeSimulator(chain.rpc, hand.executor, hand.signer.address, decode, profit, overrides=hand.overrides)


def _encode(chain: ChainState, address: Address, prediction: Prediction) -> bytes:
    return calldata(prediction, chain.predictor, address)


def _earnings(beneficiary: Address, address: Address, logs: Sequence[Log]) -> tuple[int, dict[Address, int]]:
    settled = executor.settled(logs, address)
    return (settled[1] if settled else 0), executor.gains(logs, address, beneficiary)


async def _audit(auditor: Auditor, chain: str) -> None:
    try:
        for found in await auditor.run():
            _log.error(
                "market_diverged", chain=chain, market=found.market, account=found.account, expected=found.expected, found=found.found
            )
    except Transient as away:
        _log.debug("audit_postponed", chain=chain, reason=str(away))


def _tell(listeners: Listeners, chain: str, settled: Sequence[Settled]) -> None:
    for listener in listeners.settled:
        listener(chain, settled)


class _Sink:
    """Outcomes go to the ledger, the log, the metrics and the listeners."""

    def __init__(self, ledger: Ledger, reporter: Reporter, listeners: Listeners, chain: str) -> None:
        self._ledger, self.reporter, self._listeners, self._chain = ledger, reporter, listeners, chain

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        await self._ledger.record(outcomes)
        self.reporter.outcomes(outcomes)
        for listener in self._listeners.outcomes:
            listener(self._chain, outcomes)


class _Report:
    """Each block: the log line, the heartbeat, the listeners. The first one with a look at what only a book in step can tell."""

    def __init__(self, settings: Settings, chain: ChainState, sink: _Sink, listeners: Listeners) -> None:
        self._settings, self._chain, self._sink, self._listeners = settings, chain, sink, listeners
        self._looked = False

    def __call__(self, report: BlockReport) -> None:
        if not self._looked and (problem := unpriced(self._chain)):
            raise ConfigError(problem)
        self._looked = True
        self._sink.reporter.block(report)
        health.touch(self._settings.data_dir)
        for listener in self._listeners.block:
            listener(self._chain.settings.name, report)


__all__ = ["Hand", "Listeners", "open_hand", "open_pipeline", "run"]
