"""What a fill promises is what its calls do: money, and the state they leave, to the wei."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from keeper.adapters.perp_v2 import PerpV2
from keeper.adapters.perp_v2.codec import call_data, selector
from keeper.adapters.perp_v2.market import PerpV2Market
from keeper.book.state import Overlay, Tables
from keeper.errors import Skip
from keeper.types import Address, Fill, Pair, Step
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.perp_v2.curie import Curie, member
from tests.adapters.perp_v2.play import UNIT, USD, Play
from tests.adapters.perp_v2.truth import differences, marks, questions

TAKER = member("taker")


@dataclass
class Stage:
    """Everybody in place, the market followed; `TAKER` liquidates, coming with nothing but the money it is given."""

    play: Play
    market: PerpV2Market
    indexer: Indexer

    @property
    def curie(self) -> Curie:
        return self.play.curie

    async def crash(self, market: str, factor: float, hops: int = 1) -> None:
        for _ in range(hops):
            await self.play.wait(16)
            await self.play.reprice(market, factor)
            await self.play.towards(market)
        await self.play.wait(16)

    async def upcoming_s(self) -> int:
        head = await self.indexer.sync()
        return head.timestamp_s + 12

    async def pairs(self, account: Address) -> tuple[Pair, ...]:
        return self.market.pairs(self.indexer.tables, account, await self.upcoming_s())

    async def filled(self, pair: Pair, cover: int) -> Fill:
        return self.market.fill(self.indexer.tables, pair, cover, await self.upcoming_s())

    async def executed(self, fill: Fill) -> int:
        """The fill's calls, one after another in the next block; what they earn in what they pay out. Raises AssertionError on a revert."""
        net, at_s = self.curie.net, await self.upcoming_s()
        before = await self.balance(fill.collateral_token)
        sent = [await net.send(TAKER, step.target, step.data) for step in self.market.encode(fill, TAKER) if isinstance(step, Step)]
        await net.mine(at_s)
        for number, tx in enumerate(sent):
            receipt = await net.request("eth_getTransactionReceipt", tx)
            if receipt["status"] != "0x1":
                trace = await net.request("debug_traceTransaction", tx, {"tracer": "callTracer"})
                raise AssertionError((number, trace.get("revertReason"), trace.get("output")))
        return await self.balance(fill.collateral_token) - before

    async def balance(self, token: Address) -> int:
        call = {"to": token, "data": "0x" + call_data(selector("balanceOf(address)"), TAKER).hex()}
        return int(await self.curie.net.request("eth_call", call, "latest"), 16)

    async def proven(self, fill: Fill) -> None:
        """Execute it, and compare money and state with what was promised."""
        promised = cells(Overlay(self.indexer.tables, fill.writes), self.market)
        earned = await self.executed(fill)
        same_token = fill.debt_token == fill.collateral_token
        assert earned == (fill.seized - fill.repaid if same_token else fill.seized)
        await self.indexer.sync()
        assert differing(promised, cells(self.indexer.tables, self.market)) == []


def cells(view: Tables | Overlay, market: PerpV2Market) -> dict[tuple[str, tuple[int | str, ...]], int]:
    """All of a market's, but those of the taker."""
    names = [name for name in vars(market.cells).values() if isinstance(name, str) and name.startswith("test/")]
    return {(name, key): view.get(name, key) for name in names for key in view.keys(name) if key[-1] != TAKER}


def differing(mine: dict[tuple[str, tuple[int | str, ...]], int], theirs: dict[tuple[str, tuple[int | str, ...]], int]) -> list[str]:
    keys = sorted({key for key in (*mine, *theirs) if mine.get(key, 0) != theirs.get(key, 0)}, key=str)
    return [f"{key}: promised {mine.get(key, 0)}, found {theirs.get(key, 0)}" for key in keys]


@pytest.fixture
async def stage(curie: Curie, reader: NodeReader) -> Stage:
    play = Play(curie, Random(11))
    await play.begin()
    await curie.enrich(TAKER, "USDC", 10**6 * USD)
    market = await PerpV2().open(reader, "test", curie.at("clearing_house"), None)
    assert isinstance(market, PerpV2Market)
    return Stage(play, market, Indexer(reader, market))


async def entered(stage: Stage, name: str, market: str, short: bool, equity: int, notional: int) -> Address:
    """Somebody new with so much equity and a position of so much, in USD."""
    who = member(name)
    await stage.curie.enrich(who, "USDC", equity * USD)
    await stage.play.deposit(who, equity)
    await stage.play.open(who, market, short, notional, not short)
    assert stage.play.done["open"], stage.play.done
    return who


@pytest.mark.parametrize(("short", "factor"), [(False, 0.95), (True, 1.05)])
async def test_part_of_a_position_is_taken_over_and_traded_away(stage: Stage, short: bool, factor: float) -> None:
    who = await entered(stage, "one", "ETH", short, 1_000, 9_500)
    await stage.crash("ETH", factor)
    (pair,) = await stage.pairs(who)
    account = stage.market.account(stage.indexer.tables, who, await stage.upcoming_s())
    assert 0 < pair.amounts[-1] < abs(account.positions[0].size)
    await stage.proven(await stage.filled(pair, pair.amounts[0]))


@pytest.mark.parametrize(("short", "factor"), [(False, 0.96), (True, 1.042)])
async def test_a_whole_position_is_taken_over_and_traded_away(stage: Stage, short: bool, factor: float) -> None:
    who = await entered(stage, "one", "ETH", short, 1_000, 9_500)
    await stage.crash("ETH", factor, hops=2)
    (pair,) = await stage.pairs(who)
    account = stage.market.account(stage.indexer.tables, who, await stage.upcoming_s())
    assert pair.amounts[-1] == abs(account.positions[0].size)
    await stage.proven(await stage.filled(pair, pair.amounts[-1]))
    assert await stage.pairs(who) == ()


async def test_an_exit_beyond_the_tick_limit_is_refused(stage: Stage) -> None:
    """The contract would close only a part, and leave the rest with us."""
    who = await entered(stage, "one", "ETH", False, 1_000, 9_500)
    await stage.crash("ETH", 0.96, hops=2)
    (pair,) = await stage.pairs(who)
    await stage.curie.call("exchange", "setMaxTickCrossedWithinBlock", stage.curie.at("base.ETH"), 1)
    with pytest.raises(Skip, match="tick_limit"):
        await stage.filled(pair, pair.amounts[-1])


async def test_nothing_is_offered_while_the_protocol_is_paused(stage: Stage) -> None:
    who = await entered(stage, "one", "ETH", False, 1_000, 9_500)
    await stage.crash("ETH", 0.96, hops=2)
    await stage.curie.call("clearing_house", "pause")
    with pytest.raises(Skip, match="paused"):
        await stage.pairs(who)
    await stage.curie.call("clearing_house", "unpause")
    assert await stage.pairs(who)


@pytest.mark.parametrize("closed", [False, True])
async def test_nothing_is_offered_in_a_market_that_has_stopped_and_its_numbers_still_hold(
    stage: Stage, reader: NodeReader, closed: bool
) -> None:
    who = await entered(stage, "one", "ETH", False, 1_000, 6_000)
    await stage.play.open(who, "BTC", True, 3_000)
    await stage.crash("ETH", 0.95, hops=2)
    assert len(await stage.pairs(who)) == 2
    await stage.curie.call("base.ETH", "pause")
    if closed:
        await stage.curie.call("base.ETH", "close(uint256)", 2_100 * UNIT)
    await stage.play.wait(1000)
    at_s = await stage.upcoming_s()
    view, pairs = stage.indexer.tables, await stage.pairs(who)
    assert [pair.target for pair in pairs] == [stage.curie.at("base.BTC")] * closed
    asked = list(questions(stage.curie, stage.market, view, who, at_s))
    asked += [] if closed else marks(stage.curie, stage.market, view, at_s)
    assert await differences(reader, asked, at_s) == []


async def test_bad_debt_is_the_funds_once_nothing_is_left(stage: Stage) -> None:
    who = await entered(stage, "one", "ETH", False, 1_000, 9_500)
    await stage.crash("ETH", 0.94, hops=2)
    (pair,) = await stage.pairs(who)
    fill = await stage.filled(pair, pair.amounts[-1])
    assert fill.bad_debt
    await stage.proven(fill)


async def test_a_makers_orders_are_cancelled_first(stage: Stage) -> None:
    who = await entered(stage, "maker", "ETH", False, 1_000, 4_000)
    tick = await stage.curie.tick("ETH")
    await stage.play.provide(who, "ETH", tick - 1200, tick + 600, 2_400)
    await stage.play.provide(who, "ETH", tick - 2400, tick - 600, 2_400)
    await stage.crash("ETH", 0.94, hops=2)
    (pair,) = await stage.pairs(who)
    fill = await stage.filled(pair, pair.amounts[-1])
    assert len(stage.market.encode(fill, TAKER)) == 8
    await stage.proven(fill)


@pytest.mark.parametrize("factor", [0.97, 1.02])
async def test_an_answer_that_nobody_has_cached_yet_is_cached_by_the_call(stage: Stage, factor: float) -> None:
    """Until then the index's mean overshoots: by then it does not."""
    who = await entered(stage, "one", "ETH", False, 1_000, 9_500)
    await stage.crash("ETH", 0.94)
    await stage.play.wait(1000)
    await stage.play.reprice("ETH", factor)
    await stage.play.wait(1500)
    (pair,) = await stage.pairs(who)
    await stage.proven(await stage.filled(pair, pair.amounts[-1]))


async def test_one_of_two_positions_is_taken_over(stage: Stage) -> None:
    who = await entered(stage, "two", "ETH", False, 1_000, 4_700)
    await stage.play.open(who, "BTC", False, 4_700)
    await stage.crash("ETH", 0.93, hops=2)
    pairs = await stage.pairs(who)
    assert len(pairs) == 2
    for pair in pairs:
        await stage.proven(await stage.filled(pair, pair.amounts[-1] // 2))


async def test_what_is_inherited_and_its_exit_add_up_to_the_fill(stage: Stage) -> None:
    who = await entered(stage, "one", "ETH", True, 1_000, 9_500)
    await stage.crash("ETH", 1.05)
    (pair,) = await stage.pairs(who)
    view, at_s = stage.indexer.tables, await stage.upcoming_s()
    fill = await stage.filled(pair, pair.amounts[-1])
    held = stage.market.inherited(view, pair, pair.amounts[-1], at_s)
    left = stage.market.exit(Overlay(view, fill.writes), pair.target, held.base, at_s)
    once = stage.market.exit(view, pair.target, held.base, at_s)
    assert held.base == -pair.amounts[-1]
    assert (held.quote + once.quote) // 10**12 == fill.seized - fill.repaid
    assert left.quote < once.quote < 0


@pytest.mark.parametrize("share", [1, 3])
async def test_collateral_is_bought_at_a_discount(stage: Stage, share: int) -> None:
    who = member("ether")
    await stage.curie.enrich(who, "WETH", UNIT)
    await stage.curie.call("vault", "deposit", stage.curie.weth, UNIT, sender=who)
    await stage.play.open(who, "ETH", False, 16_000)
    await stage.crash("ETH", 0.94)
    pair = next(pair for pair in await stage.pairs(who) if pair.kind == "collateral")
    await stage.proven(await stage.filled(pair, pair.amounts[-1] // share))
