"""Ether between signers on a real node: once, whatever dies, is undone or lands meanwhile; and nothing urgent waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keeper.chain.carriers import Carriers, Each
from keeper.chain.fees import landing, next_base_fee
from keeper.chain.node import Call
from keeper.chain.rpc import Rpc
from keeper.devnet import Devnet
from keeper.execution.engine import TxEngine
from keeper.execution.fleet import Fleet
from keeper.execution.gas_money import SWEEP, GasMoney
from keeper.execution.outbox import Outbox
from keeper.execution.signer import Signer
from keeper.execution.states import State
from keeper.execution.submission import Resolved
from keeper.execution.treasurer import EVERY_BLOCKS, Terms, Treasurer
from keeper.secret import Secret
from keeper.types import Address, Hash, Head
from tests.e2e.doom import Doom, Killed, over_node_and_file
from tests.execution.rig import GWEI, LIMITS, SIGNER, Rig, intent, raise_base_fee, stopped

ETHER = 10**18
FIRST, SECOND, THIRD = SIGNER, Signer(Secret("a" * 64)), Signer(Secret("b" * 64))
SAFE = Address("0x" + "5a" * 20)
MONEY = GasMoney(ETHER // 20, ETHER // 5, None)
TERMS = Terms(MONEY, 100 * GWEI, GWEI, 3_600)
FLOAT_WEI, LEAST_WEI = MONEY.float_wei, MONEY.least_wei


@dataclass
class House:
    """One process: signers, and who looks after their ether."""

    it: Rig
    fleet: Fleet
    rpc: Rpc
    halted: str = ""
    swept_s: int = 0
    head: Head = field(init=False)

    def treasurer(self, terms: Terms | None = TERMS, rpc: Rpc | None = None, beneficiary: Address = SAFE) -> Treasurer:
        purses = {signer: signer for signer in self.fleet.signers}
        after = partial(landing, block_time_s=12)
        return Treasurer(
            self.fleet, rpc or self.rpc, purses, beneficiary, terms, lambda: self.head, after, lambda: self.halted, self._swept, self._told
        )

    async def begin(self) -> None:
        self.head = await self.it.head()
        await self.fleet.recover(self.head)

    async def mine(self, undone: Sequence[Hash] = ()) -> list[Resolved]:
        await self.it.net.mine()
        return await self.follow(undone)

    async def follow(self, undone: Sequence[Hash] = ()) -> list[Resolved]:
        """As the daemon does: first the head, then what it decided."""
        self.head = await self.it.head()
        news = await self.fleet.on_head(self.head, undone)
        for one in news:
            if one.submission.market == SWEEP and one.receipt:
                self.swept_s = self.head.timestamp_s
        await self.fleet.acknowledge(news)
        return news

    async def looks_slowly(self) -> None:
        """A block comes meanwhile."""
        slow = Slow(self.it.net.rpc, self)
        try:
            await self.treasurer(rpc=slow).look()
        finally:
            await slow.close()

    async def _swept(self) -> int:
        return self.swept_s

    def _told(self, signer: Address, wei: int) -> None:
        assert wei >= 0


@asynccontextmanager
async def house(net: Devnet, folder: Path, signers: Sequence[Signer] = (FIRST, SECOND)) -> AsyncIterator[House]:
    """A process that has its files open but has done nothing yet."""
    rpc = Rpc(net.rpc, "devnet", retries=0)
    try:
        async with stopped(net, folder) as it:
            carrier = Carriers([Each(it.wire)])
            outboxes = [(signer, Outbox(it.ledger.database, net.chain_id, signer.address)) for signer in signers]
            engines = [TxEngine(outbox, signer, carrier, it.chain, next_base_fee, LIMITS) for signer, outbox in outboxes]
            yield House(it, Fleet(engines), rpc)
    finally:
        await rpc.close()


@asynccontextmanager
async def begun(net: Devnet, folder: Path, signers: Sequence[Signer] = (FIRST, SECOND)) -> AsyncIterator[House]:
    async with house(net, folder, signers) as made:
        await made.begin()
        yield made


async def rich_and_poor(net: Devnet) -> None:
    await net.request("anvil_setBalance", FIRST.address, hex(10 * ETHER))
    await net.request("anvil_setBalance", SECOND.address, hex(0))
    await net.mine()


async def wei(net: Devnet, who: Address) -> int:
    return int(await net.request("eth_getBalance", who, "latest"), 16)


async def sent_by(net: Devnet, signer: Signer) -> int:
    return int(await net.request("eth_getTransactionCount", signer.address, "latest"), 16)


async def live_for(here: House, blocks: int) -> None:
    treasurer = here.treasurer()
    for _ in range(blocks):
        await treasurer.look()
        await here.mine()


# --- once ---------------------------------------------------------------------------------------------------------


async def lives(net: Devnet, folder: Path, doom: Doom, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A look, a block and what it decided; whether it survived."""

    async def looks(here: House) -> None:
        await here.begin()
        await here.treasurer().look()

    with monkeypatch.context() as patch:
        try:
            async with house(net, folder) as here:
                over_node_and_file(doom, patch)
                await doom.over(looks(here))
                await net.mine()
                await doom.over(here.follow())
        except Killed:
            return False
    return True


async def test_killed_at_any_await_the_float_arrives_once(net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the file and the wire, too: the heir sends the same bytes, and nothing beside them."""
    await rich_and_poor(net)
    first, at, survived = await sent_by(net, FIRST), 0, False
    while not survived:
        snapshot = await net.snapshot()
        survived = await lives(net, tmp_path / str(at), Doom(at), monkeypatch)
        async with begun(net, tmp_path / str(at)) as heir:
            await live_for(heir, 2 * EVERY_BLOCKS)
            assert heir.fleet.ahead() == []
        assert await wei(net, SECOND.address) == FLOAT_WEI, f"killed at {at}"
        assert await sent_by(net, FIRST) == first + 1, f"killed at {at}"
        await net.revert(snapshot)
        at += 1
    assert at > 15


async def test_what_a_reorg_takes_back_is_sent_again_and_not_beside_another(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path) as here:
        first = await sent_by(net, FIRST)
        await here.treasurer().look()
        await here.mine()
        await net.request("anvil_reorg", 1, [])
        assert await wei(net, SECOND.address) == 0
        await here.treasurer().look()
        assert here.fleet.pending() == 0, "of the block that is no more the node says nothing"
        await here.follow([here.head.hash])
        await live_for(here, EVERY_BLOCKS)
        assert await wei(net, SECOND.address) == FLOAT_WEI
        assert await sent_by(net, FIRST) == first + 1


class Slow(Rpc):
    """A block comes while it reads."""

    def __init__(self, url: str, here: House) -> None:
        super().__init__(url, "slow", retries=0)
        self._here = here

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        found = await super().batch(calls)
        await self._here.mine()
        return found


async def test_what_lands_while_the_balances_are_read_is_not_sent_again_by_another(net: Devnet, tmp_path: Path) -> None:
    await net.request("anvil_setBalance", THIRD.address, hex(5 * ETHER))
    await rich_and_poor(net)
    async with begun(net, tmp_path, [FIRST, SECOND, THIRD]) as here:
        await here.treasurer().look()
        assert [top.signer for top in here.fleet.ahead()] == [FIRST.address]
        await here.looks_slowly()
        assert await wei(net, SECOND.address) == FLOAT_WEI
        assert here.fleet.pending() == 0


async def test_what_was_given_while_the_balances_are_read_is_not_given_again(net: Devnet, tmp_path: Path) -> None:
    await net.request("anvil_setBalance", THIRD.address, hex(0))
    await rich_and_poor(net)
    await net.request("anvil_setBalance", FIRST.address, hex(FLOAT_WEI + ETHER // 4))
    async with begun(net, tmp_path, [FIRST, SECOND, THIRD]) as here:
        await here.treasurer().look()
        assert here.fleet.pending() == 1
        await here.looks_slowly()
        assert here.fleet.pending() == 0
        assert await wei(net, FIRST.address) < FLOAT_WEI + LEAST_WEI


# --- nothing urgent waits for it ----------------------------------------------------------------------------------


async def dear(here: House, blocks: int = 1) -> None:
    for _ in range(blocks):
        await raise_base_fee(here.it.net, 300 * GWEI)
        await here.mine()


async def test_a_transfer_that_has_become_too_dear_waits_and_pays_no_more_than_its_cap(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path) as here:
        await here.treasurer().look()
        await dear(here, 2 * EVERY_BLOCKS)
        await here.treasurer().look()
        assert [(top.is_payment, top.max_fee_wei <= TERMS.max_fee_wei) for top in here.fleet.ahead()] == [(True, True)]
        assert await wei(net, FIRST.address) == 10 * ETHER
        await raise_base_fee(net, 10 * GWEI)
        await live_for(here, EVERY_BLOCKS)
        assert await wei(net, SECOND.address) == FLOAT_WEI


async def test_while_the_base_fee_is_above_the_cap_nothing_is_moved(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path) as here:
        await dear(here)
        await here.treasurer().look()
        assert here.fleet.pending() == 0
        await raise_base_fee(net, 10 * GWEI)
        await here.mine()
        await here.treasurer().look()
        assert here.fleet.pending() == 1


async def test_urgent_work_goes_round_a_signer_with_a_transfer_on_its_way(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    await net.request("anvil_setBalance", SECOND.address, hex(LEAST_WEI))
    async with begun(net, tmp_path) as here:
        await here.treasurer(TERMS._replace(money=GasMoney(LEAST_WEI, FLOAT_WEI, ETHER))).look()
        sent = await here.fleet.submit([intent(i, gas=30_000) for i in range(3)])
        assert [top.signer for top in here.fleet.ahead() if top.is_payment] == [FIRST.address]
        assert {one.signer for one in sent} == {SECOND.address}


async def test_urgent_work_goes_round_a_signer_that_is_short(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path) as here:
        await here.treasurer().count("latest")
        assert {one.signer for one in await here.fleet.submit([intent(i) for i in range(3)])} == {FIRST.address}


async def test_urgent_work_behind_a_transfer_lands_in_the_next_block(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path, [FIRST]) as here:
        await here.treasurer(TERMS._replace(money=GasMoney(LEAST_WEI, FLOAT_WEI, ETHER))).look()
        await here.fleet.submit([intent(1)])
        assert [news.state for news in await here.mine()] == [State.INCLUDED] * 2


async def test_a_transfer_that_pays_too_little_makes_way_at_once_for_urgent_work_behind_it(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path, [FIRST]) as here:
        await here.treasurer(TERMS._replace(money=GasMoney(LEAST_WEI, FLOAT_WEI, ETHER))).look()
        await dear(here)
        [urgent] = await here.fleet.submit([intent(1, max_fee_wei=450 * GWEI)])
        ended = {news.submission.id: news.state for news in await here.mine()}
        assert ended.pop(urgent.id) is State.INCLUDED
        assert sorted(ended.values()) == [State.CANCELLED, State.INCLUDED]
        assert await wei(net, SAFE) == 0


async def test_a_signer_with_something_on_its_way_gives_nothing(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path) as here:
        await here.treasurer().count("latest")
        await here.fleet.submit([intent(1)])
        await here.treasurer().look()
        assert [top.is_payment for top in here.fleet.ahead()] == [False]


async def test_halted_a_transfer_on_its_way_is_cancelled_and_none_is_sent(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path) as here:
        await here.treasurer().look()
        here.halted = "a test"
        here.fleet.give_up()
        await here.follow()
        await live_for(here, 2 * EVERY_BLOCKS)
        assert await wei(net, SECOND.address) == 0
        assert here.fleet.pending() == 0


# --- the beneficiary ----------------------------------------------------------------------------------------------

SWEEPING = TERMS._replace(money=GasMoney(LEAST_WEI, FLOAT_WEI, ETHER))


async def test_it_is_swept_once_in_the_configured_time(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path, [FIRST]) as here:
        await here.treasurer(SWEEPING).look()
        await here.treasurer(SWEEPING).look()
        await here.mine()
        swept = await wei(net, SAFE)
        assert swept == 10 * ETHER - FLOAT_WEI - 100_000 * TERMS.max_fee_wei
        await net.request("anvil_setBalance", FIRST.address, hex(10 * ETHER))
        await here.mine()
        await here.treasurer(SWEEPING).look()
        assert here.fleet.pending() == 0
        await net.mine(here.swept_s + TERMS.sweep_every_s)
        await here.follow()
        await here.treasurer(SWEEPING).look()
        await here.mine()
        assert await wei(net, SAFE) == 2 * swept


async def test_while_a_sweep_is_on_its_way_no_other_signer_is_swept(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    await net.request("anvil_setBalance", SECOND.address, hex(FLOAT_WEI))
    async with begun(net, tmp_path) as here:
        await here.treasurer(SWEEPING).look()
        await dear(here)
        await net.request("anvil_setBalance", SECOND.address, hex(5 * ETHER))
        await raise_base_fee(net, 100 * GWEI)
        await here.it.net.request("anvil_dropTransaction", here.fleet.ahead()[0].tx)
        await here.mine()
        await here.treasurer(SWEEPING).look()
        assert [top.signer for top in here.fleet.ahead()] == [FIRST.address]


async def test_a_beneficiary_that_is_a_signer_is_not_swept_to(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path, [FIRST]) as here:
        await here.treasurer(SWEEPING, beneficiary=FIRST.address).look()
        assert here.fleet.pending() == 0


async def test_what_the_beneficiary_does_not_take_is_kept_and_costs_nothing(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    await net.request("anvil_setCode", SAFE, "0x5f5ffd")  # revert(0, 0)
    async with begun(net, tmp_path, [FIRST]) as here:
        await here.treasurer(SWEEPING).look()
        assert here.fleet.pending() == 0
        assert await wei(net, FIRST.address) == 10 * ETHER


async def test_without_terms_nothing_is_moved(net: Devnet, tmp_path: Path) -> None:
    await rich_and_poor(net)
    async with begun(net, tmp_path) as here:
        await here.treasurer(None).look()
        assert here.fleet.pending() == 0
        assert here.fleet.poor == ()
