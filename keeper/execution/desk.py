"""Between plans and the chain: turns jobs into transactions and their receipts into results.

News of a transaction is acknowledged to the engine only after the ledger has it, so a kill in between repeats the writing, not the money.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from keeper.execution.calls import floor_of
from keeper.execution.fleet import Fleet
from keeper.execution.fuse import Fuse
from keeper.execution.settlement import NOT_INCLUDED
from keeper.execution.signer import decode
from keeper.execution.states import State
from keeper.execution.submission import Intent, Receipt, Resolved, Submission
from keeper.ledger.ledger import TRANSFERRED, Ledger, LedgerRow
from keeper.ledger.settle import Landed, Settled, Settler, entries_of, row_of
from keeper.planning.codec import dump_plan, load_plan
from keeper.types import ZERO_ADDRESS, Address, ChainUpdate, Hash, Head, Job, Landing, Outcome, Plan, SendResult, Verdict

DRY = "dry_run"
"""What the relay that sends nothing answers."""


@dataclass(frozen=True, slots=True)
class DeskLimits:
    max_in_flight: int
    max_gas_per_block: int


HeadOf = Callable[[Hash], Awaitable[Head | None]]


class Desk:
    """Implements the pipeline's `Submitter` and `Settling`."""

    def __init__(
        self,
        engine: Fleet,
        settler: Settler,
        ledger: Ledger,
        executor: Address,
        limits: DeskLimits,
        head: Callable[[], Head],
        head_of: HeadOf,
        tell: Callable[[Sequence[Settled]], None],
        fuse: Fuse,
    ) -> None:
        self._engine, self._settler, self._ledger, self._fuse = engine, settler, ledger, fuse
        self._executor, self._limits, self._head, self._head_of, self._tell = executor, limits, head, head_of, tell

    def busy(self, market: str, account: Address) -> bool:
        return self._engine.in_flight(market, account)

    def ahead(self) -> list[tuple[Plan, bytes]]:
        return [(plan_of(s), decode(s.raw).data) for s in self._engine.ahead() if not s.is_transfer]

    # --- out

    async def submit(self, jobs: Sequence[Job], landing: Landing) -> list[Outcome]:
        """One outcome per job. What does not fit under the limits is left for the next block; while halted all is."""
        if why := self._fuse.why():
            return [replace(_outcome(job, landing, Verdict.SKIPPED, "halted"), detail=why) for job in jobs]
        room = self._limits.max_in_flight - self._engine.pending()
        gas_left = self._limits.max_gas_per_block
        intents: list[Intent] = []
        outcomes: list[Outcome] = []
        for job in jobs:
            gas_left -= job.simulation.gas_used
            if len(intents) >= room:
                outcomes.append(_outcome(job, landing, Verdict.SKIPPED, "max_in_flight"))
            elif gas_left < 0:
                outcomes.append(_outcome(job, landing, Verdict.SKIPPED, "max_gas_per_block"))
            else:
                intents.append(self._intent(job, landing))
        sent = await self._engine.submit(intents) if intents else []
        return outcomes + [_sent_outcome(submission) for submission in sent]

    def _intent(self, job: Job, landing: Landing) -> Intent:
        prediction = job.prediction
        plan = prediction.plan
        note = {
            "plan": dump_plan(plan),
            "gas": job.simulation.gas_used,
            "floor": str(floor_of(prediction)),
            "net": str(_net_wei(job, landing)),
        }
        return Intent(
            to=self._executor,
            data=job.data,
            bid=job.bid,
            market=plan.market,
            account=plan.account,
            plan_json=orjson.dumps(note).decode(),
            block=landing.number,
            fee_cap_wei=prediction.value_wei // job.simulation.gas_used,
            behind=job.behind,
        )

    # --- back

    async def settle(self, update: ChainUpdate) -> list[Outcome]:
        """What the newest block decided about our transactions, written to the ledger."""
        head = self._head()
        if self._fuse.why():
            self._engine.give_up()
        return await self.take(await self._engine.on_head(head, [undone.hash for undone in update.undo]), head)

    async def take(self, news: Sequence[Resolved], head: Head) -> list[Outcome]:
        """Write news down, then acknowledge it. What cannot be explained yet comes again with the next block."""
        if not news:
            return []
        taken_back = [item.submission for item in news if item.state is State.REORGED_OUT]
        settled, later = await self._settled([item for item in news if item.receipt and not item.submission.is_transfer])
        transfers = [item for item in news if item.receipt and item.submission.is_transfer]
        await self._ledger.reverse([submission.tx for submission in taken_back], head)
        rows = [*(row_of(result) for result, _ in settled), *(_transfer_row(item, head) for item in transfers)]
        await self._ledger.append(rows, [entry for result, _ in settled for entry in entries_of(result)])
        if rows or taken_back:
            await self._fuse.judge(head)
        await self._engine.acknowledge([item for item in news if item.submission.id not in later])
        self._tell([result for result, _ in settled])
        ended = [item.submission for item in news if item.state in {State.DROPPED, State.REPLACED, State.CANCELLED}]
        return (
            [_settled_outcome(result, submission) for result, submission in settled]
            + [_ended_outcome(submission, Verdict.DROPPED, _end(submission)) for submission in ended if not submission.is_transfer]
            + [_ended_outcome(submission, Verdict.PENDING, "reorged_out") for submission in taken_back if not submission.is_transfer]
        )

    async def _settled(self, landed: Sequence[Resolved]) -> tuple[list[tuple[Settled, Submission]], set[int]]:
        """Results block by block, since what a transaction met depends on the ones before it; and the submissions whose block the node
        does not give now, or the book has not reached."""
        blocks: dict[Hash, list[tuple[Submission, Receipt]]] = defaultdict(list)
        for item in landed:
            if item.receipt:
                blocks[item.receipt.block_hash].append((item.submission, item.receipt))
        results: list[tuple[Settled, Submission]] = []
        later: set[int] = set()
        for block, items in blocks.items():
            head = await self._head_of(block)
            if head is None or self._settler.ahead(head):
                later.update(submission.id for submission, _ in items)
                continue
            by_tx = {submission.tx: submission for submission, _ in items}
            found = await self._settler.block(head, [_landed(*item) for item in items])
            results += [(result, by_tx[result.landed.tx]) for result in found]
        return results, later


def plan_of(submission: Submission) -> Plan:
    return load_plan(_note(submission)["plan"])


def gas_of(submission: Submission) -> int:
    """That it used when it was simulated."""
    return int(_note(submission)["gas"])


def _note(submission: Submission) -> dict[str, Any]:
    note: dict[str, Any] = orjson.loads(submission.plan_json)
    return note


def _landed(submission: Submission, receipt: Receipt) -> Landed:
    return Landed(
        tx=submission.tx,
        tx_index=receipt.tx_index,
        executor=submission.to,
        plan=plan_of(submission),
        succeeded=receipt.ok,
        logs=receipt.logs,
        floor=int(_note(submission)["floor"]),
        gas_predicted=_note(submission)["gas"],
        gas_used=receipt.gas_used,
        gas_price_wei=receipt.effective_gas_price_wei,
    )


def _transfer_row(item: Resolved, head: Head) -> LedgerRow:
    """Of ether, or of nothing, to use up a nonce: it earns nothing and costs its gas."""
    submission, receipt = item.submission, item.receipt
    if receipt is None:
        raise ValueError("a transfer is accounted for when it has landed")
    paid = receipt.gas_used * receipt.effective_gas_price_wei
    return LedgerRow(
        tx=submission.tx,
        block=receipt.block_number,
        block_hash=receipt.block_hash,
        market=submission.market if submission.is_cancel else "",
        account=submission.account,
        result=str(State.CANCELLED) if submission.is_cancel else TRANSFERRED if receipt.ok else str(State.REVERTED),
        reason="nonce_filled" if submission.is_cancel else submission.market,
        profit_token=ZERO_ADDRESS,
        predicted_profit=0,
        realised_profit=0,
        gas_predicted_wei=submission.gas_limit * receipt.effective_gas_price_wei,
        gas_paid_wei=paid,
        net_eth_wei=-paid,
        timestamp_s=head.timestamp_s,
    )


def _net_wei(job: Job, landing: Landing) -> int:
    """What the plan nets if it lands in that block at this bid."""
    return job.prediction.value_wei - job.simulation.gas_used * (landing.base_fee_wei + job.bid.priority_fee_wei)


def _outcome(job: Job, landing: Landing, verdict: Verdict, reason: str) -> Outcome:
    plan = job.prediction.plan
    return Outcome(landing.number, plan.market, plan.account, verdict, reason)


def _sent_outcome(submission: Submission) -> Outcome:
    if submission.state is State.DROPPED:
        verdict = Verdict.DRY if submission.detail == DRY else Verdict.DROPPED
        return _ended_outcome(submission, verdict, submission.detail)
    return _ended_outcome(submission, Verdict.PENDING, SendResult.UNKNOWN if submission.state is State.UNKNOWN else "")


def _end(submission: Submission) -> str:
    return NOT_INCLUDED if submission.detail == NOT_INCLUDED else submission.state


def _ended_outcome(submission: Submission, verdict: Verdict, reason: str) -> Outcome:
    return Outcome(
        submission.created_block,
        submission.market,
        submission.account,
        verdict,
        str(reason),
        tx=submission.tx,
        detail="" if submission.detail == DRY else submission.detail,
        net_wei=0 if submission.is_transfer else int(_note(submission).get("net", 0)),
    )


def _settled_outcome(result: Settled, submission: Submission) -> Outcome:
    detail = f"in block {result.head.number}"
    return Outcome(
        submission.created_block,
        submission.market,
        submission.account,
        result.verdict,
        result.reason,
        tx=submission.tx,
        detail=detail,
        net_wei=result.net_wei,
    )
