"""Signers keep each other in gas money: a drained one is filled up and works again, what is beyond all floats goes to the beneficiary,
and neither a restart nor a halt makes it twice or too much."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from eth_utils.crypto import keccak
from structlog.testing import capture_logs

from keeper.app import halt_file
from keeper.commands.check import check
from keeper.config import load
from keeper.devnet.names import BENEFICIARY, DEPLOYER, OPERATOR
from keeper.execution.executor import add_operator_data
from keeper.execution.signer import Signer
from keeper.execution.treasurer import EVERY_BLOCKS
from keeper.secret import Secret
from keeper.types import Address
from tests.e2e.cli import Folder
from tests.e2e.world import (
    PATIENCE_S,
    Keeper,
    World,
    assert_ledger_is_the_chain,
    drop,
    keeper_on,
    query,
    settle_down,
    step,
    waiting,
    world,
)

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


async def quiet(here: World, keeper: Keeper, blocks: int) -> None:
    """Each with everything that is done beside the work."""
    for _ in range(blocks):
        await keeper.ready(await step(here, keeper))


async def assert_no_ether_is_lost(here: World, had_wei: int, swept_wei: int = 0) -> None:
    """What the signers have less than before is gas, as the ledger says, and what was swept."""
    paid_wei = sum(row["gas_paid_wei"] for row in await assert_ledger_is_the_chain(here))
    assert sum([await balance(here, signer) for signer in here.signers]) == had_wei - paid_wei - swept_wei


async def test_a_drained_signer_is_filled_up_by_the_other_and_both_liquidate() -> None:
    async with two_signers() as here:
        async with keeper_on(here) as keeper:
            await quiet(here, keeper, EVERY_BLOCKS + 2)
            assert await balance(here, SECOND) == 2 * ETHER // 10
            await step(here, keeper, await drop(here, percent=6))
            await step(here, keeper)
            await settle_down(here, keeper)
        assert ("transferred", "float") in await rows(here)
        await assert_no_ether_is_lost(here, 10 * ETHER)
        senders = {signer for (signer,) in query(here, "select distinct signer from outbox where state = 'included' and plan_json != ''")}
        assert senders == {OPERATOR, SECOND}


async def test_a_restart_after_the_transfer_was_sent_does_not_send_it_twice() -> None:
    async with two_signers() as here:
        async with keeper_on(here) as keeper:
            await quiet(here, keeper, 2)
        assert query(here, "select count(*) from outbox where plan_json = ''") == [(1,)]
        async with keeper_on(here) as keeper:
            await quiet(here, keeper, 2 * EVERY_BLOCKS)
        assert await balance(here, SECOND) == 2 * ETHER // 10
        assert query(here, "select count(*) from outbox where plan_json = ''") == [(1,)]
        assert await rows(here) == [("transferred", "float")]


async def test_what_is_beyond_all_floats_goes_to_the_beneficiary_once_a_day_whoever_restarts() -> None:
    async with two_signers('sweep_above_wei = "1 ether"\n') as here:
        await here.net.request("anvil_setBalance", SECOND, hex(ETHER // 10))
        before = await balance(here, BENEFICIARY)
        async with keeper_on(here) as keeper:
            await quiet(here, keeper, EVERY_BLOCKS + 2)
        came = await balance(here, BENEFICIARY) - before
        assert 9 * ETHER < came < 10 * ETHER - 2 * ETHER // 10
        assert 2 * ETHER // 10 <= await balance(here, OPERATOR) < 3 * ETHER // 10
        assert await rows(here) == [("transferred", "sweep")]
        await assert_no_ether_is_lost(here, 10 * ETHER + ETHER // 10, came)
        await here.net.request("anvil_setBalance", OPERATOR, hex(10 * ETHER))
        async with keeper_on(here) as keeper:
            await quiet(here, keeper, 2 * EVERY_BLOCKS)
            assert await balance(here, OPERATOR) == 10 * ETHER
            await here.net.mine(int((await here.net.request("eth_getBlockByNumber", "latest", False))["timestamp"], 16) + 86_400)
            await quiet(here, keeper, 2 * EVERY_BLOCKS)
        assert await rows(here) == [("transferred", "sweep")] * 2


async def test_killed_as_the_transfer_reaches_the_mempool_it_is_not_sent_twice() -> None:
    async with two_signers() as here:
        folder = Folder(here.net.config.parent, here.net)
        for _ in range(3):
            async with folder.daemon("--live") as keeper:
                async with asyncio.timeout(PATIENCE_S):
                    while not await waiting(here.net):
                        pass
                await keeper.stop(signal.SIGKILL)
        assert await waiting(here.net) == 1
        async with keeper_on(here) as heir:
            await quiet(here, heir, 2 * EVERY_BLOCKS)
        assert await balance(here, SECOND) == 2 * ETHER // 10
        assert await rows(here) == [("transferred", "float")]
        await assert_no_ether_is_lost(here, 10 * ETHER)


async def test_before_it_is_filled_up_the_others_do_its_work() -> None:
    async with two_signers() as here:
        await here.net.set_prices(await drop(here, percent=6))
        await here.net.mine()
        async with keeper_on(here) as keeper:
            await settle_down(here, keeper)
        won = query(here, "select signer, state from outbox where plan_json != ''")
        assert len(won) >= 5
        assert set(won) == {(OPERATOR, "included")}


async def test_a_dry_run_says_what_would_be_sent_and_sends_nothing() -> None:
    async with two_signers('sweep_above_wei = "1 ether"\n') as here:
        with capture_logs() as logs:
            async with keeper_on(here, live=False) as keeper:
                await quiet(here, keeper, EVERY_BLOCKS + 2)
        said = [log for log in logs if log["event"] == "gas_money_not_sent"]
        assert (said[0]["giver"], said[0]["to"], said[0]["wei"], said[0]["reason"]) == (OPERATOR, SECOND, 2 * ETHER // 10, "dry_run")
        assert await balance(here, SECOND) == 0
        assert await waiting(here.net) == 0


async def test_check_warns_of_a_signer_that_has_less_than_its_least() -> None:
    async with two_signers() as here:
        said = {row["check"]: (row["ok"], row["fix"]) async for row in await check(here.settings) if row["check"].startswith("balance")}
        assert said == {"balance": (True, ""), "balance 2": (False, f"send eth for gas to {SECOND}")}


async def test_while_halted_nothing_is_moved() -> None:
    async with two_signers() as here:
        async with keeper_on(here) as keeper:
            halt_file(here.settings, here.settings.chains[0]).halt("a test")
            await quiet(here, keeper, 2 * EVERY_BLOCKS)
        assert await balance(here, SECOND) == 0
        assert await rows(here) == []
