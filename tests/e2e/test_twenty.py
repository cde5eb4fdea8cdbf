"""Many accounts fall in one block: one run takes them all within the next two, with one key and no nonce out of place."""

from __future__ import annotations

import pytest

from keeper.devnet.names import OPERATOR
from keeper.types import Address
from tests.e2e.checker import check
from tests.e2e.world import (
    TIP_WEI,
    World,
    assert_ledger_is_the_chain,
    drop,
    keeper_on,
    ours,
    query,
    settle_down,
    step,
    succeeded,
    waiting,
    world,
)

SEED = 3
ACCOUNTS = 60

Account = tuple[str, Address]


async def taken(here: World, fell: int) -> set[Account]:
    """What was liquidated within two blocks of the fall; the ledger agrees with the chain on all of it."""
    written = await assert_ledger_is_the_chain(here)
    assert all(row["result"] == "won" and row["predicted_profit"] == row["realised_profit"] for row in written)
    assert {row["block"] - fell for row in written} <= {1, 2}
    return {(row["market"].replace("-", "_"), row["account"]) for row in written}


async def assert_orderly(here: World) -> None:
    """One sender's nonces without a gap, each used once, in the order of the chain; all landed, the outbox has nothing open."""
    landed = await ours(here)
    assert [receipt["nonce"] for receipt in landed] == list(range(len(landed)))
    assert all(succeeded(receipt) for receipt in landed)
    assert await waiting(here.net) == 0
    outbox = query(here, "select signer, nonce, state, attempts, replaces, acknowledged from outbox order by nonce")
    assert outbox == [(OPERATOR, nonce, "included", 1, None, 1) for nonce in range(len(landed))]


async def test_twenty_accounts_that_fall_in_one_block_are_all_liquidated_within_the_next_two() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            fell = await step(here, keeper, await drop(here, percent=6))
            prey = {(a.choice.market, a.choice.account) for a in (await check(here.net, here.executor, TIP_WEI)).profitable}
            await step(here, keeper)
            await step(here, keeper)
        assert len(prey) >= 20
        assert await taken(here, fell) == prey
        await assert_orderly(here)
        assert (await check(here.net, here.executor, TIP_WEI)).profitable == []


async def test_more_than_may_be_in_flight_at_once_take_two_blocks_and_leave_nothing_that_pays() -> None:
    async with world(ACCOUNTS, SEED + 2) as here:
        async with keeper_on(here) as keeper:
            fell = await step(here, keeper, await drop(here, percent=12))
            sent = await waiting(here.net)
            await step(here, keeper)
            await settle_down(here, keeper)
        assert sent == here.settings.chains[0].limits.max_in_flight
        assert len(await taken(here, fell)) > sent
        await assert_orderly(here)
        assert (await check(here.net, here.executor, TIP_WEI)).profitable == []


@pytest.mark.parametrize(("accounts", "percent", "fallen"), [(12, 6, 5), (185, 6, 50)])
async def test_however_many_fall_in_one_block_all_are_liquidated_within_the_next_two(accounts: int, percent: int, fallen: int) -> None:
    """At the default limits, which one block of them may exceed."""
    async with world(accounts, SEED) as here:
        async with keeper_on(here) as keeper:
            fell = await step(here, keeper, await drop(here, percent))
            await step(here, keeper)
            await step(here, keeper)
        assert len(await taken(here, fell)) >= fallen
        await assert_orderly(here)
        assert (await check(here.net, here.executor, TIP_WEI)).profitable == []
