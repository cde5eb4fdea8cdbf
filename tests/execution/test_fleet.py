"""Several signers over one outbox: each account's calls keep their order, different accounts do not wait for each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from keeper.chain.carriers import Carriers, Each
from keeper.chain.fees import next_base_fee
from keeper.devnet import Devnet
from keeper.execution.engine import TxEngine
from keeper.execution.fleet import Fleet
from keeper.execution.outbox import Outbox
from keeper.execution.signer import Signer
from keeper.execution.states import State
from keeper.secret import Secret
from tests.execution.rig import LIMITS, SIGNER, Leaky, Rig, intent, rig

SIGNERS = (SIGNER, *(Signer(Secret(digit * 64)) for digit in "ab"))


@asynccontextmanager
async def fleet(net: Devnet, folder: Path) -> AsyncIterator[tuple[Fleet, Rig]]:
    async with rig(net, folder) as it:
        for signer in SIGNERS:
            await net.request("anvil_setBalance", signer.address, hex(10**20))
        carrier = Carriers([Each(it.wire)])
        outboxes = [Outbox(it.ledger.database, net.chain_id, signer.address) for signer in SIGNERS]
        engines = [TxEngine(o, s, carrier, it.chain, next_base_fee, LIMITS) for o, s in zip(outboxes, SIGNERS, strict=True)]
        made = Fleet(engines)
        await made.recover(await it.head())
        yield made, it


async def test_each_account_has_a_signer_and_what_is_sent_comes_back_in_order(net: Devnet, tmp_path: Path) -> None:
    async with fleet(net, tmp_path) as (them, it):
        intents = [intent(i) for i in (0, 1, 0, 2, 3)]
        sent = await them.submit(intents)
        assert [s.account for s in sent] == [one.account for one in intents]
        assert len({s.signer for s in sent}) == 3
        assert sent[0].signer == sent[2].signer
        assert sent[0].nonce < sent[2].nonce
        assert len({s.id for s in sent}) == len(sent)
        assert {s.id for s in them.ahead()} == {s.id for s in sent}
        assert them.in_flight("market", intents[4].account)
        await net.mine()
        news = await them.on_head(await it.head())
        assert sorted(n.submission.id for n in news) == sorted(s.id for s in sent)
        assert {n.state for n in news} == {State.INCLUDED}
        await them.acknowledge(news)
        assert await them.on_head(await it.head()) == []


async def test_one_that_never_arrives_holds_up_its_own_signer_alone(net: Devnet, tmp_path: Path) -> None:
    async with fleet(net, tmp_path) as (them, it):
        it.wire.relay = Leaky(it.node)
        [lost] = await them.submit([intent(0)])
        it.wire.relay = it.node
        [free] = await them.submit([intent(1)])
        assert free.signer != lost.signer
        await net.mine()
        news = await them.on_head(await it.head())
        assert [(n.submission.id, n.state) for n in news] == [(free.id, State.INCLUDED)]


async def test_after_a_restart_every_signer_goes_on_where_it_was(net: Devnet, tmp_path: Path) -> None:
    async with fleet(net, tmp_path) as (them, it):
        it.wire.relay = Leaky(it.node)
        sent = await them.submit([intent(i) for i in range(3)])
    async with fleet(net, tmp_path) as (them, it):
        assert {s.tx for s in them.ahead()} == {s.tx for s in sent}
        await net.mine()
        news = await them.on_head(await it.head())
        assert {(n.submission.tx, n.state) for n in news} == {(s.tx, State.INCLUDED) for s in sent}


async def test_an_answer_finds_its_signer(net: Devnet, tmp_path: Path) -> None:
    async with fleet(net, tmp_path) as (them, _):
        first, second = await them.submit([intent(0), intent(1)])
        raised = await them.outbid({second.id: 3 * second.priority_fee_wei})
        assert [(s.signer, s.nonce, s.replaces) for s in raised] == [(second.signer, second.nonce, second.id)]
        assert first.id in {s.id for s in them.ahead()}


async def test_all_that_is_given_up_is_cancelled(net: Devnet, tmp_path: Path) -> None:
    async with fleet(net, tmp_path) as (them, it):
        await them.submit([replace(intent(i), fee_cap_wei=None) for i in range(3)])
        them.give_up()
        await them.on_head(await it.head())
        await net.mine()
        news = await them.on_head(await it.head())
        assert sum(n.submission.is_cancel for n in news) == 3
