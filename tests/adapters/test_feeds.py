"""What stands behind a price: the aggregator's words and limits, and the price before it moved, on the real contracts."""

from __future__ import annotations

import pytest

from keeper.devnet.genesis.tokens import MAX_ANSWER, MIN_ANSWER
from keeper.devnet.names import DEPLOYER
from keeper.types import Address, PriceFeed
from tests.adapters.conftest import Follow, Followed
from tests.adapters.test_prices import ADAPTER, deploy, transmit

MARKETS = pytest.mark.parametrize("name", ["aave_v302", "aave_v36"])


def feed(followed: Followed, symbol: str) -> PriceFeed:
    feeds = {feed.symbol: feed for feed in followed.market.feeds(followed.indexer.tables)}
    return feeds[symbol]


async def round_of(followed: Followed, symbol: str) -> tuple[int, int]:
    """(answer, updated at) by the feed's proxy."""
    found = await followed.net.read(f"feed.{symbol}", "latestRoundData")
    return int(found[1]), int(found[3])


@MARKETS
async def test_every_token_has_a_feed_as_the_aggregator_tells_it(follow: Follow, name: str) -> None:
    followed = await follow(name)
    feeds = followed.market.feeds(followed.indexer.tables)
    assert {feed.token for feed in feeds} == set(followed.market.tokens(followed.indexer.tables))
    for found in feeds:
        assert (found.answer, found.updated_at_s) == await round_of(followed, found.symbol)
        assert (found.price, found.least, found.most, found.unit) == (found.answer, MIN_ANSWER, MAX_ANSWER, "usd-8")


@MARKETS
async def test_an_answer_tells_when_it_was_given_and_what_was_before(follow: Follow, name: str) -> None:
    followed = await follow(name)
    before = feed(followed, "WETH")
    await transmit(followed, "WETH", 2222 * 10**8)
    await transmit(followed, "WETH", 2223 * 10**8)
    after = feed(followed, "WETH")
    assert (after.price, after.before) == (2223 * 10**8, 2222 * 10**8)
    assert (after.answer, after.updated_at_s) == await round_of(followed, "WETH")
    assert after.updated_at_s > before.updated_at_s
    await followed.indexer.sync()
    assert feed(followed, "WETH") == after


@MARKETS
async def test_an_answer_repeated_is_no_move_but_a_sign_of_life(follow: Follow, name: str) -> None:
    followed = await follow(name)
    await transmit(followed, "WETH", 2222 * 10**8)
    moved = feed(followed, "WETH")
    await transmit(followed, "WETH", 2222 * 10**8)
    again = feed(followed, "WETH")
    assert (again.price, again.before) == (moved.price, moved.before)
    assert again.updated_at_s > moved.updated_at_s


@MARKETS
async def test_a_new_aggregator_is_asked_for_its_own_limits(follow: Follow, name: str) -> None:
    followed = await follow(name)
    await followed.net.change_phase("WETH", least=10**8, most=3000 * 10**8)
    await followed.indexer.sync()
    found = feed(followed, "WETH")
    assert (found.least, found.most) == (10**8, 3000 * 10**8)
    assert (found.answer, found.updated_at_s) == await round_of(followed, "WETH")


@MARKETS
async def test_a_price_moved_by_another_source_is_a_move_too(follow: Follow, name: str) -> None:
    followed = await follow(name)
    asset, before = followed.net.addresses["token.LINK"], feed(followed, "LINK").price
    adapter = await deploy(followed, ADAPTER, followed.net.addresses["feed.WETH"])
    await followed.owner(f"{name}.oracle", "setAssetSources", [asset], [adapter])
    await followed.indexer.sync()
    found = feed(followed, "LINK")
    assert (found.price, found.before) == (feed(followed, "WETH").price * 12 // 10, before)
    assert found.answer == feed(followed, "WETH").answer


@MARKETS
async def test_a_source_without_rounds_or_limits_has_none(follow: Follow, name: str) -> None:
    followed = await follow(name)
    asset = Address(followed.net.addresses["token.LINK"])
    plain = await deploy(followed, PLAIN)
    await followed.owner(f"{name}.oracle", "setAssetSources", [asset], [plain])
    await followed.indexer.sync()
    found = feed(followed, "LINK")
    assert (found.price, found.answer, found.least, found.most, found.updated_at_s) == (14 * 10**8, 0, 0, 0, 0)
    questions = len(followed.market.reads(followed.indexer.tables))
    await followed.indexer.sync()
    assert len(followed.market.reads(followed.indexer.tables)) == questions


@MARKETS
async def test_a_source_that_caps_its_price_says_so_at_every_head(follow: Follow, name: str) -> None:
    followed = await follow(name)
    capped = await deploy(followed, CAPPED)
    await followed.owner(f"{name}.oracle", "setAssetSources", [Address(followed.net.addresses["token.LINK"])], [capped])
    seen = []
    for _ in range(3):
        await followed.indexer.sync()
        seen.append(feed(followed, "LINK").capped)
        await followed.net.transact(DEPLOYER, capped, b"")  # its fallback turns the cap on and off
    assert seen == [False, True, False]


CAPPED = """
# pragma version ~=0.4.0
isCapped: public(bool)

@external
@view
def latestAnswer() -> int256:
    return 14 * 10**8

@external
def __default__():
    self.isCapped = not self.isCapped
"""
PLAIN = """
# pragma version ~=0.4.0
@external
@view
def latestAnswer() -> int256:
    return 14 * 10**8

@external
def __default__():
    pass
"""
