"""The write-ahead outbox: every transaction is on disk before it is on the wire, and every reserved nonce with it.

Held in memory: what may still land, what landed recently enough to be undone, and what has not been acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Delete, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from keeper.execution import states
from keeper.execution.states import UNRESOLVED, State
from keeper.execution.submission import NOWHERE, Submission
from keeper.ledger.schema import OUTBOX
from keeper.storage.database import Database, uncancelled
from keeper.types import Address

CHANGING = ("state", "sent_block", "attempts", "block_number", "block_hash", "detail", "acknowledged")
KEEP_REFUSED = 1000
"""Of the newest so many, those that never left are kept for `history`; a dry run refuses everything, for days."""

NEVER_LEFT = "dry_run"
"""The refusal of the relay that sends nothing: no chain will belie it."""

_COLUMNS = tuple(field.name for field in fields(Submission))


class Outbox:
    """The submissions of one signer. All writes are serialised by the caller, the engine."""

    def __init__(self, database: Database, chain_id: int, signer: Address, keep_refused: int = KEEP_REFUSED) -> None:
        self._keep_refused = keep_refused
        self.chain_id = chain_id
        self.signer = signer
        self._database = database
        self._live: dict[int, Submission] = {}

    @property
    def live(self) -> list[Submission]:
        """Everything that may still change, oldest first."""
        return list(self._live.values())

    def unresolved(self) -> list[Submission]:
        return [s for s in self._live.values() if s.unresolved]

    def get(self, id_: int) -> Submission | None:
        return self._live.get(id_)

    def in_flight(self, market: str, account: Address) -> bool:
        """Whether a transaction for this account may still land."""
        return any(s.market == market and s.account == account for s in self.unresolved() if not s.is_transfer)

    async def load(self, since_block: int, from_nonce: int) -> None:
        """Read what may still change: all unresolved or unacknowledged ones, and those decided since a block or from a nonce on."""
        await uncancelled(self._load(since_block, from_nonce))

    async def add(self, drafts: Sequence[Submission]) -> list[Submission]:
        """Journal signed transactions, all or none; returns them with their ids. Raises Halt."""
        return await uncancelled(self._add(drafts)) if drafts else []

    async def change(self, changed: Sequence[Submission]) -> None:
        """Journal new states, all or none. Raises IllegalTransitionError, Halt."""
        if changed:
            await uncancelled(self._change(changed))

    def forget(self, before_block: int) -> None:
        """Drop from memory what is decided, acknowledged and too deep to be undone."""
        gone = [s.id for s in self._live.values() if not s.unresolved and s.acknowledged and _since(s) < before_block]
        for id_ in gone:
            del self._live[id_]

    async def history(self, account: Address, limit: int = 20) -> list[Submission]:
        """The newest submissions for an account, newest first."""
        query = select(OUTBOX).where(OUTBOX.c.account == account).order_by(OUTBOX.c.id.desc()).limit(limit)

        async def read(connection: AsyncConnection) -> Sequence[Any]:
            return (await connection.execute(query)).all()

        return [_submission(row) for row in await self._database.read(read)]

    async def _load(self, since_block: int, from_nonce: int) -> None:
        c = OUTBOX.c
        decided = (c.block_hash != NOWHERE) & ((c.block_number >= since_block) | (c.nonce >= from_nonce))
        refused = (c.state == State.DROPPED) & (c.block_hash == NOWHERE) & (c.sent_block >= since_block) & (c.detail != NEVER_LEFT)
        wanted = or_(c.state.in_(UNRESOLVED), c.acknowledged.is_(False), decided, refused)
        query = select(OUTBOX).where(c.signer == self.signer, wanted).order_by(c.id)

        async def read(connection: AsyncConnection) -> Sequence[Any]:
            return (await connection.execute(query)).all()

        self._live = {row.id: _submission(row) for row in await self._database.read(read)}

    async def _add(self, drafts: Sequence[Submission]) -> list[Submission]:
        async def save(connection: AsyncConnection) -> list[Submission]:
            last = await connection.scalar(select(func.max(OUTBOX.c.id))) or 0  # other signers have theirs in the same table
            added = [replace(draft, id=last + 1 + i) for i, draft in enumerate(drafts)]
            await connection.execute(insert(OUTBOX), [_row(s) for s in added])
            await connection.execute(_never_sent(self.signer, last - self._keep_refused))
            return added

        added = await self._database.write(save)
        self._live.update((s.id, s) for s in added)
        return added

    async def _change(self, changed: Sequence[Submission]) -> None:
        for s in changed:
            states.check(self._live[s.id].state, s.state)

        async def save(connection: AsyncConnection) -> None:
            await connection.execute(_UPDATE, [{"id_": s.id, **{f"{name}_": getattr(s, name) for name in CHANGING}} for s in changed])

        await self._database.write(save)
        self._live.update((s.id, s) for s in changed)


_UPDATE = update(OUTBOX).where(OUTBOX.c.id == bindparam("id_")).values({name: bindparam(f"{name}_") for name in CHANGING})


def _never_sent(signer: Address, before_id: int) -> Delete:
    c = OUTBOX.c
    return delete(OUTBOX).where(c.signer == signer, c.state == State.DROPPED, c.block_hash == NOWHERE, c.id <= before_id)


def _since(submission: Submission) -> int:
    """The block of its end. A refused one has none but that in which it was sent; what a dry run refuses needs no memory."""
    return submission.sent_block if submission.refused and submission.detail != NEVER_LEFT else submission.block_number


def _row(submission: Submission) -> dict[str, Any]:
    return {name: getattr(submission, name) for name in _COLUMNS}


def _submission(row: Any) -> Submission:
    values = {name: getattr(row, name) for name in _COLUMNS}
    return Submission(**{**values, "state": State(row.state)})
