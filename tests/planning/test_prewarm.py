"""What was planned ahead is as good as what is planned on the spot, and nothing of another day's state gets into what is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keeper.app import Chain, open_chain
from keeper.book.state import Overlay
from keeper.config import load
from keeper.devnet import Devnet
from keeper.errors import Skip
from keeper.fixedpoint import MAX_UINT256
from keeper.planning.choice import GAS_SLACK
from keeper.risk.watch import Candidate
from keeper.types import Address, Landing, Plan, Prediction
from tests.markets import LENDING, only

WITHIN = 0.999_999
NEAR = 64
FALLING = ("WETH", "wstETH", "WBTC", "LINK")
ETHER_WEI = 10**20

Named = tuple[str, Address]


class Memory:
    """Ways of another day, never forgotten: worse than any real warmth."""

    def __init__(self, ways: Mapping[Named, Sequence[Plan]]) -> None:
        self._ways = dict(ways)

    def known(self, market: str, account: Address) -> Sequence[Plan]:
        return self._ways.get((market, account), ())


@asynccontextmanager
async def warmed(net: Devnet, folder: Path) -> AsyncIterator[Chain]:
    """A chain whose nearest accounts are planned ahead, and which plans by that."""
    settings = only(load(net.config, {"KEEPER_DATA_DIR": str(folder)}), *LENDING)
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=True) as chain:
        await chain.catch_up()
        landing = chain.landing(chain.head)
        chain.watch.tick(chain.view, landing)
        for candidate in chain.watch.nearest(chain.view, landing.timestamp_s, NEAR):
            chain.prewarmer.warm(candidate, chain.view, landing)
        chain.planner.warmth = chain.prewarmer
        yield chain


async def falls(net: Devnet, percent: int) -> None:
    """Oracles and pools go to so many percent with the next block."""
    prices = await net.prices()
    await net.set_prices({symbol: prices[symbol] * percent // 100 for symbol in FALLING})


def remembered(chain: Chain) -> Memory:
    nearest = chain.watch.nearest(chain.view, chain.landing(chain.head).timestamp_s, NEAR)
    return Memory({(c.market_name, c.account): list(chain.prewarmer.known(c.market_name, c.account)) for c in nearest})


def candidates(chain: Chain) -> list[Candidate]:
    return chain.watch.candidates(chain.view, chain.landing(chain.head))


def planned(chain: Chain) -> list[Prediction]:
    return chain.planner.block(candidates(chain), chain.view, chain.landing(chain.head))[0]


def net_wei(chain: Chain, candidate: Candidate, landing: Landing, known: Sequence[Plan]) -> int | None:
    """Of the best plan by these ways, or by any; None where there is none."""
    gas_price_wei = chain.planner.gas_price_wei(landing)
    try:
        best = chain.planner.best(candidate, chain.view, landing.timestamp_s, gas_price_wei, known)
    except Skip:
        return None
    return chain.planner.net_wei(best, gas_price_wei)


def assert_fresh(chain: Chain, made: Sequence[Prediction]) -> None:
    """Each is what a prediction on the state of the block, after the ones before it, gives: legal there, and equal to the wei."""
    state, at_s = Overlay(chain.view), chain.landing(chain.head).timestamp_s
    for plan in made:
        again = chain.predictor.predict(plan.plan, state, at_s)
        assert (again.repaid, again.seized, again.profit, again.gains) == (plan.repaid, plan.seized, plan.profit, plan.gains)
        assert (again.value_wei, again.gas, again.fill, again.hops) == (plan.value_wei, plan.gas, plan.fill, plan.hops)
        assert again.writes == plan.writes
        state.write(again.writes)


def debt_of(chain: Chain, candidate: Candidate) -> tuple[str, int]:
    """Symbol and amount of the largest debt."""
    leg = max((leg for leg in candidate.health.legs if leg.side == "debt"), key=lambda leg: leg.value)
    return leg.symbol, leg.amount


async def repay(net: Devnet, market: str, account: Address, symbol: str, amount: int) -> None:
    """Into the mempool: a repayment by the account itself."""
    pool, token = net.addresses[f"{market}.pool"], net.addresses[f"token.{symbol}"]
    await net.request("anvil_setBalance", account, hex(ETHER_WEI))
    await net.request("anvil_dealERC20", account, token, hex(2 * amount))
    await net.request("anvil_setERC20Allowance", account, pool, token, hex(MAX_UINT256))
    await net.send(account, pool, net.encode(f"{market}.pool", "repay", token, amount, 2, account), gas=1_000_000)


@pytest.mark.parametrize("percent", [95, 90, 82])
async def test_a_plan_made_ahead_nets_what_one_made_on_the_spot_nets(net: Devnet, tmp_path: Path, percent: int) -> None:
    async with warmed(net, tmp_path) as chain:
        await falls(net, percent)
        await net.mine()
        await chain.catch_up()
        landing, compared = chain.landing(chain.head), 0
        for candidate in candidates(chain):
            known = chain.prewarmer.known(candidate.market_name, candidate.account)
            cold = net_wei(chain, candidate, landing, ())
            if known and cold and cold > 0:
                assert (net_wei(chain, candidate, landing, known) or 0) >= WITHIN * cold, candidate
                compared += 1
        assert compared >= 5


async def test_what_is_warm_says_so_and_is_what_the_block_gives(net: Devnet, tmp_path: Path) -> None:
    async with warmed(net, tmp_path) as chain:
        await falls(net, 90)
        await net.mine()
        await chain.catch_up()
        made = planned(chain)
        assert sum(plan.warm for plan in made) >= 5
        assert_fresh(chain, made)


async def test_an_account_that_acted_is_forgotten_and_even_if_it_were_not_its_old_plan_is_not_made(net: Devnet, tmp_path: Path) -> None:
    """Half of the debt is gone: the old plan would repay more than there is."""
    async with warmed(net, tmp_path) as chain:
        landing, old = chain.landing(chain.head), remembered(chain)
        nearest = chain.watch.nearest(chain.view, landing.timestamp_s, NEAR)
        active = [c for c in nearest if chain.prewarmer.known(c.market_name, c.account)][:10]
        for candidate in active:
            symbol, amount = debt_of(chain, candidate)
            await repay(net, candidate.market_name.replace("-", "_"), candidate.account, symbol, amount // 2)
        await falls(net, 45)
        await net.mine()
        await chain.catch_up()
        named = {(c.market_name, c.account) for c in active}
        assert [name for name in named if chain.prewarmer.known(*name)] == []
        chain.planner.warmth = old
        made = [plan for plan in planned(chain) if (plan.plan.market, plan.plan.account) in named]
        assert len([plan for plan in made if plan.warm]) >= 3
        assert_fresh(chain, planned(chain))
        for plan in made:
            assert plan.plan not in old.known(plan.plan.market, plan.plan.account)


async def test_an_account_that_repaid_is_not_planned_whatever_is_remembered(net: Devnet, tmp_path: Path) -> None:
    async with warmed(net, tmp_path) as chain:
        landing, old = chain.landing(chain.head), remembered(chain)
        nearest = chain.watch.nearest(chain.view, landing.timestamp_s, NEAR)
        safe = next(c for c in nearest if old.known(c.market_name, c.account) and len([x for x in c.health.legs if x.side == "debt"]) == 1)
        symbol, amount = debt_of(chain, safe)
        await repay(net, safe.market_name.replace("-", "_"), safe.account, symbol, 2 * amount)
        await falls(net, 90)
        await net.mine()
        await chain.catch_up()
        chain.planner.warmth = old
        health = safe.market.health(chain.view, safe.account, chain.landing(chain.head).timestamp_s)
        made, rejected = chain.planner.block([Candidate(safe.market, safe.account, health)], chain.view, chain.landing(chain.head))
        assert made == []
        assert [item.reason for item in rejected] == ["healthy"]


async def test_pools_that_moved_are_asked_anew(net: Devnet, tmp_path: Path) -> None:
    """Trade has left the pools beside the oracles: other amounts come out than when the plan was made, and they are what is promised."""
    async with warmed(net, tmp_path) as chain:
        old = remembered(chain)
        await falls(net, 90)
        await net.mine()
        await chain.catch_up()
        chain.planner.warmth = old
        straight = planned(chain)
        prices = await net.prices()
        await net.set_prices({"WETH": prices["WETH"] * 97 // 100, "USDC": prices["USDC"] * 101 // 100})
        await net.mine()
        await net.set_answers(prices)
        await net.mine()
        await chain.catch_up()
        chain.planner.warmth = old
        made = planned(chain)
        assert [plan for plan in made if plan.warm]
        assert_fresh(chain, made)
        before = {(plan.plan.market, plan.plan.account): plan.profit for plan in straight}
        both = [plan for plan in made if (plan.plan.market, plan.plan.account) in before]
        assert any(plan.profit != before[plan.plan.market, plan.plan.account] for plan in both)


async def test_a_base_fee_that_moved_decides_again_what_pays(net: Devnet, tmp_path: Path) -> None:
    async with warmed(net, tmp_path) as chain:
        await falls(net, 90)
        await net.mine()
        await chain.catch_up()
        cheap = planned(chain)
        await net.request("anvil_setNextBlockBaseFeePerGas", hex(3000 * 10**9))
        await net.mine()
        await chain.catch_up()
        landing = chain.landing(chain.head)
        dear = planned(chain)
        assert landing.base_fee_wei > 1000 * 10**9
        assert 0 < len(dear) < len(cheap)
        assert_fresh(chain, dear)
        gas_price_wei = landing.base_fee_wei + chain.settings.bidding.min_priority_fee_wei
        assert all(plan.value_wei >= (1 - GAS_SLACK) * plan.gas * gas_price_wei for plan in dear)
        assert any(plan.value_wei < plan.gas * gas_price_wei for plan in cheap)
