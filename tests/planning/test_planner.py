"""The plan chosen is as good as any found by trying amounts, routes and ways of funding one by one."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from keeper.app import Chain, open_chain
from keeper.book.state import Overlay
from keeper.config import load
from keeper.devnet import Devnet
from keeper.errors import Skip
from keeper.planning.codec import plan_of, plan_text
from keeper.planning.planner import Planner
from keeper.planning.routing import Router
from keeper.ports import CallbackMarket, View
from keeper.risk.watch import Candidate
from keeper.types import Address, Funding, FundingKind, Landing, Pair, Plan, PoolKey, Prediction

AMOUNTS = 12
ACCOUNTS = 12
WITHIN = 0.995


@asynccontextmanager
async def crashed(net: Devnet, folder: Path, percent: int) -> AsyncIterator[Chain]:
    """A chain on which ether and its kin have fallen to so many percent."""
    prices = await net.prices()
    await net.set_prices({symbol: prices[symbol] * percent // 100 for symbol in ("WETH", "wstETH", "WBTC", "LINK")})
    await net.mine()
    settings = load(net.config, {"KEEPER_DATA_DIR": str(folder)})
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=True) as chain:
        await chain.catch_up()
        yield chain


def ways(chain: Chain, candidate: Candidate, pair: Pair) -> Iterator[tuple[FundingKind, Address, tuple[PoolKey, ...], Address]]:
    """Every route of up to two hops, funded in each way. Within a token no loan is needed, except for what must be there before anything is
    paid out."""
    if pair.debt_token == pair.collateral_token:
        yield FundingKind.NONE, candidate.market.address, (), pair.debt_token
        for lender in chain.predictor.lenders:
            yield FundingKind.FLASH_LOAN, lender, (), pair.debt_token
        return
    for route in chain.predictor.router.paths(chain.view, pair.collateral_token, pair.debt_token, 2):
        if isinstance(candidate.market, CallbackMarket):
            yield FundingKind.CALLBACK, candidate.market.address, route, pair.debt_token
        for lender in chain.predictor.lenders:
            yield FundingKind.FLASH_LOAN, lender, route, pair.debt_token
        owed = route[-1].token0 if route[-1].token1 == pair.debt_token else route[-1].token1
        yield FundingKind.FLASH_SWAP, route[-1].address, route, owed


def plans(chain: Chain, candidate: Candidate, landing: Landing, view: View | None = None) -> Iterator[Plan]:
    """None where nothing of the account is left to take."""
    try:
        pairs = candidate.market.pairs(view or chain.view, candidate.account, landing.timestamp_s)
    except Skip:
        return
    for pair in pairs:
        for kind, source, route, profit_token in ways(chain, candidate, pair):
            for step in range(1, AMOUNTS + 1):
                cover = pair.amounts[-1] * step // AMOUNTS
                deal = pair.account, pair.debt_token, pair.collateral_token, cover
                funds, prepaid = needs(candidate, view or chain.view, pair, cover, landing)
                if prepaid and kind is FundingKind.NONE:
                    continue
                funding = Funding(kind, source, pair.debt_token, funds, 0)
                yield Plan(candidate.market.name, *deal, funding, route, profit_token, pair.kind, pair.target)


def needs(candidate: Candidate, view: View, pair: Pair, cover: int, landing: Landing) -> tuple[int, bool]:
    """What must be at hand, and whether before anything is paid out. What is illegal is left to whoever predicts it."""
    with suppress(Skip):
        fill = candidate.market.fill(view, pair, cover, landing.timestamp_s)
        return fill.funds, bool(fill.prepaid and fill.funds)
    return cover, False


def best_by_trying(chain: Chain, candidate: Candidate, landing: Landing) -> int | None:
    gas_price_wei = chain.planner.gas_price_wei(landing)
    nets = []
    for plan in plans(chain, candidate, landing):
        try:
            prediction = chain.predictor.predict(plan, chain.view, landing.timestamp_s)
        except Skip:
            continue
        nets.append(chain.planner.net_wei(prediction, gas_price_wei))
    return max(nets, default=None)


@pytest.mark.parametrize("percent", [90, 72])
async def test_no_amount_route_or_funding_tried_one_by_one_nets_more(net: Devnet, tmp_path: Path, percent: int) -> None:
    async with crashed(net, tmp_path, percent) as chain:
        landing = chain.landing(chain.head)
        compared = 0
        for candidate in chain.watch.candidates(chain.view, landing)[:ACCOUNTS]:
            tried = best_by_trying(chain, candidate, landing)
            if tried is None or tried <= 0:
                continue
            best = chain.planner.best(candidate, chain.view, landing.timestamp_s, chain.planner.gas_price_wei(landing))
            assert chain.planner.net_wei(best, chain.planner.gas_price_wei(landing)) >= tried * WITHIN, candidate
            compared += 1
        assert compared >= 3


async def test_a_blocks_plans_are_each_predicted_on_what_the_ones_before_leave(net: Devnet, tmp_path: Path) -> None:
    async with crashed(net, tmp_path, 75) as chain:
        landing = chain.landing(chain.head)
        candidates = chain.watch.candidates(chain.view, landing)
        made, rejected = chain.planner.block(candidates, chain.view, landing)
        assert len(made) >= 5
        assert {item.candidate.account for item in rejected} | {plan.plan.account for plan in made} == {c.account for c in candidates}
        state = Overlay(chain.view)
        for plan in made:
            again = chain.predictor.predict(plan.plan, state, landing.timestamp_s)
            assert (again.profit, again.gains) == (plan.profit, plan.gains)
            state.write(again.writes)


async def test_the_first_plan_of_a_block_is_the_best_of_its_account(net: Devnet, tmp_path: Path) -> None:
    async with crashed(net, tmp_path, 75) as chain:
        landing = chain.landing(chain.head)
        candidates = chain.watch.candidates(chain.view, landing)
        first = chain.planner.block(candidates, chain.view, landing)[0][0]
        (candidate,) = (c for c in candidates if (c.market_name, c.account) == (first.plan.market, first.plan.account))
        assert first == chain.planner.best(candidate, chain.view, landing.timestamp_s, chain.planner.gas_price_wei(landing))
        assert first == chain.predictor.predict(first.plan, chain.view, landing.timestamp_s)


async def test_planning_leaves_the_garbage_collector_nothing_to_do(net: Devnet, tmp_path: Path) -> None:
    """Its pauses would come between a log and its transaction."""
    async with crashed(net, tmp_path, 75) as chain:
        landing = chain.landing(chain.head)
        candidates = chain.watch.candidates(chain.view, landing)
        assert chain.planner.block(candidates, chain.view, landing)[1], "nobody was rejected"
        gc.collect()
        gc.disable()
        try:
            chain.planner.block(candidates, chain.view, landing)
            assert gc.collect() == 0
        finally:
            gc.enable()


async def test_a_plan_survives_being_written_down(net: Devnet, tmp_path: Path) -> None:
    async with crashed(net, tmp_path, 75) as chain:
        landing = chain.landing(chain.head)
        made, _ = chain.planner.block(chain.watch.candidates(chain.view, landing), chain.view, landing)
        assert [plan_of(plan_text(item.plan)) for item in made] == [item.plan for item in made]


async def test_plans_beyond_the_limit_are_left_for_the_next_block_and_say_so(net: Devnet, tmp_path: Path) -> None:
    async with crashed(net, tmp_path, 75) as chain:
        landing = chain.landing(chain.head)
        candidates = chain.watch.candidates(chain.view, landing)
        made, rejected = Planner(chain.predictor, 10**8, limit=2).block(candidates, chain.view, landing)
        assert len(made) == 2
        assert "max_plans_per_block" in {item.reason for item in rejected}
        assert {item.candidate.account for item in rejected} | {plan.plan.account for plan in made} == {c.account for c in candidates}


async def test_a_denied_token_is_neither_repaid_nor_seized_nor_passed_through(net: Devnet, tmp_path: Path) -> None:
    async with crashed(net, tmp_path, 75) as chain:
        landing = chain.landing(chain.head)
        candidates = chain.watch.candidates(chain.view, landing)
        made, _ = chain.planner.block(candidates, chain.view, landing)
        denied = Address(net.addresses["token.USDC"])
        assert any(denied in touched(plan) for plan in made)
        chain.predictor.router = Router(chain.venues, [denied])
        left, rejected = chain.planner.block(candidates, chain.view, landing)
        assert left
        assert all(denied not in touched(plan) for plan in left)
        assert "denied_token" in {item.reason for item in rejected}


def touched(made: Prediction) -> set[Address]:
    pools = {token for pool in made.plan.route for token in (pool.token0, pool.token1)}
    return pools | {made.plan.debt_token, made.plan.collateral_token, made.plan.profit_token}
