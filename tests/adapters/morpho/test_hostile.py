"""Anyone may open a market: fake oracles, tokens and rate models have one clear outcome each, and the others never notice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.adapters.morpho_blue.admission import GETTERS, owed_usd8
from keeper.adapters.morpho_blue.backoff import MOST_HEADS
from keeper.adapters.morpho_blue.cells import WAIT
from keeper.adapters.morpho_blue.codec import topic
from keeper.devnet import Devnet
from keeper.devnet.genesis import morpho
from keeper.devnet.genesis.morpho import HOSTILE, MARKETS, Market
from keeper.devnet.names import DEPLOYER, TRADER, derived
from keeper.errors import Skip, Transient
from keeper.types import TWICE, ZERO_ADDRESS, Address, Plan
from tests.adapters.chain import NodeReader
from tests.adapters.morpho.conftest import Followed, followed_by, trusted
from tests.adapters.morpho.synthetic import NOW_S, State, account, created, log, market_of
from tests.adapters.morpho.test_planning import MARKET, crashed, planned
from tests.adapters.morpho.truth import check_positions

MANY = 10_000
BORROWED = topic("Borrow(bytes32,address,address,address,uint256,uint256)")
SECURED = topic("SupplyCollateral(bytes32,address,address,uint256)")
WILD = next(market for market in HOSTILE if market.irm)
OTHERS = [market for market in HOSTILE if market is not WILD]
OWNER = "0x" + "0" * 24
SILENT = "0x60006000fd"
"""The code of a contract that reverts, whatever it is asked."""
HEADS_ASKED = [3, 11, 27]
"""Of those after the four in which it was first looked at: the pauses double."""


def ids(net: Devnet, *markets: Market) -> list[str]:
    return [morpho.market_id(net.addresses, market) for market in markets]


# --- who is let in ------------------------------------------------------------------------------------------------


async def test_the_rule_lets_honest_markets_in_and_leaves_no_trace_of_those_with_a_fake_oracle_or_token(followed: Followed) -> None:
    assert set(followed.numbers()) == set(ids(followed.net, *MARKETS, WILD))
    for refused in ids(followed.net, *OTHERS):
        assert not any(refused in key for _, key, _ in followed.tables.cells())
    assert list(followed.tables.keys(followed.market.cells.waiting)) == []


async def test_an_lltv_out_of_bounds_keeps_a_market_out(net: Devnet, reader: NodeReader) -> None:
    run = await followed_by(net, reader, {**trusted(net), "least_lltv_bps": 8600, "most_lltv_bps": 9150})
    assert set(run.numbers()) == set(ids(net, *(market for market in MARKETS if 8600 <= market.lltv_bps <= 9150)))


async def test_an_oracle_with_one_feed_that_is_not_trusted_keeps_its_markets_out(net: Devnet, reader: NodeReader) -> None:
    names = net.addresses
    feeds = {names[f"token.{symbol}"]: [names[f"feed.{symbol}"]] for symbol in ("WETH", "USDC", "wstETH")}
    strangers = {names[f"token.{symbol}"]: [names["feed.WETH"]] for symbol in ("WBTC", "LINK", "DAI")}
    run = await followed_by(net, reader, {"feeds": feeds | strangers, "dollars": [names["token.USDC"], names["token.DAI"]]})
    assert set(run.numbers()) == set(ids(net, MARKETS[0], MARKETS[1], MARKETS[4], WILD))


BENT = {
    "right": ("WBTC", "USDC", ("WBTC", "", 8, "USDC", "", 6)),
    "another token's feed": ("WBTC", "USDC", ("LINK", "", 8, "USDC", "", 6)),
    "the loan token's feed for both": ("WETH", "USDC", ("USDC", "", 18, "USDC", "", 6)),
    "a feed twice": ("WETH", "USDC", ("WETH", "WETH", 18, "USDC", "", 6)),
    "units too small": ("WBTC", "USDC", ("WBTC", "", 9, "USDC", "", 6)),
    "units too large": ("WBTC", "USDC", ("WBTC", "", 8, "USDC", "", 7)),
    "ether for a dollar": ("WBTC", "WETH", ("WBTC", "", 8, "", "", 18)),
    "bitcoin for a dollar": ("WBTC", "WETH", ("", "", 8, "WETH", "", 18)),
}
"""(collateral, loan, what its oracle is made with): the real kind of oracle, of honest feeds alone, says each of these prices."""


@pytest.mark.parametrize("bent", BENT)
async def test_honest_feeds_that_price_the_wrong_token_or_in_the_wrong_units_keep_a_market_out(followed: Followed, bent: str) -> None:
    run, user, (collateral, loan, made_with) = followed, followed.world.users[-1], BENT[bent]
    net = run.net
    before, worth = dict(run.numbers()), run.market.margin(run.tables)
    args = [part if isinstance(part, int) else net.addresses.get(f"feed.{part}", ZERO_ADDRESS) for part in made_with]
    receipt = await net.transact(DEPLOYER, None, net.contract("morpho.oracle.WBTC-USDC").creation(args, {}))
    net.addresses["morpho.oracle.bent"] = Address(receipt["contractAddress"])
    await run.prepare()
    market = Market(collateral, loan, 7700, 0, oracle="bent")
    await run.mine([run.world.call(user, "createMarket", market)])
    (new,) = ids(net, market)
    assert (new in run.numbers()) is (bent == "right")
    assert set(run.numbers()) - {new} == set(before)
    assert run.market.margin(run.tables) == pytest.approx(worth)


async def test_listed_markets_are_followed_whatever_they_are_made_of(net: Devnet, reader: NodeReader) -> None:
    run = await followed_by(net, reader, {"markets": ids(net, *HOSTILE)})
    assert set(run.numbers()) == set(ids(net, *HOSTILE))
    assert set(run.market.tokens(run.tables).values()) == {"WETH", "USDC", "TOLL", "FROZEN"}


async def test_a_market_opened_used_and_drained_in_one_block_is_followed_with_all_that_happened(followed: Followed) -> None:
    """Its oracle is looked at only after the block."""
    run, user = followed, followed.world.users[-1]
    await run.prepare()
    market = Market("WETH", "USDC", 6250, 0)
    actions = [
        run.world.call(user, "createMarket", market),
        run.world.call(user, "supply", market, 10**9, 0, user, b""),
        run.world.call(user, "supplyCollateral", market, 10**18, user, b""),
        run.world.call(user, "borrow", market, 10**9, 0, user, user),
        run.world.call(user, "repay", market, 10**8, 0, user, b""),
    ]
    await run.mine(actions)
    number = run.numbers()[ids(run.net, market)[0]]
    owed, secured = (run.tables.get(table, (number, user)) for table in run.market.columns)
    assert (owed, secured) == (9 * 10**8 * 10**6, 10**18)
    assert list(run.tables.keys(run.market.cells.waiting)) == []


# --- who turns hostile later --------------------------------------------------------------------------------------


async def lookalike(run: Followed) -> tuple[Address, str]:
    """A market whose oracle claims two honest feeds, and for now says what they say; somebody borrows. (oracle, market's id)"""
    net, user = run.net, run.world.users[-1]
    feeds = net.addresses["feed.WETH"], net.addresses["feed.USDC"]
    creation = net.contract("morpho.oracle.liar").creation((*feeds, 10**24, morpho.price(MARKETS[0])), {})
    oracle = Address((await net.transact(DEPLOYER, None, creation))["contractAddress"])
    net.addresses["morpho.oracle.liar"] = oracle
    market = Market("WETH", "USDC", 9150, 0, oracle="liar")
    await run.prepare()
    await run.mine([run.world.call(user, "createMarket", market), run.world.call(user, "supply", market, 10**10, 0, user, b"")])
    await run.mine([run.world.call(user, "supplyCollateral", market, 10**18, user, b"")])
    await run.mine([run.world.call(user, "borrow", market, 2280 * 10**6, 0, user, user)])
    return oracle, ids(net, market)[0]


async def say(run: Followed, oracle: Address, price: int) -> None:
    await run.net.transact(DEPLOYER, oracle, run.net.encode("morpho.oracle.liar", "say", price))
    run.now_s = (await run.indexer.sync()).timestamp_s


async def test_an_oracle_that_begins_to_lie_makes_nobody_due_and_its_market_is_not_traded(followed: Followed) -> None:
    run, user = followed, followed.world.users[-1]
    oracle, market_id = await lookalike(run)
    await say(run, oracle, morpho.price(MARKETS[0]) // 100)
    (position,) = [p for p in run.market.positions(run.tables, user, run.now_s) if p.params.id == market_id]
    assert not position.liquidatable
    await run.mine([run.world.set_price("WETH", 2000 * 10**8)])
    assert run.market.cells.of_oracle(run.tables, oracle, "price") == morpho.price(MARKETS[0])
    await say(run, oracle, 10**24 * 2000)
    assert run.market.pairs(run.tables, user, run.now_s)
    await say(run, oracle, 10**24 * 1999)
    with pytest.raises(Skip, match="no_price"):
        run.market.pairs(run.tables, user, run.now_s)


async def test_an_oracle_that_reverts_leaves_its_accounts_as_they_were_and_untouched(followed: Followed) -> None:
    run, user = followed, followed.world.users[-1]
    oracle, _ = await lookalike(run)
    before = run.market.health(run.tables, user, run.now_s)
    await say(run, oracle, 0)
    assert run.market.health(run.tables, user, before.timestamp_s) == before
    await run.mine([run.world.set_price("WETH", 2000 * 10**8)])
    with pytest.raises(Skip, match="no_price"):
        run.market.pairs(run.tables, user, run.now_s)


async def test_each_hostile_market_that_is_listed_has_one_outcome_and_the_plans_of_the_others_are_as_without_it(
    net: Devnet, tmp_path: Path
) -> None:
    """The mute oracle speaks until the book has heard it once; the wild model has changed its mind twice."""
    await net.call(DEPLOYER, "morpho.oracle.mute", "say", morpho.price(next(market for market in HOSTILE if market.oracle == "mute")) // 2)
    for _ in range(2):
        await net.call(DEPLOYER, "morpho.irm.wild", "say", 10**9)
        await net.call(TRADER, "morpho.blue", "accrueInterest", morpho.params(net.addresses, WILD))
        await net.call(DEPLOYER, "morpho.irm.wild", "say", 2 * 10**9)
        await net.call(TRADER, "morpho.blue", "accrueInterest", morpho.params(net.addresses, WILD))
    async with crashed(net, tmp_path / "with", listed=ids(net, *HOSTILE)) as chain:
        for name in ("mute", "toll", "frozen"):
            price = morpho.price(next(market for market in HOSTILE if market.oracle == name)) // 2
            await net.call(DEPLOYER, f"morpho.oracle.{name}", "say", 0 if name == "mute" else price)
        await chain.catch_up()
        _, made, rejected = planned(chain)
    outcomes = {item.candidate.account: item.reason for item in rejected if item.candidate.market_name == MARKET}
    expected = {"mute": "no_price", "wild": "unknown_irm", "toll": "no_route", "frozen": "no_route"}
    assert {name: outcomes.get(derived(f"morpho.{name}")) for name in expected} == expected
    assert derived("morpho.liar") not in outcomes
    async with crashed(net, tmp_path / "without", percent=100) as chain:
        _, without, _ = planned(chain)
    assert {meant(p.plan) for p in made} == {meant(p.plan) for p in without}
    assert len(made) > 8


def meant(plan: Plan) -> tuple[Address, str]:
    """Whose and which position. The amount that names the first of two calls grows with interest."""
    return plan.account, "" if plan.kind == TWICE else plan.target


# --- ten thousand of them -----------------------------------------------------------------------------------------


def test_ten_thousand_hostile_markets_leave_no_cell_no_read_no_filter_and_no_row() -> None:
    market = market_of()
    state = State(market)
    state.write(market.absorb([None] * len(market.reads(state)), state))
    usual, quiet = len(market.reads(state)), State(market)
    for _ in range(2):
        quiet.write(market.absorb([None] * len(market.reads(quiet)), quiet))
    empty = market.reads(quiet), market.filters(quiet), sorted(quiet.cells())
    apply = market.applier(state)
    for number in range(MANY):
        state.write(apply(created(number), state))
    apply = market.applier(state)
    for number in range(MANY):
        owner = OWNER + account(number)[2:]
        state.write(apply(log(SECURED, number, 10**18, topics=(owner, owner)), state))
        state.write(apply(log(BORROWED, number, 0, 10**9, 10**15, topics=(owner, owner)), state))
    reads = market.reads(state)
    assert len(reads) == usual + MANY * (len(GETTERS) + 1)
    state.write(market.absorb([None] * len(reads), state))
    assert (market.reads(state), market.filters(state), sorted(state.cells())) == empty
    apply = market.applier(state)
    assert all(
        apply(log(BORROWED, number, 0, 10**9, 10**15, topics=(OWNER + "1" * 40, OWNER + "2" * 40)), state) == [] for number in range(9)
    )
    assert market.cells.met == {}
    assert list(market.accounts(state)) == []
    assert list(market.compiled(state)) == []
    assert market.margin(state) == 0.0
    assert market.factors(state, NOW_S, []) == {}


def test_markets_of_unknown_tokens_are_forgotten_before_anything_is_asked() -> None:
    market = market_of()
    state = State(market)
    apply = market.applier(state)
    assert all(apply(created(number, loan=account(number)), state) == [] for number in range(MANY))


async def test_a_log_that_is_cut_short_is_refused(followed: Followed) -> None:
    run = followed
    head = await run.reader.head()
    logs = await run.reader.logs(run.market.filters(run.tables), run.market.first_block, head.number)
    whole = [log for log in logs if run.market.apply(log, run.tables)]
    kinds = {log.topics[0]: log for log in whole}
    assert len(kinds) >= 5
    for one in kinds.values():
        for cut in (replace(one, data=one.data[:-1]), replace(one, topics=one.topics[:1])):
            with pytest.raises(Transient, match="cut short"):
                run.market.apply(cut, run.tables)


# --- which of many, and how often they are asked ------------------------------------------------------------------


async def test_of_more_markets_than_are_wanted_those_with_the_most_debt_are_followed_and_the_rest_is_told_of(
    net: Devnet, reader: NodeReader
) -> None:
    whole = await followed_by(net, reader, trusted(net))
    owed = {
        market: owed_usd8(whole.market.cells, whole.tables, whole.market.cells.params(whole.tables, market)) for market in whole.numbers()
    }
    largest = sorted(owed, key=lambda market: -owed[market])
    assert len({*owed.values()}) == len(owed)
    few = await followed_by(net, reader, {**trusted(net), "most_markets": 2})
    assert list(few.numbers()) == largest[:2]
    assert few.market.left_out(few.tables) == f"{len(owed) - 2} markets are left out by most_markets = 2"
    assert whole.market.left_out(whole.tables) is None
    reads = len(few.market.reads(few.tables))
    assert reads < len(whole.market.reads(whole.tables))


async def test_a_market_waits_without_a_read_until_enough_is_borrowed_and_brings_its_positions_along(
    net: Devnet, reader: NodeReader
) -> None:
    run = await followed_by(net, reader, {**trusted(net), "least_borrowed_usd": 1000})
    await run.prepare()
    market, user, usual = Market("WETH", "USDC", 6250, 0), run.world.users[-1], len(run.market.reads(run.tables))
    (new,) = ids(net, market)
    await run.mine(
        [
            run.world.call(user, "createMarket", market),
            run.world.call(user, "supply", market, 10**10, 0, user, b""),
            run.world.call(user, "supplyCollateral", market, 10**18, user, b""),
            run.world.call(user, "borrow", market, 9 * 10**8, 0, user, user),
        ]
    )
    assert new not in run.numbers()
    assert len(run.market.reads(run.tables)) == usual
    await run.mine([run.world.call(user, "borrow", market, 2 * 10**8, 0, user, user)])
    number = run.numbers()[new]
    assert run.tables.get(run.market.cells.collateral, (number, user)) == 10**18
    assert await check_positions(run, [user]) > 0
    assert list(run.tables.keys(run.market.cells.waiting)) == []
    assert all(run.market.cells.of_wait(run.tables, new, field) == 0 for field in WAIT)


async def test_a_dead_feed_and_the_markets_that_wait_for_it_are_asked_ever_less_and_at_every_head_once_it_speaks(
    net: Devnet, reader: NodeReader
) -> None:
    """The reads of each head, with a trusted feed without an answer behind markets of its token."""
    dead = net.addresses["feed.WETH"]
    code = await net.request("eth_getCode", dead, "latest")
    await net.request("anvil_setCode", dead, SILENT)
    run = await followed_by(net, reader, trusted(net))
    counts = []
    for _ in range(40):
        reads = run.market.reads(run.tables)
        counts.append(len(reads))
        run.tables.write(run.market.absorb(await reader.calls(reads), run.tables))
    assert "wait for feeds that do not answer" in str(run.market.left_out(run.tables))
    least, most = min(counts), max(counts)
    assert (least, most) == (15, 67)
    assert [head for head, count in enumerate(counts) if count > least] == HEADS_ASKED
    await net.request("anvil_setCode", dead, code)
    for _ in range(MOST_HEADS):
        await run.mine()
    assert run.market.left_out(run.tables) is None
    assert set(run.numbers()) == set(ids(net, *MARKETS, WILD))
    assert not run.tables.get(run.market.cells.feed, (dead, "rest"))
