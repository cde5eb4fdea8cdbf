"""One canonical log line per block and per outcome that matters, and the same as Prometheus metrics."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from keeper.pipeline import BlockReport
from keeper.planning.patience import WAITING
from keeper.types import Entry, Outcome, Standing, Verdict

STAGE_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


class EventLog(Protocol):
    def info(self, event: str, **values: object) -> object: ...

    def warning(self, event: str, **values: object) -> object: ...

    def error(self, event: str, **values: object) -> object: ...


class Metrics:
    """Prometheus metrics of one process; labelled by chain."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.head = Gauge("keeper_head_block", "Newest block worked on", ["chain"], registry=registry)
        self.head_time = Gauge("keeper_head_timestamp_seconds", "Timestamp of the newest block worked on", ["chain"], registry=registry)
        self.candidates = Gauge("keeper_candidates", "Liquidatable accounts at the newest block", ["chain"], registry=registry)
        self.outcomes = Counter("keeper_outcomes", "Ends of candidates", ["chain", "verdict", "reason"], registry=registry)
        self.plans = Counter(
            "keeper_plans", "Liquidations planned, by whether that was ready before they were due", ["chain", "warm"], registry=registry
        )
        due = "Ends of what oracle updates that wait in the mempool would make due"
        self.ahead = Counter("keeper_lookahead", due, ["chain", "verdict", "reason"], registry=registry)
        seen = "Liquidations on the chain: whether ours, and whether in the block of the oracle update that allowed them"
        self.seen = Counter("keeper_liquidations_seen", seen, ["chain", "ours", "same_block"], registry=registry)
        doubt = "Doubt about a price: 0 none, 1 alert, 2 hold, 3 halt", ["chain", "market", "token", "check"]
        self.doubt = Gauge("keeper_price_doubt", *doubt, registry=registry)
        self.doubts = Counter("keeper_price_doubts", "Doubts about prices that arose", ["chain", "check"], registry=registry)
        self.halted = Gauge("keeper_halted", "Nothing is sent until `keeper resume`", ["chain"], registry=registry)
        had = "What an account of ours has, in the quote token", ["chain", "market", "what"]
        moved = "Why that changed since the start, by kind of entry", ["chain", "market", "kind"]
        self.held = Gauge("keeper_inventory", *had, registry=registry)
        self.moved = Gauge("keeper_inventory_change", *moved, registry=registry)
        self.node_up = Gauge("keeper_node_up", "Whether the node is asked; 0: shunned", ["chain", "node"], registry=registry)
        self.behind = Gauge("keeper_node_behind_blocks", "Behind the newest block any node has", ["chain", "node"], registry=registry)
        money = "Ether of a signer, for gas, when it was last looked at"
        self.balance = Gauge("keeper_signer_balance_ether", money, ["chain", "signer"], registry=registry)
        self.tasks = Gauge("keeper_tasks", "Tasks of the event loop", registry=registry)
        self.work = Histogram("keeper_block_seconds", "Head to last transaction sent", ["chain"], registry=registry)

        took = "What each stage of the work on a block with plans took"
        self.stage = Histogram("keeper_stage_seconds", took, ["chain", "stage"], buckets=STAGE_BUCKETS_S, registry=registry)

    def block(self, chain: str, report: BlockReport) -> None:
        self.head.labels(chain).set(report.head.number)
        self.head_time.labels(chain).set(report.head.timestamp_s)
        self.candidates.labels(chain).set(report.candidates)
        self.plans.labels(chain, "yes").inc(report.warm)
        self.plans.labels(chain, "no").inc(report.planned - report.warm)
        self.work.labels(chain).observe(report.seconds)
        for stage, seconds in report.stages.items() if report.planned else ():
            self.stage.labels(chain, stage).observe(seconds)

    def outcome(self, chain: str, outcome: Outcome) -> None:
        self.outcomes.labels(chain, outcome.verdict.value, outcome.reason or "none").inc()

    def looked_ahead(self, chain: str, outcome: Outcome) -> None:
        self.ahead.labels(chain, outcome.verdict.value, outcome.reason or "none").inc()

    def liquidation(self, chain: str, ours: bool, same_block: bool) -> None:
        self.seen.labels(chain, "yes" if ours else "no", "yes" if same_block else "no").inc()

    def inventory(self, chain: str, market: str, standing: Standing, entries: Iterable[Entry]) -> None:
        for what in ("equity", "required", "exposure"):
            self.held.labels(chain, market, what).set(getattr(standing, what) / 10**18)
        for entry in entries:
            self.moved.labels(chain, market, entry.kind).inc(entry.amount / 10**18)

    def signer(self, chain: str, address: str, balance_wei: int) -> None:
        self.balance.labels(chain, address).set(balance_wei / 10**18)

    def node(self, chain: str, name: str, up: bool, behind: int) -> None:
        self.node_up.labels(chain, name).set(up)
        self.behind.labels(chain, name).set(behind)

    def price_doubted(self, chain: str, market: str, token: str, check: str, severity: int) -> None:
        """A doubt that arose, or with severity 0 went."""
        self.doubt.labels(chain, market, token, check).set(severity)
        if severity:
            self.doubts.labels(chain, check).inc()


class Reporter:
    """Tells the log, the metrics and any listener of each block and each outcome."""

    def __init__(self, chain: str, log: EventLog, metrics: Metrics, listeners: Iterable[Callable[[BlockReport], None]] = ()) -> None:
        self._chain, self._log, self._metrics, self._listeners = chain, log, metrics, tuple(listeners)
        self._waiting: set[tuple[str, str]] = set()

    def block(self, report: BlockReport) -> None:
        self._metrics.block(self._chain, report)
        funnel = Tally(outcome.reason or outcome.verdict.value for outcome in report.outcomes)
        self._log.info(
            "block",
            chain=self._chain,
            number=report.head.number,
            candidates=report.candidates,
            ms=round(report.seconds * 1000, 1),
            **{f"n_{reason}": count for reason, count in funnel.items()},
        )
        self._tell_waiting([outcome for outcome in report.outcomes if outcome.reason == WAITING])
        for listener in self._listeners:
            listener(report)

    def _tell_waiting(self, left: list[Outcome]) -> None:
        """Of lots that are left for later, once: when that begins."""
        for outcome in left:
            if (outcome.market, outcome.account) not in self._waiting:
                self._log.info(WAITING, chain=self._chain, market=outcome.market, account=outcome.account, detail=outcome.detail)
        self._waiting = {(outcome.market, outcome.account) for outcome in left}

    def halted(self, why: str) -> None:
        """Why nothing is sent from now on, or "" when it is again."""
        self._metrics.halted.labels(self._chain).set(bool(why))
        if why:
            self._log.error("halted", chain=self._chain, reason=why, fix="keeper resume")
        else:
            self._log.warning("resumed", chain=self._chain)

    def outcomes(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self._metrics.outcome(self._chain, outcome)
            if outcome.verdict is not Verdict.SKIPPED:
                self._tell(outcome)

    def ahead(self, outcomes: Iterable[Outcome]) -> None:
        """Of what updates that wait would make due. What is not sent is looked at again once it has happened."""
        for outcome in outcomes:
            self._metrics.looked_ahead(self._chain, outcome)

    def _tell(self, outcome: Outcome) -> None:
        tell = self._log.info if outcome.verdict in {Verdict.WON, Verdict.PENDING, Verdict.DRY} else self._log.warning
        tell(
            outcome.verdict.value,
            chain=self._chain,
            market=outcome.market,
            account=outcome.account,
            reason=outcome.reason,
            tx=outcome.tx,
            detail=outcome.detail,
            net_wei=outcome.net_wei,
        )
