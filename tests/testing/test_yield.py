"""Yield v2 on the devnet passes the suite."""

from __future__ import annotations

import pytest

from keeper.devnet import Devnet
from keeper.testing import AdapterSuite, Deployment
from tests.testing.yields import YieldDeployment


class TestYieldV2(AdapterSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def deployment(cls, devnet: Devnet) -> Deployment:
        return YieldDeployment(devnet)
