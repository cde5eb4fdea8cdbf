"""The suite sees what is wrong with a broken adapter, and in which check. A wrong sign on funding: see `test_perp.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.devnet import Devnet
from keeper.testing import AdapterSuite, Case, Nonconformity, live
from keeper.testing.adapter.life import Life
from tests.testing import broken
from tests.testing.aave import AaveDeployment
from tests.testing.broken import Broken

TEN = {
    "rounding off by one": (broken.RoundsDown, "test_health_equals_the_chain_at_any_later_time"),
    "a missed transfer event": (broken.MissesTransfers, "test_the_index_equals_the_chain_after_every_block"),
    "a stale index": (broken.StaleIndex, "test_the_index_equals_the_chain_after_every_block"),
    "a wrong sign on interest": (broken.InterestBackwards, "test_bounds_are_close_to_the_contracts_own_surplus"),
    "an unchecked close factor": (broken.WithoutCloseFactor, "test_one_unit_over_the_most_is_capped_or_refused_but_never_exceeded"),
    "a forgotten eMode": (broken.ForgetsEmode, "test_the_index_equals_the_chain_after_every_block"),
    "an undo that leaves one column": (broken.KeepsAColumn, "test_undone_blocks_leave_nothing_behind"),
    "a health at the wrong timestamp": (broken.ABlockLate, "test_health_equals_the_chain_at_any_later_time"),
    "an encode for the wrong account": (broken.NamesAnother, "test_the_steps_name_the_account_and_no_other"),
    "a liquidation offered on a paused market": (
        broken.OverlooksPauses,
        "test_nothing_is_offered_while_the_chain_refuses_everything",
    ),
}


@pytest.fixture(scope="module")
async def life(devnet: Devnet) -> AsyncIterator[Life]:
    async with live(AaveDeployment(devnet, "aave_v36")) as lived:
        yield lived


@pytest.mark.parametrize(("kind", "check"), TEN.values(), ids=TEN)
async def test_a_broken_adapter_fails_the_check_that_is_about_it(life: Life, kind: type[AaveV3Market], check: str) -> None:
    with pytest.raises(Nonconformity) as failure:
        await getattr(AdapterSuite(), check)(Case(life, Broken(kind)))
    print(failure.value)
