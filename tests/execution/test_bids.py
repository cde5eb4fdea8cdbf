"""A program of one's own says what to bid: in time, within the caps, or not at all."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from keeper.bidding.budget import Budget, Purse
from keeper.bidding.caps import Capped, Caps
from keeper.bidding.share import ProfitShare
from keeper.config.settings import BiddingSettings
from keeper.errors import ConfigError
from keeper.execution.bids import AdvisedPolicy, advised
from keeper.types import Address, Landing, Prediction
from tests.bidding.test_share import GWEI, kept, worth
from tests.execution.test_model import HEAD

ETHER = 10**18
GAS = 500_000
LANDING = Landing(7, 84, 10 * GWEI)
CAPS = Caps(GWEI, 1_000 * GWEI, 3_000 * GWEI, 0)
SHARE = ProfitShare(3_000, CAPS)
TENTH = "for q in asked(): say(id=q['id'], price=str(int(q['value']) // 10))"
KEEN = "for q in asked(): say(id=q['id'], price=str(int(q['value']) * 10))"
SILENT = "for q in asked(): pass"


def settings_of(folder: Path, script: str, answer_ms: int = 5_000) -> BiddingSettings:
    (folder / "bids.py").write_text(HEAD + script)
    return BiddingSettings(model=(sys.executable, "bids.py"), answer_ms=answer_ms)


async def tip_wei(policy: AdvisedPolicy, prediction: Prediction) -> int:
    await policy.advise([(prediction, GAS)], LANDING)
    capped = Capped(policy, CAPS, Budget(Purse(ETHER, ETHER, ETHER)))
    return capped.bid(prediction, GAS, LANDING).priority_fee_wei


async def until_heard(policy: AdvisedPolicy, prediction: Prediction) -> int:
    """The process needs a moment to start."""
    said = await tip_wei(policy, prediction)
    while said == SHARE.bid(prediction, GAS, LANDING).priority_fee_wei:
        await asyncio.sleep(0)
        said = await tip_wei(policy, prediction)
    return said


async def test_what_it_answers_is_bid(tmp_path: Path) -> None:
    async with advised(settings_of(tmp_path, TENTH), tmp_path, SHARE) as policy:
        assert await until_heard(policy, worth(ETHER)) == ETHER // 10 // GAS


async def test_it_cannot_break_a_cap_nor_bid_more_than_the_value(tmp_path: Path) -> None:
    async with advised(settings_of(tmp_path, KEEN), tmp_path, SHARE) as policy:
        assert await until_heard(policy, worth(ETHER)) == CAPS.max_priority_fee_wei
        small = ETHER // 50
        assert await until_heard(policy, worth(small)) == small // GAS - LANDING.base_fee_wei


async def test_one_that_is_silent_leaves_the_word_to_the_policy(tmp_path: Path) -> None:
    async with advised(settings_of(tmp_path, SILENT, answer_ms=20), tmp_path, SHARE) as policy:
        assert await tip_wei(policy, worth(ETHER)) == SHARE.bid(worth(ETHER), GAS, LANDING).priority_fee_wei


async def test_it_is_not_asked_about_what_nobody_else_can_have(tmp_path: Path) -> None:
    async with advised(settings_of(tmp_path, KEEN), tmp_path, SHARE) as policy:
        await until_heard(policy, worth(ETHER))
        assert await tip_wei(policy, kept(ETHER)) == CAPS.min_priority_fee_wei


async def test_an_answer_for_one_block_is_none_for_the_next(tmp_path: Path) -> None:
    async with advised(settings_of(tmp_path, TENTH), tmp_path, SHARE) as policy:
        await until_heard(policy, worth(ETHER))
        next_block = replace(LANDING, number=8)
        assert policy.bid(worth(ETHER), GAS, next_block) == SHARE.bid(worth(ETHER), GAS, next_block)


async def test_many_plans_are_asked_about_at_once(tmp_path: Path) -> None:
    collect, answer = "qs = [q for _, q in zip(range(20), asked())]", "for q in reversed(qs): say(id=q['id'], price=q['value'][:-1])"
    script = f"{collect}\n{answer}\nfor q in asked(): pass"
    plans = [replace(worth(ETHER), plan=replace(worth(ETHER).plan, account=Address(f"0x{n}"))) for n in range(20)]
    async with advised(settings_of(tmp_path, script), tmp_path, SHARE) as policy:
        while policy.bid(plans[0], GAS, LANDING) == SHARE.bid(plans[0], GAS, LANDING):
            await asyncio.sleep(0)
            await policy.advise([(plan, GAS) for plan in plans], LANDING)
        assert {policy.bid(plan, GAS, LANDING).priority_fee_wei for plan in plans} == {ETHER // 10 // GAS}


async def test_without_a_program_it_is_the_policys_word(tmp_path: Path) -> None:
    async with advised(BiddingSettings(), tmp_path, SHARE) as policy:
        await policy.advise([(worth(ETHER), GAS)], LANDING)
        assert policy.bid(worth(ETHER), GAS, LANDING) == SHARE.bid(worth(ETHER), GAS, LANDING)


async def test_a_program_that_is_not_there_is_a_mistake_in_the_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bidding\.model: there is no program"):
        async with advised(BiddingSettings(model=("no such program",)), tmp_path, SHARE):
            pass
