"""Reorgs on a real node: what was included is open again, goes out again with the same bytes, and lands once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from keeper.devnet import Devnet
from keeper.execution.states import State
from keeper.types import Head
from tests.execution.rig import GWEI, Leaky, Rig, intent, raise_base_fee, rig, states, stopped, take_nonces


async def reorg(it: Rig, depth: int = 1, *kept: bytes) -> Head:
    """Replace the newest blocks; `kept` transactions go into the first new one."""
    await it.net.request("anvil_reorg", depth, [["0x" + raw.hex(), 0] for raw in kept])
    return await it.head()


async def test_a_transaction_whose_block_is_undone_goes_out_again_and_lands_again(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        sent = await it.submit(intent(0), intent(1))
        await it.engine.acknowledge(await it.mine())
        old = await it.head()
        news = await it.engine.on_head(await reorg(it), [old.hash])
        assert states(news) == [State.REORGED_OUT] * 2
        assert it.engine.pending() == 2
        await it.engine.acknowledge(news)
        again = await it.mine()
        assert states(again) == [State.INCLUDED] * 2
        assert old.hash not in {n.submission.block_hash for n in again}
        assert Counter(it.wire.passed) == {s.tx: 2 for s in sent}


async def test_one_that_the_new_branch_holds_too_moves_to_its_new_block(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [sent] = await it.submit(intent(0))
        await it.engine.acknowledge(await it.mine())
        old = await it.head()
        new = await reorg(it, 1, sent.raw)
        [news] = await it.engine.on_head(new, [old.hash])
        assert (news.state, news.submission.block_hash) == (State.INCLUDED, new.hash)
        assert news.receipt is not None
        assert news.receipt.block_hash == new.hash
        assert it.wire.passed == [sent.tx]


async def test_new_intents_go_behind_those_a_reorg_reopened(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [first] = await it.submit(intent(0))
        await it.mine()
        old = await it.head()
        await it.engine.on_head(await reorg(it), [old.hash])
        [second] = await it.submit(intent(1))
        assert second.nonce == first.nonce + 1
        assert states(await it.mine()) == [State.INCLUDED] * 2


async def test_a_replaced_one_is_open_again_with_its_replacement(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [low] = await it.submit(intent(0, max_fee_wei=20 * GWEI))
        await raise_base_fee(net, 200 * GWEI)
        await it.engine.acknowledge(await it.mine(4))
        old = await it.head()
        assert it.now(low).state is State.REPLACED
        news = await it.engine.on_head(await reorg(it), [old.hash])
        assert states(news) == [State.REORGED_OUT] * 2
        ended = {n.submission.id: n.state for n in await it.mine()}
        assert ended.pop(low.id) is State.REPLACED
        assert list(ended.values()) == [State.INCLUDED]


async def test_a_reorg_nobody_reported_is_found_when_the_block_is_deep_enough(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [sent] = await it.submit(intent(0))
        await it.engine.acknowledge(await it.mine())
        await reorg(it)
        news = await it.mine(2)
        assert states(news) == [State.REORGED_OUT]
        assert states(await it.mine()) == [State.INCLUDED]
        assert it.wire.passed == [sent.tx] * 2


async def test_a_reorg_while_we_were_down_is_found_at_the_start(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [sent] = await it.submit(intent(0))
        await it.engine.acknowledge(await it.mine())
        await reorg(it)
    async with stopped(net, tmp_path) as it:
        news = await it.engine.recover(await it.head())
        assert states(news) == [State.REORGED_OUT]
        assert it.wire.passed == [sent.tx]
        assert states(await it.mine()) == [State.INCLUDED]


async def test_a_receipt_from_beyond_the_head_we_follow_waits_for_its_block(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        before = await it.head()
        await it.submit(intent(0))
        await net.mine()
        assert await it.engine.on_head(before) == []
        assert it.engine.pending() == 1
        assert states(await it.engine.on_head(await it.head())) == [State.INCLUDED]


async def test_one_dropped_for_a_strangers_sake_is_open_again_when_the_strangers_block_is_undone(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Leaky(it.node)
        [ours] = await it.submit(intent(0))
        await take_nonces(net, 1)
        await it.engine.on_head(await it.head())
        await it.engine.acknowledge(await it.mine())
        assert it.now(ours).state is State.DROPPED
        old = await it.head()
        it.wire.relay = it.node
        news = await it.engine.on_head(await reorg(it, 2), [old.hash, old.parent_hash])
        assert states(news) == [State.REORGED_OUT]
        assert states(await it.mine()) == [State.INCLUDED]


async def test_a_strangers_block_undone_while_we_were_down_opens_ours_again(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Leaky(it.node)
        await it.submit(intent(0))
        await take_nonces(net, 1)
        await it.engine.on_head(await it.head())
        await it.engine.acknowledge(await it.mine())
        await reorg(it, 2)
    async with stopped(net, tmp_path) as it:
        assert states(await it.engine.recover(await it.head())) == [State.REORGED_OUT]
        assert states(await it.mine()) == [State.INCLUDED]


async def test_acknowledging_news_of_an_undone_block_does_not_swallow_the_news_of_the_new_one(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [sent] = await it.submit(intent(0))
        stale = await it.mine()
        old = await it.head()
        fresh = await it.engine.on_head(await reorg(it, 1, sent.raw), [old.hash])
        await it.engine.acknowledge(stale)
        assert await it.mine() == fresh
        await it.engine.acknowledge(fresh)
        assert await it.mine() == []
