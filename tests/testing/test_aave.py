"""Both versions of Aave v3 on the devnet pass the suite."""

from __future__ import annotations

import pytest

from keeper.devnet import Devnet
from keeper.testing import AdapterSuite, Deployment
from tests.testing.aave import AaveDeployment


class TestAaveV36(AdapterSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def deployment(cls, devnet: Devnet) -> Deployment:
        return AaveDeployment(devnet, "aave_v36")


class TestAaveV302(AdapterSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def deployment(cls, devnet: Devnet) -> Deployment:
        return AaveDeployment(devnet, "aave_v302")
