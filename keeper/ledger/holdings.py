"""What accounts of ours had after each block, and why it changed: rows that are only ever appended. A reorg appends the opposite of what it
undid, so that every sum stays right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Select, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from keeper.ledger.schema import ENTRIES, OUTBOX, STANDINGS
from keeper.planning.codec import load_plan
from keeper.storage.database import Database
from keeper.types import Address, Entry, Hash, Head, Holding, Plan, Standing

ASKED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Had:
    """An account after a block."""

    market: str
    block: int
    block_hash: Hash
    standing: Standing


class Holdings:
    """The `entries` and `standings` tables of `ledger.sqlite`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, head: Head, market: str, standing: Standing, entries: Sequence[Entry]) -> None:
        """All or none; once for a block and an account, however often it is said."""
        had = Had(market, head.number, head.hash, standing)

        async def save(connection: AsyncConnection) -> None:
            known = _standing(STANDINGS).where(STANDINGS.c.block_hash == head.hash, STANDINGS.c.account == standing.account)
            if (await connection.execute(known)).first() is None:
                await connection.execute(insert(STANDINGS), _had_row(had))
                if entries:
                    await connection.execute(insert(ENTRIES), [entry_row(entry, head.hash) for entry in entries])

        await self._database.write(save)

    async def undo(self, hashes: Iterable[Hash]) -> None:
        """These blocks are no more."""
        gone = list(hashes)

        async def save(connection: AsyncConnection) -> None:
            for row in (await connection.execute(_standing(STANDINGS).where(STANDINGS.c.block_hash.in_(gone)))).all():
                await connection.execute(insert(STANDINGS), {**_values(STANDINGS, row), "reverses": row.id})
            await reverse_entries(connection, ENTRIES.c.block_hash.in_(gone) & (ENTRIES.c.account != ""))

        if gone:
            await self._database.write(save)

    async def had(self, market: str = "", account: str = "", limit: int | None = None) -> list[Had]:
        """What stands, oldest first: of a market and an account there, where they are given; with a limit, the newest."""
        given = ((STANDINGS.c.market, market), (STANDINGS.c.account, account))
        query = _standing(STANDINGS).where(*(column == value for column, value in given if value))
        rows = await self._rows(query.order_by(STANDINGS.c.id.desc()).limit(limit))
        return [_had(row) for row in reversed(rows)]

    async def entries(self, since: int = 0) -> list[Entry]:
        """What stands, oldest first."""
        rows = await self._rows(_standing(ENTRIES).where(ENTRIES.c.block >= since).order_by(ENTRIES.c.id))
        return [_entry(row) for row in rows]

    async def plans(self, txs: Collection[Hash]) -> Mapping[Hash, Plan]:
        """Of those that are ours."""
        found: dict[Hash, Plan] = {}
        asked = list(txs)
        for start in range(0, len(asked), ASKED_AT_ONCE):
            query = select(OUTBOX.c.tx, OUTBOX.c.plan_json).where(OUTBOX.c.tx.in_(asked[start : start + ASKED_AT_ONCE]))
            notes = {Hash(row.tx): orjson.loads(row.plan_json) for row in await self._rows(query) if row.plan_json}
            found |= {tx: load_plan(note["plan"]) for tx, note in notes.items() if "plan" in note}
        return found

    async def _rows(self, query: Select[Any]) -> Sequence[Any]:
        async def read(connection: AsyncConnection) -> Sequence[Any]:
            rows: Sequence[Any] = (await connection.execute(query)).all()
            return rows

        return await self._database.read(read)


def _standing(table: Table) -> Select[Any]:
    """Rows that nothing has reversed."""
    reversals = table.alias("reversals")
    joined = select(table).outerjoin(reversals, reversals.c.reverses == table.c.id)
    return joined.where(table.c.reverses.is_(None), reversals.c.id.is_(None))


async def reverse_entries(connection: AsyncConnection, which: ColumnElement[bool]) -> None:
    for row in (await connection.execute(_standing(ENTRIES).where(which))).all():
        await connection.execute(insert(ENTRIES), {**_values(ENTRIES, row), "amount": -row.amount, "reverses": row.id})


def _values(table: Table, row: Any) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in table.columns if column.name not in {"id", "reverses"}}


def entry_row(entry: Entry, block_hash: Hash) -> dict[str, Any]:
    """As the table has it."""
    return {**{field.name: getattr(entry, field.name) for field in fields(Entry)}, "block_hash": block_hash}


def _entry(row: Any) -> Entry:
    values = {field.name: getattr(row, field.name) for field in fields(Entry)}
    return replace(Entry(**values), account=Address(row.account), token=Address(row.token), tx=Hash(row.tx))


def _had_row(had: Had) -> dict[str, Any]:
    at = had.standing
    return {"market": had.market, "account": at.account, "block": had.block, "block_hash": had.block_hash, "standing": _dumped(at)}


def _had(row: Any) -> Had:
    return Had(row.market, row.block, Hash(row.block_hash), _loaded(row.standing))


def _dumped(standing: Standing) -> str:
    """Integers as text: they are larger than JSON's."""

    def texts(of: Any, names: Iterable[str]) -> dict[str, Any]:
        return {name: None if getattr(of, name) is None else str(getattr(of, name)) for name in names}

    held = [texts(holding, [field.name for field in fields(Holding)]) for holding in standing.holdings]
    own = texts(standing, [field.name for field in fields(Standing) if field.name != "holdings"])
    return orjson.dumps({**own, "holdings": held}).decode()


def _loaded(text: str) -> Standing:
    def values(of: Mapping[str, Any], words: Collection[str]) -> dict[str, Any]:
        return {name: value if name in words or value is None else int(value) for name, value in of.items()}

    found = orjson.loads(text)
    held = tuple(Holding(**values(holding, {"target"})) for holding in found.pop("holdings"))
    return Standing(**values(found, {"account", "token"}), holdings=held)
