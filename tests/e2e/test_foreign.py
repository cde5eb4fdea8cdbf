"""Somebody else's transaction between our plan and its execution: named, and accounted for to the wei."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from keeper.devnet import Devnet
from keeper.devnet.genesis.chain import ETHER, GAS_LIMIT
from keeper.devnet.names import derived
from keeper.devnet.paths import path
from keeper.types import Address
from tests.e2e.calls import MAX, Choice, liquidation
from tests.e2e.checker import check
from tests.e2e.world import World, assert_ledger_is_the_chain, keeper_on, ours, step, tx_of, world

SEED = 5
ACCOUNTS = 40
RIVAL = derived("rival")
WHOLE_BLOCK = GAS_LIMIT - 10**5
"""With this gas limit a transaction fits no block that holds another one already: it waits, and is the first of the next."""

Rows = list[dict[str, Any]]


async def equip(net: Devnet, symbol: str, amount: int, spender: str) -> None:
    await net.request("anvil_setBalance", RIVAL, hex(10**4 * ETHER))
    await net.deal(symbol, RIVAL, amount)
    await net.call(RIVAL, f"token.{symbol}", "approve", net.addresses[spender], MAX)


async def fallen(here: World, depth: int) -> dict[str, int]:
    """Prices so many thirds of the way down."""
    return path("crash", 3, SEED, await here.net.prices())[depth - 1]


async def cut_in(here: World, depth: int, to: Address, data: bytes) -> Rows:
    """Prices fall; the rival's transaction stands in the block that the keeper plans for, before ours. Returns that block's rows."""
    async with keeper_on(here) as keeper:
        await here.net.set_prices(await fallen(here, depth))
        rival = await here.net.send(RIVAL, to, data, gas=WHOLE_BLOCK)
        await step(here, keeper)
        block = await step(here, keeper)
    receipt = await here.net.request("eth_getTransactionReceipt", rival)
    assert (int(receipt["blockNumber"], 16), receipt["status"]) == (block, "0x1")
    index = {tx_of(landed): int(landed["transactionIndex"], 16) for landed in await ours(here)}
    written = [row for row in await assert_ledger_is_the_chain(here) if row["block"] == block]
    assert len(written) >= 5
    assert all(index[row["tx"]] > int(receipt["transactionIndex"], 16) for row in written)
    assert all(row["foreign"] == [rival] for row in written)
    return written


async def swap(here: World, depth: int, ether: int) -> Rows:
    """The rival sells ether in a pool of ours, just before us."""
    net = here.net
    await equip(net, "WETH", ether * ETHER, "uniswap.router")
    params = (net.addresses["token.WETH"], net.addresses["token.USDC"], 500, RIVAL, ether * ETHER, 0, 0)
    return await cut_in(here, depth, net.addresses["uniswap.router"], net.encode("uniswap.router", "exactInputSingle", params))


async def test_a_foreign_swap_just_before_ours_is_named_and_the_prediction_on_what_it_left_comes_true() -> None:
    async with world(ACCOUNTS, SEED) as here:
        written = await swap(here, depth=1, ether=1)
    won = [row for row in written if row["result"] == "won"]
    assert len(won) >= 5
    assert [row for row in won if row["predicted_profit"] != row["realised_profit"]] == []


async def test_a_foreign_swap_that_spoils_the_price_costs_gas_only_and_is_the_stated_reason() -> None:
    async with world(ACCOUNTS, SEED) as here:
        written = await swap(here, depth=2, ether=2000)
    lost = [row for row in written if row["result"] != "won"]
    assert len(lost) >= 3
    assert {row["result"] for row in lost} == {"lost"}
    assert {row["reason"] for row in lost} <= {"below_floor", "unprofitable"}
    assert all(row["realised_profit"] == 0 and row["net_eth_wei"] == -row["gas_paid_wei"] < 0 for row in lost)
    assert all(row["predicted_profit"] == row["realised_profit"] for row in written if row["result"] == "won")


async def prey(here: World, depth: int) -> Choice:
    """All of a v3.6 account with one debt and one collateral that will be worth liquidating."""
    snapshot = await here.net.snapshot()
    await here.net.set_prices(await fallen(here, depth))
    await here.net.mine()
    report = await check(here.net, here.executor)
    await here.net.revert(snapshot)
    simple = {p.account for p in report.positions if p.market == "aave_v36" and len(p.debts) == len(p.collaterals) == 1}
    best = next(a.choice for a in report.profitable if a.choice.account in simple)
    assert isinstance(best, Choice)
    return replace(best, cover=MAX)


async def test_an_account_that_somebody_else_liquidates_just_before_us_is_lost_for_the_gas_of_the_guard() -> None:
    async with world(ACCOUNTS, SEED) as here:
        choice = await prey(here, depth=1)
        symbol = next(name for name, token in here.net.addresses.items() if token == choice.debt).removeprefix("token.")
        await equip(here.net, symbol, 10**24, "aave_v36.pool")
        written = await cut_in(here, 1, here.net.addresses["aave_v36.pool"], liquidation(here.net, choice))
    (lost,) = [row for row in written if row["account"] == choice.account]
    assert (lost["result"], lost["reason"], lost["predicted_profit"], lost["realised_profit"]) == ("lost", "healthy", 0, 0)
    assert lost["gas_paid_wei"] < lost["gas_predicted_wei"] // 3
    others = [row for row in written if row["account"] != choice.account]
    assert all(row["result"] == "won" and row["predicted_profit"] == row["realised_profit"] for row in others)
