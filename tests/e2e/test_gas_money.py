"""Signers keep each other in gas money: a drained one is filled up and works again, what is beyond all floats goes to the beneficiary,
and neither a restart nor a halt makes it twice or too much."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eth_utils.crypto import keccak

from keeper.app import halt_file
from keeper.config import load
from keeper.devnet.names import BENEFICIARY, DEPLOYER, OPERATOR
from keeper.execution.executor import add_operator_data
from keeper.execution.signer import Signer
from keeper.execution.treasurer import EVERY_BLOCKS
from keeper.secret import Secret
from keeper.types import Address
from tests.e2e.world import World, assert_ledger_is_the_chain, drop, keeper_on, query, settle_down, step, world

ACCOUNTS, SEED = 40, 3
ETHER = 10**18
SECOND_KEY = keccak(text="keeper test: a second signer").hex()
SECOND = Signer(Secret(SECOND_KEY)).address
MONEY = """[chains.gas_money]
least_wei = "0.05 ether"
float_wei = "0.2 ether"
max_base_fee_wei = "1000 gwei"
"""


@asynccontextmanager
async def two_signers(more: str = "") -> AsyncIterator[World]:
    """The first has ten ether, the second none."""
    async with world(ACCOUNTS, SEED) as made:
        key = made.net.config.parent / "second.key"
        key.touch(0o600)
        key.write_text(SECOND_KEY)
        text = made.net.config.read_text()
        signers = f'{MONEY}{more}\n[[chains.more_signers]]\nkey_file = "second.key"\n\n'
        made.net.config.write_text(text.replace("[chains.guard]\n", f"{signers}[chains.guard]\n"))
        await made.net.transact(DEPLOYER, made.executor, add_operator_data(SECOND))
        await made.net.request("anvil_setBalance", OPERATOR, hex(10 * ETHER))
        yield World(made.net, made.executor, load(made.net.config, {}), (OPERATOR, SECOND))


async def balance(here: World, who: Address) -> int:
    return int(await here.net.request("eth_getBalance", who, "latest"), 16)


async def rows(here: World) -> list[tuple[str, str]]:
    return [(row["result"], row["reason"]) for row in await assert_ledger_is_the_chain(here)]


async def test_a_drained_signer_is_filled_up_by_the_other_and_both_liquidate() -> None:
    async with two_signers() as here:
        async with keeper_on(here) as keeper:
            for _ in range(EVERY_BLOCKS + 2):
                await step(here, keeper)
            assert await balance(here, SECOND) == 2 * ETHER // 10
            await step(here, keeper, await drop(here, percent=6))
            await step(here, keeper)
            await settle_down(here, keeper)
        assert ("transferred", "float") in await rows(here)
        senders = {signer for (signer,) in query(here, "select distinct signer from outbox where state = 'included' and plan_json != ''")}
        assert senders == {OPERATOR, SECOND}


async def test_a_restart_after_the_transfer_was_sent_does_not_send_it_twice() -> None:
    async with two_signers() as here:
        async with keeper_on(here) as keeper:
            for _ in range(2):
                await step(here, keeper)
        assert query(here, "select count(*) from outbox where plan_json = ''") == [(1,)]
        async with keeper_on(here) as keeper:
            for _ in range(2 * EVERY_BLOCKS):
                await step(here, keeper)
        assert await balance(here, SECOND) == 2 * ETHER // 10
        assert query(here, "select count(*) from outbox where plan_json = ''") == [(1,)]
        assert await rows(here) == [("transferred", "float")]


async def test_what_is_beyond_all_floats_goes_to_the_beneficiary() -> None:
    async with two_signers('sweep_above_wei = "1 ether"\n') as here:
        await here.net.request("anvil_setBalance", SECOND, hex(ETHER // 10))
        before = await balance(here, BENEFICIARY)
        async with keeper_on(here) as keeper:
            for _ in range(EVERY_BLOCKS + 2):
                await step(here, keeper)
        came = await balance(here, BENEFICIARY) - before
        assert 9 * ETHER < came < 10 * ETHER - 2 * ETHER // 10
        assert 2 * ETHER // 10 <= await balance(here, OPERATOR) < 3 * ETHER // 10
        assert await rows(here) == [("transferred", "sweep")]


async def test_while_halted_nothing_is_moved() -> None:
    async with two_signers() as here:
        async with keeper_on(here) as keeper:
            halt_file(here.settings, here.settings.chains[0]).halt("a test")
            for _ in range(2 * EVERY_BLOCKS):
                await step(here, keeper)
        assert await balance(here, SECOND) == 0
        assert await rows(here) == []
