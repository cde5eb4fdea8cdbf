"""`keeper inventory`: what is held, for how long, and what it came to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from keeper.app import ledger_path
from keeper.config import Settings
from keeper.config.settings import ChainSettings
from keeper.ledger.holdings import Had, Holdings
from keeper.ledger.lives import Life, lives
from keeper.ledger.reading import reading
from keeper.types import DEPOSIT, WITHDRAW, Entry
from keeper.types.holding import EXIT, FEE, FUNDING, GIVEN, HEDGE, INHERITED, OTHER, PAPER, PRICE

KINDS = (INHERITED, PAPER, PRICE, FUNDING, HEDGE, EXIT, FEE, GIVEN, OTHER, DEPOSIT, WITHDRAW)
HIDDEN = {"account", "token"}
BLOCKS = {"block", "since", "until"}
Row = dict[str, Any]


async def inventory(settings: Settings, over_time: bool = False, limit: int | None = None, for_people: bool = False) -> AsyncIterator[Row]:
    """A row a position, or `over_time` one a block in which something changed; amounts with 18 decimals of the quote token, `for_people`
    in whole ones. Nothing where no keeper has held anything on this data_dir."""
    return _rows(settings, over_time, limit, for_people)


async def _rows(settings: Settings, over_time: bool, limit: int | None, for_people: bool) -> AsyncIterator[Row]:
    for chain in settings.chains:
        had, entries = await _kept(settings, chain)
        rows = [_moment(one, entries) for one in had] if over_time else [_life(life) for life in lives(had, entries)]
        for row in rows[-limit:] if limit else rows:
            yield _in_words(row) if for_people else row


def _in_words(row: Row) -> Row:
    return {key: _word(key, value) for key, value in row.items() if key not in HIDDEN}


def _word(key: str, value: Any) -> Any:
    if key == "held":
        return ", ".join(f"{int(size) / 10**18:.6g} of {_short(target)}" for target, size in value.items())
    if key == "target":
        return _short(value)
    return _whole(value) if isinstance(value, int) and key not in BLOCKS else value


def _short(target: str) -> str:
    return f"{target[:6]}…{target[-4:]}" if target.startswith("0x") else target


async def _kept(settings: Settings, chain: ChainSettings) -> tuple[list[Had], list[Entry]]:
    async with reading(ledger_path(settings, chain), chain.chain_id) as book:
        if book is None:
            return [], []
        kept = Holdings(book.database)
        return await kept.had(), await kept.entries()


def _life(life: Life) -> Row:
    money = {kind: life.money.get(kind, 0) for kind in KINDS}
    until = "" if life.until is None else life.until
    return {"market": life.market, "target": life.target or "margin", "since": life.since, "until": until, "most": life.most, **money} | {
        "total": life.total,
        "account": life.account,
        "token": life.token,
    }


def _moment(one: Had, entries: list[Entry]) -> Row:
    money: dict[str, int] = defaultdict(int)
    for entry in entries:
        if (entry.market, entry.account, entry.block) == (one.market, one.standing.account, one.block):
            money[entry.kind] += entry.amount
    held = {holding.target: str(holding.size) for holding in one.standing.holdings}
    at = one.standing
    return {"block": one.block, "market": one.market, "equity": at.equity, "required": at.required, "exposure": at.exposure} | {
        **{kind: money.get(kind, 0) for kind in KINDS},
        "idle": at.idle,
        "held": held,
        "account": at.account,
        "token": at.token,
    }


def _whole(amount: int) -> str:
    """With two decimals, rounded down; nothing for nothing."""
    return f"{amount // 10**16 / 100:,.2f}" if amount else ""
