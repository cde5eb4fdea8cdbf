"""Measures of one event: a decoded log into the book, its undo into the journal, the row of its account compiled anew and put.

Every event moves one balance of somebody else, the dearest kind there is: oracle answers and indexes touch no row. They come in blocks,
as from a node; a block is taken back, untimed, before the next one comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keeper.bench.bed import Bed
from keeper.bench.cells import account
from keeper.bench.market import MARKET, certified, fill, head, token, watched
from keeper.bench.measure import Measure, Trial
from keeper.bench.population import Population, populate
from keeper.book.book import Book, Routes, followed, unfollowed
from keeper.book.state import Overlay, Tables
from keeper.fixedpoint import RAY
from keeper.testing.traffic import BURN, MINT
from keeper.types import Address, Block, Hash, Log, Row

PER_BLOCK = 64
ROUNDS = 300
PLAIN = 20_000
"""Accounts of the baseline's book: a million of its objects would need gigabytes."""

PART = 1000
"""An event moves one part in so many of a balance."""


class Events:
    """Blocks of events, each of another account, drawn anew for every round."""

    def __init__(self, population: Population, rng: np.random.Generator) -> None:
        self._population, self._rng = population, rng

    def block(self) -> Block:
        numbers = self._rng.choice(len(self._population), PER_BLOCK, replace=False, shuffle=False)
        return Block(head(1), tuple(self._log(index, int(number)) for index, number in enumerate(numbers)))

    def _log(self, index: int, number: int) -> Log:
        """More, or less, of something that the account holds or owes."""
        of = self._population
        place = int(self._rng.choice(np.flatnonzero(of.side[number])))
        scaled = int(of.low[number, place]) | int(of.high[number, place]) << 64
        topic0, who = (MINT, BURN)[index % 2], _topic(account(number))
        data = b"".join(word.to_bytes(32) for word in (scaled // PART + 1, 0, RAY))
        at, emitter = head(1), token(int(of.reserve[number, place]), bool(of.side[number, place] < 0))
        return Log(emitter, (topic0, who, who), data, 1, at.hash, at.timestamp_s, Hash(f"0x{index:064x}"), index, index)


class Applied:
    """A book and its rows, followed as the daemon does it."""

    def __init__(self, population: Population, events: Events) -> None:
        self.book = Book([MARKET])
        fill(population)(self.book.tables)
        self.book.start(head(0), (), followed(unfollowed(self.book.sources, self.book.tables)))
        self.watch = certified(watched(self.book.tables), self.book.tables)
        self._events = events
        self.block = events.block()

    def next(self, round_: int = 0) -> None:
        """Take the block back, certify what it left to be watched, and draw another."""
        if self.book.journal:
            self.watch.update(self.book.undo(self.block.head), self.book.tables)
            certified(self.watch, self.book.tables)
        self.block = self._events.block()

    def apply(self, round_: int = 0) -> None:
        self.watch.update(self.book.commit(self.book.stage(self.block)), self.book.tables)


class Plain:
    """The same with dictionaries of integers and a Row object an account."""

    def __init__(self, population: Population, events: Events) -> None:
        filled = Tables({MARKET.name: MARKET.columns})
        fill(population)(filled)
        self.tables = Tables()
        self.tables.write(filled.cells())
        self.rows: dict[Address, Sequence[Row]] = {who: MARKET.rows(filled, who) for who in MARKET.accounts(filled)}
        self._routes = Routes([MARKET], self.tables)
        self._events = events
        self._block, self._undo = events.block(), self.tables.write(())

    def next(self, round_: int = 0) -> None:
        self.tables.write(self._undo)
        self._block = self._events.block()

    def apply(self, round_: int = 0) -> None:
        overlay = Overlay(self.tables)
        self._routes.apply(self._block.logs, overlay)
        writes = overlay.writes()
        self._undo = self.tables.write(writes)
        for who in MARKET.touched(writes):
            self.rows[who] = MARKET.rows(self.tables, who)


async def _event(bed: Bed) -> Trial:
    ours = Applied(bed.population, Events(bed.population, bed.rng()))
    few = bed.population if bed.accounts <= PLAIN else populate(replace(bed.population.spec, accounts=PLAIN))
    theirs = Plain(few, Events(few, bed.rng()))

    def before(round_: int) -> None:
        ours.next()
        theirs.next()

    return Trial(ours.apply, theirs.apply, units=PER_BLOCK, before=before, named=f"dicts and Row objects ({len(few):,} accounts)")


def _topic(address: Address) -> str:
    return "0x" + "0" * 24 + address[2:]


MEASURES = (
    Measure(
        "event",
        "one event of an account, from its decoded log to its row, the undo journalled",
        "dicts and Row objects",
        _event,
        ROUNDS,
        20.0,
    ),
)
