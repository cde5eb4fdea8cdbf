"""Plans made ahead meet a block in which everything moved: accounts acted, pools traded away from the oracles, gas became dear."""

from __future__ import annotations

from keeper.devnet.names import DEPLOYER
from keeper.fixedpoint import MAX_UINT256
from tests.e2e.world import World, assert_ledger_is_the_chain, drop, keeper_on, settle_down, step, world

ACCOUNTS = 40
SEED = 5
FALL_PERCENT = 8
DEAR_WEI = 20 * 10**9
MARKETS = ("aave_v36", "aave_v302")
STABLE = ("USDC", "DAI")
GAS = 1_000_000


async def repayments(here: World) -> None:
    """Into the mempool: every other borrower's stablecoin debt is less by some dollars; where there is none the repayment fails."""
    net = here.net
    for symbol in STABLE:
        token, amount = net.addresses[f"token.{symbol}"], 50 * 10 ** (6 if symbol == "USDC" else 18)
        await net.request("anvil_dealERC20", DEPLOYER, token, hex(10**6 * amount))
        for market in MARKETS:
            pool = net.addresses[f"{market}.pool"]
            await net.request("anvil_setERC20Allowance", DEPLOYER, pool, token, hex(MAX_UINT256))
            for account in net.borrowers[::2]:
                await net.send(DEPLOYER, pool, net.encode(f"{market}.pool", "repay", token, amount, 2, account), gas=GAS)


async def trade(here: World) -> None:
    """Into the mempool: pools end up beside what the oracles say."""
    said = await drop(here, FALL_PERCENT)
    await here.net.set_prices(said | {symbol: said[symbol] * 99 // 100 for symbol in ("WETH", "WBTC")})
    await here.net.set_answers(said)


async def test_what_was_planned_for_another_state_is_sent_as_this_one_wants_it() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await keeper.ready(await step(here, keeper))
            await repayments(here)
            await trade(here)
            await here.net.request("anvil_setNextBlockBaseFeePerGas", hex(DEAR_WEI))
            fell = await step(here, keeper)
            await settle_down(here, keeper, at_least=2)
        written = await assert_ledger_is_the_chain(here)
        found = next(report for report in keeper.reports if report.head.number == fell)
    assert found.head.base_fee_wei == DEAR_WEI
    assert 3 <= found.warm < found.planned, "nobody acted, or nobody was ready"
    assert {row["result"] for row in written} == {"won"}
    assert len([row for row in written if row["block"] == fell + 1]) >= found.warm
    assert [row for row in written if row["predicted_profit"] != row["realised_profit"]] == []
