"""What a block decided about our transactions, from receipts and the chain's nonce alone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from keeper.execution.states import State
from keeper.execution.submission import NOWHERE, Receipt, Submission
from keeper.types import Hash, Head, SendResult, Sent

NOT_INCLUDED = "not_included"
"""The end of what no builder took in time."""


def reopened(live: Iterable[Submission], undone: Collection[Hash]) -> list[Submission]:
    """Everything that was decided in one of these blocks is open again."""
    return [reopen(s) for s in live if s.block_hash in undone and not s.unresolved]


def reopen(submission: Submission) -> Submission:
    return replace(submission, state=State.REORGED_OUT, block_number=0, block_hash=NOWHERE, acknowledged=False)


def lost(landed: Iterable[Submission], receipts: Mapping[Hash, Receipt]) -> set[Hash]:
    """Blocks said to hold our transactions that the node knows nothing of."""
    return {s.block_hash for s in landed if s.tx not in receipts or receipts[s.tx].block_hash != s.block_hash}


def disputed(live: Iterable[Submission], floor: int) -> list[Submission]:
    """Refused ones at a nonce that the chain has used, and by none that is known to be ours: a relay may refuse what it has taken."""
    known = list(live)
    explained = {s.nonce for s in known if s.landed}
    return [s for s in known if s.refused and s.nonce < floor and s.nonce not in explained]


def belied(asked: Iterable[Submission], receipts: Mapping[Hash, Receipt], head: Head) -> list[Submission]:
    """Refused ones that a block up to `head` holds: they are open again."""
    return [reopen(s) for s in asked if s.refused and s.tx in receipts and receipts[s.tx].block_number <= head.number]


def by_nonce(submissions: Iterable[Submission]) -> list[tuple[int, list[Submission]]]:
    """(nonce, its submissions oldest first), ascending."""
    ordered = sorted(submissions, key=lambda s: (s.nonce, s.id))
    return [(nonce, list(group)) for nonce, group in groupby(ordered, key=lambda s: s.nonce)]


def landed(unresolved: Sequence[Submission], receipts: Mapping[Hash, Receipt], head: Head) -> list[Submission]:
    """What the receipts up to `head` decide: the winner of each nonce, and with it the others."""
    decided: list[Submission] = []
    for _, group in by_nonce(unresolved):
        winner = next((s for s in group if s.tx in receipts and receipts[s.tx].block_number <= head.number), None)
        if winner:
            receipt = receipts[winner.tx]
            decided += [_decide(s, _end(s, winner, receipt), receipt.block_number, receipt.block_hash) for s in group]
    return decided


def taken_by_strangers(unresolved: Sequence[Submission], receipts: Mapping[Hash, Receipt], floor: int) -> list[Submission]:
    """Ours whose nonce the chain has used while the node knows none of ours at it."""
    groups = [group for nonce, group in by_nonce(unresolved) if nonce < floor]
    return [s for group in groups if not any(other.tx in receipts for other in group) for s in group]


def dropped(submission: Submission, head: Head) -> Submission:
    return replace(_decide(submission, State.DROPPED, head.number, head.hash), detail="nonce_taken")


def expired(unresolved: Sequence[Submission], receipts: Mapping[Hash, Receipt], head: Head) -> list[Submission]:
    """Those whose last block has come and gone: nobody holds them any more. If somebody does all the same, see `disputed`."""
    gone = [s for s in unresolved if 0 < s.last_block <= head.number and s.tx not in receipts]
    newest = {group[-1].id for _, group in by_nonce(gone)}  # the others were outbid by ourselves: that is no news
    return [replace(s, state=State.DROPPED, detail=NOT_INCLUDED, acknowledged=s.id not in newest) for s in gone]


def _end(submission: Submission, winner: Submission, receipt: Receipt) -> State:
    if submission is not winner:
        return State.CANCELLED if winner.is_cancel else State.REPLACED
    return State.INCLUDED if receipt.ok else State.REVERTED


def _decide(submission: Submission, state: State, number: int, block: Hash) -> Submission:
    return replace(submission, state=state, block_number=number, block_hash=block, acknowledged=False)


def answered(current: Submission, sent: Sent, block: int, fresh: bool, alone: bool) -> Submission:
    """A submission after a relay's answer. `fresh`: this was its first way to the wire, so that a refusal means it never left;
    `alone`: no other transaction of ours holds its nonce. A cancel is needed whatever the relay says."""
    state = current.state
    if sent.result is SendResult.ACCEPTED:
        state = State.SENT
    elif sent.result is SendResult.REFUSED and fresh and alone and not current.is_cancel:
        state = State.DROPPED
    elif state is not State.SENT:
        state = State.UNKNOWN
    return replace(current, state=state, sent_block=block, attempts=current.attempts + 1, detail=sent.detail)
