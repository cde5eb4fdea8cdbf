"""What can go wrong between engine and node, on the running keeper: nothing is sent twice, no nonce is lost, the ledger is the chain.

A liquidation that a reorg takes back is in `test_reorg.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from keeper.chain.relay import PublicRelay
from keeper.devnet.names import OPERATOR
from keeper.types import Hash, SendResult, Sent
from tests.e2e.checker import check
from tests.e2e.test_reorg import assert_nothing_counted_twice
from tests.e2e.world import TIP_WEI, World, assert_ledger_is_the_chain, drop, keeper_on, ours, query, settle_down, step, waiting, world

SEED = 3
ACCOUNTS = 12
FALL_PERCENT = 6
PREY = 5
SINK = "0x" + "5e" * 20
GWEI = 10**9
LEAP_WEI = 20 * GWEI
RESEND_BLOCKS = 3


async def assert_all_taken(here: World, strangers: int = 0) -> None:
    """Every account was liquidated once; every nonce of the key is used once, all but the strangers' by one entry of the outbox; no sum
    differs."""
    written = await assert_ledger_is_the_chain(here)
    assert_nothing_counted_twice(here, written)
    won = [row for row in written if row["result"] == "won"]
    assert len({row["account"] for row in won}) == len(won) == PREY
    assert {row["result"] for row in written} <= {"won", "cancelled"}
    landed = await ours(here)
    assert [receipt["nonce"] for receipt in landed] == list(range(len(landed)))
    assert len(landed) == len(written) + strangers
    assert await waiting(here.net) == 0
    assert query(here, "select state from outbox where state in ('signed', 'sent', 'unknown', 'reorged-out') or not acknowledged") == []
    assert (await check(here.net, here.executor, TIP_WEI)).profitable == []


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Sent], Sent]) -> None:
    """The node takes it; what comes back is this."""
    send = PublicRelay.send

    async def altered(self: PublicRelay, raw: bytes, tx: Hash) -> Sent:
        return answer(await send(self, raw, tx))

    monkeypatch.setattr(PublicRelay, "send", altered)


@pytest.mark.parametrize(
    "answer",
    [Sent(SendResult.UNKNOWN, "no answer in time"), Sent(SendResult.REFUSED, "underpriced"), Sent(SendResult.REFUSED, "nonce_too_low")],
    ids=["timed out", "refused", "refused for its nonce"],
)
async def test_what_was_taken_in_spite_of_the_answer_lands_once_and_is_counted(monkeypatch: pytest.MonkeyPatch, answer: Sent) -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            with monkeypatch.context() as wrong:
                answering(wrong, lambda _: answer)
                await step(here, keeper, await drop(here, FALL_PERCENT))
            assert await waiting(here.net) == PREY
            await settle_down(here, keeper, at_least=2)
        await assert_all_taken(here)


async def test_a_nonce_that_another_process_takes_costs_one_block() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await step(here, keeper, await drop(here, FALL_PERCENT))
            fees = {"maxFeePerGas": hex(9_000 * GWEI), "maxPriorityFeePerGas": hex(9_000 * GWEI)}
            stolen = {"from": OPERATOR, "to": SINK, "nonce": "0x1", "gas": hex(21_000), **fees}
            await here.net.request("eth_sendTransaction", stolen)
            await settle_down(here, keeper, at_least=4)
        await assert_all_taken(here, strangers=1)


def capped(here: World, cap_wei: int) -> World:
    """The same with this most to pay per gas."""
    (chain,) = here.settings.chains
    bidding = chain.bidding.model_copy(update={"max_fee_wei": cap_wei, "max_priority_fee_wei": cap_wei // 3})
    return replace(here, settings=here.settings.model_copy(update={"chains": (chain.model_copy(update={"bidding": bidding}),)}))


@pytest.mark.parametrize("cap_wei", [1_000 * GWEI, 15 * GWEI], ids=["below the cap", "above the cap"])
async def test_a_base_fee_twenty_times_as_high_holds_up_what_is_on_its_way_and_no_more(cap_wei: int) -> None:
    async with world(ACCOUNTS, SEED) as devnet:
        here = capped(devnet, cap_wei)
        async with keeper_on(here) as keeper:
            await step(here, keeper, await drop(here, FALL_PERCENT))
            for _ in range(RESEND_BLOCKS + 1):
                await here.net.request("anvil_setNextBlockBaseFeePerGas", hex(LEAP_WEI))
                await step(here, keeper)
            meanwhile = len(await ours(here))
            await here.net.request("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
            await settle_down(here, keeper, at_least=4)
        assert bool(meanwhile) == (cap_wei > LEAP_WEI)
        await assert_all_taken(here)


async def test_a_key_that_runs_out_of_ether_acts_again_when_it_has_some() -> None:
    async with world(ACCOUNTS, SEED) as here:
        before = await here.net.request("eth_getBalance", OPERATOR, "latest")
        async with keeper_on(here) as keeper:
            await here.net.request("anvil_setBalance", OPERATOR, hex(10**9))
            await step(here, keeper, await drop(here, FALL_PERCENT))
            assert await waiting(here.net) == 0
            await here.net.request("anvil_setBalance", OPERATOR, before)
            await step(here, keeper)
            await settle_down(here, keeper, at_least=2)
        await assert_all_taken(here)
