from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.chain.feed import ChainFeed
from keeper.types import Head
from tests.chain.adversary import AdversarialNode, Chain, Change, StrictBook, replayed

CHANGES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), max_size=12)


def feed_of(node: AdversarialNode, book: StrictBook, depth: int = 500) -> ChainFeed:
    return ChainFeed(node, node, [book.base], book.filters, depth=depth, chunk=5, patience=2, poll_s=0.0005, retry_s=0.0001)


async def follow(node: AdversarialNode, book: StrictBook) -> None:
    """Until the chain has come to rest and the book stands on its end."""
    async with asyncio.timeout(20), aclosing(feed_of(node, book).updates()) as updates:
        async for update in updates:
            book.apply(update, node)
            if node.settled and book.tip == node.chain.heads[-1] and book.blocks == replayed(node.chain):
                return


@settings(max_examples=150, deadline=None)
@given(changes=CHANGES, seed=st.integers(0, 2**32))
async def test_no_block_is_lost_or_applied_twice_whatever_the_node_does(changes: list[Change], seed: int) -> None:
    rng = random.Random(seed)
    chain = Chain(rng)
    node = AdversarialNode(chain, [*changes, (2, 4)], rng)
    book = StrictBook(chain.heads[0])
    await follow(node, book)
    assert book.blocks == replayed(chain)


@pytest.mark.parametrize("seed", range(5))
async def test_the_late_notice_of_a_block_left_behind_moves_nothing(seed: int) -> None:
    rng = random.Random(seed)
    chain = Chain(rng)
    chain.change(0, 3)
    left_behind = chain.heads[-1]
    chain.change(1, 1)
    node = AdversarialNode(chain, [], rng)
    book = StrictBook(chain.heads[-1])
    async with aclosing(ChainFeed(node, node, chain.heads, book.filters, retry_s=0.001).updates()) as updates:
        stepping = asyncio.ensure_future(anext(updates))
        for notice in (left_behind, chain.heads[1], chain.heads[-1]):
            await node.announce(notice)
        chain.change(0, 1)
        await node.announce(chain.heads[-1])
        step = await asyncio.wait_for(stepping, 5)
    assert (step.undo, [block.head for block in step.blocks]) == ((), chain.heads[-1:])


class SlowNode(AdversarialNode):
    """Announces blocks before it gives them."""

    looks = 0

    async def head(self) -> Head:
        self.looks += 1
        return await super().head() if self.looks > 3 else self.chain.heads[0]


async def test_a_node_slower_than_its_own_notice_is_asked_again_soon() -> None:
    rng = random.Random(1)
    chain = Chain(rng)
    node = SlowNode(chain, [], rng)
    book = StrictBook(chain.heads[0])
    feed = ChainFeed(node, node, chain.heads, book.filters, poll_s=60, retry_s=0.001)
    async with aclosing(feed.updates()) as updates:
        stepping = asyncio.ensure_future(anext(updates))
        await asyncio.sleep(0)
        chain.change(0, 3)
        await node.announce(chain.heads[-1])
        book.apply(await asyncio.wait_for(stepping, 5), node)
    assert book.blocks == replayed(chain)
