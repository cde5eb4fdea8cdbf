"""Measures of the book's intake: logs as a node sends them, decoded and applied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eth_abi.abi import decode

from keeper.bench.bed import Bed
from keeper.bench.measure import LEAST_ROUNDS, WARM_UP, Measure, Trial
from keeper.book.book import Book
from keeper.chain.wire import log_of
from keeper.testing.traffic import Traffic
from keeper.types import Block, Head

PER_BLOCK = 200
ROUNDS = 500
WORD = 32

Raw = list[dict[str, Any]]


class Intake:
    """A book, and the blocks that come to it one after another."""

    def __init__(self, book: Book, blocks: Iterator[tuple[Head, Raw]]) -> None:
        self._book, self._blocks = book, blocks
        self._head, self._logs = next(blocks)

    def next(self, round_: int) -> None:
        if round_:
            self._head, self._logs = next(self._blocks)

    def take(self, round_: int) -> None:
        """Decode a block's logs and make it the book's head."""
        logs = tuple(log_of(raw, self._head.timestamp_s) for raw in self._logs)
        self._book.commit(self._book.stage(Block(self._head, logs)))

    def decode(self, round_: int) -> None:
        """What a general decoder takes for topics and data alone."""
        for raw in self._logs:
            for topic in raw["topics"][1:]:
                decode(["bytes32"], bytes.fromhex(topic[2:]))
            data = bytes.fromhex(raw["data"][2:])
            decode(["uint256"] * (len(data) // WORD), data)


async def _intake(bed: Bed) -> Trial:
    bed.tell(f"a book of {bed.accounts:,} accounts out of cells")
    traffic = Traffic(accounts=bed.accounts, seed=bed.seed)
    events = PER_BLOCK * (ROUNDS + WARM_UP + LEAST_ROUNDS)
    intake = Intake(traffic.book(), traffic.blocks(events, PER_BLOCK))
    return Trial(intake.take, intake.decode, units=PER_BLOCK, before=intake.next)


MEASURES = (
    Measure(
        "log-intake",
        "one event, from the node's JSON objects into the book",
        "eth_abi, decoding alone",
        _intake,
        ROUNDS,
        most=100_000,
    ),
)
