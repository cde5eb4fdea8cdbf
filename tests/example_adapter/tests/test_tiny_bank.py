"""The adapter keeps what a market must keep, and its arithmetic is the contract's."""

from __future__ import annotations

import pytest
import pytest_asyncio
from tiny_bank import rules
from tiny_bank.cells import Terms
from tiny_bank.devnet import TinyBankDeployment

from keeper.devnet import Devnet
from keeper.fixedpoint import MAX_UINT256, WAD
from keeper.testing import AdapterSuite, Deployment

TERMS = Terms(threshold_bps=8000, bonus_bps=500, close_bps=5000, close_all_below=95 * 10**16)


class TestTinyBank(AdapterSuite):
    """Every check of the suite, against a bank on the devnet."""

    @pytest_asyncio.fixture(scope="class", loop_scope="session")
    @classmethod
    async def deployment(cls, devnet: Devnet) -> Deployment:
        return await TinyBankDeployment.deployed(devnet)


def test_interest_is_linear_and_debt_is_rounded_up() -> None:
    assert rules.index_at(WAD, 10**9, 1000) == WAD + 10**12
    assert rules.owed(1, WAD + 1) == 2


@pytest.mark.parametrize(("weighted", "debt", "factor"), [(80, 100, 8 * 10**17), (1, 3, WAD // 3), (5, 0, MAX_UINT256)])
def test_the_health_factor_is_a_wad_rounded_down(weighted: int, debt: int, factor: int) -> None:
    assert rules.factor(weighted, debt) == factor


def test_an_account_far_below_is_liquidated_as_a_whole() -> None:
    assert rules.most(TERMS, 101, WAD - 1) == 51
    assert rules.most(TERMS, 101, 94 * 10**16) == 101
