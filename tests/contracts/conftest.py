"""The devnet with an executor on it; each test leaves it as it found it."""

from __future__ import annotations

import pytest

from keeper.devnet import Devnet
from keeper.execution import account as account_codec
from keeper.execution.executor import deploy_data
from keeper.types import Address
from tests.contracts.chain import BENEFICIARY, OPERATOR, OWNER, Chain, compiled


@pytest.fixture
def chain(net: Devnet) -> Chain:
    return Chain(net)


@pytest.fixture
async def executor(chain: Chain) -> Address:
    return await chain.deploy(deploy_data(OWNER, BENEFICIARY, [OPERATOR]))


@pytest.fixture
async def account(chain: Chain, executor: Address) -> Address:
    """It permits nothing and has no limits."""
    return await chain.deploy(account_codec.deploy_data(OWNER, BENEFICIARY, [OPERATOR, executor]))


@pytest.fixture
async def token(chain: Chain) -> Address:
    """A token without return values."""
    return await chain.deploy(compiled("silent"))
