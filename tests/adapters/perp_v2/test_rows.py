"""Rows never miss: the contract's own surplus lies between the bounds, whatever time and prices do, until the row says it is outdated."""

from __future__ import annotations

from random import Random

import numpy as np

from keeper.adapters.perp_v2 import PerpV2
from keeper.adapters.perp_v2.liquidation import triggers
from keeper.adapters.perp_v2.market import PerpV2Market
from keeper.book.state import Overlay, Tables
from keeper.ports import View
from keeper.types import Address, Quote, Row
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.perp_v2.curie import Curie
from tests.adapters.perp_v2.play import Play


async def played(curie: Curie, reader: NodeReader, seed: int, steps: int) -> tuple[PerpV2Market, Tables, int]:
    """A market after random play, its tables as columns, and the time of its head."""
    play = Play(curie, Random(seed))
    await play.begin()
    for _ in range(steps):
        await play.step()
    market = await PerpV2().open(reader, "test", curie.at("clearing_house"), None)
    assert isinstance(market, PerpV2Market)
    indexer = Indexer(reader, market)
    indexer.tables = Tables({market.name: market.columns})
    head = await indexer.sync()
    return market, indexer.tables, head.timestamp_s


def bounds(market: PerpV2Market, view: View, row: Row, at_s: int) -> tuple[float, float]:
    quotes = market.factors(view, at_s, row.weights)
    low = row.constant + sum(weight * quotes[factor].value for factor, weight in row.weights.items())
    return low, low + row.slack + sum(spread(weight, quotes[factor]) for factor, weight in row.weights.items())


def spread(weight: float, quote: Quote) -> float:
    return abs(weight) * quote.width + quote.slack


def scaled(market: PerpV2Market, tables: Tables, factor: float) -> View:
    """All prices times that."""
    return Overlay(tables, market.repriced(tables, {feed.token: int(feed.price * factor) for feed in market.feeds(tables)}))


def surpluses(market: PerpV2Market, view: View, account: Address, at_s: int) -> list[int]:
    """The contract's own, in order of the rows."""
    moment = market.moment(view, at_s)
    found = market.account(view, account, at_s)
    margin, *others = triggers(moment, found)
    return [margin[0] - margin[1], *(value - least for value, least in others)]


def in_order(market: PerpV2Market, view: View, account: Address, at_s: int) -> list[int]:
    """Those of collaterals' triggers, as the rows put them: the second compares a share with the debt, the third whole units of it."""
    found = market.account(view, account, at_s)
    exact = surpluses(market, view, account, at_s)
    if not found.collaterals:
        return exact
    owed = found.settlement + found.unrealized
    share = exact[2] + found.debt + owed
    limit = (exact[3] + found.debt // found.scale + 1) * found.scale + owed - 1
    return [exact[0], exact[1], share, limit]


async def test_the_contracts_own_surplus_lies_between_the_bounds(curie: Curie, reader: NodeReader) -> None:
    market, tables, now_s = await played(curie, reader, 5, 40)
    rng, checked, kinds = Random(5), 0, set()
    states: list[View] = [tables, *(scaled(market, tables, factor) for factor in (0.6, 0.93, 1.4))]
    for account in market.accounts(tables):
        for view in states:
            for row in (rows := market.rows(view, account)):
                assert all(market.factors(view, now_s, [factor])[factor].value == most for factor, (_, most) in row.box.items())
            at_s = now_s + rng.choice([0, 1, 300, 3600, 30 * 86_400])
            for row, exact in zip(rows, in_order(market, view, account, at_s), strict=True):
                low, high = bounds(market, view, row, at_s)
                assert low <= exact <= high, (account, at_s - now_s, low, exact, high)
                checked += 1
            kinds.add((len(rows), bool(rows and rows[0].box)))
    assert checked > 100
    assert {(1, False), (1, True), (4, False)} <= kinds


async def test_a_row_is_close_to_what_it_bounds(curie: Curie, reader: NodeReader) -> None:
    """A millionth of the exposure, and a hundredth of a cent."""
    market, tables, now_s = await played(curie, reader, 6, 10)
    for account in market.accounts(tables):
        exposure = market.account(tables, account, now_s).exposure
        for row in market.rows(tables, account)[:1]:
            low, high = bounds(market, tables, row, now_s)
            assert high - low < 1e-6 * exposure + 1e14


async def test_rows_compiled_are_the_rows_of_every_account(curie: Curie, reader: NodeReader) -> None:
    market, tables, _ = await played(curie, reader, 7, 20)
    found: dict[Address, list[Row]] = {}
    for block in market.compiled(tables):
        for at, slot in enumerate(block.slot.tolist()):
            used = {block.factors[c]: float(w) for c, w in zip(block.column[at], block.weight[at], strict=True) if w}
            row = Row(used, float(block.constant[at]), float(block.slack[at]))
            found.setdefault(tables.account(market.name, slot), []).append(row)
    expected = {
        who: [Row(row.weights, row.constant, row.slack) for row in rows]
        for who in market.accounts(tables)
        if (rows := market.rows(tables, who))
    }
    assert found == expected
    some = np.array([0, 2], np.int32)
    assert {slot for block in market.compiled(tables, some) for slot in block.slot.tolist()} <= {0, 2}


async def test_an_account_whose_rows_change_is_touched(curie: Curie, reader: NodeReader) -> None:
    """Between two logs, with makers, whose rows hold for one count of swaps."""
    market, tables, _ = await played(curie, reader, 8, 25)
    fresh = Tables({market.name: market.columns})
    head = await reader.head()
    before: dict[Address, tuple[Row, ...]] = {}
    missed = []
    for log in await reader.logs(market.filters(tables), market.first_block, head.number):
        writes = market.apply(log, fresh)
        touched = market.touched(writes)
        fresh.write(writes)
        rows = {account: market.rows(fresh, account) for account in market.accounts(fresh)}
        for account in rows.keys() | before.keys():
            old, new = before.get(account, ()), rows.get(account, ())
            if account not in touched and not same(old, new):
                missed.append((log.topics[0], account))
        before = rows
    assert missed == []


def same(old: tuple[Row, ...], new: tuple[Row, ...]) -> bool:
    """Rows that say the same, or have outlived their box."""
    if any(a.box != b.box for a, b in zip(old, new, strict=False) if a.box and b.box):
        return True
    return len(old) == len(new) and all(_close(a, b) for a, b in zip(old, new, strict=True))


def _close(a: Row, b: Row) -> bool:
    """Up to the truncations, which the slack covers."""
    return all(abs(a.weights.get(f, 0.0) - b.weights.get(f, 0.0)) <= a.slack for f in {*a.weights, *b.weights})
