"""There is no check in the suite that cannot fail."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tiny_bank.devnet import TinyBankDeployment
from tiny_bank.market import TinyBankMarket

from keeper.devnet import Devnet
from keeper.testing import AdapterSuite, Case, Nonconformity, live
from keeper.testing.adapter.life import Life
from tests.testing.mutants import MUTANTS, OPENERS, Mutant


@pytest.fixture(scope="module")
async def bank(devnet: Devnet) -> AsyncIterator[Life]:
    async with live(await TinyBankDeployment.deployed(devnet)) as lived:
        yield lived


@pytest.mark.parametrize(
    ("check", "kind"), [pytest.param(check, kind, id=f"{kind.__name__}-{check}") for check, kinds in MUTANTS.items() for kind in kinds]
)
async def test_every_check_is_failed_by_somebody(bank: Life, check: str, kind: type[TinyBankMarket]) -> None:
    with pytest.raises(Nonconformity):
        await getattr(AdapterSuite(), f"test_{check}")(Case(bank, Mutant(kind)))


@pytest.mark.parametrize("check", OPENERS)
async def test_every_check_of_opening_is_failed_by_somebody(bank: Life, check: str) -> None:
    with pytest.raises(Nonconformity):
        await getattr(AdapterSuite(), f"test_{check}")(Case(bank, OPENERS[check](bank.deployment.address)))


def test_there_is_no_check_that_nobody_fails() -> None:
    assert {name.removeprefix("test_") for name in dir(AdapterSuite) if name.startswith("test_")} == MUTANTS.keys() | OPENERS.keys()
