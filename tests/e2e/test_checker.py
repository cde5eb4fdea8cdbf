"""The judge itself: it sees money where there is some, and none where there is none."""

from __future__ import annotations

from keeper.devnet.paths import path
from tests.e2e.checker import check
from tests.e2e.world import world

SEED = 3


async def test_the_checker_finds_profitable_calls_where_no_keeper_has_been() -> None:
    async with world(accounts=20, seed=SEED) as here:
        before = await check(here.net, here.executor)
        await here.net.set_prices(path("crash", 3, SEED, await here.net.prices())[-1])
        await here.net.mine()
        after = await check(here.net, here.executor)
    assert not before.positions
    assert len(after.positions) >= 10
    assert len({attempt.choice.account for attempt in after.profitable}) >= 8
    assert {attempt.choice.market for attempt in after.profitable} == {"aave_v36", "aave_v302"}
    assert {attempt.funding.kind for attempt in after.profitable} >= {1, 2}


async def test_what_the_checker_promises_is_what_the_chain_pays() -> None:
    async with world(accounts=20, seed=SEED) as here:
        await here.net.set_prices(path("crash", 3, SEED, await here.net.prices())[-1])
        await here.net.mine()
        best = (await check(here.net, here.executor)).profitable[0]
        receipt = await send(here, best)
        assert gains == ...
