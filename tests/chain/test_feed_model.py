from __future__ import annotations

import asyncio
import random
from contextlib import aclosing

from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.chain.feed import ChainFeed
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
