"""The transaction engine: journals before it sends, keeps several in flight, and follows each to its end through doubt and reorgs.

Three rules hold at every await: nothing is on the wire that is not on disk; a nonce is free only when nothing of ours can land at it;
an intent is only ever tried again with the same bytes or at the same nonce.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol

from keeper.chain.send_replies import NOT_ITS_FAULT
from keeper.errors import Transient
from keeper.execution import drafts, settlement
from keeper.execution.escalation import Cancel, Limits, Replace, due, filler, next_step, outbid
from keeper.execution.lanes import NonceLane
from keeper.execution.outbox import Outbox
from keeper.execution.signer import Signer
from keeper.execution.submission import Intent, Receipt, Resolved, Submission
from keeper.log import get_logger
from keeper.ports import Carrier
from keeper.storage.database import uncancelled
from keeper.types import Address, Hash, Head, Parcel, SendResult, Sent, Waiting

__all__ = ["ChainReader", "Intent", "Limits", "Receipt", "Resolved", "Submission", "TxEngine"]

KEEP_BLOCKS = 256
"""Decisions this deep are not undone."""

_log = get_logger("tx")


class ChainReader(Protocol):
    """What the chain knows of our transactions. All raise Transient."""

    async def nonce(self, address: Address, tag: Literal["latest", "pending"] = "latest") -> int: ...

    async def receipt(self, tx: Hash) -> Receipt | None: ...

    async def receipts(self, txs: Sequence[Hash]) -> list[Receipt | None]: ...


Doubt = Callable[[Sequence[Submission], Head], Awaitable[Collection[int]]]
"""Of what may still land, by nonce: the ids of those that would fail in the block after a head. May raise Transient."""


async def trusting(ahead: Sequence[Submission], head: Head) -> Collection[int]:
    """Doubts nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """`fresh`: journalled by this very call, so that a refusal means it never left."""

    submission: Submission
    fresh: bool
    behind: tuple[Waiting, ...] = ()


class TxEngine:
    """One signer's transactions. `next_base_fee`: wei per gas of the block after a head. `doubt` is asked before anything is sent again:
    what would fail by now is cancelled instead."""

    def __init__(
        self,
        outbox: Outbox,
        signer: Signer,
        carrier: Carrier,
        chain: ChainReader,
        next_base_fee: Callable[[Head], int],
        limits: Limits,
        doubt: Doubt = trusting,
    ) -> None:
        self._outbox, self._signer, self._carrier, self._chain = outbox, signer, carrier, chain
        self._next_base_fee, self._limits, self._doubt = next_base_fee, limits, doubt
        self._lane = NonceLane()
        self._turn = asyncio.Lock()
        self._head: Head | None = None
        self._floor = 0
        self._sending: set[int] = set()
        self._refused: set[int] = set()
        self._strangers: dict[int, int] = {}
        self._sure: set[int] = set()
        self._recall = False
        self._behind: dict[int, tuple[Waiting, ...]] = {}
        self._receipts: dict[Hash, Receipt] = {}

    # --- the seam

    @property
    def signer(self) -> Address:
        return self._signer.address

    def in_flight(self, market: str, account: Address) -> bool:
        """Whether a transaction for this account may still land."""
        return self._outbox.in_flight(market, account)

    def ahead(self) -> list[Submission]:
        """What may still land, by nonce; of each nonce the newest."""
        return [group[-1] for _, group in settlement.by_nonce(self._outbox.unresolved())]

    def pending(self) -> int:
        """How many transactions may still land."""
        return len(self._outbox.unresolved())

    async def recover(self, head: Head) -> list[Resolved]:
        """At the start: square the outbox with the chain and send again what is still valid. Raises Transient, Halt."""
        floor = await self._chain.nonce(self._signer.address, "latest")
        await self._outbox.load(head.number - KEEP_BLOCKS, floor)
        unheard_of = {s.block_hash for s in self._outbox.live if s.block_hash and s.nonce >= floor}
        return await self._advance(head, unheard_of, at_start=True)

    async def submit(self, intents: Sequence[Intent]) -> list[Submission]:
        """Journal all in one transaction, then send all in the order of their nonces; returns each as it stands after that.

        A refused one is DROPPED, its nonce free again or filled. Raises Halt: then nothing was sent."""
        outgoing: list[_Outgoing] = []
        try:
            await uncancelled(self._journal(intents, outgoing))
            submissions = await self._transmit(outgoing)
        finally:
            self._sent(outgoing)
        await self._push(self._in_the_way)
        return submissions

    async def outbid(self, tips: Mapping[int, int]) -> list[Submission]:
        """Offer these tips per gas, by the id of what may still land, and send them; returns those that now do. Raises Halt."""
        outgoing: list[_Outgoing] = []
        try:
            await uncancelled(self._raise(tips, outgoing))
            return await self._transmit(outgoing)
        finally:
            self._sent(outgoing)

    async def on_head(self, head: Head, undone: Collection[Hash] = ()) -> list[Resolved]:
        """Follow our transactions to a new head; `undone`: hashes of blocks a reorg took back. Returns all news not acknowledged yet,
        none while the node is away. Raises Halt."""
        try:
            return await self._advance(head, set(undone), at_start=False)
        except Transient as away:
            _log.warning("receipts_postponed", block=head.number, reason=str(away))
            return []

    def give_up(self) -> None:
        """From the next head on: cancel what has not landed."""
        self._refused.update(top.id for top in self._waiting(at_start=True) if not top.is_cancel)
        self._recall = True

    async def acknowledge(self, news: Iterable[Resolved]) -> None:
        """This news has been written down: do not deliver it again, not even after a restart. Raises Halt."""
        await uncancelled(self._acknowledge(list(news)))

    # --- out

    async def _journal(self, intents: Sequence[Intent], outgoing: list[_Outgoing]) -> None:
        async with self._turn:
            if self._head is None:
                raise RuntimeError("recover() comes before submit()")
            nonces = self._lane.take(len(intents))
            signed = [self._draft(intent, nonce) for intent, nonce in zip(intents, nonces, strict=True)]
            self._behind |= {nonce: intent.behind for nonce, intent in zip(nonces, intents, strict=True)}
            await self._add(signed, outgoing, [intent.behind for intent in intents])

    def _draft(self, intent: Intent, nonce: int) -> Submission:
        last_block = self._carrier.last_block(intent.block, bool(intent.behind))
        return drafts.draft(self._signer, self._outbox.chain_id, intent, nonce, last_block)

    async def _add(
        self, signed: Sequence[Submission], outgoing: list[_Outgoing], behind: Sequence[tuple[Waiting, ...]] | None = None
    ) -> None:
        try:
            added = await self._outbox.add(signed)
            outgoing += [_Outgoing(s, True, after) for s, after in zip(added, behind or [()] * len(added), strict=True)]
            self._sending.update(o.submission.nonce for o in outgoing)
        finally:
            self._sync_lane()

    async def _transmit(self, outgoing: Sequence[_Outgoing]) -> list[Submission]:
        """Send all at once, lowest nonce first, and write down what came of it."""
        if not outgoing:
            return []
        answers = await self._carrier.carry(self._parcels(outgoing))
        return await uncancelled(self._record(outgoing, answers))

    def _parcels(self, outgoing: Sequence[_Outgoing]) -> list[Parcel]:
        going = {out.submission.nonce for out in outgoing}
        before = [self._parcel(top) for top in self.ahead() if top.nonce < max(going) and top.nonce not in going]
        return [self._parcel(out.submission, out.behind, before) for out in outgoing]

    def _parcel(self, s: Submission, behind: tuple[Waiting, ...] = (), before: Sequence[Parcel] = ()) -> Parcel:
        after = tuple(parcel for parcel in before if parcel.nonce < s.nonce)
        return Parcel(s.raw, s.tx, s.signer, s.nonce, self._block + 1, s.last_block, behind, after)

    async def _record(self, outgoing: Sequence[_Outgoing], answers: Sequence[Sent]) -> list[Submission]:
        async with self._turn:
            now = [self._answered(o, sent) for o, sent in zip(outgoing, answers, strict=True)]
            await self._outbox.change([s for s in now if self._outbox.get(s.id)])
            self._sync_lane()
            return now

    def _answered(self, out: _Outgoing, sent: Sent) -> Submission:
        """The chain may have been quicker than the relay's answer: then the chain's word stands."""
        current = self._outbox.get(out.submission.id)
        if current is None or not current.unresolved:
            return current or out.submission
        alone = not any(s.nonce == current.nonce and s.id != current.id for s in self._outbox.unresolved())
        answered = settlement.answered(current, sent, self._block, out.fresh, alone)
        if sent.result is SendResult.REFUSED:
            self._note_refusal(answered, sent.detail)
        return answered

    def _note_refusal(self, submission: Submission, label: str) -> None:
        if label == "nonce_too_low":
            self._floor = max(self._floor, submission.nonce + 1)
        if submission.unresolved and label not in NOT_ITS_FAULT:
            _log.warning("tx_refused", tx=submission.tx, nonce=submission.nonce, reason=label)
            self._refused.add(submission.id)

    def _fillers(self) -> list[Submission]:
        bid = filler(self._base_fee_wei, self._limits)
        return [drafts.fill(self._signer, self._outbox.chain_id, nonce, bid, self._block) for nonce in self._lane.holes()]

    def _sent(self, outgoing: Iterable[_Outgoing]) -> None:
        self._sending.difference_update(o.submission.nonce for o in outgoing)

    async def _raise(self, tips: Mapping[int, int], outgoing: list[_Outgoing]) -> None:
        async with self._turn:
            tops = [top for top in self.ahead() if top.id in tips and top.nonce not in self._sending and top.nonce >= self._floor]
            bids = [outbid(top, tips[top.id], self._base_fee_wei, self._limits) for top in tops]
            raised = [(drafts.pay_more(self._signer, top, bid, self._block), top) for top, bid in zip(tops, bids, strict=True) if bid]
            signed = [replace(more, created_block=top.created_block) for more, top in raised]
            await self._add(signed, outgoing, [self._behind.get(more.nonce, ()) for more in signed])

    # --- back

    async def _advance(self, head: Head, undone: Collection[Hash], at_start: bool) -> list[Resolved]:
        self._head = head
        await uncancelled(self._reopen(undone))
        floor, asked, receipts = await self._ask(head, at_start)
        await uncancelled(self._settle(head, floor, asked, receipts))
        await self._question(head, at_start)
        await self._push(partial(self._waiting, at_start))
        await self._call_back()
        self._outbox.forget(head.number - KEEP_BLOCKS)
        self._behind = {nonce: behind for nonce, behind in self._behind.items() if nonce >= self._floor}
        return self._news()

    async def _reopen(self, undone: Collection[Hash]) -> None:
        async with self._turn:
            await self._change(settlement.reopened(self._outbox.live, undone))

    async def _ask(self, head: Head, at_start: bool) -> tuple[int, list[Submission], dict[Hash, Receipt]]:
        """The nonce first: a nonce that is used then has its receipt later, on one node."""
        floor = await self._chain.nonce(self._signer.address, "latest")
        asked = [s for s in self._outbox.live if s.unresolved or self._doubtful(s, head, at_start) or self._undelivered(s)]
        asked += settlement.disputed(self._outbox.live, floor)
        receipts = await self._chain.receipts([s.tx for s in asked]) if asked else []
        return floor, asked, {receipt.tx: receipt for receipt in receipts if receipt}

    def _doubtful(self, submission: Submission, head: Head, at_start: bool) -> bool:
        """A landed one is looked up once more when it lies deep enough, and at the start: a reorg may have escaped us."""
        return submission.landed and submission.id not in self._sure and (at_start or self._deep(submission, head))

    def _deep(self, submission: Submission, head: Head) -> bool:
        return head.number - submission.block_number >= self._limits.confirmations

    def _undelivered(self, submission: Submission) -> bool:
        """Its receipt must be at hand until the news of it is acknowledged."""
        receipt = self._receipts.get(submission.tx)
        return submission.landed and not submission.acknowledged and (receipt is None or receipt.block_hash != submission.block_hash)

    async def _settle(self, head: Head, floor: int, asked: Sequence[Submission], receipts: Mapping[Hash, Receipt]) -> None:
        async with self._turn:
            landed = [s for s in asked if s.landed]
            await self._change(settlement.reopened(self._outbox.live, settlement.lost(landed, receipts)))
            await self._change(settlement.belied(asked, receipts, head))
            self._sure.update(s.id for s in landed if self._deep(s, head))
            known = {s.tx for s in asked}
            waiting = [s for s in self._outbox.unresolved() if s.tx in known]
            decided = settlement.landed(waiting, receipts, head)
            strangers = settlement.taken_by_strangers(waiting, receipts, floor)
            decided += [settlement.dropped(s, head) for s in strangers if self._strangers.get(s.id, head.number) < head.number]
            decided += settlement.expired([s for s in waiting if s.id not in {d.id for d in decided}], receipts, head)
            self._strangers = {s.id: self._strangers.get(s.id, head.number) for s in strangers}
            self._floor = floor
            await self._change(decided)
            self._receipts.update((s.tx, receipts[s.tx]) for s in self._outbox.live if self._undelivered(s) and s.tx in receipts)

    async def _change(self, changed: Sequence[Submission]) -> None:
        await self._outbox.change(changed)
        for s in changed:
            self._sure.discard(s.id)
            self._refused.discard(s.id)
        self._sync_lane()

    def _news(self) -> list[Resolved]:
        news = [Resolved(s, self._receipts.get(s.tx) if s.landed else None) for s in self._outbox.live if not s.acknowledged]
        return [n for n in news if n.receipt or not n.submission.landed]

    async def _acknowledge(self, news: Sequence[Resolved]) -> None:
        async with self._turn:
            current = [(n, self._outbox.get(n.submission.id)) for n in news]
            known = [s for n, s in current if s and Resolved(s).state is n.state and s.block_hash == n.submission.block_hash]
            await self._outbox.change([replace(s, acknowledged=True) for s in known])
            for s in known:
                self._receipts.pop(s.tx, None)

    # --- again

    async def _question(self, head: Head, at_start: bool) -> None:
        """A transaction that is about to be sent again must still be good: the state has moved on."""
        due_now = {top.id for top in self._waiting(at_start) if not top.is_transfer} - self._refused
        if due_now:
            stale = due_now.intersection(await self._doubt(self.ahead(), head))
            for id_ in stale:
                _log.warning("tx_stale", id=id_)
            self._refused |= stale

    async def _push(self, wanted: Callable[[], list[Submission]]) -> None:
        """Fill holes, and do for these what is due."""
        outgoing: list[_Outgoing] = []
        try:
            await uncancelled(self._prepare(outgoing, wanted))
            await self._transmit(outgoing)
        finally:
            self._sent(outgoing)

    async def _prepare(self, outgoing: list[_Outgoing], wanted: Callable[[], list[Submission]]) -> None:
        async with self._turn:
            signed = self._fillers()
            again: list[Submission] = []
            last = max((s.nonce for s in self._outbox.unresolved()), default=0)
            for top in wanted():
                step = next_step(top, top.id in self._refused, self._base_fee_wei, self._limits, alone=top.nonce == last)
                if isinstance(step, Replace):
                    signed.append(drafts.pay_more(self._signer, top, step.bid, self._block))
                elif isinstance(step, Cancel):
                    signed.append(drafts.cancel(self._signer, top, step.bid, self._block))
                elif step:
                    again.append(top)
            await self._add(signed, outgoing)
            outgoing += [_Outgoing(s, fresh=False) for s in again]
            outgoing.sort(key=lambda o: o.submission.nonce)
            self._sending.update(o.submission.nonce for o in outgoing)

    async def _call_back(self) -> None:
        """What was given up, and nobody but a builder knows of."""
        if self._recall:
            self._recall = False
            await self._carrier.recall()

    def _waiting(self, at_start: bool) -> list[Submission]:
        """What is due."""
        return [top for top in self._tops() if at_start or top.id in self._refused or due(top, self._block, self._limits)]

    def _in_the_way(self) -> list[Submission]:
        """Ether that pays too little for the next block: what comes after it need not wait until it is due."""
        return [top for top in self._tops() if top.is_payment and top.max_fee_wei < self._base_fee_wei]

    def _tops(self) -> list[Submission]:
        """The newest of each nonce that is not being sent right now. What is meant for certain blocks is not sent again."""
        tops = [group[-1] for nonce, group in settlement.by_nonce(self._outbox.unresolved()) if nonce >= self._floor]
        return [top for top in tops if top.nonce not in self._sending and not top.last_block]

    # --- where we stand

    @property
    def _block(self) -> int:
        return self._head.number if self._head else 0

    @property
    def _base_fee_wei(self) -> int:
        return self._next_base_fee(self._head) if self._head else 0

    def _sync_lane(self) -> None:
        """The chain's count, but never below what we saw land: a node may lag."""
        used = [s.nonce + 1 for s in self._outbox.live if s.block_hash]
        self._lane.sync(max([self._floor, *used]), [s.nonce for s in self._outbox.unresolved()])
