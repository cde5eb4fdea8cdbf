"""The tables of `ledger.sqlite`. What is earned and held is append-only: the file itself refuses an update or a delete."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Connection, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint, event

from keeper.storage.database import FileKind, Integer256

METADATA = MetaData()

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("chain_id", Integer, nullable=False),
    Column("signer", Text, nullable=False),
    Column("nonce", Integer, nullable=False),
    Column("tx", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("to", Text, nullable=False),
    Column("max_fee_wei", Integer256, nullable=False),
    Column("priority_fee_wei", Integer256, nullable=False),
    Column("gas_limit", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("account", Text, nullable=False, index=True),
    Column("plan_json", Text, nullable=False),
    Column("created_block", Integer, nullable=False),
    Column("sent_block", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("replaces", Integer),
    Column("fee_cap_wei", Integer256),
    Column("block_number", Integer, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Column("last_block", Integer, nullable=False, server_default="0"),
)

OUTCOMES = Table(
    "outcomes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("block", Integer, nullable=False),
    Column("market", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("health_factor_wad", Integer256, nullable=False),
    Column("tx", Text),
    Column("detail", Text, nullable=False),
    Column("net_wei", Integer256, nullable=False),
    UniqueConstraint("account", "block", "market"),
)

LEDGER = Table(
    "ledger",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("reverses", Integer, unique=True),
    Column("tx", Text, nullable=False),
    Column("block", Integer, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("profit_token", Text, nullable=False),
    Column("predicted_profit", Integer256, nullable=False),
    Column("realised_profit", Integer256, nullable=False),
    Column("gas_predicted_wei", Integer256, nullable=False),
    Column("gas_paid_wei", Integer256, nullable=False),
    Column("net_eth_wei", Integer256, nullable=False),
    Column("foreign", Text, nullable=False),
    Column("gains", Text, nullable=False),
    Column("timestamp_s", Integer, nullable=False),
)

ENTRIES = Table(
    "entries",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("reverses", Integer, unique=True),
    Column("market", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("amount", Integer256, nullable=False),
    Column("token", Text, nullable=False),
    Column("block", Integer, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("tx", Text, nullable=False),
)
"""Why what an account of ours has is worth more or less than before, with 18 decimals."""

STANDINGS = Table(
    "standings",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("reverses", Integer, unique=True),
    Column("market", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("block", Integer, nullable=False),
    Column("block_hash", Text, nullable=False),
    Column("standing", Text, nullable=False),
)
"""What an account of ours has after a block, where that is not what it had before."""

Index("entries_block", ENTRIES.c.block_hash)
Index("standings_block", STANDINGS.c.block_hash)
Index("ledger_tx", LEDGER.c.tx)
Index("outbox_state", OUTBOX.c.signer, OUTBOX.c.state)


def _append_only(table: Table, connection: Connection, **_: object) -> None:
    for verb in ("UPDATE", "DELETE"):
        refuse = "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        connection.exec_driver_sql(f"CREATE TRIGGER {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} {refuse}")


for _kept in (LEDGER, ENTRIES, STANDINGS):
    event.listen(_kept, "after_create", _append_only)


LEDGER_FILE = FileKind(
    name="ledger",
    schema_version=1,
    tables=METADATA,
    synchronous="FULL",
    remedy="restore it from a backup or move it away; nothing was changed",
)
