"""All through a crash, not only at its end: whatever a price move makes due in any protocol is taken, or on its way, a few blocks later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from keeper.devnet.genesis import morpho
from keeper.devnet.paths import path
from keeper.planning.patience import WAITING
from keeper.types import Verdict
from tests import markets
from tests.e2e.checker import ALL, Attempt, check, protocol_of
from tests.e2e.world import TIP_WEI, Keeper, World, keeper_on, step, world

SEED = 3
ACCOUNTS = 40
MOVES = 4
QUIET_BLOCKS = 4
LATER_BLOCKS = 40

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Story:
    """What paid after the last move where no keeper was; what was left to earn at every look where one was; the ids of hostile markets."""

    due: list[Attempt]
    left: list[Attempt]
    hostile: frozenset[str]


@pytest.fixture(scope="module")
async def story() -> AsyncIterator[Story]:
    async with world(ACCOUNTS, SEED, markets.ALL) as here:
        moves = path("crash", MOVES, SEED, await here.net.prices())
        hostile = frozenset(morpho.market_id(here.net.addresses, market) for market in morpho.HOSTILE)
        yield Story(await unanswered(here, moves), await answered(here, moves), hostile)


async def unanswered(here: World, moves: list[dict[str, int]]) -> list[Attempt]:
    """And undone."""
    snapshot = await here.net.snapshot()
    for prices in moves:
        await here.net.set_prices(prices)
        for _ in range(1 + QUIET_BLOCKS):
            await here.net.mine()
            await here.net.arbitrage()
    found = (await check(here.net, here.executor, TIP_WEI, ALL)).profitable
    await here.net.revert(snapshot)
    return found


async def answered(here: World, moves: list[dict[str, int]]) -> list[Attempt]:
    left: list[Attempt] = []
    async with keeper_on(here) as keeper:
        for prices in moves:
            await step(here, keeper, prices)
            for _ in range(QUIET_BLOCKS):
                await here.net.arbitrage()
                await keeper.ready(await step(here, keeper))
            left += await ignored(here, keeper)
        for _ in range(LATER_BLOCKS):  # the price of what is auctioned falls
            await step(here, keeper)
        left += await ignored(here, keeper)
    return left


async def ignored(here: World, keeper: Keeper) -> list[Attempt]:
    """What pays in the next block, without the accounts for which a transaction is on its way to it, and lots that will pay more."""
    outcomes = keeper.reports[-1].outcomes
    seen = {outcome.account for outcome in outcomes if outcome.verdict is Verdict.PENDING or outcome.reason == WAITING}
    found = (await check(here.net, here.executor, TIP_WEI, ALL)).profitable
    return [attempt for attempt in found if attempt.choice.account not in seen]


@pytest.mark.parametrize("protocol", ALL)
def test_what_a_price_move_makes_due_is_gone_a_few_blocks_later(story: Story, protocol: str) -> None:
    assert protocol in {protocol_of(attempt.choice.market) for attempt in story.due}
    left = [attempt for attempt in story.left if attempt.choice.market not in story.hostile]
    assert [attempt for attempt in left if protocol_of(attempt.choice.market) == protocol] == []
