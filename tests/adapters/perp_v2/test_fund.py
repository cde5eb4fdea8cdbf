"""What the insurance fund can bear: to the last unit as the contract has it, and what is worth doing about it."""

from __future__ import annotations

import pytest

from keeper.adapters.perp_v2.account import account_at
from keeper.adapters.perp_v2.aid import given
from keeper.adapters.perp_v2.codec import call_data, selector
from keeper.adapters.perp_v2.liquidation import most_collateral
from keeper.adapters.perp_v2.rounding import mul_ratio
from keeper.adapters.perp_v2.taking import Floor
from keeper.book.state import Overlay
from keeper.devnet.rpc import RpcError
from keeper.errors import Skip
from keeper.types import Address, Fill, Pair
from tests.adapters.perp_v2.curie import member
from tests.adapters.perp_v2.play import UNIT, USD
from tests.adapters.perp_v2.test_liquidation import Stage, entered, stage

__all__ = ["stage"]

TRANSFER = selector("transfer(address,uint256)")


async def owing(stage: Stage) -> Pair:
    """Somebody whom taking over leaves with a debt of some thousands."""
    who = await entered(stage, "deep", "ETH", False, 10_000, 90_000)
    await stage.crash("ETH", 0.93, hops=2)
    (pair,) = await stage.pairs(who)
    await stage.curie.net.request("anvil_setBalance", stage.curie.at("insurance_fund"), hex(10**18))
    return pair


def bearing(stage: Stage, fill: Fill | None = None) -> int:
    """What the fund can bear, now or after a fill."""
    market, view = stage.market, stage.indexer.tables
    return Floor(market.deployment, market.cells, Overlay(view, fill.writes if fill else ()), 0).fund_capacity()


def borne(stage: Stage, fill: Fill) -> int:
    """The debt that a fill leaves to the fund."""
    cells, fund = stage.market.cells, stage.curie.at("insurance_fund")
    return cells.signed(stage.indexer.tables, cells.balance, fund) - cells.signed(
        Overlay(stage.indexer.tables, fill.writes), cells.balance, fund
    )


async def lacking(stage: Stage, pair: Pair, amount: int) -> Fill:
    """With a fund that can bear so much less than it takes: the fill, which may raise Skip."""
    at_s = await stage.upcoming_s() + 12
    debt = borne(stage, stage.market.fill(stage.indexer.tables, pair, pair.amounts[-1], at_s))
    data = call_data(TRANSFER, stage.curie.at("clearing_house"), bearing(stage) - debt + amount)
    await stage.curie.net.transact(stage.curie.at("insurance_fund"), stage.curie.usdc, data)
    assert await stage.upcoming_s() == at_s
    assert bearing(stage) == debt - amount
    return await stage.filled(pair, pair.amounts[-1])


async def refusal(stage: Stage, pair: Pair) -> bytes:
    """Of the chain, of a call in the next block; empty when it has none."""
    try:
        await stage.curie.net.read(
            "perp.clearing_house",
            "liquidate(address,address)",
            pair.account,
            pair.target,
            time=await stage.upcoming_s(),
            sender=stage.play.keeper,
        )
    except RpcError as error:
        return bytes.fromhex(str(error.data)[2:])
    return b""


async def test_a_fund_that_can_just_bear_the_debt_is_enough_for_us_and_for_the_chain(stage: Stage) -> None:
    pair = await owing(stage)
    fill = await lacking(stage, pair, 0)
    assert await refusal(stage, pair) == b""
    assert fill.bad_debt
    assert fill.before == ()
    await stage.proven(fill)


async def test_what_a_fund_lacks_is_given_to_it_when_that_pays(stage: Stage) -> None:
    """A unit too little, and the call alone is refused."""
    pair = await owing(stage)
    fill = await lacking(stage, pair, 1)
    assert b"CH_IIC" in await refusal(stage, pair)
    assert given(fill) == USD
    assert fill.seized - fill.repaid > 0
    await stage.proven(fill)


@pytest.mark.parametrize(("percent", "pays"), [(98, True), (101, False)])
async def test_a_fund_that_lacks_more_than_taking_over_is_worth_is_left_alone(stage: Stage, percent: int, pays: bool) -> None:
    pair = await owing(stage)
    worth = stage.market.inherited(stage.indexer.tables, pair, pair.amounts[-1], await stage.upcoming_s()).penalty // 10**12
    if pays:
        assert given(await lacking(stage, pair, worth * percent // 100)) > 0
    else:
        with pytest.raises(Skip, match="insurance_fund"):
            await lacking(stage, pair, worth * percent // 100)
    assert b"CH_IIC" in await refusal(stage, pair)


async def test_settling_debt_only_takes_from_what_the_fund_can_bear_and_repaying_adds_nothing(stage: Stage) -> None:
    """So neither ever makes a liquidation legal, and we call neither."""
    pair = await owing(stage)
    fill = await stage.filled(pair, pair.amounts[-1])
    assert bearing(stage, fill) < bearing(stage)
    await stage.proven(fill)
    able = await stage.curie.read("insurance_fund", "getInsuranceFundCapacity")
    assert able == bearing(stage)
    assert stage.market.cells.signed(stage.indexer.tables, stage.market.cells.balance, stage.curie.at("insurance_fund")) < 0
    await stage.curie.call("insurance_fund", "repay")
    await stage.indexer.sync()
    assert await stage.curie.read("insurance_fund", "getInsuranceFundCapacity") == able == bearing(stage)
    await stage.curie.call("vault", "settleBadDebt", pair.account)
    assert await stage.curie.read("insurance_fund", "getInsuranceFundCapacity") == able


async def bought(stage: Stage, who: Address, amount: int, at_s: int) -> None:
    """By somebody with the money, at that time; without leaving a trace. Raises RpcError."""
    await stage.curie.net.read(
        "perp.vault", "liquidateCollateral", who, stage.curie.weth, amount, False, time=at_s, sender=stage.play.keeper
    )


def debt_of(stage: Stage, who: Address, at_s: int) -> int:
    """In the settlement token: what the dust rule looks at."""
    moment = stage.market.moment(stage.indexer.tables, at_s)
    found = account_at(moment, who)
    return max(-(found.settlement + found.unrealized), mul_ratio(found.borrowed, 100_000), 0) // found.scale


@pytest.mark.parametrize("above", [False, True])
async def test_as_much_collateral_may_be_bought_as_the_dust_rule_says_and_not_a_wei_more(stage: Stage, above: bool) -> None:
    """A debt above the dust is halved, any other is paid whole."""
    who = member("ether")
    await stage.curie.enrich(who, "WETH", UNIT)
    await stage.curie.call("vault", "deposit", stage.curie.weth, UNIT, sender=who)
    await stage.play.open(who, "ETH", False, 16_000)
    await stage.crash("ETH", 0.94)
    at_s = await stage.upcoming_s() + 12
    owed = debt_of(stage, who, at_s)
    await stage.curie.call("collateral_manager", "setCollateralValueDust", owed + 1 - 2 * above)
    assert await stage.upcoming_s() == at_s
    moment = stage.market.moment(stage.indexer.tables, at_s)
    most = most_collateral(moment, account_at(moment, who), stage.market.deployment.collaterals[0])
    assert most < UNIT
    await bought(stage, who, most, at_s)
    with pytest.raises(RpcError) as caught:
        await bought(stage, who, most + 1, at_s)
    assert b"V_MCAE".hex() in str(caught.value.data)[2:]
