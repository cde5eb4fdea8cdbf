"""Prices composed of feeds: told by events between heads, by the oracle at heads, and what they make tokens worth."""

from __future__ import annotations

import pytest

from keeper.adapters.morpho_blue.codec import word
from keeper.book.state import Overlay
from keeper.devnet.genesis import morpho
from keeper.devnet.genesis.morpho import MARKETS
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.names import derived
from keeper.risk.sanity import Check, Rules, judge
from keeper.types import ZERO_ADDRESS, Address
from tests.adapters.morpho.conftest import Followed
from tests.adapters.morpho.synthetic import LOAN, State, market_of
from tests.adapters.morpho.truth import copy


def oracle_of(run: Followed, market: morpho.Market) -> Address:
    return morpho.params(run.net.addresses, market)[2]


def price(run: Followed, market: morpho.Market) -> int:
    return run.market.cells.of_oracle(run.tables, oracle_of(run, market), "price")


async def test_an_answer_moves_every_oracle_composed_of_it_before_anything_is_read(followed: Followed) -> None:
    run = followed
    await run.prepare()
    before = copy(run.tables, {run.market.name: run.market.columns})
    await run.mine([run.world.set_price("WETH", 2345_67890123), run.world.set_price("USDC", 99_912_345)])
    head = await run.reader.head()
    logs = await run.reader.logs(run.market.filters(run.tables), head.number, head.number)
    for log in logs:
        before.write(run.market.apply(log, before))
    for market in MARKETS:
        (told,) = await run.net.read(f"morpho.oracle.{market.collateral}-{market.loan}", "price")
        assert run.market.cells.of_oracle(before, oracle_of(run, market), "price") == told == price(run, market)
    assert run.market.price(before, run.net.addresses["token.WETH"]) == 2345_67890123


async def test_a_new_aggregator_behind_a_feed_is_followed(followed: Followed) -> None:
    run = followed
    await run.prepare()
    old = run.net.addresses["aggregator.WETH"]
    new = await run.net.change_phase("WETH", least=5, most=10**15)
    run.now_s = (await run.indexer.sync()).timestamp_s
    emitters = {f.address for f in run.market.filters(run.tables)}
    assert new in emitters
    assert old not in emitters
    (feed,) = [feed for feed in run.market.feeds(run.tables) if feed.symbol == "WETH"]
    assert (feed.least, feed.most) == (5, 10**15)
    await run.net.set_prices({"WETH": 1900 * 10**8})
    await run.net.mine()
    await run.indexer.sync()
    assert run.market.price(run.tables, run.net.addresses["token.WETH"]) == 1900 * 10**8


async def test_every_token_is_worth_what_its_feed_says_also_where_the_oracle_only_divides_by_one(followed: Followed) -> None:
    run = followed
    tokens = {symbol: run.net.addresses[f"token.{symbol}"] for symbol in BY_SYMBOL}
    assert {symbol: run.market.price(run.tables, token) for symbol, token in tokens.items()} == await run.net.prices()
    assert run.market.value(run.tables, tokens["WBTC"], 10**7) == 6_500 * 10**8
    assert run.market.value(run.tables, Address("0x" + "11" * 20), 1) is None
    assert {(feed.symbol, feed.decimals, feed.unit) for feed in run.market.feeds(run.tables)} == {
        (symbol, token.decimals, "usd-8") for symbol, token in BY_SYMBOL.items()
    }


@pytest.mark.parametrize("market", MARKETS, ids=lambda market: market.name)
async def test_what_if_prices_are_what_the_oracle_would_say_at_them(followed: Followed, market: morpho.Market) -> None:
    run = followed
    await run.prepare()
    loan, collateral = (run.net.addresses[f"token.{symbol}"] for symbol in (market.loan, market.collateral))
    prices = {collateral: BY_SYMBOL[market.collateral].price * 3 // 5}
    state = Overlay(run.tables, run.market.repriced(run.tables, prices))
    await run.mine([run.world.set_price(market.collateral, prices[collateral])])
    assert run.market.price(state, collateral) == prices[collateral]
    assert run.market.price(state, loan) == BY_SYMBOL[market.loan].price
    assert run.market.cells.of_oracle(state, oracle_of(run, market), "price") == pytest.approx(price(run, market), rel=1e-12)


async def test_the_health_of_an_account_is_that_of_its_worst_market(followed: Followed) -> None:
    run = followed
    several = [entry.address for entry in run.net.isolated if entry.archetype == "everywhere"]
    positions = run.market.positions(run.tables, several[0], run.now_s)
    health = run.market.health(run.tables, several[0], run.now_s)
    assert len(positions) == 3
    assert health.health_factor_wad == min(position.health_factor_wad for position in positions)
    worst = min(positions, key=lambda position: position.health_factor_wad)
    assert [leg.token for leg in health.legs] == [worst.params.collateral, worst.params.loan]
    assert health.legs[0].threshold_bps == worst.params.lltv_wad // 10**14
    assert health.debt == run.market.value(run.tables, worst.params.loan, worst.owed)
    assert len(run.market.rows(run.tables, several[0])) == 3


async def test_the_margin_counts_what_an_oracle_that_leaves_a_feed_out_gives_beside_its_incentive(followed: Followed) -> None:
    run = followed
    await run.prepare()
    usual = run.market.margin(run.tables)
    assert usual == pytest.approx(0.1268, abs=1e-3)
    await run.mine([run.world.set_price("DAI", 8 * 10**7)])
    assert run.market.margin(run.tables) == pytest.approx((1 + usual) / 0.8 - 1, rel=1e-6)
    assert usual < run.market.margin(run.tables)


async def test_who_owes_nothing_is_healthy_and_audited_all_the_same_and_dust_is_a_debt(followed: Followed) -> None:
    run, market, user = followed, MARKETS[3], followed.world.users[-1]
    await run.prepare()
    nobody = run.market.health(run.tables, user, run.now_s)
    assert (nobody.debt, nobody.legs, nobody.liquidatable) == (0, (), False)
    await run.mine(
        [run.world.call(user, "supplyCollateral", market, 10**9, user, b""), run.world.call(user, "borrow", market, 1, 0, user, user)]
    )
    assert run.market.health(run.tables, user, run.now_s).debt == 1
    for account in (user, Address("0x" + "77" * 20)):
        audit = run.market.audit(run.tables, account, run.now_s)
        reply = await run.reader.call(audit.read)
        assert {at: word(reply, at) for at in audit.words} == audit.words


def test_of_a_price_of_two_feeds_the_older_word_and_the_nearer_limit_are_told() -> None:
    """Where one of them is in doubt the product is."""
    market = market_of()
    cells, state, feeds = market.cells, State(market), (derived("tests: one feed"), derived("tests: another feed"))
    told = ({"answer": 10**8, "least": 1, "most": 10**16, "at": 500}, {"answer": 2000, "least": 2000, "most": 10**16, "at": 900})
    state.write([(cells.feed, (feed, field), value) for feed, said in zip(feeds, told, strict=True) for field, value in said.items()])
    of_token = {"valued": 1, "feed1": int(feeds[0], 16), "feed2": int(feeds[1], 16), "price": 7, "decimals": 19}
    state.write([(cells.token, (LOAN, field), value) for field, value in of_token.items()])
    (feed,) = market.feeds(state)
    assert (feed.token, feed.updated_at_s, feed.answer, feed.least, feed.most) == (LOAN, 500, 2000, 2000, 10**16)
    assert feed.source == ZERO_ADDRESS
    (clamped,) = judge(feed, None, None, Rules(), 600).findings
    assert clamped.check is Check.CLAMP
    state.write([(cells.token, (LOAN, "feed2"), 0)])
    (single,) = market.feeds(state)
    assert (single.source, single.updated_at_s, single.most) == (feeds[0], 500, 10**16)
