"""Blocks, time, transactions and snapshots of the devnet."""

from __future__ import annotations

import os
import signal
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from keeper.devnet import Devnet, DevnetOptions
from keeper.devnet.anvil import OLD_STATES
from keeper.devnet.cache import cache_dir
from keeper.devnet.names import ACCOUNTS
from keeper.devnet.rpc import RpcError
from keeper.errors import KeeperError
from keeper.types import Address

STEP_S = 12


async def test_mines_only_when_told_one_step_after_the_last_block(net: Devnet) -> None:
    before = await _latest(net)
    number = await net.mine()
    after = await _latest(net)
    assert number == after["number"] == before["number"] + 1
    assert after["timestamp"] == before["timestamp"] + STEP_S


async def test_mines_at_the_time_it_is_given(net: Devnet) -> None:
    time_s = (await _latest(net))["timestamp"] + 86_400
    await net.mine(time_s)
    assert (await _latest(net))["timestamp"] == time_s


async def test_still_mines_after_the_pending_block_was_looked_at(net: Devnet) -> None:
    before = await _latest(net)
    await net.read("aave_v36.oracle", "getAssetPrice", net.addresses["token.WETH"], block="pending")
    await net.mine()
    assert (await _latest(net))["timestamp"] == before["timestamp"] + STEP_S


async def test_reads_as_if_it_were_another_time(net: Devnet) -> None:
    later = (await _latest(net))["timestamp"] + 365 * 86_400
    usdc = net.addresses["token.USDC"]
    now = (await net.read("aave_v36.pool", "getReserveNormalizedVariableDebt", usdc))[0]
    then = (await net.read("aave_v36.pool", "getReserveNormalizedVariableDebt", usdc, time=later))[0]
    assert then > now
    await net.mine(later)
    assert (await net.read("aave_v36.pool", "getReserveNormalizedVariableDebt", usdc))[0] == then


def states(folder: str | Path) -> list[Path]:
    return list(Path(folder).rglob("*.json"))


async def test_keeps_the_states_of_a_few_hundred_blocks_and_leaves_none_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Megabytes each, which anvil would leave in the user's home for good."""
    monkeypatch.setenv("KEEPER_CACHE_DIR", str(cache_dir()))
    monkeypatch.setenv("HOME", str(tmp_path))
    with tempfile.TemporaryDirectory() as name:  # a socket's path must be short
        monkeypatch.setattr(tempfile, "tempdir", name)
        async with Devnet.start() as own:
            await own.request("anvil_mine", hex(4 * OLD_STATES))
            assert 0 < len(states(name)) <= OLD_STATES
        assert not states(name)
    assert not states(tmp_path)


async def test_a_failed_transaction_raises_with_the_contracts_own_revert_data(net: Devnet) -> None:
    debt, collateral = net.addresses["token.USDC"], net.addresses["token.WETH"]
    healthy = next(b for b in net.population if (b.market, b.archetype) == ("aave_v36", "safe"))
    with pytest.raises(RpcError) as caught:
        await net.call(ACCOUNTS[5], "aave_v36.pool", "liquidationCall", collateral, debt, healthy.address, 1, False)
    assert caught.value.data == "0x930bb771"  # HealthFactorNotBelowThreshold()


async def test_a_revert_undoes_blocks_new_aggregators_and_the_mempool(net: Devnet) -> None:
    before, addresses = await _latest(net), dict(net.addresses)
    snapshot = await net.snapshot()
    await net.change_phase("WETH")
    await net.set_prices({"WETH": 1000 * 10**8})
    await net.revert(snapshot)
    assert await _latest(net) == before
    assert net.addresses == addresses
    assert (await net.request("txpool_status"))["pending"] == "0x0"


async def test_after_a_revert_the_base_fee_goes_on_from_the_block_that_is_left(net: Devnet) -> None:
    snapshot = await net.snapshot()
    await net.mine()
    expected = (await _latest(net))["baseFeePerGas"]
    await net.mine()
    await net.revert(snapshot)
    await net.mine()
    assert (await _latest(net))["baseFeePerGas"] == expected


async def test_deals_any_token_to_anyone(net: Devnet) -> None:
    nobody = Address("0x" + "77" * 20)
    for symbol in ("WETH", "USDC", "LINK"):
        await net.deal(symbol, nobody, 12_345)
        assert await net.read(f"token.{symbol}", "balanceOf", nobody) == (12_345,)


async def test_keeps_a_gas_limit_like_a_real_chains(devnet: Devnet) -> None:
    assert (await _latest(devnet))["gasLimit"] == 60_000_000


async def test_the_base_fee_starts_at_one_gwei() -> None:
    """Of a devnet nobody has used: each empty block lowers that of the shared one by an eighth."""
    async with Devnet.start() as fresh:
        await fresh.mine()
        assert abs((await _latest(fresh))["baseFeePerGas"] - 10**9) < 10**7


async def test_all_logs_since_the_first_block_are_there(devnet: Devnet) -> None:
    async def count(name: str, event: str) -> int:
        topic = devnet.contract(name).topic(event)
        query = {"fromBlock": "0x0", "toBlock": "latest", "address": devnet.addresses[name], "topics": [topic]}
        return len(await devnet.request("eth_getLogs", query))

    assert await count("uniswap.factory", "PoolCreated") == 8
    for market in ("aave_v36", "aave_v302"):
        assert await count(f"{market}.configurator", "ReserveInitialized") == 6
        assert await count(f"{market}.configurator", "EModeCategoryAdded") == 4
    for symbol in ("WETH", "USDC"):
        assert await count(f"aggregator.{symbol}", "AnswerUpdated") == 3


async def test_with_a_block_time_blocks_come_on_their_own_and_the_base_fee_lives() -> None:
    async with Devnet.start(DevnetOptions(block_time_s=0.02, timestamp_step_s=5)) as net:
        first = await net.next_block()
        while await net.next_block() < first + 30:
            pass
        blocks = [await net.request("eth_getBlockByNumber", hex(first + i), False) for i in range(30)]
        stamps = [int(block["timestamp"], 16) for block in blocks]
        assert [b - a for a, b in pairwise(stamps)] == [5] * 29
        assert all(8 * 10**8 < int(block["baseFeePerGas"], 16) < 12 * 10**8 for block in blocks)


async def test_a_node_that_dies_is_noticed_by_whoever_waits() -> None:
    async with Devnet.start(DevnetOptions(block_time_s=0.02)) as net:
        os.kill(net.pid, signal.SIGKILL)
        with pytest.raises(KeeperError, match="ended unexpectedly"):
            await net.failure()
        with pytest.raises(KeeperError, match="does not answer"):
            await _wait_for_ever(net)


async def _wait_for_ever(net: Devnet) -> None:
    while True:
        await net.next_block()


async def _latest(net: Devnet) -> dict[str, Any]:
    block = await net.request("eth_getBlockByNumber", "latest", False)
    return {key: int(block[key], 16) for key in ("number", "timestamp", "gasLimit", "baseFeePerGas")}
