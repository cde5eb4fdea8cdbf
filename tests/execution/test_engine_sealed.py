"""What builders alone know of: it lands in its block or is given up, costs no nonce, and is answered without a fight over fees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from keeper.chain.carriers import Carriers, Each
from keeper.devnet import Devnet
from keeper.execution.settlement import NOT_INCLUDED
from keeper.execution.states import State
from tests.execution.rig import GWEI, Rig, Sealed, intent, rig, states


@asynccontextmanager
async def sealed(net: Devnet, folder: Path) -> AsyncIterator[tuple[Rig, Sealed]]:
    async with rig(net, folder) as it:
        builder = Sealed(it.node)
        it.engine = it.over(Carriers([builder]))
        await it.engine.recover(await it.head())
        yield it, builder


async def submit(it: Rig, *numbers: int) -> list[int]:
    """For the next block; the nonces."""
    block = (await it.head()).number + 1
    return [s.nonce for s in await it.submit(*(replace(intent(i), block=block) for i in numbers))]


async def test_what_its_block_does_not_hold_is_given_up_and_its_nonce_is_free(net: Devnet, tmp_path: Path) -> None:
    async with sealed(net, tmp_path) as (it, builder):
        nonces = await submit(it, 0, 1)
        assert [parcel.last_block - (await it.head()).number for parcel in builder.held] == [1, 1]
        news = await it.mine()
        assert [(n.state, n.submission.detail) for n in news] == [(State.DROPPED, NOT_INCLUDED)] * 2
        await it.engine.acknowledge(news)
        assert it.engine.pending() == 0
        assert await submit(it, 2) == nonces[:1]
        assert len(builder.held) == 3  # nothing was sent again, no hole was filled


async def test_what_its_block_holds_is_included(net: Devnet, tmp_path: Path) -> None:
    async with sealed(net, tmp_path) as (it, builder):
        await submit(it, 0)
        await builder.land(builder.held[0])
        assert states(await it.mine()) == [State.INCLUDED]


async def test_one_that_lands_though_it_was_given_up_counts_once_and_its_successor_gives_way(net: Devnet, tmp_path: Path) -> None:
    async with sealed(net, tmp_path) as (it, builder):
        await submit(it, 0)
        await it.engine.acknowledge(await it.mine())
        await submit(it, 1)
        await builder.land(builder.held[0])
        news = await it.mine()
        assert [(n.submission.tx, n.state) for n in news] == [
            (builder.held[0].tx, State.INCLUDED),
            (builder.held[1].tx, State.REPLACED),
        ]
        assert it.engine.pending() == 0
        assert await it.nonce() == 1


async def test_a_restart_forgets_neither_the_block_nor_the_nonce(net: Devnet, tmp_path: Path) -> None:
    async with sealed(net, tmp_path) as (it, builder):
        await submit(it, 0)
    async with sealed(net, tmp_path) as (it, builder):
        assert it.engine.pending() == 1
        assert builder.held == []
        news = await it.mine()
        assert [n.submission.detail for n in news] == [NOT_INCLUDED]


async def test_an_answer_is_the_same_call_at_the_same_nonce_for_the_same_block_and_one_end_is_told(net: Devnet, tmp_path: Path) -> None:
    async with sealed(net, tmp_path) as (it, builder):
        await submit(it, 0)
        [top] = it.engine.ahead()
        [more] = await it.engine.outbid({top.id: top.priority_fee_wei + 1})
        assert (more.nonce, more.to, more.last_block, more.created_block) == (top.nonce, top.to, top.last_block, top.created_block)
        assert more.priority_fee_wei == top.priority_fee_wei + 1
        assert [parcel.tx for parcel in builder.held] == [top.tx, more.tx]
        news = await it.mine()
        assert [n.submission.tx for n in news] == [more.tx]
        await it.engine.acknowledge(news)
        assert it.engine.pending() == 0


async def test_in_a_public_pool_an_answer_is_a_replacement_the_node_takes(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [top] = await it.submit(intent(0))
        [more] = await it.engine.outbid({top.id: top.priority_fee_wei + 1})
        assert more.state is State.SENT
        assert more.priority_fee_wei * 8 >= top.priority_fee_wei * 9
        assert [(n.submission.tx, n.state) for n in await it.mine()] == [(top.tx, State.REPLACED), (more.tx, State.INCLUDED)]


async def test_no_answer_goes_beyond_what_it_is_worth(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [top] = await it.submit(intent(0, cap_wei=20 * GWEI))
        assert await it.engine.outbid({top.id: 30 * GWEI}) == []
        assert it.engine.ahead() == [it.now(top)]


async def test_what_is_given_up_is_called_back_from_the_builder_not_fought_over(net: Devnet, tmp_path: Path) -> None:
    async with sealed(net, tmp_path) as (it, builder):
        head = await it.head()
        await it.submit(replace(intent(0), block=head.number + 5))
        it.engine.give_up()
        assert await it.mine() == []
        assert (builder.recalled, len(builder.held)) == (1, 1)


async def test_a_public_channel_beside_it_keeps_it_alive(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.engine = it.over(Carriers([Sealed(it.node), Each(it.wire)]))
        await it.engine.recover(await it.head())
        [sent] = await it.submit(intent(0))
        assert sent.last_block == 0
        assert states(await it.mine()) == [State.INCLUDED]
