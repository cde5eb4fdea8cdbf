"""A book that differs from the chain is noticed, and its market is not traded any more, not even after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from keeper.app import Chain, open_chain
from keeper.book.audit import HEADS_TO_CONFIRM, Auditor
from keeper.book.state import DIVERGED
from keeper.config import Settings, load
from keeper.devnet import Devnet
from keeper.types import Address
from tests.markets import ALL

EVERY = 10_000


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Chain]:
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=True) as chain:
        await chain.catch_up()
        yield chain


def auditor(chain: Chain, count: int = EVERY) -> Auditor:
    return Auditor(chain.bookkeeper, chain.markets, chain.reader, count)


async def test_a_true_book_passes_the_audit_of_every_account(net: Devnet, tmp_path: Path) -> None:
    async with opened(load(net.config, {"KEEPER_DATA_DIR": str(tmp_path)})) as chain:
        assert await auditor(chain).differences() == []
        assert len(list(chain.markets[0].accounts(chain.view))) > 10


async def test_one_wrong_wei_stops_trading_that_market_alone_and_survives_a_restart(net: Devnet, tmp_path: Path) -> None:
    settings = load(net.config, {"KEEPER_DATA_DIR": str(tmp_path)})
    prices = await net.prices()
    await net.set_prices({symbol: prices[symbol] * 3 // 4 for symbol in ("WETH", "wstETH", "WBTC", "LINK")})
    await net.mine()
    async with opened(settings) as chain:
        wrong = next(market for market in chain.markets if market.name == "aave-v36")
        key, victim = next((key, Address(str(key[1]))) for key in chain.view.keys(f"{wrong.name}/debt"))
        owed = chain.view.get(f"{wrong.name}/debt", key)
        chain.book.tables.put(f"{wrong.name}/debt", key, owed + 10**24)
        judge = auditor(chain)
        for _ in range(HEADS_TO_CONFIRM - 1):
            assert await judge.run() == []
            assert await judge.run() == [], "the same head counts once"
            await net.mine()
            await chain.catch_up()
        found = await judge.run()
        assert {(item.market, item.account) for item in found} == {(wrong.name, victim)}
        assert all(item.expected != item.found for item in found)
    async with opened(settings) as chain:
        landing = chain.landing(chain.head)
        assert chain.view.get(DIVERGED, (wrong.name,)) == 1
        candidates = chain.watch.candidates(chain.view, landing)
        plans, rejected = chain.planner.block(candidates, chain.view, landing)
        assert {item.reason for item in rejected if item.candidate.market_name == wrong.name} == {"market_diverged"}
        assert {plan.plan.market for plan in plans} == {*ALL} - {wrong.name}


async def test_a_suspicion_that_a_later_head_does_not_confirm_is_forgotten(net: Devnet, tmp_path: Path) -> None:
    async with opened(load(net.config, {"KEEPER_DATA_DIR": str(tmp_path)})) as chain:
        market, judge = chain.markets[0], auditor(chain)
        key = next(iter(chain.view.keys(f"{market.name}/debt")))
        owed = chain.book.tables.put(f"{market.name}/debt", key, 10**30)
        for _ in range(HEADS_TO_CONFIRM - 1):
            assert await judge.run() == []
            await net.mine()
            await chain.catch_up()
        chain.book.tables.put(f"{market.name}/debt", key, owed)
        for _ in range(HEADS_TO_CONFIRM + 1):
            await net.mine()
            await chain.catch_up()
            assert await judge.run() == []
        assert chain.view.get(DIVERGED, (market.name,)) == 0


async def test_a_sample_is_of_the_size_asked_for_and_zero_asks_nothing(net: Devnet, tmp_path: Path) -> None:
    async with opened(load(net.config, {"KEEPER_DATA_DIR": str(tmp_path)})) as chain:
        assert len(auditor(chain, 3)._draw(chain.head)) == 3
        assert await auditor(chain, 0).run() == []


async def test_a_draw_is_of_accounts_that_owe_something_by_the_heads_hash_and_misses_none_for_ever(net: Devnet, tmp_path: Path) -> None:
    async with opened(load(net.config, {"KEEPER_DATA_DIR": str(tmp_path)})) as chain:
        at_s = chain.head.timestamp_s
        known = [(market, account) for market in chain.markets for account in market.accounts(chain.view)]
        owing = {(market.name, account) for market, account in known if market.health(chain.view, account, at_s).debt}
        everybody = [(market.name, account) for market, account in auditor(chain)._draw(chain.head)]
        assert len(everybody) == len(set(everybody))
        assert set(everybody) == owing
        drawn = list[set[tuple[str, Address]]]()
        for _ in range(40):
            few = [(market.name, account) for market, account in auditor(chain, 5)._draw(chain.head)]
            assert few == [(market.name, account) for market, account in auditor(chain, 5)._draw(chain.head)]
            drawn.append(set(few))
            await net.mine()
            await chain.catch_up()
        assert len(set.union(*drawn)) > len(owing) * 2 // 3
        assert all(few <= owing and len(few) == 5 for few in drawn)
