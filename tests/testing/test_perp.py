"""Perp v2 on the devnet passes the suite."""

from __future__ import annotations

import pytest

from keeper.devnet import Devnet
from keeper.testing import AdapterSuite, Case, Deployment, Nonconformity
from keeper.testing.adapter.life import Life
from tests.testing.perps import FundingBackwards, PerpDeployment


class TestPerpV2(AdapterSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def deployment(cls, devnet: Devnet) -> Deployment:
        return PerpDeployment(devnet)

    async def test_a_wrong_sign_on_funding_is_noticed(self, life: Life) -> None:
        with pytest.raises(Nonconformity) as failure:
            await self.test_health_equals_the_chain_at_any_later_time(Case(life, FundingBackwards()))
        print(failure.value)
