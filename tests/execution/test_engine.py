"""The transaction engine on a real node: nonces, doubt, fees, strangers."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from keeper.devnet import Devnet
from keeper.errors import Halt
from keeper.execution.states import State
from keeper.types import Hash, Sent
from tests.execution.rig import (
    GWEI,
    SIGNER,
    SINK,
    Deaf,
    Hanging,
    Leaky,
    Refusing,
    account,
    intent,
    raise_base_fee,
    rig,
    states,
    stopped,
    take_nonces,
)


async def test_twenty_transactions_in_flight_all_land_in_one_block(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        first = await it.nonce()
        sent = await it.submit(*(intent(i) for i in range(20)))
        assert [s.nonce for s in sent] == list(range(first, first + 20))
        assert {s.state for s in sent} == {State.SENT}
        assert all(it.engine.in_flight("market", account(i)) for i in range(20))
        news = await it.mine()
        assert states(news) == [State.INCLUDED] * 20
        assert len({n.submission.block_hash for n in news}) == 1
        assert [n.receipt.tx_index for n in news if n.receipt] == list(range(20))
        assert it.engine.pending() == 0
        assert await it.nonce() == first + 20


async def test_submissions_made_at_the_same_time_never_share_a_nonce(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        batches = await asyncio.gather(*(it.submit(intent(3 * i), intent(3 * i + 1), intent(3 * i + 2)) for i in range(5)))
        nonces = sorted(s.nonce for batch in batches for s in batch)
        assert nonces == list(range(nonces[0], nonces[0] + 15))
        assert states(await it.mine()) == [State.INCLUDED] * 15


async def test_a_receipt_tells_gas_price_block_and_logs(net: Devnet, tmp_path: Path) -> None:
    weth = net.addresses["token.WETH"]
    await net.request("anvil_setBalance", SIGNER.address, hex(10**20))
    async with rig(net, tmp_path) as it:
        approve = bytes.fromhex("095ea7b3") + bytes(12) + bytes.fromhex(SINK[2:]) + (7).to_bytes(32, "big")
        wanted = intent(to=weth)
        await it.submit(type(wanted)(weth, approve, wanted.bid, "market", account(0), "{}", 0))
        [news] = await it.mine()
        assert news.receipt is not None
        raw = await net.request("eth_getTransactionReceipt", news.submission.tx)
        assert news.receipt.gas_used == int(raw["gasUsed"], 16)
        assert news.receipt.effective_gas_price_wei == int(raw["effectiveGasPrice"], 16)
        assert (news.receipt.block_number, news.receipt.block_hash) == (int(raw["blockNumber"], 16), raw["blockHash"])
        assert [log.address for log in news.receipt.logs] == [weth]


async def test_a_reverted_transaction_is_reverted_not_lost(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        await it.submit(intent(to=net.addresses["aave_v36.pool"]))
        [news] = await it.mine()
        assert news.state is State.REVERTED
        assert news.receipt is not None
        assert not news.receipt.ok


async def test_news_is_repeated_until_it_is_acknowledged_even_over_a_restart(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        await it.submit(intent(1))
        first = await it.mine()
        assert await it.mine() == first
    async with stopped(net, tmp_path) as it:
        again = await it.engine.recover(await it.head())
        assert again == first
        await it.engine.acknowledge(again)
        assert await it.mine() == []
    async with stopped(net, tmp_path) as it:
        assert await it.engine.recover(await it.head()) == []


# --- doubt


async def test_a_time_out_though_accepted_keeps_the_nonce_and_lands_once(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Deaf(it.node)
        [doubtful] = await it.submit(intent(1))
        assert doubtful.state is State.UNKNOWN
        it.wire.relay = it.node
        [next_] = await it.submit(intent(2))
        assert next_.nonce == doubtful.nonce + 1
        assert states(await it.mine()) == [State.INCLUDED] * 2
        assert Counter(it.wire.passed) == {doubtful.tx: 1, next_.tx: 1}


async def test_a_send_that_never_arrived_is_sent_again_at_the_next_head_with_the_same_bytes(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Leaky(it.node)
        [lost] = await it.submit(intent(1))
        it.wire.relay = it.node
        [behind] = await it.submit(intent(2))
        assert await it.mine() == []
        assert it.now(lost).state is State.SENT
        assert states(await it.mine()) == [State.INCLUDED] * 2
        assert it.wire.passed == [lost.tx, behind.tx, lost.tx]


async def test_a_doubtful_one_that_the_node_has_is_known_already_not_sent_twice(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Deaf(it.node)
        [doubtful] = await it.submit(intent(1))
        it.wire.relay = it.node
        await it.engine.on_head(await it.head())
        assert it.now(doubtful).state is State.SENT
        assert it.now(doubtful).detail == "already_known"
        assert states(await it.mine()) == [State.INCLUDED]


async def test_a_relay_that_breaks_leaves_doubt_not_a_hole(net: Devnet, tmp_path: Path) -> None:
    class Broken:
        async def send(self, raw: bytes, tx: Hash) -> Sent:
            raise ValueError("a defect of the relay")

    async with rig(net, tmp_path, Broken()) as it:
        [doubtful] = await it.submit(intent(1))
        assert (doubtful.state, doubtful.detail) == (State.UNKNOWN, "ValueError")
        it.wire.relay = it.node
        assert states(await it.mine(2)) == [State.INCLUDED]


async def test_a_dropped_transaction_is_sent_again_after_three_blocks(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [sent] = await it.submit(intent(1))
        await net.request("anvil_dropTransaction", sent.tx)
        assert await it.mine(2) == []
        assert it.wire.passed == [sent.tx]
        assert await it.mine() == []
        assert it.wire.passed == [sent.tx] * 2
        assert states(await it.mine()) == [State.INCLUDED]


async def test_while_the_node_is_away_nothing_is_decided_and_nothing_lost(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [sent] = await it.submit(intent(1))
        it.chain.away = True
        assert await it.mine() == []
        assert it.now(sent).state is State.SENT
        it.chain.away = False
        assert states(await it.engine.on_head(await it.head())) == [State.INCLUDED]


async def test_a_node_that_lags_does_not_make_us_use_a_nonce_again(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [first] = await it.submit(intent(1))
        await it.engine.acknowledge(await it.mine())
        it.chain.behind = 1
        await it.engine.on_head(await it.head())
        [second] = await it.submit(intent(2))
        assert (second.nonce, second.state) == (first.nonce + 1, State.SENT)


async def test_a_head_that_comes_while_a_send_hangs_does_not_send_it_again(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = slow = Hanging(it.node)
        task = asyncio.create_task(it.submit(intent(1)))
        await slow.asked.wait()
        await it.engine.on_head(await it.head())
        assert len(it.wire.passed) == 1
        slow.answer.set()
        assert [s.state for s in await task] == [State.SENT]


async def test_a_transaction_that_lands_before_the_relay_answers_stays_included(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = slow = Hanging(it.node)
        task = asyncio.create_task(it.submit(intent(1)))
        await slow.asked.wait()
        assert states(await it.mine()) == [State.INCLUDED]
        slow.answer.set()
        assert [s.state for s in await task] == [State.INCLUDED]


async def test_news_older_than_any_reorg_is_still_delivered_after_a_restart(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        await it.submit(intent(1))
        news = await it.mine()
    await net.request("anvil_mine", hex(300), hex(12))
    async with stopped(net, tmp_path) as it:
        assert await it.engine.recover(await it.head()) == news


# --- refusals


async def test_a_refused_transaction_gives_its_nonce_back(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [refused] = await it.submit(intent(1, gas=20_000))
        assert (refused.state, refused.detail) == (State.DROPPED, "intrinsic_gas")
        assert not it.engine.in_flight("market", account(1))
        [good] = await it.submit(intent(1))
        assert good.nonce == refused.nonce
        assert states(await it.mine()) == [State.INCLUDED]


async def test_the_same_refused_bytes_may_be_tried_again(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [first] = await it.submit(intent(1, gas=20_000))
        [second] = await it.submit(intent(1, gas=20_000))
        assert (first.tx, first.state) == (second.tx, second.state)


async def test_refusals_at_the_end_of_a_batch_leave_no_hole(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        sent = await it.submit(intent(0), intent(1, gas=20_000), intent(2, gas=20_000))
        assert [s.state for s in sent] == [State.SENT, State.DROPPED, State.DROPPED]
        assert len(it.wire.passed) == 3
        [next_] = await it.submit(intent(3))
        assert next_.nonce == sent[1].nonce
        assert states(await it.mine()) == [State.INCLUDED] * 2


async def test_a_hole_below_others_in_flight_is_filled_at_once(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        sent = await it.submit(intent(0), intent(1, gas=20_000), intent(2))
        assert [s.state for s in sent] == [State.SENT, State.DROPPED, State.SENT]
        [filler] = [s for s in it.outbox.unresolved() if s.is_cancel]
        assert (filler.nonce, filler.state) == (sent[1].nonce, State.SENT)
        news = await it.mine()
        assert states(news) == [State.INCLUDED] * 3
        assert [n.submission.is_cancel for n in news] == [False, False, True]


async def test_a_refusal_of_the_second_attempt_proves_nothing_so_the_nonce_stays_taken(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Deaf(it.node)
        [doubtful] = await it.submit(intent(1))
        it.wire.relay = Refusing(it.node)
        await it.engine.on_head(await it.head())
        assert it.now(doubtful).state is State.UNKNOWN
        it.wire.relay = it.node
        [next_] = await it.submit(intent(2))
        assert next_.nonce == doubtful.nonce + 1
        assert states(await it.mine()) == [State.INCLUDED] * 2


async def test_a_dropped_one_that_no_relay_takes_again_is_cancelled_at_the_next_head(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [sent] = await it.submit(intent(1))
        await net.request("anvil_dropTransaction", sent.tx)
        it.wire.relay = Refusing(it.node)
        await it.mine(3)
        it.wire.relay = it.node
        await it.mine()
        [cancel] = [s for s in it.outbox.unresolved() if s.is_cancel]
        assert (cancel.nonce, cancel.replaces, cancel.state) == (sent.nonce, sent.id, State.SENT)
        news = await it.mine()
        assert {n.submission.id: n.state for n in news} == {sent.id: State.CANCELLED, cancel.id: State.INCLUDED}


async def test_what_is_given_up_is_cancelled_at_the_next_head_and_what_lands_before_has_landed(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        early, late = await it.submit(intent(1), intent(2))
        await net.request("anvil_dropTransaction", late.tx)
        it.engine.give_up()
        await it.mine()
        assert it.now(early).state is State.INCLUDED
        [cancel] = [s for s in it.outbox.unresolved() if s.is_cancel]
        assert (cancel.nonce, cancel.replaces) == (late.nonce, late.id)
        await it.mine()
        assert it.now(late).state is State.CANCELLED


async def test_a_nonce_used_behind_our_back_costs_one_refusal_and_no_block(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        await take_nonces(net, 1)
        [refused] = await it.submit(intent(1))
        assert (refused.state, refused.detail) == (State.DROPPED, "nonce_too_low")
        [good] = await it.submit(intent(2))
        assert good.state is State.SENT
        assert states(await it.mine()) == [State.INCLUDED]


async def test_a_nonce_taken_by_a_stranger_drops_ours_and_frees_the_account(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        it.wire.relay = Leaky(it.node)
        [ours] = await it.submit(intent(1))
        await take_nonces(net, 1)
        assert await it.engine.on_head(await it.head()) == []
        assert it.engine.in_flight("market", account(1))
        [news] = await it.mine()
        assert (news.submission.id, news.state, news.submission.detail) == (ours.id, State.DROPPED, "nonce_taken")
        assert not it.engine.in_flight("market", account(1))


async def test_without_room_to_journal_nothing_is_sent_and_the_nonce_stays_free(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        first = await it.nonce()
        pages = await it.ledger.database.read(lambda c: c.exec_driver_sql("PRAGMA page_count"))
        await it.ledger.database.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages.scalar_one()}"))
        with pytest.raises(Halt, match="make room and restart"):
            await it.submit(*(intent(i) for i in range(60)))
        assert it.wire.passed == []
        assert it.engine.pending() == 0
    async with rig(net, tmp_path) as it:
        sent = await it.submit(*(intent(i) for i in range(60)))
        assert [s.nonce for s in sent] == list(range(first, first + 60))
        assert states(await it.mine()) == [State.INCLUDED] * 60


# --- fees


async def test_a_fee_below_the_base_fee_is_replaced_at_the_same_nonce_with_both_fees_raised(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [low] = await it.submit(intent(1, max_fee_wei=20 * GWEI))
        await raise_base_fee(net, 200 * GWEI)
        await it.mine(3)
        [higher] = [s for s in it.outbox.unresolved() if s.id != low.id]
        assert (higher.nonce, higher.replaces, higher.state) == (low.nonce, low.id, State.SENT)
        assert higher.max_fee_wei * 8 >= low.max_fee_wei * 9
        assert higher.priority_fee_wei * 8 >= low.priority_fee_wei * 9
        news = await it.mine()
        assert {n.submission.id: n.state for n in news} == {low.id: State.REPLACED, higher.id: State.INCLUDED}
        [tx] = [n.receipt.tx for n in news if n.receipt]
        landed = await net.request("eth_getTransactionByHash", tx)
        assert (landed["input"], landed["to"]) == ("0x00000001", SINK)


async def test_an_intent_not_worth_the_base_fee_is_cancelled_and_its_nonce_freed(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [low] = await it.submit(intent(1, max_fee_wei=20 * GWEI, cap_wei=30 * GWEI))
        [behind] = await it.submit(intent(2, max_fee_wei=400 * GWEI))
        await raise_base_fee(net, 200 * GWEI)
        await it.mine(3)
        news = await it.mine()
        ended = {n.submission.id: n.state for n in news}
        assert (ended.pop(low.id), ended.pop(behind.id)) == (State.CANCELLED, State.INCLUDED)
        assert list(ended.values()) == [State.INCLUDED]
        assert not it.engine.in_flight("market", account(1))


async def test_above_every_cap_it_waits_for_the_base_fee_to_fall(net: Devnet, tmp_path: Path) -> None:
    async with rig(net, tmp_path) as it:
        [low] = await it.submit(intent(1, max_fee_wei=450 * GWEI))
        await raise_base_fee(net, 1000 * GWEI)
        await it.mine(5)
        assert [s.id for s in it.outbox.unresolved()] == [low.id]
        assert it.wire.passed == [low.tx]
        for _ in range(12):
            news = await it.mine()
            if news:
                break
        assert states(news) == [State.INCLUDED]
