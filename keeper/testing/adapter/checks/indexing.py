"""The index: from logs alone, whatever the way there, equal to the chain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from typing import NamedTuple

from keeper.book.state import Tables
from keeper.testing.adapter.case import Case
from keeper.testing.adapter.expect import alike, enough, require, same
from keeper.testing.adapter.follower import Cells, Follower, backfilled
from keeper.testing.adapter.standing import differences
from keeper.types import Log, LogFilter, Write

BOOKS_OWN = frozenset({"followed", "tokens"})
"""Tables that the book keeps beside its sources'."""


class Indexing:
    async def test_the_index_equals_the_chain_after_every_block(self, case: Case) -> None:
        """The audited words of every account, at the block's own timestamp."""
        compared = 0
        for state in await case.states():
            count, wrong = await differences(case, state, state.head.timestamp_s)
            require(not wrong, f"at block {state.head.number}: {'; '.join(wrong[:3])}")
            compared += count
        enough(compared, 3 * case.deployment.blocks, "audited words")

    async def test_the_index_is_the_same_however_its_way_is_cut(self, case: Case) -> None:
        """By logs alone: in one piece, in pieces, and block by block."""
        rng, last = case.rng("cuts"), case.life.last.number
        whole = _cells((await backfilled(await case.open(), case.reader, [last])).cells())
        first = case.life.heads[0].number
        cuts = sorted(rng.sample(range(first, last), min(5, last - first)))
        for name, stops in (("in pieces", [*cuts, last]), ("block by block", range(first, last + 1))):
            pieces = await backfilled(await case.open(), case.reader, list(stops))
            alike(_cells(pieces.cells()), whole, f"the index made {name}, beside the one made in one piece")

    async def test_a_stored_state_goes_on_like_one_that_was_never_stored(self, case: Case) -> None:
        """A state is its cells: a market opened anew goes on from them, in whatever order they are read."""
        states, rng = await case.states(), case.rng("stored")
        for at in (0, len(states) // 2):
            cells = list(states[at].view.cells())
            rng.shuffle(cells)
            follower = Follower(await case.open(), case.reader, states[at].head, cells)
            for state in states[at + 1 :]:
                await follower.advance([state.head])
            what = f"the state stored at block {states[at].head.number} and continued, beside the one never stored"
            alike(follower.cells(), _cells(states[-1].view.cells()), what)

    async def test_many_logs_at_once_are_logs_one_by_one(self, case: Case) -> None:
        """An applier holds until the state is reshaped."""
        steps = [step async for step in _replayed(case)]
        for step in steps:
            same(step.held, step.writes, f"log {step.log.log_index} of block {step.log.block_number}, by an applier made before it")
        enough(len(steps), case.deployment.blocks, "logs")

    async def test_whatever_changes_what_is_followed_is_said_to_reshape(self, case: Case) -> None:
        grown = 0
        async for step in _replayed(case):
            what = f"log {step.log.log_index} of block {step.log.block_number} changes the filters, and reshapes denies it"
            require(step.filters == step.before or step.reshapes, what)
            grown += step.filters != step.before
        for old, new in pairwise(await case.states()):
            what = f"block {new.head.number} changes the filters, by its logs or by what is read after it, and reshapes denies it"
            require(new.market.filters(new.view) == old.market.filters(old.view) or new.market.reshapes(new.changed), what)
        empty = (await case.open()).filters(Tables())
        (*_, last) = await case.states()
        told = grown > 0 or bool(last.market.reads(last.view))
        require(told or last.market.filters(last.view) == empty, "the filters grew, but with no log, and nothing is read")

    async def test_a_market_writes_only_integers_and_only_to_tables_of_its_name(self, case: Case) -> None:
        for state in await case.states():
            for table, key, value in state.view.cells():
                mine = table.startswith((f"{state.market.name}/", f"{state.market.name}."))
                require(mine or table in BOOKS_OWN, f"table {table!r} must begin with the market's name and a slash")
                require(all(isinstance(part, int | str) for part in key), f"key {key!r} of {table} must be of integers and text")
                require(type(value) is int, f"{table} {key} must be an integer, was {value!r}")


class _Step(NamedTuple):
    """A log, what an applier made before it and one made for it write, and what is followed before and after."""

    log: Log
    held: list[Write]
    writes: list[Write]
    reshapes: bool
    before: tuple[LogFilter, ...]
    filters: tuple[LogFilter, ...]


async def _replayed(case: Case) -> AsyncIterator[_Step]:
    """Everything that ever happened to the market, log by log."""
    market, tables = await case.open(), Tables()
    (*_, last) = await case.states()
    logs = await case.reader.logs(last.market.filters(last.view), market.first_block, case.life.last.number)
    apply, filters = market.applier(tables), market.filters(tables)
    for log in logs:
        writes = market.apply(log, tables)
        held, reshapes, before = apply(log, tables), market.reshapes(writes), filters
        tables.write(writes)
        filters = market.filters(tables)
        yield _Step(log, held, writes, reshapes, before, filters)
        apply = market.applier(tables) if reshapes else apply


def _cells(cells: Iterable[Write]) -> Cells:
    return {(table, key): value for table, key, value in cells}
