"""A relay that refuses what it has taken: the chain's word counts, however late it comes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from keeper.devnet import Devnet
from keeper.execution.engine import KEEP_BLOCKS
from keeper.execution.states import State
from keeper.types import Bid, Hash, SendResult, Sent
from tests.execution.rig import GWEI, Refusing, Wire, intent, rig, states, take_nonces


class Lying(Wire):
    """The node takes it; the answer is that it did not."""

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        await super().send(raw, tx)
        return Sent(SendResult.REFUSED, "underpriced")


async def test_what_was_refused_and_landed_is_news_once(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Lying(it.node)
        [dropped] = await it.submit(intent())
        assert dropped.state is State.DROPPED
        [landed] = news = await it.mine()
        assert landed.submission.tx == dropped.tx
        assert landed.receipt is not None
        assert states(news) == [State.INCLUDED]
        await it.engine.acknowledge(news)
        assert await it.mine(3) == []


async def test_it_is_found_by_the_next_process_too(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Lying(it.node)
        [dropped] = await it.submit(intent())
    await net.mine()
    async with rig(net, tmp_path) as it:
        [landed] = await it.mine()
        assert (landed.submission.tx, landed.state) == (dropped.tx, State.INCLUDED)


async def test_the_next_one_at_its_nonce_gives_way_to_it(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Lying(it.node)
        [first] = await it.submit(intent(0))
        it.wire.relay = it.node
        [second] = await it.submit(intent(1))
        assert second.nonce == first.nonce
        assert (second.state, second.detail) == (State.DROPPED, "replacement_underpriced")
        [landed] = await it.mine()
        assert landed.submission.tx == first.tx
        assert it.now(second).state is State.DROPPED
        assert it.engine.pending() == 0


async def test_one_that_gives_way_in_the_pool_stays_refused(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Lying(it.node)
        [first] = await it.submit(intent(0))
        it.wire.relay = it.node
        bid = Bid(200 * GWEI, 2 * GWEI, 60_000)
        [second] = await it.submit(replace(intent(1), bid=bid))
        assert (second.nonce, second.state) == (first.nonce, State.SENT)
        [landed] = await it.mine()
        assert (landed.submission.id, landed.state) == (second.id, State.INCLUDED)
        assert it.now(first).state is State.DROPPED


async def test_refused_ones_are_forgotten_in_time_and_a_strangers_nonce_is_not_claimed(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Refusing(it.node)
        [refused] = await it.submit(intent())
        await take_nonces(net, 1)
        assert await it.mine() == []
        assert it.now(refused).state is State.DROPPED
        await net.request("anvil_mine", hex(KEEP_BLOCKS + 1))
        await it.mine()
        assert it.outbox.get(refused.id) is None
