"""Blocks that held our transactions are taken back: the ledger takes them back too, and in the end book, ledger and chain agree.

The node does not return what it takes back to its mempool, and says nothing but that there is a new head.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from keeper.app import Chain, open_chain
from keeper.book.audit import Auditor
from keeper.config import load
from keeper.daemon import Listeners, open_pipeline
from keeper.devnet import Devnet
from keeper.devnet.names import OPERATOR
from keeper.monitor.report import Metrics
from keeper.types import Address, Verdict
from tests.e2e.checker import check
from tests.e2e.world import (
    PATIENCE_S,
    TIP_WEI,
    Keeper,
    World,
    assert_ledger_is_the_chain,
    drop,
    keeper_on,
    ours,
    query,
    rows,
    settle_down,
    step,
    waiting,
    world,
)

SEED = 3
ACCOUNTS = 30
FALL_PERCENT = 6
EVERYBODY = 10_000
FIELDS = ("from", "to", "input", "gas", "nonce", "maxFeePerGas", "maxPriorityFeePerGas", "value")

Body = str | dict[str, str]


# --- blocks, taken back and given again ---------------------------------------------------------------------------


async def bodies(net: Devnet, block: int) -> list[Body]:
    """A block's transactions in a form in which they can be put into another one: ours as signed, those of the devnet's own actors as
    requests."""
    found = (await net.request("eth_getBlockByNumber", hex(block), True))["transactions"]
    return [await _body(net, tx) for tx in found]


async def _body(net: Devnet, tx: dict[str, Any]) -> Body:
    if tx["from"].lower() == OPERATOR:
        return str(await net.request("eth_getRawTransactionByHash", tx["hash"]))
    return {field: tx[field] for field in FIELDS}


async def replace(here: World, keeper: Keeper, depth: int, *blocks: Sequence[Body]) -> None:
    """The newest `depth` blocks are others, with these transactions; the keeper has worked on the newest."""
    await here.net.request("anvil_reorg", depth, [[body, offset] for offset, block in enumerate(blocks) for body in block])
    newest = (await here.net.request("eth_getBlockByNumber", "latest", False))["hash"]
    async with asyncio.timeout(PATIENCE_S):
        while newest not in {report.head.hash for report in keeper.reports}:
            await here.net.request("eth_chainId")


async def liquidated(here: World, keeper: Keeper) -> tuple[int, int]:
    """The block in which prices fall, and the one in which the keeper liquidates."""
    return await step(here, keeper, await drop(here, FALL_PERCENT)), await step(here, keeper)


# --- what must hold in the end ------------------------------------------------------------------------------------


async def assert_agreed(here: World, results: set[str]) -> list[dict[str, Any]]:
    """Book, outbox, ledger and chain tell the same story; every standing result is one of these, and as predicted."""
    written = await assert_ledger_is_the_chain(here)
    assert {row["result"] for row in written} == results
    assert [row for row in written if row["predicted_profit"] != row["realised_profit"]] == []
    assert_nothing_counted_twice(here, written)
    assert query(here, "select count(*) from outbox where state not in ('included', 'cancelled') or not acknowledged") == [(0,)]
    assert [receipt["nonce"] for receipt in await ours(here)] == list(range(len(written)))
    assert (await check(here.net, here.executor, TIP_WEI)).profitable == []
    await assert_book_is_the_chain(here)
    return written


def assert_nothing_counted_twice(here: World, written: list[dict[str, Any]]) -> None:
    """The sum over all rows ever appended is the sum over those that stand; one row per transaction does."""
    appended = query(here, "select net_eth_wei, realised_profit from ledger")
    for column, name in enumerate(("net_eth_wei", "realised_profit")):
        assert sum(int(row[column]) for row in appended) == sum(row[name] for row in written)
    assert max(Counter(row["tx"] for row in written).values()) == 1


async def assert_book_is_the_chain(here: World) -> None:
    """As it was saved, and for every account."""
    async with open_chain(here.settings, here.settings.chains[0], lambda *_: None, owned=True) as chain:
        newest = await chain.reader.head()
        assert chain.head == newest
        assert await Auditor(chain.bookkeeper, chain.markets, chain.reader, EVERYBODY).differences() == []


def reversals(here: World) -> int:
    return int(query(here, "select count(*) from ledger where reverses is not null")[0][0])


# --- the stories --------------------------------------------------------------------------------------------------


async def test_a_liquidation_taken_back_is_reversed_sent_again_and_counted_once() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await liquidated(here, keeper)
            before = await rows(here)
            await replace(here, keeper, 1)
            assert await rows(here) == []
            assert reversals(here) == await waiting(here.net) == len(before) >= 10
            await settle_down(here, keeper, at_least=3)
        written = await assert_agreed(here, {"won"})
    assert {row["tx"] for row in written} == {row["tx"] for row in before}


async def test_a_liquidation_that_is_in_the_new_block_too_is_found_again_there() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            _, block = await liquidated(here, keeper)
            before = await rows(here)
            await replace(here, keeper, 1, await bodies(here.net, block))
            assert {row["tx"] for row in await rows(here)} == {row["tx"] for row in before}
            assert await waiting(here.net) == 0
            await settle_down(here, keeper, at_least=3)
        await assert_agreed(here, {"won"})


@pytest.mark.parametrize("late", [0, 1])
async def test_a_deeper_reorg_that_keeps_everything_in_the_same_or_other_blocks_changes_nothing_but_the_gas(late: int) -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            fell, block = await liquidated(here, keeper)
            before = await rows(here)
            kept = [await bodies(here.net, fell), *[[] for _ in range(late)], await bodies(here.net, block)]
            for _ in range(late):
                await step(here, keeper)
            await replace(here, keeper, 2 + late, *kept)
            await settle_down(here, keeper, at_least=3)
        written = await assert_agreed(here, {"won"})
    assert {row["tx"]: row["block"] for row in written} == {row["tx"]: row["block"] + late for row in before}


async def test_prices_and_liquidations_that_meet_in_one_block_of_the_new_branch_are_still_predicted_to_the_wei() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            fell, block = await liquidated(here, keeper)
            await replace(here, keeper, 2, [*await bodies(here.net, fell), *await bodies(here.net, block)])
            await settle_down(here, keeper, at_least=3)
        written = await assert_agreed(here, {"won"})
    assert {row["block"] for row in written} == {fell}
    assert all(row["foreign"] for row in written)


async def test_when_the_fall_itself_is_taken_back_ours_are_cancelled_and_the_next_fall_finds_everybody() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await liquidated(here, keeper)
            taken = {(row["market"], row["account"]) for row in await rows(here)}
            await replace(here, keeper, 2)
            assert await rows(here) == []
            await settle_down(here, keeper, at_least=1)
            assert {row["result"] for row in await rows(here)} == {"cancelled"}
            await liquidated(here, keeper)
            await settle_down(here, keeper, at_least=2)
        written = await assert_agreed(here, {"won", "cancelled"})
    assert {(row["market"], row["account"]) for row in written if row["result"] == "won"} == taken


async def test_a_reorg_while_nobody_was_there_is_noticed_at_the_start() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await liquidated(here, keeper)
        await here.net.request("anvil_reorg", 2, [])
        await here.net.set_prices(await drop(here, FALL_PERCENT))
        await here.net.mine()
        async with keeper_on(here) as keeper:
            await settle_down(here, keeper, at_least=3)
        await assert_agreed(here, {"won"})


# --- an aggregator is replaced ------------------------------------------------------------------------------------


async def prey(here: World) -> set[tuple[str, Address]]:
    return {(action.choice.market, action.choice.account) for action in (await check(here.net, here.executor, TIP_WEI)).profitable}


async def test_the_first_price_of_a_new_aggregator_is_acted_upon() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await step(here, keeper)
            for symbol in ("WETH", "wstETH"):
                await here.net.change_phase(symbol)
            await step(here, keeper)
            fell = await step(here, keeper, await drop(here, FALL_PERCENT))
            due = await prey(here)
            await settle_down(here, keeper, at_least=1)
        written = await assert_agreed(here, {"won"})
    assert {row["block"] for row in written} == {fell + 1}
    assert {(row["market"].replace("-", "_"), row["account"]) for row in written} == due


# --- between a step of the book and what is asked about it --------------------------------------------------------


async def test_a_block_replaced_between_the_books_step_and_the_settlement_waits_for_the_book() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await step(here, keeper, await drop(here, FALL_PERCENT))
        named = here.settings.chains[0]
        async with open_pipeline(here.settings, named, True, Metrics(CollectorRegistry()), Listeners()) as pipeline:
            parts = pipeline._parts
            feed = parts.feed.updates()
            assert isinstance(feed, AsyncGenerator)
            async with aclosing(feed) as updates:
                block = await here.net.mine()
                met = await anext(updates)
                await parts.books.advance(met)
                await here.net.request("anvil_reorg", 1, [[body, 0] for body in await bodies(here.net, block)])
                assert await parts.settling.settle(met) == []
                other = await anext(updates)
                await parts.books.advance(other)
                settled = await parts.settling.settle(other)
                await parts.books.save()
        assert [head.number for head in other.undo] == [block]
        assert {outcome.verdict for outcome in settled} == {Verdict.WON}
        await assert_agreed(here, {"won"})


async def test_what_a_node_answered_from_a_later_state_is_read_again_before_the_ledger_has_it() -> None:
    """A price, one percent off until the next block is met."""
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await step(here, keeper, await drop(here, FALL_PERCENT))
        named = here.settings.chains[0]
        async with open_pipeline(here.settings, named, True, Metrics(CollectorRegistry()), Listeners()) as pipeline:
            parts = pipeline._parts
            chain, feed = parts.books, parts.feed.updates()
            assert isinstance(chain, Chain)
            assert isinstance(feed, AsyncGenerator)
            cell = ("aave-v36/asset", (here.net.addresses["token.WETH"], "price"))
            await chain.bookkeeper.note([(*cell, chain.view.get(*cell) * 99 // 100)])
            async with aclosing(feed) as updates:
                await here.net.mine()
                met = await anext(updates)
                await chain.advance(met)
                assert {outcome.verdict for outcome in await parts.settling.settle(met)} == {Verdict.WON}
                await chain.save()
        await assert_agreed(here, {"won"})


@pytest.mark.parametrize(("kind", "name"), [("markets", "aave-v302"), ("venues", "uniswap")])
async def test_what_leaves_the_config_with_transactions_on_their_way_is_still_settled(kind: str, name: str) -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await step(here, keeper, await drop(here, FALL_PERCENT))
        await here.net.mine()
        text = here.net.config.read_text()
        table = re.search(rf'\[\[chains\.{kind}\]\]\nname = "{name}"\n(.+\n)+', text)
        assert table
        here.net.config.write_text(text.replace(table[0], ""))
        later = World(here.net, here.executor, load(here.net.config, {}))
        async with keeper_on(later) as keeper:
            await step(later, keeper)
        written = await assert_ledger_is_the_chain(later)
    gone = [row for row in written if name in (row["market"], "uniswap")]
    assert len(gone) >= 5
    assert {row["result"] for row in gone} == {"won"}
    assert all(row["reason"].startswith("unpredicted: ") and row["realised_profit"] > 0 for row in gone)


async def test_a_book_that_was_deleted_with_transactions_on_their_way_still_explains_them_to_the_wei() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            await step(here, keeper, await drop(here, FALL_PERCENT))
        await here.net.mine()
        here.ledger_file.with_name("book.sqlite").unlink()
        async with keeper_on(here) as keeper:
            await settle_down(here, keeper, at_least=2)
        assert len(await assert_agreed(here, {"won"})) >= 5
