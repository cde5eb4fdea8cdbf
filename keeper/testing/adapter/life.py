"""Some days of random life on a deployment: they happen once, and every check looks at the same days."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from eth_hash.auto import keccak

from keeper.chain.reader import NodeReader
from keeper.testing.adapter.deployment import Deployment, Transaction
from keeper.testing.adapter.follower import Follower
from keeper.testing.adapter.node import Node
from keeper.testing.adapter.reader import PastReader
from keeper.types import Address, Head

PLENTY = 10**30
"""Of every token, for the liquidator: in the token's smallest unit."""


def nobody(label: str) -> Address:
    """An address nobody has a key of."""
    return Address("0x" + keccak(f"keeper.testing: {label}".encode())[-20:].hex())


LIQUIDATOR = nobody("liquidator")


@dataclass(frozen=True)
class Life:
    """`heads`: the block on which it began, then those that were lived. The node stands on the last."""

    deployment: Deployment
    node: Node
    reader: PastReader
    heads: tuple[Head, ...]
    seed: int

    @property
    def last(self) -> Head:
        return self.heads[-1]

    @asynccontextmanager
    async def more(self) -> AsyncIterator[More]:
        """Further blocks, which have not happened afterwards."""
        if (await NodeReader(self.node.rpc).head()).hash != self.last.hash:
            raise RuntimeError("the node must stand where life ended: two lives on one node must not overlap")
        async with self.node.undone():
            yield More(self)


class More:
    """Blocks after the last."""

    def __init__(self, life: Life) -> None:
        self._life = life

    async def block(self, actions: Sequence[Transaction], step_s: int = 12) -> Head:
        return await _block(self._life.node, actions, step_s)


@asynccontextmanager
async def live(deployment: Deployment, seed: int = 1) -> AsyncIterator[Life]:
    """Live `deployment.blocks` blocks; the node is as it was when the context ends."""
    async with Node.connect(deployment.rpc) as node, node.undone():
        rng = Random(seed)
        base = await _prepared(deployment, node)
        steps = [rng.choice(deployment.steps_s) for _ in range(deployment.blocks)]
        heads = [await _block(node, await deployment.happens(node, rng), step_s) for step_s in steps]
        yield Life(deployment, node, PastReader(node.rpc, heads[-1]), (base, *heads), seed)


async def _prepared(deployment: Deployment, node: Node) -> Head:
    """Everybody can pay, the liquidator for anything that may be owed."""
    await node.enrich([*deployment.accounts, LIQUIDATOR])
    await deployment.prepare(node)
    head = await _block(node, ())
    reader = PastReader(node.rpc, head)
    market = await deployment.open(deployment.adapter, reader)
    follower = await Follower.start(market, reader, head)
    for token in market.tokens(follower.view):
        await deployment.fund(node, token, LIQUIDATOR, PLENTY)
    return await _block(node, ())


async def _block(node: Node, actions: Sequence[Transaction], step_s: int = 12) -> Head:
    await node.send(actions)
    await node.mine(step_s)
    return await NodeReader(node.rpc).head()
