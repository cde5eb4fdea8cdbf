"""A mean that overshoots for want of a cached answer, and the call that has it cached: accounts are looked at as they are after it."""

from __future__ import annotations

from contextlib import suppress

from keeper.adapters.perp_v2.account import account_at
from keeper.adapters.perp_v2.aid import UPDATE
from keeper.adapters.perp_v2.liquidation import COLLATERAL, triggers
from keeper.book.state import Tables
from keeper.devnet.rpc import RpcError
from keeper.risk.watch import Watch
from keeper.types import Address, Landing
from tests.adapters.perp_v2.curie import member
from tests.adapters.perp_v2.play import UNIT
from tests.adapters.perp_v2.test_liquidation import Stage, stage
from tests.adapters.perp_v2.test_rows import bounds

__all__ = ["stage"]

STEP_S, STEPS = 300, 40


async def secured(stage: Stage, usd: int) -> Address:
    """Somebody with an ether as margin, and long in ether."""
    who = member("ether")
    await stage.curie.enrich(who, "WETH", UNIT)
    await stage.curie.call("vault", "deposit", stage.curie.weth, UNIT, sender=who)
    await stage.play.open(who, "ETH", False, usd)
    return who


async def diverging(stage: Stage, who: Address, before: bool) -> None:
    """Let time pass until the account is liquidatable only before (else: only after) the newest answer is cached."""
    for _ in range(STEPS):
        at_s = await stage.upcoming_s()
        found = below(stage, who, at_s, upcoming=False), below(stage, who, at_s, upcoming=True)
        if found == (before, not before):
            return
        await stage.play.wait(STEP_S)
    raise AssertionError("never")


def below(stage: Stage, who: Address, at_s: int, upcoming: bool) -> bool:
    """The margin, as it is or as our call will find it."""
    look = stage.market.upcoming if upcoming else stage.market.moment
    moment = look(stage.indexer.tables, at_s)
    value, least = triggers(moment, account_at(moment, who))[0]
    return value < least


async def says(stage: Stage, who: Address, at_s: int) -> bool:
    """The contract's own views, in the next block."""
    net = stage.curie.net
    value = (await net.read("perp.clearing_house", "getAccountValue", who, time=at_s))[0]
    return bool(value < (await net.read("perp.account_balance", "getMarginRequirementForLiquidation", who, time=at_s))[0])


def nominated(stage: Stage, at_s: int) -> set[Address]:
    """By the rows at a time, without a look back."""
    tables, watch = Tables({stage.market.name: stage.market.columns}), Watch([stage.market], stage.curie.weth, 0)
    tables.write(stage.indexer.tables.cells())
    watch.rebuild(tables)
    return {found.account for found in watch.candidates(tables, Landing(0, at_s, 0))}


async def test_who_is_liquidatable_only_until_the_answer_is_cached_is_not_offered(stage: Stage) -> None:
    """The contract's views say yes; its call, which has the answer cached on its way, takes nothing."""
    who = await secured(stage, 16_000)
    await stage.play.wait(1000)
    await stage.play.reprice("ETH", 0.97)
    await diverging(stage, who, before=True)
    at_s = await stage.upcoming_s()
    assert await says(stage, who, at_s)
    assert await stage.pairs(who) == ()
    assert not stage.market.health(stage.indexer.tables, who, at_s).liquidatable
    assert who not in nominated(stage, at_s)
    held = await stage.curie.read("account_balance", "getTotalPositionSize", who, stage.curie.at("base.ETH"))
    with suppress(RpcError):
        await stage.curie.call("clearing_house", "liquidate(address,address)", who, stage.curie.at("base.ETH"), sender=stage.play.keeper)
    assert await stage.curie.read("account_balance", "getTotalPositionSize", who, stage.curie.at("base.ETH")) == held


async def test_who_is_liquidatable_only_once_the_answer_is_cached_is_seen_and_offered_with_the_call_that_has_it_cached(
    stage: Stage,
) -> None:
    who = await secured(stage, 15_500)
    await stage.crash("ETH", 0.95)
    await stage.play.wait(1000)
    await stage.play.reprice("ETH", 1.01)
    await diverging(stage, who, before=False)
    at_s = await stage.upcoming_s()
    view = stage.indexer.tables
    assert not await says(stage, who, at_s)
    assert stage.market.health(view, who, at_s).liquidatable
    assert who in nominated(stage, at_s)
    assert bounds(stage.market, view, stage.market.rows(view, who)[0], at_s)[0] < 0
    pair = next(pair for pair in await stage.pairs(who) if pair.kind != COLLATERAL)
    fill = await stage.filled(pair, pair.amounts[-1])
    assert [step.data for step in fill.before] == [UPDATE]
    await stage.proven(fill)
