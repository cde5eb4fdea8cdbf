"""What we take over, in an account contract: every call goes from a hot key through the executor and the account to the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from keeper.adapters.perp_v2 import PerpV2
from keeper.adapters.perp_v2 import calls as perp
from keeper.adapters.perp_v2.codec import call_data, selector
from keeper.adapters.perp_v2.market import PerpV2Market
from keeper.execution import account as codec
from keeper.execution import executor as executor_codec
from keeper.execution.calls import calldata
from keeper.inventory.port import Custodial
from keeper.options import Options
from keeper.planning.predict import Predictor
from keeper.planning.routing import Router
from keeper.types import (
    CLOSE,
    DEPOSIT,
    OPEN,
    WITHDRAW,
    ZERO_ADDRESS,
    Address,
    Fill,
    Funding,
    FundingKind,
    Guard,
    Pair,
    Plan,
    Step,
)
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.perp_v2.curie import Curie, member
from tests.adapters.perp_v2.play import USD, Play
from tests.adapters.perp_v2.test_holding import MARGIN, House
from tests.adapters.perp_v2.test_liquidation import entered
from tests.contracts.chain import BENEFICIARY, NO_GUARD, OPERATOR, OWNER, STRANGER, Chain
from tests.contracts.custody import limit

FREE = selector("getFreeCollateralByRatio(address,uint24)")
MAINTENANCE, HALF = 62_500, 500_000
"""Millionths of the exposure."""


def free(curie: Curie, account: Address, ratio: int) -> Guard:
    return Guard(curie.at("vault"), call_data(FREE, account, ratio), 0, below=2**255 - 1)


@dataclass
class Kept(House):
    """As `House`, with an account contract for our own."""

    executor: Address
    account: Address

    @property
    def chain(self) -> Chain:
        return Chain(self.curie.net)

    @property
    def predictor(self) -> Predictor:
        return Predictor([self.market], Router([]), [], self.curie.weth)

    def pair(self, kind: str, market: str = "ETH") -> Pair:
        return Pair(self.account, self.curie.usdc, self.curie.usdc, (), kind, self.curie.at(f"base.{market}"), self.account)

    async def taken(self, who: Address, cover: int | None = None) -> Fill:
        (pair,) = self.market.takes(self.indexer.tables, who, self.account, await self.upcoming_s())
        return await self.proven_own(await self.filled(pair, cover or pair.amounts[-1]))

    async def sent(self, fill: Fill) -> None:
        at_s = await self.upcoming_s()
        await self.landed(await self.calldata(fill), at_s)

    async def calldata(self, fill: Fill) -> bytes:
        """Of the plan, as the daemon makes it."""
        unfunded = Funding(FundingKind.NONE, ZERO_ADDRESS, fill.debt_token, 0, 0)
        deal = fill.account, fill.debt_token, fill.collateral_token, fill.cover
        plan = Plan(self.market.name, *deal, unfunded, (), fill.debt_token, fill.kind, fill.target, fill.by)
        prediction = self.predictor.predict(plan, self.indexer.tables, await self.upcoming_s())
        assert prediction.fill == fill
        return calldata(prediction, self.predictor, self.executor)

    async def landed(self, data: bytes, at_s: int) -> None:
        net = self.curie.net
        tx = await net.send(OPERATOR, self.executor, data)
        await net.mine(at_s)
        receipt = await net.request("eth_getTransactionReceipt", tx)
        assert receipt["status"] == "0x1", await net.request("debug_traceTransaction", tx, {"tracer": "callTracer"})

    async def withdrawn(self, amount: int) -> None:
        """From the account to the beneficiary."""
        step = Step(self.account, codec.withdraw_data(self.curie.usdc, amount))
        await self.landed(self.by_hand(step), await self.upcoming_s())

    def by_hand(self, *steps: Step) -> bytes:
        return executor_codec.encode_execute(NO_GUARD, steps, self.curie.usdc, 0, [])

    async def refusal(self, *steps: Step) -> str | None:
        """What a thief of the hot key hears who has the account make these calls."""
        return await self.chain.error(OPERATOR, self.executor, self.by_hand(codec.wrapped(self.account, steps)))

    async def money(self) -> list[int]:
        return [await self.chain.balance(self.curie.usdc, who) for who in (self.account, self.executor, BENEFICIARY)]


async def opened(reader: NodeReader, curie: Curie, *accounts: Address) -> PerpV2Market:
    market = await PerpV2().open(reader, "test", curie.at("clearing_house"), None, Options({"accounts": [*accounts]}))
    assert isinstance(market, PerpV2Market)
    assert isinstance(market, Custodial)
    return market


@pytest.fixture
async def kept(curie: Curie, reader: NodeReader) -> Kept:
    play, chain = Play(curie, Random(11)), Chain(curie.net)
    await play.begin()
    executor = await chain.deploy(executor_codec.deploy_data(OWNER, BENEFICIARY, [OPERATOR]))
    account = await chain.deploy(codec.deploy_data(OWNER, BENEFICIARY, [executor], (await opened(reader, curie)).permissions()))
    await limit(chain, account, free(curie, account, MAINTENANCE))
    await curie.net.deal("USDC", account, 2 * MARGIN * USD)
    market = await opened(reader, curie, account)
    made = Kept(play, market, Indexer(reader, market), executor, account)
    await made.made(DEPOSIT, MARGIN * USD)
    return made


@pytest.mark.parametrize(("short", "factor"), [(False, 0.95), (True, 1.05)])
async def test_a_position_is_taken_kept_traded_away_and_what_it_earned_goes_to_the_beneficiary(
    kept: Kept, short: bool, factor: float
) -> None:
    who = await entered(kept, "one", "ETH", short, 1_000, 9_500)
    await kept.crash("ETH", factor)
    size = (await kept.taken(who)).counted
    await kept.equals_the_chain()
    await kept.play.wait(300)
    await kept.made(CLOSE, size // 3)
    await kept.made(CLOSE, 2**255)
    standing = kept.market.standing(kept.indexer.tables, kept.account, await kept.upcoming_s())
    assert standing.holdings == ()
    left = standing.free // standing.scale
    await kept.made(WITHDRAW, left)
    assert await kept.money() == [MARGIN * USD + left, 0, 0]
    await kept.withdrawn(MARGIN * USD + left)
    assert await kept.money() == [0, 0, MARGIN * USD + left]
    assert left > MARGIN * USD


async def test_a_hedge_in_the_other_book_goes_the_same_way(kept: Kept) -> None:
    await kept.made(OPEN, 10**18, "ETH")
    await kept.made(OPEN, -(10**17), "BTC")
    await kept.equals_the_chain()
    await kept.made(CLOSE, 2**255, "BTC")
    await kept.made(CLOSE, 2**255, "ETH")


async def test_no_allowance_outlives_a_deposit(kept: Kept) -> None:
    asked = call_data(selector("allowance(address,address)"), kept.account, kept.curie.at("vault"))
    assert int.from_bytes(await kept.chain.call(STRANGER, kept.curie.usdc, asked)) == 0


async def test_a_thief_of_the_hot_key_cannot_lead_the_money_elsewhere(kept: Kept) -> None:
    usdc, vault, house = kept.curie.usdc, kept.curie.at("vault"), kept.curie.at("clearing_house")
    theft = [
        Step(usdc, call_data(selector("transfer(address,uint256)"), STRANGER, 1)),
        Step(usdc, call_data(perp.APPROVE, STRANGER, 1)),
        Step(vault, call_data(selector("depositFor(address,address,uint256)"), STRANGER, usdc, 1)),
        Step(vault, call_data(selector("withdrawAll(address)"), usdc)),
        Step(house, call_data(selector("setDelegateApproval(address)"), STRANGER)),
        Step(house, call_data(selector("settleAllFunding(address)"), STRANGER)),
    ]
    for step in theft:
        assert await kept.refusal(step) == "Forbidden"


async def test_a_thief_of_the_hot_key_cannot_go_beyond_the_owner_s_leverage(kept: Kept) -> None:
    await limit(kept.chain, kept.account, free(kept.curie, kept.account, HALF))
    base, house = kept.curie.at("base.ETH"), kept.curie.at("clearing_house")

    def bought(usd: int) -> Step:
        return Step(house, call_data(perp.TRADE, base, 0, 1, usd * 10**18, 0, perp.NO_DEADLINE, 0, 0))

    assert await kept.refusal(bought(2 * MARGIN + 1_000)) == "LimitPassed(0)"
    await kept.landed(kept.by_hand(codec.wrapped(kept.account, [bought(MARGIN)])), await kept.upcoming_s())


async def test_a_thief_of_the_hot_key_cannot_take_the_margin_out_from_under_a_position(kept: Kept) -> None:
    """By the owner's limit, where the protocol itself would let him."""
    await kept.made(OPEN, 10**19, "ETH")
    await limit(kept.chain, kept.account, free(kept.curie, kept.account, HALF))
    standing = kept.market.standing(kept.indexer.tables, kept.account, await kept.upcoming_s())
    step = Step(kept.curie.at("vault"), call_data(perp.WITHDRAW_SOME, kept.curie.usdc, standing.free // standing.scale - 10 * USD))
    assert await kept.refusal(step) == "LimitPassed(0)"


async def test_in_trouble_the_account_may_be_brought_nearer_to_its_limits_and_no_further_away(kept: Kept) -> None:
    await kept.made(OPEN, 10**19, "ETH")
    await limit(kept.chain, kept.account, free(kept.curie, kept.account, 10 * HALF))
    more = await kept.filled(kept.pair(OPEN), 10**17)
    refused = await kept.chain.error(OPERATOR, kept.executor, await kept.calldata(more))
    assert refused == "LimitPassed(0)"
    await kept.made(CLOSE, 10**18)
    await kept.made(CLOSE, 2**255)


async def test_only_what_comes_from_the_executor_is_done(kept: Kept) -> None:
    fill = await kept.filled(kept.pair(DEPOSIT), USD)
    own = codec.wrapped(kept.account, kept.market.encode(fill, kept.account))
    for sender in (OPERATOR, STRANGER, member("one")):
        assert await kept.chain.error(sender, kept.account, own.data) == "Unauthorized"
