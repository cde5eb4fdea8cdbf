"""What is found by reading blocks again, from nodes on paper; `test_feed_node.py` has the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from keeper.chain.feed import ChainFeed
from keeper.chain.heads import Mailbox
from keeper.errors import Transient
from keeper.types import Address, ChainUpdate, Hash, Head, Log, LogFilter
from tests.chain.paper import hash_of, head

ADDRESS, TOPIC = Address("0x" + "11" * 20), "0x" + "22" * 32
FILTERS = (LogFilter(ADDRESS, frozenset({TOPIC}), 0),)
START = 100
LOOK_S = 0.005
"""Between blocks: time for a look on paper."""


def log(number: int, index: int = 0, data: bytes = b"") -> Log:
    return Log(ADDRESS, (TOPIC,), data, number, hash_of(number), number, Hash("0x" + "33" * 32), 0, index)


class PaperReader:
    """Each block has a log; `missing`: blocks without; `other`: blocks with other logs than they have; `fails`: how often reading does."""

    def __init__(self, missing: Collection[int] = (), takes_s: float = 0.0) -> None:
        self.number, self.missing, self.takes_s, self.fails = START, set(missing), takes_s, 0
        self.other: dict[int, tuple[Log, ...]] = {}

    async def head(self) -> Head:
        return head(self.number)

    async def headers(self, numbers: Sequence[int]) -> list[Head | None]:
        return [head(number) if number <= self.number else None for number in numbers]

    async def logs_of_blocks(self, filters: Sequence[LogFilter], heads: Sequence[Head]) -> list[tuple[Log, ...]]:
        await asyncio.sleep(self.takes_s)
        if self.fails:
            self.fails -= 1
            raise Transient("away")
        if any(one.number > self.number for one in heads):
            raise Transient("unknown block")
        return [self.other.get(one.number, () if one.number in self.missing else (log(one.number),)) for one in heads]


class ByHand:
    def __init__(self) -> None:
        self.box = Mailbox()

    async def run(self, mailbox: Mailbox) -> None:
        self.box = mailbox
        await asyncio.Event().wait()


class Follower:
    """Has what came of each block last."""

    def __init__(self, first: PaperReader, second: PaperReader) -> None:
        self.first, self.source, self.logs = first, ByHand(), dict[int, tuple[Log, ...]]()
        known = [head(number) for number in range(START - 70, START + 1)]
        self._feed = ChainFeed(first, self.source, known, lambda: FILTERS, poll_s=0.02, retry_s=0.005, second=second)
        self._moved = asyncio.Event()
        self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async with aclosing(self._feed.updates()) as updates:
            async for update in updates:
                self._take(update)

    def _take(self, update: ChainUpdate) -> None:
        self.logs |= {block.head.number: block.logs for block in update.blocks}
        self._moved.set()

    async def grow(self, until: int, by: int = 1) -> None:
        while self.first.number < until:
            self.first.number += by
            self.source.box.put(None)
            async with asyncio.timeout(5):
                while self._feed.tip.number < self.first.number:
                    self._moved.clear()
                    await self._moved.wait()
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)


async def followed(first: PaperReader, second: PaperReader, until: int, by: int = 1) -> dict[int, tuple[Log, ...]]:
    follower = Follower(first, second)
    second.number = 10**6
    await follower.grow(until, by)
    await follower.stop()
    return follower.logs


def whole(until: int) -> dict[int, tuple[Log, ...]]:
    return {number: (log(number),) for number in range(START + 1, until + 1)}


@pytest.mark.parametrize("by", [1, 3, 4, 7])
async def test_no_block_is_passed_over_however_many_come_at_once(by: int) -> None:
    until = START + 18 * by
    assert await followed(PaperReader({121}), PaperReader(), until, by) == whole(until)


async def test_one_that_takes_longer_than_a_block_is_heard_all_the_same() -> None:
    assert (await followed(PaperReader({103}), PaperReader(takes_s=0.03), 140))[103] == (log(103),)


async def test_one_that_is_a_block_late_is_heard_of_the_others() -> None:
    first, second = PaperReader({103, 107, 111}), PaperReader()
    follower = Follower(first, second)
    for number in range(START + 1, 140):
        second.number = number - 1
        await follower.grow(number)
    await follower.stop()
    assert follower.logs == whole(139)


@pytest.mark.parametrize("other", [(log(103, data=b"other"),), (log(103, 1),)], ids=["another log", "another place"])
async def test_nodes_that_do_not_agree_are_told_of_and_change_nothing(other: tuple[Log, ...]) -> None:
    second = PaperReader()
    second.other[103] = other
    with capture_logs() as logs:
        assert await followed(PaperReader(), second, 110) == whole(110)
    assert {(line["event"], line["block"]) for line in logs} == {("logs_disagree", 103)}


async def test_a_gap_stays_known_until_it_is_closed_and_does_not_keep_the_feed_from_what_is_new() -> None:
    first, second = PaperReader({103}), PaperReader()
    follower = Follower(first, second)
    second.number = 10**6
    await follower.grow(103)
    first.fails = 3
    await follower.grow(110)
    await follower.stop()
    assert follower.logs == whole(110)


async def test_a_gap_that_was_closed_is_not_opened_by_closing_another() -> None:
    first, second = PaperReader({103, 110}), PaperReader({103})
    follower = Follower(first, second)
    second.number = 10**6
    await follower.grow(118)
    second.missing = {110}
    await follower.grow(150)
    await follower.stop()
    assert follower.logs == whole(150)
