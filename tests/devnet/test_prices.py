"""Oracles and pools: OCR2-shaped transmissions, phases, and pools that follow."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode

from keeper.devnet import Devnet, DevnetOptions
from keeper.devnet.driver import drive
from keeper.devnet.genesis.tokens import BY_SYMBOL, MAX_ANSWER
from keeper.devnet.names import ACCOUNTS, PERP_ARBITRAGEUR, TRADER, TRANSMITTER
from keeper.devnet.oracle import CONFIG_DIGEST, REPORT, report
from keeper.devnet.uniswap import POOLS, ordered, sqrt_price_x96
from keeper.errors import KeeperError
from keeper.types import Address

NEW = {"WETH": 2000 * 10**8, "wstETH": 2380 * 10**8, "WBTC": 60_000 * 10**8, "LINK": 12 * 10**8, "USDC": 10**8 + 1, "DAI": 99 * 10**6}
EPOCH = 10**6


async def test_a_transmission_moves_both_aave_oracles_and_every_pool(net: Devnet) -> None:
    await net.set_prices(NEW)
    await net.mine()
    assert await net.prices() == NEW
    for symbol, price in NEW.items():
        for market in ("aave_v36", "aave_v302"):
            assert await net.read(f"{market}.oracle", "getAssetPrice", net.addresses[f"token.{symbol}"]) == (price,)
    await _assert_pools_stand_at(net, NEW)


async def test_nothing_moves_before_the_block_is_mined(net: Devnet) -> None:
    before = await net.prices()
    await net.set_prices(NEW)
    assert await net.prices() == before
    assert await net.read("feed.WETH", "latestAnswer", block="pending") == (NEW["WETH"],)


async def test_two_moves_in_one_block_end_at_the_second(net: Devnet) -> None:
    await net.set_prices({"WETH": 2000 * 10**8})
    await net.set_prices({"WETH": 2700 * 10**8, "LINK": 10 * 10**8})
    block = await net.mine()
    expected = {**(await net.prices()), "WETH": 2700 * 10**8, "LINK": 10 * 10**8}
    assert await net.prices() == expected
    await _assert_pools_stand_at(net, expected)
    receipts = await net.request("eth_getBlockReceipts", hex(block))
    assert {receipt["status"] for receipt in receipts if receipt["from"] != PERP_ARBITRAGEUR} == {"0x1"}  # his exchange may refuse


async def test_a_moved_pool_has_crossed_ticks(net: Devnet) -> None:
    before = (await net.read("pool.WETH-USDC-500", "liquidity"))[0]
    await net.set_prices({"WETH": 2000 * 10**8})
    await net.mine()
    assert (await net.read("pool.WETH-USDC-500", "liquidity"))[0] != before


async def test_a_transmission_has_the_selector_and_events_of_ocr2(net: Devnet) -> None:
    assert net.encode("aggregator.WETH", "transmit", *report(1, 1, 1))[:4].hex() == "b1dc65a4"
    logs = await _transmit(net, 1234 * 10**8, EPOCH)
    transmission, _, updated = logs
    assert transmission["topics"][0] == "0xc797025feeeaf2cd924c99e9205acb8ec04d5cad21c41ce637a38fb6dee6016a"
    assert updated["topics"][0] == "0x0559884fd3a460db3073b7fc896cc77986f16e378210ded43186175bf646fc5f"
    assert int(updated["topics"][1], 16) == 1234 * 10**8
    assert updated["topics"][2] == transmission["topics"][1]  # the round
    fields = net.contract("aggregator.WETH").decode_log("NewTransmission", bytes.fromhex(transmission["data"][2:]))
    answer, transmitter, observed_s, observations, observers, _, digest, epoch_and_round = fields
    assert (answer, transmitter, observed_s, digest) == (1234 * 10**8, TRANSMITTER, 1_700_000_000, CONFIG_DIGEST)
    assert observations[len(observations) // 2] == answer
    assert len(observers) == len(observations)
    assert epoch_and_round == EPOCH << 8 | 1


@pytest.mark.parametrize(
    ("answer", "epoch", "sender", "reason"),
    [
        (0, EPOCH, TRANSMITTER, "median is out of min-max range"),
        (MAX_ANSWER + 1, EPOCH, TRANSMITTER, "median is out of min-max range"),
        (2500 * 10**8, 1, TRANSMITTER, "stale report"),
        (2500 * 10**8, EPOCH, ACCOUNTS[5], "unauthorized transmitter"),
    ],
)
async def test_the_aggregator_refuses_what_ocr2_refuses(net: Devnet, answer: int, epoch: int, sender: Address, reason: str) -> None:
    context, _, *signatures = report(10**8, 1, epoch)
    body = encode(REPORT, (1, bytes(32), [answer] * 4, 0))
    with pytest.raises(KeeperError, match=reason):
        await net.read("aggregator.WETH", "transmit", context, body, *signatures, sender=sender)


async def test_after_a_phase_change_the_new_aggregator_answers_and_the_old_one_is_history(net: Devnet) -> None:
    old, price = net.addresses["aggregator.WETH"], (await net.prices())["WETH"]
    new = await net.change_phase("WETH")
    assert await net.read("feed.WETH", "phaseId") == (2,)
    assert await net.read("feed.WETH", "aggregator") == (new,)
    assert await net.read("feed.WETH", "phaseAggregators", 1) == (old,)
    assert (await net.prices())["WETH"] == price
    assert (await net.read("feed.WETH", "latestRoundData"))[0] == 2 << 64 | 1
    assert (await net.read("feed.WETH", "getRoundData", 1 << 64 | 3))[1] == price
    await net.set_prices({"WETH": 2222 * 10**8})
    block = await net.mine()
    logs = await net.request("eth_getLogs", {"fromBlock": hex(block), "topics": [net.contract("aggregator.WETH").topic("AnswerUpdated")]})
    assert [log["address"] for log in logs] == [new]


async def test_a_token_without_a_feed_and_a_price_out_of_range_are_refused(net: Devnet) -> None:
    with pytest.raises(KeeperError, match="has no token DOGE: it has WETH"):
        await net.set_prices({"DOGE": 10**8})
    with pytest.raises(KeeperError, match="price of WETH must be within"):
        await net.set_prices({"WETH": 0})


async def test_the_driver_plays_one_step_a_block(net: Devnet) -> None:
    steps = [{**NEW, "WETH": price * 10**8} for price in (2400, 2300, 2200)]
    seen: list[tuple[int, int]] = []
    first = int(await net.request("eth_blockNumber"), 16)
    await drive(net, steps, lambda block, prices: seen.append((block, prices["WETH"])))
    assert seen == [(first + 1 + i, price * 10**8) for i, price in enumerate((2400, 2300, 2200))]
    assert await net.prices() == steps[-1]
    await _assert_pools_stand_at(net, steps[-1])


async def test_a_move_is_in_one_block_as_a_whole_however_fast_they_come() -> None:
    async with Devnet.start(DevnetOptions(block_time_s=0.02, traffic=False)) as net:
        first = await net.next_block()
        for percent in range(99, 84, -1):
            await net.set_prices({"WETH": NEW["WETH"] * percent // 100})
        last = await net.next_block()
        blocks = await net.batch([("eth_getBlockByNumber", [hex(number), True]) for number in range(first, last + 1)])
        senders = [{tx["from"] for tx in block["transactions"]} & {TRANSMITTER, TRADER} for block in blocks]
    assert set(map(frozenset, senders)) == {frozenset(), frozenset({TRANSMITTER, TRADER})}


async def _assert_pools_stand_at(net: Devnet, prices: dict[str, int]) -> None:
    tokens = {symbol: net.addresses[f"token.{symbol}"] for symbol in BY_SYMBOL}
    for pool in POOLS:
        first, second = ordered(pool, tokens)
        target = sqrt_price_x96(prices[first], BY_SYMBOL[first].unit, prices[second], BY_SYMBOL[second].unit)
        assert (await net.read(pool.name, "slot0"))[0] == target, pool.name


async def _transmit(net: Devnet, answer: int, epoch: int) -> list[dict[str, Any]]:
    receipt = await net.call(TRANSMITTER, "aggregator.WETH", "transmit", *report(answer, 1_700_000_000, epoch))
    logs: list[dict[str, Any]] = receipt["logs"]
    return logs
