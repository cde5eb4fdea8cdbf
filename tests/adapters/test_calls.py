"""What goes to the chain and comes back: the encoded steps, the guard, flash loans, and the names of reverts."""

from __future__ import annotations

import pytest

from keeper.adapters.aave_v3.codec import topic, word
from keeper.adapters.aave_v3.errors import BY_SELECTOR, CODES
from keeper.adapters.aave_v3.versions import V3_6
from keeper.devnet.names import derived
from keeper.devnet.rpc import RpcError
from keeper.errors import Skip
from keeper.fixedpoint import MAX_UINT256
from keeper.types import Fill, FundingKind, Pair, Read
from tests.adapters import truth
from tests.adapters.conftest import Follow
from tests.adapters.synthetic import ACCOUNT, asset, market_of
from tests.adapters.world import LIQUIDATOR

EXECUTOR = derived("tests: executor")
MARKETS = pytest.mark.parametrize("name", ["aave_v302", "aave_v36"])
FLASH_LOAN = topic("FlashLoan(address,address,address,uint256,uint8,uint256,uint16)")


@MARKETS
async def test_the_steps_are_approve_liquidate_and_withdraw_the_approval(follow: Follow, name: str) -> None:
    followed = await follow(name)
    net, pool = followed.net, followed.net.addresses[f"{name}.pool"]
    debt, collateral = net.addresses["token.USDC"], net.addresses["token.WETH"]
    fill = Fill(ACCOUNT, debt, collateral, 1000, 900, 900, 5, 1, False, (), 1000)
    approve, liquidate, withdraw = followed.market.encode(fill, EXECUTOR)
    assert (approve.target, approve.data) == (debt, net.encode("token.USDC", "approve", pool, 1000))
    assert (liquidate.target, liquidate.data) == (
        pool,
        net.encode(f"{name}.pool", "liquidationCall", collateral, debt, ACCOUNT, 1000, False),
    )
    assert (withdraw.target, withdraw.data) == (debt, net.encode("token.USDC", "approve", pool, 0))


@MARKETS
async def test_the_guard_reads_the_health_factor(follow: Follow, name: str) -> None:
    followed = await follow(name)
    account = followed.users[0]
    guard = followed.market.guard(Pair(account, asset(0), asset(1), ()))
    (reply,) = await followed.reader.calls([Read(guard.target, guard.data)])
    assert reply is not None
    head = await followed.reader.head()
    assert word(reply, guard.word) == followed.market.health(followed.indexer.tables, account, head.timestamp_s).health_factor_wad
    assert guard.below == 10**18


@MARKETS
@pytest.mark.parametrize("symbol", ["USDC", "WETH"])
async def test_a_flash_loan_costs_its_quote_and_leaves_what_was_predicted(follow: Follow, name: str, symbol: str) -> None:
    followed = await follow(name)
    market, world, tables = followed.market, followed.world, followed.indexer.tables
    await world.prepare([], [name])
    await followed.owner(
        f"{name}.configurator", "updateFlashloanPremiumToProtocol" if name == "aave_v302" else "updateFlashloanPremium", 3333
    )
    head = await followed.indexer.sync()
    at_s, token = head.timestamp_s + 1000, world.asset(symbol)
    funding = market.quote(tables, token, 12_345_678, at_s)
    assert (funding.kind, funding.source, funding.amount) == (FundingKind.FLASH_LOAN, market.source, 12_345_678)
    expected = truth.copy(tables)
    expected.write(market.after(tables, funding, at_s))
    await world.send([world.flash_loan(name, symbol, funding.amount)])
    await followed.net.mine(at_s)
    await followed.indexer.sync()
    (receipt,) = await followed.reader.request("eth_getBlockReceipts", "latest")
    (loan,) = [log for log in receipt["logs"] if log["topics"][0] == FLASH_LOAN]
    assert word(bytes.fromhex(loan["data"][2:]), 3) == funding.fee
    assert truth.cells_that_differ(market, expected, tables) == {}


@MARKETS
async def test_a_flash_loan_that_the_pool_refuses_is_not_quoted(follow: Follow, name: str) -> None:
    followed = await follow(name)
    market, tables, token = followed.market, followed.indexer.tables, followed.net.addresses["token.USDC"]
    cash = market.cells.of_asset(tables, token, "cash")
    assert market.quote(tables, token, cash, 2 * 10**9).amount == cash
    with pytest.raises(Skip, match="flash_cash"):
        market.quote(tables, token, cash + 1, 2 * 10**9)
    with pytest.raises(Skip, match="flash_unlisted"):
        market.quote(tables, asset(1), 1, 2 * 10**9)
    await followed.owner(f"{name}.configurator", "setReserveFlashLoaning", token, False)
    with pytest.raises(Skip, match="flash_disabled"):
        market.quote(tables, token, 1, 2 * 10**9)
    await followed.owner(f"{name}.configurator", "setReservePause(address,bool)", token, True)
    with pytest.raises(Skip, match="flash_paused"):
        market.quote(tables, token, 1, 2 * 10**9)


@MARKETS
async def test_both_forms_of_a_revert_have_one_name(follow: Follow, name: str) -> None:
    followed = await follow(name)
    assets = [followed.net.addresses[f"token.{symbol}"] for symbol in ("WETH", "USDC")]
    healthy = next(a for a in followed.users if followed.market.health(followed.indexer.tables, a, 1).health_factor_wad > 10**18)
    with pytest.raises(RpcError) as refused:
        await followed.net.read(f"{name}.pool", "liquidationCall", *assets, healthy, MAX_UINT256, False, sender=LIQUIDATOR)
    assert followed.market.decode_error(bytes.fromhex(refused.value.data[2:])) == "HealthFactorNotBelowThreshold"


@pytest.mark.parametrize("data", [b"", b"\x08\xc3\x79\xa0", bytes(4), b"\x4e\x48\x7b\x71" + (17).to_bytes(32)])
def test_a_revert_of_somebody_else_has_no_name(data: bytes) -> None:
    assert market_of(V3_6).decode_error(data) is None


def test_the_names_of_liquidation_reverts_are_the_same_in_both_tables() -> None:
    names = {
        "MustNotLeaveDust",
        "LiquidationGraceSentinelCheckFailed",
        "CollateralCannotBeLiquidated",
        "ReservePaused",
        "InvalidBurnAmount",
    }
    assert names <= set(CODES.values())
    assert names <= set(BY_SELECTOR.values())
