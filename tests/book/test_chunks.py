"""Back-fill over a chain that exists as logs only: what it comes to, what it asks of the node, and how much of it is in memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.book import indexer
from keeper.book.book import followed, unfollowed
from keeper.book.indexer import AHEAD, Indexer, chunks
from keeper.book.state import Tables
from keeper.errors import Transient
from keeper.ports import Reader
from keeper.types import Address, Block, Head, Log, LogFilter, Read, Write
from tests.book.test_book import ROOT, Announcer, address, apply, head, log, new_book

Step = tuple[int, int | None]
"""(child, what it is told; None: the root announces it)"""

steps = st.tuples(st.integers(7, 10), st.one_of(st.none(), st.integers(1, 9)))
histories = st.lists(st.lists(steps, max_size=4), min_size=1, max_size=12)


@dataclass
class Node(Reader):
    """Its chain is a list of logs. `fails_at`: the question, counted from 1, at which it goes away."""

    history: Sequence[Log]
    fails_at: int = 0
    asked: list[tuple[int, int, int]] = field(default_factory=list)
    """(from block, to block, contracts)"""

    async def logs(self, filters: Sequence[LogFilter], from_block: int, to_block: int) -> list[Log]:
        self.asked.append((from_block, to_block, len(filters)))
        if len(self.asked) == self.fails_at:
            raise Transient("the node is away")
        await asyncio.sleep(0)
        wanted = {f.address: f for f in filters}
        return [one for one in self.history if from_block <= one.block_number <= to_block and _wants(wanted.get(one.address), one)]

    async def call(self, read: Read, block: object = "latest") -> bytes:
        raise AssertionError("nothing but logs is read")

    async def calls(self, reads: Sequence[Read], block: object = "latest") -> list[bytes | None]:
        raise AssertionError("nothing but logs is read")

    async def code(self, address: Address) -> bytes:
        raise AssertionError("nothing but logs is read")

    async def head(self) -> Head:
        raise AssertionError("nothing but logs is read")


def _wants(f: LogFilter | None, one: Log) -> bool:
    return f is not None and one.topics[0] in f.topics and one.block_number >= f.since_block


class Kept:
    """What outlives a kill: the cells, and the block up to which they are complete."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.cursor = 0
        self.saved: list[int] = []

    async def save(self, writes: list[Write], block: int) -> None:
        self.tables.write(writes)
        self.cursor = block
        self.saved.append(block)

    async def fill(self, node: Node, target: int) -> None:
        await Indexer(node, self.tables, self.save, lambda *_: None).catch_up(Announcer(), self.cursor, target)

    def sums(self) -> dict[Address, int]:
        return {Address(str(key[0])): self.tables.get("sum", key) for key in self.tables.keys("sum")}


@contextmanager
def sized(blocks: int, logs: int = 20_000) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexer, "CHUNK_BLOCKS", blocks)
        patch.setattr(indexer, "CHUNK_LOGS", logs)
        yield


def logs_of(blocks: Sequence[Sequence[Step]]) -> list[Log]:
    return [_log(number, index, step) for number, steps in enumerate(blocks, start=1) for index, step in enumerate(steps)]


def _log(number: int, index: int, step: Step) -> Log:
    child, told = step
    return log(number, index, ROOT, "announce", child) if told is None else log(number, index, address(child), "add", told)


def truth(blocks: Sequence[Sequence[Step]]) -> dict[Address, int]:
    """What each child was told from the block of its first announcement on."""
    known: set[int] = set()
    sums: dict[Address, int] = defaultdict(int)
    for steps in blocks:
        known |= {child for child, told in steps if told is None}
        for child, told in steps:
            if told is not None and child in known:
                sums[address(child)] += told
    return dict(sums)


@given(histories, st.integers(1, 6), st.integers(1, 5))
def test_chunks_of_any_size_come_to_what_the_contracts_were_told(blocks: list[list[Step]], most_blocks: int, most_logs: int) -> None:
    kept = Kept()
    with sized(most_blocks, most_logs):
        asyncio.run(kept.fill(Node(logs_of(blocks)), len(blocks)))
    assert kept.sums() == truth(blocks)
    assert kept.cursor == len(blocks)


@given(histories, st.integers(1, 4), st.data())
def test_a_back_fill_that_breaks_off_anywhere_goes_on_where_it_was(blocks: list[list[Step]], most_blocks: int, data: st.DataObject) -> None:
    kept = Kept()
    with sized(most_blocks):
        for _ in range(3):
            with suppress(Transient):
                asyncio.run(kept.fill(Node(logs_of(blocks), fails_at=data.draw(st.integers(1, 8))), len(blocks)))
            assert kept.sums() == truth(blocks[: kept.cursor])
        asyncio.run(kept.fill(Node(logs_of(blocks)), len(blocks)))
    assert kept.sums() == truth(blocks)


@given(histories)
def test_back_fill_and_the_live_feed_come_to_the_same_cells(blocks: list[list[Step]]) -> None:
    kept, book = Kept(), new_book()
    asyncio.run(kept.fill(Node(logs_of(blocks)), len(blocks)))
    for number, steps in enumerate(blocks, start=1):
        known = {one.address for one in book.filters()} | {address(child) for child, told in steps if told is None}
        apply(book, Block(head(number), tuple(one for one in logs_of([[]] * (number - 1) + [steps]) if one.address in known)))
    assert set(book.tables.cells()) == set(kept.tables.cells())


async def test_a_chunk_full_of_announcements_costs_one_more_question() -> None:
    crowd: list[list[Step]] = [[(child, None), (child, 1)] for child in range(100, 400)]
    kept, node = Kept(), Node(logs_of(crowd))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexer, "FIRST_BLOCKS", 300)
        await kept.fill(node, len(crowd))
    assert kept.sums() == truth(crowd)
    assert node.asked == [(0, 0, 1), (1, 300, 1), (1, 300, 300)]
    assert kept.saved == [0, 300]


async def test_while_a_chunk_is_applied_the_next_is_asked_for_but_not_more_than_memory_is_meant_for() -> None:
    node = Node([])
    with sized(10):
        async with aclosing(chunks(node, list, 1, 1000)) as ahead:
            async for chunk in ahead:
                asked_to = node.asked[-1][1]
                assert min(chunk.last + 10, 1000) <= asked_to <= chunk.last + 10 * (AHEAD - 1)


async def test_chunks_shrink_where_much_happens_and_grow_where_little_does() -> None:
    busy: list[list[Step]] = [[(7, 1)] if 4_000 <= number < 14_000 else [] for number in range(30_000)]
    wanted = [LogFilter(address(7), frozenset({"add"}), 0)]
    with sized(2_000, 20):
        async with aclosing(chunks(Node(logs_of(busy)), lambda: wanted, 1, len(busy))) as ahead:
            seen = [(chunk.first, chunk.last, len(chunk.logs)) async for chunk in ahead]
    assert [first for first, _, _ in seen] == [1, *(last + 1 for _, last, _ in seen[:-1])]
    assert all(logs <= 40 for first, _, logs in seen if first > 12_000)
    assert max(last - first + 1 for first, last, _ in seen if first > 20_000) == 2_000


async def test_the_same_chain_is_asked_for_in_the_same_pieces_however_fast_it_answers() -> None:
    """A replay answers only what the recorded run asked."""

    class Slow(Node):
        async def logs(self, filters: Sequence[LogFilter], from_block: int, to_block: int) -> list[Log]:
            found = await super().logs(filters, from_block, to_block)
            for _ in range(from_block % 7):
                await asyncio.sleep(0)
            return found

    crowd: list[list[Step]] = [[(7 + number % 5, None if number % 20 == 0 else 1)] for number in range(300)]
    nodes = [Node(logs_of(crowd)), Slow(logs_of(crowd))]
    with sized(30, 20):
        for node in nodes:
            await Kept().fill(node, len(crowd))
    assert sorted(nodes[0].asked) == sorted(nodes[1].asked)
    assert len(nodes[0].asked) > 10


async def test_contracts_wanted_since_the_last_life_are_caught_up_together() -> None:
    kept, source = Kept(), Announcer()
    past: list[list[Step]] = [[(child, 1) for child in (7, 8, 9)]] * 5
    kept.tables.write(
        [*followed([(source, LogFilter(ROOT, frozenset({"announce"}), 0))]), *(("child", (address(n),), 1) for n in (7, 8, 9))]
    )
    kept.cursor, node = 5, Node(logs_of(past))
    await kept.fill(node, 5)
    assert kept.sums() == {address(child): 5 for child in (7, 8, 9)}
    assert node.asked == [(0, 5, 3)]
    assert unfollowed([source], kept.tables) == ()
