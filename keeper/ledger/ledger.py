"""The ledger: how each candidate ended, and what each landed transaction earned and cost.

Ledger rows are only ever appended. A reorg appends a reversal with the opposite amounts, so that every sum over the rows stays right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import orjson
from sqlalchemy import Integer, Select, bindparam, delete, func, insert, literal_column, select
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from keeper.ledger.holdings import entry_row, reverse_entries
from keeper.ledger.schema import ENTRIES, LEDGER, LEDGER_FILE, OUTCOMES
from keeper.storage.database import Database
from keeper.types import Address, Entry, Hash, Head, Outcome, Verdict

KEEP_SKIPPED = 50
"""Skipped outcomes kept per account: enough for `why`, little enough for a market full of dust."""

REORGED_OUT = "reorged_out"
PAID = "paid"
"""The result of a row for what somebody's transaction paid us: the starter's share of a lot, when that is bought."""

TRANSFERRED = "transferred"
"""The result of ether sent between our signers, or to the beneficiary."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One landed transaction, or what one of others paid us. Profits in the smallest unit of `profit_token`; `foreign`: other people's
    transactions between ours and the state it was planned on; `gains`: every token the beneficiary received, the profit included;
    `net_eth_wei`: their worth less the gas."""

    tx: Hash
    block: int
    block_hash: Hash
    market: str
    account: Address
    result: str
    reason: str
    profit_token: Address
    predicted_profit: int
    realised_profit: int
    gas_predicted_wei: int
    gas_paid_wei: int
    net_eth_wei: int
    timestamp_s: int
    foreign: tuple[Hash, ...] = ()
    gains: dict[Address, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over what stands. `realised_profit` per token."""

    results: dict[str, int] = field(default_factory=dict)
    predicted_profit: dict[Address, int] = field(default_factory=dict)
    realised_profit: dict[Address, int] = field(default_factory=dict)
    gas_paid_wei: int = 0
    net_eth_wei: int = 0


class Ledger:
    """The `outcomes` and `ledger` tables of `ledger.sqlite`."""

    def __init__(self, database: Database, keep_skipped: int = KEEP_SKIPPED) -> None:
        self.database = database
        self._keep_skipped = keep_skipped

    @classmethod
    async def open(cls, path: Path, chain_id: int, read_only: bool = False) -> Self:
        """Read-only works beside the process that owns the file. Raises ConfigError (another chain's file), Halt (in use, broken, no
        room)."""
        return cls(await Database.open(path, chain_id, LEDGER_FILE, read_only))

    async def close(self) -> None:
        await self.database.close()

    async def record(self, outcomes: Sequence[Outcome]) -> None:
        """One row per market, account and block: a later word replaces an earlier one, but a skip never hides that something was sent."""

        async def save(connection: AsyncConnection) -> None:
            await connection.execute(_RECORD, [_outcome_row(outcome) for outcome in outcomes])
            if any(outcome.block % self._keep_skipped == 0 for outcome in outcomes):
                await self._prune(connection, {outcome.account for outcome in outcomes})

        if outcomes:
            await self.database.write(save)

    async def append(self, rows: Sequence[LedgerRow], entries: Sequence[Entry] = ()) -> None:
        """Append rows, each with the entries of its transaction, all or none.

        Safe to repeat: a row that stands already is left alone, one that stands for another block is reversed first."""

        async def save(connection: AsyncConnection) -> None:
            for row in rows:
                standing = await _standing(connection, row.tx)
                if standing is None or standing.block_hash != row.block_hash:
                    await _reverse(connection, row.tx, row.timestamp_s)
                    await connection.execute(insert(LEDGER), _columns(row))
                    if parts := [entry_row(entry, row.block_hash) for entry in entries if entry.tx == row.tx]:
                        await connection.execute(insert(ENTRIES), parts)

        if rows:
            await self.database.write(save)

    async def reverse(self, txs: Sequence[Hash], head: Head) -> None:
        """The blocks these transactions were in are no more: append the opposite of what stands for them, as of `head`'s time."""

        async def save(connection: AsyncConnection) -> None:
            for tx in txs:
                await _reverse(connection, tx, head.timestamp_s)

        if txs:
            await self.database.write(save)

    async def pay(self, rows: Sequence[LedgerRow]) -> None:
        """Append what the transactions of one block paid us, all or none; once for a block, however often it is said."""

        async def save(connection: AsyncConnection) -> None:
            known = _STANDING.where(LEDGER.c.block_hash == rows[0].block_hash, LEDGER.c.result == PAID)
            if (await connection.execute(known)).first() is None:
                await connection.execute(insert(LEDGER), [_columns(row) for row in rows])

        if rows:
            await self.database.write(save)

    async def take_back(self, blocks: Sequence[Hash], head: Head) -> None:
        """These blocks are no more: append the opposite of what was paid in them."""

        async def save(connection: AsyncConnection) -> None:
            gone = _STANDING.where(LEDGER.c.block_hash.in_(blocks), LEDGER.c.result == PAID)
            for standing in (await connection.execute(gone)).all():
                await _oppose(connection, standing, head.timestamp_s)

        if blocks:
            await self.database.write(save)

    async def paid(self, since: int = 0) -> list[LedgerRow]:
        """What was paid and stands, oldest first."""
        query = _STANDING.where(LEDGER.c.result == PAID, LEDGER.c.block >= since).order_by(LEDGER.c.id)
        return [_ledger_row(row) for row in await self._rows(query)]

    async def won(self, market: str = "", account: str = "", at_s: int | None = None) -> LedgerRow | None:
        """The first transaction that succeeded; of these, where they are given."""
        given = ((LEDGER.c.market, market), (LEDGER.c.account, account), (LEDGER.c.timestamp_s, at_s))
        same = [column == value for column, value in given if value]
        rows = await self._rows(_STANDING.where(LEDGER.c.result == str(Verdict.WON), *same).order_by(LEDGER.c.id).limit(1))
        return _ledger_row(rows[0]) if rows else None

    async def rows(self, limit: int | None = None, after: int = 0, since_s: int = 0) -> list[LedgerRow]:
        """What stands, newest first. `after`: only rows beyond that number; `since_s`: of blocks from then on."""
        wanted = _STANDING.where(LEDGER.c.id > after, LEDGER.c.timestamp_s >= since_s)
        return [_ledger_row(row) for row in await self._rows(wanted.order_by(LEDGER.c.id.desc()).limit(limit))]

    async def transferred_s(self, reason: str) -> int:
        """When ether was last transferred for that reason; 0: it never was."""
        wanted = _STANDING.where(LEDGER.c.result == TRANSFERRED, LEDGER.c.reason == reason).order_by(LEDGER.c.id.desc()).limit(1)
        return next((int(row.timestamp_s) for row in await self._rows(wanted)), 0)

    async def newest(self) -> int:
        """The number of the newest row; 0: there is none."""
        return int((await self._rows(select(func.max(LEDGER.c.id))))[0][0] or 0)

    async def outcomes_of(self, account: Address, limit: int = 50) -> list[Outcome]:
        """How an account's candidates ended, newest block first."""
        query = select(OUTCOMES).where(OUTCOMES.c.account == account).order_by(OUTCOMES.c.block.desc(), OUTCOMES.c.id.desc())
        return [_outcome(row) for row in await self._rows(query.limit(limit))]

    async def totals(self) -> Totals:
        """Exact sums over all rows that stand."""
        return total(await self.rows())

    async def _rows(self, query: Select[Any]) -> Sequence[Any]:
        async def read(connection: AsyncConnection) -> Sequence[Any]:
            rows: Sequence[Any] = (await connection.execute(query)).all()
            return rows

        return await self.database.read(read)

    async def _prune(self, connection: AsyncConnection, accounts: Iterable[Address]) -> None:
        await connection.execute(_PRUNE, [{"of": account, "keep": self._keep_skipped - 1} for account in accounts])


def total(rows: Iterable[LedgerRow]) -> Totals:
    results: Counter[str] = Counter()
    predicted: Counter[Address] = Counter()
    realised: Counter[Address] = Counter()
    gas_paid_wei = net_eth_wei = 0
    for row in rows:
        results[row.result] += 1
        predicted[row.profit_token] += row.predicted_profit
        realised[row.profit_token] += row.realised_profit
        gas_paid_wei += row.gas_paid_wei
        net_eth_wei += row.net_eth_wei
    return Totals(dict(results), dict(predicted), dict(realised), gas_paid_wei, net_eth_wei)


def _record_statement() -> Any:
    statement = upsert(OUTCOMES)
    news = {name: statement.excluded[name] for name in ("verdict", "reason", "health_factor_wad", "tx", "detail", "net_wei")}
    new, old = statement.excluded.verdict, OUTCOMES.c.verdict
    sent = (new != literal_column(f"'{Verdict.SKIPPED}'")) & (new != literal_column(f"'{Verdict.DRY}'"))
    unsent_before = (old == literal_column(f"'{Verdict.SKIPPED}'")) | (old == literal_column(f"'{Verdict.DRY}'"))
    allowed = sent | unsent_before
    return statement.on_conflict_do_update(index_elements=["account", "block", "market"], set_=news, where=allowed)


def _prune_statement() -> Any:
    """One statement for many accounts: 5000 of them must not hold up a submission."""
    skipped = (OUTCOMES.c.account == bindparam("of")) & (OUTCOMES.c.verdict == Verdict.SKIPPED)
    newest = OUTCOMES.alias("newest")
    kept = (newest.c.account == bindparam("of")) & (newest.c.verdict == Verdict.SKIPPED)
    oldest_kept = select(newest.c.block).where(kept).order_by(newest.c.block.desc()).limit(1).offset(bindparam("keep", type_=Integer))
    return delete(OUTCOMES).where(skipped, OUTCOMES.c.block < oldest_kept.scalar_subquery())


_RECORD = _record_statement()
_PRUNE = _prune_statement()
_REVERSALS = LEDGER.alias("reversals")
_STANDING: Select[Any] = (
    select(LEDGER).outerjoin(_REVERSALS, _REVERSALS.c.reverses == LEDGER.c.id).where(LEDGER.c.reverses.is_(None), _REVERSALS.c.id.is_(None))
)
_NAMES = tuple(f.name for f in fields(LedgerRow))


async def _standing(connection: AsyncConnection, tx: Hash) -> Any:
    return (await connection.execute(_STANDING.where(LEDGER.c.tx == tx, LEDGER.c.result != PAID))).one_or_none()


async def _reverse(connection: AsyncConnection, tx: Hash, timestamp_s: int) -> None:
    standing = await _standing(connection, tx)
    if standing is not None:
        await _oppose(connection, standing, timestamp_s)
        await reverse_entries(connection, (ENTRIES.c.tx == tx) & (ENTRIES.c.account == ""))


async def _oppose(connection: AsyncConnection, standing: Any, timestamp_s: int) -> None:
    opposite = replace(_negative(_ledger_row(standing)), reason=REORGED_OUT, timestamp_s=timestamp_s)
    await connection.execute(insert(LEDGER), {**_columns(opposite), "reverses": standing.id})


def _negative(row: LedgerRow) -> LedgerRow:
    return replace(
        row,
        predicted_profit=-row.predicted_profit,
        realised_profit=-row.realised_profit,
        gas_predicted_wei=-row.gas_predicted_wei,
        gas_paid_wei=-row.gas_paid_wei,
        net_eth_wei=-row.net_eth_wei,
        gains={token: -amount for token, amount in row.gains.items()},
    )


def _columns(row: LedgerRow) -> dict[str, Any]:
    gains = {token: str(amount) for token, amount in row.gains.items()}
    texts = {"foreign": orjson.dumps(row.foreign).decode(), "gains": orjson.dumps(gains).decode()}
    return {**{name: getattr(row, name) for name in _NAMES}, **texts}


def _ledger_row(row: Any) -> LedgerRow:
    values = {name: getattr(row, name) for name in _NAMES}
    gains = {Address(token): int(amount) for token, amount in orjson.loads(row.gains).items()}
    return LedgerRow(**{**values, "foreign": tuple(orjson.loads(row.foreign)), "gains": gains})


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {f.name: getattr(outcome, f.name) for f in fields(Outcome)}


def _outcome(row: Any) -> Outcome:
    values = {f.name: getattr(row, f.name) for f in fields(Outcome)}
    return Outcome(**{**values, "verdict": Verdict(row.verdict)})
