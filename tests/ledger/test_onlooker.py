"""What rivals buy on a real chain is seen once, by our own reckoning, and remembered; our own purchases and crumbs tell nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keeper.app import Chain, open_chain, rivals_path
from keeper.config import load
from keeper.devnet import Devnet
from keeper.ledger.onlooker import Onlooker, recall
from keeper.planning.rivals import Reckoner
from keeper.types import Address
from tests.e2e.auctions import RIVAL, Rival
from tests.markets import only
from tests.planning.test_patience import start_auctions

LATER_S = 900
"""By then a lot pays."""


@asynccontextmanager
async def chain_of(net: Devnet, folder: Path) -> AsyncIterator[Chain]:
    settings = only(load(net.config, {"KEEPER_DATA_DIR": str(folder)}), "yield")
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=True) as chain:
        await chain.catch_up()
        yield chain


async def onlooker(chain: Chain, path: Path, ours: Collection[Address] = ()) -> Onlooker:
    reckoner = Reckoner(chain.book.sources, chain.predictor, chain.patience, 10**8)
    return await Onlooker.open(chain.book, chain.bookkeeper, reckoner, chain.rivals, path, ours)


@pytest.fixture
async def lots(net: Devnet) -> tuple[Rival, list[Address]]:
    """On auction since a while, and a rival who can pay for them."""
    prices, rival = await net.prices(), Rival(net, 0)
    await rival.prepare()
    await net.set_prices({"WETH": prices["WETH"] * 97 // 100})
    await net.mine()
    await start_auctions(net)
    now_s = int((await net.request("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    await net.mine(now_s + LATER_S)
    accounts = [Address(vault.address) for vault in net.vaults]
    return rival, [account for account in accounts if (await rival.auction(account))[0]]


def path_of(folder: Path) -> Path:
    return folder / "devnet" / "auctions.json"


async def test_a_purchase_is_seen_once_and_survives_a_restart(net: Devnet, tmp_path: Path, lots: tuple[Rival, list[Address]]) -> None:
    rival, accounts = lots
    async with chain_of(net, tmp_path) as chain:
        looking = await onlooker(chain, path_of(tmp_path))
        await rival.buy(accounts[0])
        await net.mine()
        await chain.catch_up()
        await looking.look()
        await looking.look()
        (margin_bps,) = chain.rivals.state()["yield"]
        assert margin_bps
        assert 0 < margin_bps < 1000
    async with chain_of(net, tmp_path) as chain:
        assert chain.rivals.state() == {"yield": [margin_bps]}
        await (await onlooker(chain, path_of(tmp_path))).look()
        assert chain.rivals.state() == {"yield": [margin_bps]}


async def test_what_was_bought_while_nobody_looked_is_made_up_for(net: Devnet, tmp_path: Path, lots: tuple[Rival, list[Address]]) -> None:
    rival, accounts = lots
    async with chain_of(net, tmp_path) as chain:
        looking = await onlooker(chain, path_of(tmp_path))
        for account in accounts[:2]:
            await rival.buy(account)
            await net.mine()
        await chain.catch_up()
        await looking.look()
        assert len(chain.rivals.state()["yield"]) == 2


async def test_the_block_a_reorg_brings_again_is_not_counted_twice(net: Devnet, tmp_path: Path, lots: tuple[Rival, list[Address]]) -> None:
    rival, accounts = lots
    async with chain_of(net, tmp_path) as chain:
        looking = await onlooker(chain, path_of(tmp_path))
        for again in (False, True):
            snapshot = await net.snapshot()
            await rival.buy(accounts[0])
            await net.mine(chain.head.timestamp_s + 12 + again)
            await chain.catch_up()
            await looking.look()
            if not again:
                await net.revert(snapshot)
        assert len(chain.rivals.state()["yield"]) == 1


async def test_who_buys_for_us_is_no_rival(net: Devnet, tmp_path: Path, lots: tuple[Rival, list[Address]]) -> None:
    rival, accounts = lots
    async with chain_of(net, tmp_path) as chain:
        looking = await onlooker(chain, path_of(tmp_path), ours=[RIVAL])
        await rival.buy(accounts[0])
        await net.mine()
        await chain.catch_up()
        await looking.look()
        assert chain.rivals.state() == {}
        assert not path_of(tmp_path).exists()


async def test_where_a_rival_was_seen_each_purchase_of_ours_makes_him_weigh_less(
    net: Devnet, tmp_path: Path, lots: tuple[Rival, list[Address]]
) -> None:
    rival, accounts = lots
    async with chain_of(net, tmp_path) as chain:
        chain.rivals.restore({"yield": [300]})
        looking = await onlooker(chain, path_of(tmp_path), ours=[RIVAL])
        await rival.buy(accounts[0])
        await net.mine()
        await chain.catch_up()
        await looking.look()
    assert (await recall(path_of(tmp_path))).state() == {"yield": [300, None]}


async def test_a_crumb_tells_of_its_gas_and_is_passed_over(net: Devnet, tmp_path: Path, lots: tuple[Rival, list[Address]]) -> None:
    """Else somebody could make us hasty for a few cents."""
    rival, accounts = lots
    async with chain_of(net, tmp_path) as chain:
        looking = await onlooker(chain, path_of(tmp_path))
        for account in accounts:
            await rival.buy(account, 10**6)
        await net.mine()
        assert await rival.won()
        await chain.catch_up()
        await looking.look()
        assert chain.rivals.state() == {}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"block": 3}', '{"block": "x", "margins_bps": {}}', '{"block": 1, "margins_bps": [3]}'])
async def test_a_file_that_was_never_written_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "auctions.json"
    path.write_text(text)
    assert (await recall(path)).state() == {}


async def test_the_file_is_where_the_chains_data_is(net: Devnet, tmp_path: Path) -> None:
    settings = load(net.config, {"KEEPER_DATA_DIR": str(tmp_path)})
    assert rivals_path(settings, settings.chains[0]) == path_of(tmp_path)
