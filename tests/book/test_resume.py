"""Whatever happened between two lives of a keeper, to the chain or to its config, the book ends up equal to the chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keeper.app import REORG_BLOCKS, Chain
from keeper.book import store
from keeper.book.audit import Auditor
from keeper.book.state import DIVERGED
from keeper.devnet import Devnet, DevnetOptions
from keeper.errors import ConfigError, Halt
from tests.book.world import (
    EVERYBODY,
    age,
    assert_true,
    cells,
    create_pool,
    in_step,
    life,
    list_token,
    opened,
    settings_of,
    trade,
    upgrade,
    visit,
    without,
)

MARKET = "aave-v36"


@pytest.fixture(scope="module")
async def aged() -> AsyncIterator[Devnet]:
    async with Devnet.start(DevnetOptions()) as net:
        await age(net)
        yield net


@pytest.fixture
async def old(aged: Devnet) -> AsyncIterator[Devnet]:
    """A devnet whose beginnings no reorg can undo."""
    snapshot = await aged.snapshot()
    yield aged
    await aged.revert(snapshot)


def swapped(net: Devnet) -> str:
    """A config in which each market has the other's address."""
    here, there = (net.addresses[f"{market}.provider"] for market in ("aave_v36", "aave_v302"))
    return net.config.read_text().replace(here, "?").replace(there, here).replace("?", there)


# --- the chain moved on -------------------------------------------------------------------------------------------


async def test_a_restart_stands_at_once_where_the_keeper_stopped(old: Devnet, tmp_path: Path) -> None:
    settings = settings_of(old, tmp_path / "data")
    progress: list[str] = []
    async with in_step(settings) as chain:
        before, journal, known = chain.head, list(chain.book.journal), cells(chain.book)
    await life(old, 1)
    async with opened(settings, lambda source, block, target: progress.append(source)) as chain:
        assert (chain.head, list(chain.book.journal), cells(chain.book)) == (before, journal, known)
        await chain.catch_up()
        await assert_true(chain, settings)
    assert progress == []


async def test_hundreds_of_blocks_missed_while_down_are_made_up_for(old: Devnet, tmp_path: Path) -> None:
    settings = settings_of(old, tmp_path / "data")
    await visit(settings)
    await life(old, 2)
    await create_pool(old)
    await age(old, REORG_BLOCKS)
    await list_token(old)
    await trade(old)
    async with in_step(settings) as chain:
        assert len(chain.book.journal) == REORG_BLOCKS
        assert old.addresses["token.NEW"] in chain.markets[0].tokens(chain.view)
        await assert_true(chain, settings)


async def test_blocks_replaced_while_down_are_undone(old: Devnet, tmp_path: Path) -> None:
    settings = settings_of(old, tmp_path / "data")
    fork = await old.snapshot()
    await life(old, 1)
    await visit(settings)
    await old.revert(fork)
    await life(old, 2)
    async with in_step(settings) as chain:
        await assert_true(chain, settings)


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
async def test_a_save_that_breaks_off_leaves_the_book_as_it_was_and_nothing_is_lost(
    old: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    settings = settings_of(old, tmp_path / "data")
    await visit(settings)
    await life(old, 1)
    put = store._put

    async def broken(*arguments: object) -> None:
        if written:
            await put(*arguments)  # type: ignore[arg-type]
        raise Halt("killed")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_put", broken)
        with pytest.raises(Halt, match="killed"):
            await visit(settings)
    async with in_step(settings) as chain:
        await assert_true(chain, settings)


# --- the config changed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["aave-v36", "aave-v302", "uniswap"])
async def test_a_market_or_venue_that_joins_is_filled_in_without_a_wrong_cell(old: Devnet, tmp_path: Path, name: str) -> None:
    await visit(settings_of(old, tmp_path / "data", without(old.config.read_text(), name)))
    await life(old, 2)
    settings = settings_of(old, tmp_path / "data")
    async with in_step(settings) as chain:
        await assert_true(chain, settings)


async def test_an_address_changed_under_the_same_name_leaves_nothing_of_the_old_one(old: Devnet, tmp_path: Path) -> None:
    await visit(settings_of(old, tmp_path / "data"))
    await life(old, 2)
    await visit(settings_of(old, tmp_path / "data"))
    here, there = (old.addresses[f"{market}.provider"] for market in ("aave_v36", "aave_v302"))
    swapped = old.config.read_text().replace(here, "-").replace(there, here).replace('-"', f'{there}"')
    settings = settings_of(old, tmp_path / "data", swapped)
    async with in_step(settings) as chain:
        await assert_true(chain, settings)


async def test_a_first_block_set_too_late_is_refused_and_leaves_nothing_behind(old: Devnet, tmp_path: Path) -> None:
    address = old.addresses["aave_v36.provider"]
    late = old.config.read_text().replace(f'"{address}"\n', f'"{address}"\nfirst_block = 30\n')
    with pytest.raises(ConfigError, match="first_block = 30 is too late"):
        await visit(settings_of(old, tmp_path / "data", late))
    settings = settings_of(old, tmp_path / "data")
    async with in_step(settings) as chain:
        await assert_true(chain, settings)


async def test_a_venue_that_comes_back_has_the_blocks_that_were_replaced_meanwhile(old: Devnet, tmp_path: Path) -> None:
    settings = settings_of(old, tmp_path / "data")
    fork = await old.snapshot()
    await age(old, 3)
    await visit(settings)
    await old.revert(fork)
    await life(old, 1)
    await visit(settings_of(old, tmp_path / "data", without(old.config.read_text(), "uniswap")))
    await age(old, REORG_BLOCKS)
    await visit(settings_of(old, tmp_path / "data", without(old.config.read_text(), "uniswap")))
    settings = settings_of(old, tmp_path / "data")
    async with in_step(settings) as chain:
        await assert_true(chain, settings)


# --- what outlives a restart, and what does not -------------------------------------------------------------------


async def test_a_diverged_market_stays_so_over_a_reorg_and_a_restart_until_its_address_changes(old: Devnet, tmp_path: Path) -> None:
    settings = settings_of(old, tmp_path / "data")
    fork = await old.snapshot()
    await age(old, 2)
    async with in_step(settings) as chain:
        assert chain.markets[0].name == MARKET
        await chain.bookkeeper.note([(DIVERGED, (MARKET,), 1)])
    await old.revert(fork)
    await life(old, 1)
    async with in_step(settings) as chain:
        assert chain.view.get(DIVERGED, (MARKET,)) == 1
    settings = settings_of(old, tmp_path / "data", swapped(old))
    async with in_step(settings) as chain:
        assert chain.view.get(DIVERGED, (MARKET,)) == 0
        await assert_true(chain, settings)


def reasons(chain: Chain) -> set[str]:
    """Why accounts of the first market are not liquidated."""
    landing = chain.landing(chain.head)
    _, rejected = chain.planner.block(chain.watch.candidates(chain.view, landing), chain.view, landing)
    return {item.reason for item in rejected if item.candidate.market_name == MARKET}


async def test_a_market_upgraded_under_the_keeper_waits_for_a_restart_and_no_longer(old: Devnet, tmp_path: Path) -> None:
    settings = settings_of(old, tmp_path / "data")
    async with in_step(settings) as chain:
        await upgrade(old)
        await old.set_prices({symbol: price * 3 // 4 for symbol, price in (await old.prices()).items() if symbol not in ("USDC", "DAI")})
        await old.mine()
        await chain.catch_up()
        assert reasons(chain) == {"market_upgraded"}
    async with in_step(settings) as chain:
        assert "market_upgraded" not in reasons(chain)
        assert await Auditor(chain.bookkeeper, chain.markets, chain.reader, EVERYBODY).differences() == []
