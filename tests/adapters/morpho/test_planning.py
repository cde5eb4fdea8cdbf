"""After a crash, everything that pays is found, sent through the executor, and earns what was predicted, to the unit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keeper.app import Chain, open_chain
from keeper.config import load
from keeper.devnet import Devnet
from keeper.devnet.names import BENEFICIARY, DEPLOYER, OPERATOR
from keeper.errors import Skip
from keeper.execution.calls import calldata
from keeper.planning.planner import Rejected
from keeper.planning.predict import Way
from keeper.types import Address, Funding, FundingKind, Landing, Plan, Prediction
from tests.adapters.morpho.conftest import trusted
from tests.e2e.calls import EXECUTOR
from tests.e2e.checker import moved

MARKET = "morpho"
CALL_GAS = 3_000_000
LENDING = ("aave-v36", "aave-v302")


async def executor(net: Devnet) -> Address:
    receipt = await net.transact(DEPLOYER, None, EXECUTOR.creation((DEPLOYER, BENEFICIARY, [OPERATOR]), {}))
    return Address(receipt["contractAddress"].lower())


@asynccontextmanager
async def crashed(
    net: Devnet, folder: Path, percent: int = 91, beside: Sequence[str] = LENDING, listed: Sequence[str] = ()
) -> AsyncIterator[Chain]:
    """This market, others and the pools in one book, after ether and its kin have fallen to so many percent."""
    prices = await net.prices()
    await net.set_prices({symbol: prices[symbol] * percent // 100 for symbol in ("WETH", "wstETH", "WBTC", "LINK")})
    await net.mine()
    settings = load(net.config, {"KEEPER_DATA_DIR": str(folder)})
    markets = [market for market in settings.chains[0].markets if market.name in (MARKET, *beside)]
    options = {**trusted(net), "markets": list(listed)}
    mine = [market.model_copy(update={"options": options} if market.name == MARKET else {}) for market in markets]
    async with open_chain(settings, settings.chains[0].model_copy(update={"markets": tuple(mine)}), lambda *_: None, owned=True) as chain:
        await chain.catch_up()
        yield chain


def planned(chain: Chain) -> tuple[Landing, Sequence[Prediction], Sequence[Rejected]]:
    landing = chain.landing(chain.head)
    made, rejected = chain.planner.block(chain.watch.candidates(chain.view, landing), chain.view, landing)
    return landing, made, rejected


async def landed(net: Devnet, chain: Chain, to: Address, made: Sequence[Prediction], landing: Landing) -> list[dict[str, Any]]:
    """Receipts of these predictions, all in the landing block."""
    txs = [await net.send(OPERATOR, to, calldata(prediction, chain.predictor, to), gas=CALL_GAS) for prediction in made]
    await net.mine(landing.timestamp_s)
    return [await net.request("eth_getTransactionReceipt", tx) for tx in txs]


def assert_realised(prediction: Prediction, receipt: dict[str, Any]) -> None:
    """Everything the beneficiary got is what was predicted."""
    assert receipt["status"] == "0x1", prediction
    gains = {token: amount for token, amount in prediction.gains.items() if amount}
    assert {token: amount for token, amount in moved(receipt["logs"], to=BENEFICIARY).items() if amount} == gains, prediction


@pytest.mark.parametrize(("percent", "beside"), [(91, LENDING), (70, ())], ids=["among others", "alone"])
async def test_every_profitable_position_is_cleared_in_one_block_and_earns_what_was_predicted(
    net: Devnet, tmp_path: Path, percent: int, beside: Sequence[str]
) -> None:
    to = await executor(net)
    async with crashed(net, tmp_path, percent, beside) as chain:
        landing, made, _ = planned(chain)
        for prediction, receipt in zip(made, await landed(net, chain, to, made, landing), strict=True):
            assert_realised(prediction, receipt)
        await chain.catch_up()
        _, after, rejected = planned(chain)
    mine = [prediction for prediction in made if prediction.plan.market == MARKET]
    assert len(mine) >= 8
    assert any(prediction.fill.bad_debt for prediction in mine) or beside
    assert [prediction.plan for prediction in after if prediction.plan.market == MARKET] == []
    assert {item.reason for item in rejected if item.candidate.market_name == MARKET} <= {"unprofitable", "unknown_irm"}


@pytest.mark.parametrize("kind", [FundingKind.CALLBACK, FundingKind.FLASH_LOAN, FundingKind.FLASH_SWAP])
async def test_each_way_of_paying_earns_what_was_predicted(net: Devnet, tmp_path: Path, kind: FundingKind) -> None:
    to, singleton = await executor(net), net.addresses["morpho.blue"]
    async with crashed(net, tmp_path) as chain:
        landing, made, _ = planned(chain)
        first = next(p.plan for p in made if p.plan.market == MARKET and len(p.plan.route) == 1)
        pool = first.route[0]
        owed = pool.token0 if pool.token1 == first.debt_token else pool.token1
        ways = {
            FundingKind.CALLBACK: Way(kind, singleton, first.route, first.debt_token),
            FundingKind.FLASH_LOAN: Way(kind, singleton, first.route, first.debt_token),
            FundingKind.FLASH_SWAP: Way(kind, pool.address, first.route, owed),
        }
        prediction = chain.predictor.predict(paid(first, ways[kind]), chain.view, landing.timestamp_s)
        (receipt,) = await landed(net, chain, to, [prediction], landing)
    assert_realised(prediction, receipt)


def paid(plan: Plan, way: Way) -> Plan:
    funding = Funding(way.kind, way.source, plan.debt_token, plan.funding.amount, 0)
    deal = plan.account, plan.debt_token, plan.collateral_token, plan.cover
    return Plan(plan.market, *deal, funding, way.route, way.profit_token, plan.kind, plan.target)


async def test_its_free_loans_pay_for_the_liquidations_of_other_markets(net: Devnet, tmp_path: Path) -> None:
    to, singleton = await executor(net), net.addresses["morpho.blue"]
    async with crashed(net, tmp_path) as chain:
        landing, made, _ = planned(chain)
        foreign = []
        for plan in (p.plan for p in made if p.plan.market != MARKET and len(p.plan.route) == 1):
            try:
                way = Way(FundingKind.FLASH_LOAN, singleton, plan.route, plan.debt_token)
                foreign.append(chain.predictor.predict(paid(plan, way), chain.view, landing.timestamp_s))
            except Skip:
                continue
        (receipt,) = await landed(net, chain, to, foreign[:1], landing)
    assert_realised(foreign[0], receipt)
    assert foreign[0].plan.funding.source == singleton
