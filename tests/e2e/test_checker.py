"""The judge itself: it sees money where there is some, none where there is none, and what it promises is paid."""

from __future__ import annotations

from keeper.devnet.names import BENEFICIARY, MARKETS, OPERATOR
from keeper.devnet.paths import path
from tests.e2e.calls import FLASH_LOAN, FLASH_SWAP, MAX, NO_FUNDING, execute
from tests.e2e.checker import PERMILLE, Report, check, moved, prices_of, worth_wei
from tests.e2e.world import World, world

SEED = 3
ACCOUNTS = 40


async def fallen(here: World) -> Report:
    """The judge's word after a crash in one block that no keeper has seen."""
    await here.net.set_prices(path("crash", 2, SEED, await here.net.prices())[-1])
    await here.net.mine()
    return await check(here.net, here.executor)


async def test_the_checker_finds_profitable_calls_where_no_keeper_has_been() -> None:
    async with world(ACCOUNTS, SEED) as here:
        before = await check(here.net, here.executor)
        after = await fallen(here)
    assert not before.positions
    assert len({attempt.choice.account for attempt in after.profitable}) >= 15
    assert {attempt.choice.market for attempt in after.profitable} == set(MARKETS)
    assert {attempt.funding.kind for attempt in after.profitable} == {NO_FUNDING, FLASH_LOAN, FLASH_SWAP}
    assert {len(attempt.path) for attempt in after.profitable} >= {0, 1, 2}


async def test_the_checker_tries_every_pair_at_ten_amounts() -> None:
    async with world(ACCOUNTS, SEED) as here:
        report = await fallen(here)
    whole = next(p for p in report.positions if len(p.debts) > 1 and min(p.debts.values()) > max(PERMILLE))
    tried = {(c.debt, c.collateral, c.cover) for c in whole.choices()}
    assert len(tried) == 10 * len(whole.debts) * len(whole.collaterals)
    assert {(d, c, MAX) for d in whole.debts for c in whole.collaterals} <= tried


async def test_what_the_checker_promises_is_what_the_chain_pays() -> None:
    async with world(ACCOUNTS, SEED) as here:
        best = (await fallen(here)).profitable[0]
        data = execute(here.net, here.executor, best.choice, best.funding, best.path)
        receipt = await here.net.transact(OPERATOR, here.executor, data)
        gains = moved(receipt["logs"], sender=here.executor, to=BENEFICIARY)
        block = await here.net.request("eth_getBlockByNumber", receipt["blockNumber"], False)
        prices = await prices_of(here.net, best.choice.market)
        assert worth_wei(here.net, prices, gains) == best.gain_wei
    assert int(receipt["gasUsed"], 16) * int(block["baseFeePerGas"], 16) == best.cost_wei
