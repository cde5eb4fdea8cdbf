"""The judge itself: it sees money where there is some, none where there is none, and what it promises is paid."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keeper.devnet.names import BENEFICIARY, MARKETS, OPERATOR
from keeper.devnet.paths import path
from tests.e2e.calls import FLASH_LOAN, FLASH_SWAP, MAX, NO_FUNDING, execute
from tests.e2e.checker import Report, check, moved, prices_of, worth_wei
from tests.e2e.world import World, world

SEED = 3
ACCOUNTS = 40
ROOT = Path(__file__).parents[2]
JUDGED = ("adapters", "bidding", "book", "chain", "daemon", "execution", "ledger", "pipeline", "planning", "risk", "venues")


@dataclass(frozen=True, slots=True)
class Judged:
    """A devnet after a crash in one block that no keeper has seen, with the judge's word before and after."""

    here: World
    before: Report
    after: Report


@pytest.fixture(scope="module")
async def judged() -> AsyncIterator[Judged]:
    async with world(ACCOUNTS, SEED) as here:
        before = await check(here.net, here.executor)
        await here.net.set_prices(path("crash", 2, SEED, await here.net.prices())[-1])
        await here.net.mine()
        yield Judged(here, before, await check(here.net, here.executor))


def test_the_checker_shares_no_code_with_what_it_judges() -> None:
    program = "import sys, tests.e2e.checker; print(*(name for name in sys.modules if name.startswith('keeper.')))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert "keeper.contracts" in loaded
    assert [name for name in loaded if name.split(".")[1] in JUDGED] == []


def test_the_checker_finds_profitable_calls_where_no_keeper_has_been(judged: Judged) -> None:
    found = judged.after.profitable
    assert not judged.before.positions
    assert len({attempt.choice.account for attempt in found}) >= 15
    assert {attempt.choice.market for attempt in found} == set(MARKETS)
    assert {attempt.funding.kind for attempt in found} == {NO_FUNDING, FLASH_LOAN, FLASH_SWAP}
    assert {len(attempt.path) for attempt in found} >= {0, 1, 2}


def test_the_checker_tries_every_pair_at_ten_amounts(judged: Judged) -> None:
    whole = next(p for p in judged.after.positions if len(p.debts) > 1 and min(p.debts.values()) > 1000)
    tried = {(c.debt, c.collateral, c.cover) for c in whole.choices()}
    assert len(tried) == 10 * len(whole.debts) * len(whole.collaterals)
    assert {(d, c, MAX) for d in whole.debts for c in whole.collaterals} <= tried


async def test_what_the_checker_promises_is_what_the_chain_pays(judged: Judged) -> None:
    here, best = judged.here, judged.after.profitable[0]
    data = execute(here.net, here.executor, best.choice, best.funding, best.path)
    receipt = await here.net.transact(OPERATOR, here.executor, data)
    gains = moved(receipt["logs"], sender=here.executor, to=BENEFICIARY)
    block = await here.net.request("eth_getBlockByNumber", receipt["blockNumber"], False)
    assert worth_wei(here.net, await prices_of(here.net, best.choice.market), gains) == best.gain_wei
    assert int(receipt["gasUsed"], 16) * int(block["baseFeePerGas"], 16) == best.cost_wei
