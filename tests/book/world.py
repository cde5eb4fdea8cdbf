"""A devnet with a history longer than a reorg, things that happen on it, and books opened on it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from eth_abi.abi import encode

from keeper.app import Chain, open_chain
from keeper.book.audit import Auditor
from keeper.book.book import FOLLOWED, Book
from keeper.book.indexer import Progress
from keeper.config import Settings, load
from keeper.devnet import Devnet
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.names import DEPLOYER, TRADER
from keeper.devnet.uniswap import sqrt_price_x96
from keeper.types import Address, Key

LONGER_THAN_A_REORG = 66
EVERYBODY = 10_000
ETHER = 10**18
MAX_TICK = 887220
NEVER_S = 2**40
IMPLEMENTATION_SLOT = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"
ATOKEN, VTOKEN = "aave_v36.atoken.LINK", "aave_v36.vtoken.LINK"
OF_THE_WAY_THERE = {"answer", "before", "distrusted"}, {FOLLOWED, "uniswap.generation"}
"""Fields of an asset, and tables, that tell what was seen on the way to this state, not what is."""

Cells = dict[tuple[str, Key], int]


# --- things that happen -------------------------------------------------------------------------------------------


async def age(net: Devnet, blocks: int = LONGER_THAN_A_REORG) -> None:
    for _ in range(blocks):
        await net.mine()


async def life(net: Devnet, rounds: int) -> None:
    """Prices and pools move, and people of both markets supply, in blocks of their own."""
    for number in range(rounds):
        prices = await net.prices()
        await net.set_prices({"WETH": prices["WETH"] * (995 - number) // 1000, "LINK": prices["LINK"] * 101 // 100})
        for market in ("aave_v36", "aave_v302"):
            user = [borrower.address for borrower in net.population if borrower.market == market][number]
            await net.deal("LINK", user, ETHER)
            await net.call(user, "token.LINK", "approve", net.addresses[f"{market}.pool"], ETHER)
            await net.call(user, f"{market}.pool", "supply", net.addresses["token.LINK"], ETHER - number, user, 0)


async def create_pool(net: Devnet) -> None:
    """A token nobody lists, with a Uniswap pool against ether that has been traded in."""
    net.addresses["token.NEW"] = await _create(net, "token.LINK", "NEW", "NEW", 18)
    tokens = sorted(net.addresses[name] for name in ("token.NEW", "token.WETH"))
    await net.deal("NEW", TRADER, 10**6 * ETHER)
    await net.call(TRADER, "token.NEW", "approve", net.addresses["uniswap.nfpm"], 2**255)
    await net.call(TRADER, "token.NEW", "approve", net.addresses["uniswap.router"], 2**255)
    await net.call(TRADER, "uniswap.nfpm", "createAndInitializePoolIfNecessary", *tokens, 3000, sqrt_price_x96(1, 1, 1, 1))
    position = (*tokens, 3000, -MAX_TICK, MAX_TICK, ETHER, ETHER, 0, 0, TRADER, NEVER_S)
    await net.call(TRADER, "uniswap.nfpm", "mint", position)
    await trade(net)


async def trade(net: Devnet) -> None:
    params = (net.addresses["token.NEW"], net.addresses["token.WETH"], 3000, TRADER, ETHER // 100, 0, 0)
    await net.call(TRADER, "uniswap.router", "exactInputSingle", params)


async def list_token(net: Devnet) -> None:
    """That token becomes a reserve of the v3.6 market, with somebody in it in the block after."""
    asset = net.addresses["token.NEW"]
    curve = encode(["(uint16,uint32,uint32,uint32)"], [BY_SYMBOL["LINK"].curve])
    implementations = [await _implementation(net, name) for name in (ATOKEN, VTOKEN)]
    await net.call(DEPLOYER, "aave_v36.oracle", "setAssetSources", [asset], [net.addresses["feed.LINK"]])
    listing = (*implementations, asset, "Aave NEW", "aNEW", "Aave debt NEW", "dNEW", b"", curve)
    await net.call(DEPLOYER, "aave_v36.configurator", "initReserves", [listing])
    await net.call(DEPLOYER, "aave_v36.configurator", "configureReserveAsCollateral", asset, 5000, 6000, 10500)
    user = next(borrower.address for borrower in net.population if borrower.market == "aave_v36")
    await net.deal("NEW", user, ETHER)
    await net.call(user, "token.NEW", "approve", net.addresses["aave_v36.pool"], ETHER)
    await net.call(user, "aave_v36.pool", "supply", asset, ETHER, user, 0)


async def upgrade(net: Devnet) -> None:
    """The v3.6 Pool gets an implementation: the one it has, made to believe that it was never initialised."""
    pool = net.addresses["aave_v36.pool"]
    await net.request("anvil_setStorageAt", pool, f"0x{0:064x}", f"0x{0:064x}")
    await net.call(DEPLOYER, "aave_v36.provider", "setPoolImpl", await _implementation(net, "aave_v36.pool"))


async def _create(net: Devnet, like: str, *args: object) -> Address:
    receipt = await net.transact(DEPLOYER, None, net.contract(like).creation(args, {}))
    return Address(receipt["contractAddress"].lower())


async def _implementation(net: Devnet, proxy: str) -> Address:
    word = await net.request("eth_getStorageAt", net.addresses[proxy], IMPLEMENTATION_SLOT, "latest")
    return Address("0x" + word[-40:])


# --- configs ------------------------------------------------------------------------------------------------------


def settings_of(net: Devnet, data: Path, config: str | None = None) -> Settings:
    """The devnet's config, or this one instead, with its data there."""
    path = net.config.with_name("other.toml")
    path.write_text(net.config.read_text() if config is None else config)
    return load(path, {"KEEPER_DATA_DIR": str(data)})


def without(config: str, name: str) -> str:
    """The config without the market or venue of that name."""
    shorter, count = re.subn(rf'\[\[chains\.(markets|venues)\]\]\nname = "{name}"\n(.+\n)*\n', "", config)
    assert count == 1
    return shorter


# --- books --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def opened(settings: Settings, progress: Progress = lambda *_: None) -> AsyncIterator[Chain]:
    async with open_chain(settings, settings.chains[0], progress, owned=True) as chain:
        yield chain


@asynccontextmanager
async def in_step(settings: Settings) -> AsyncIterator[Chain]:
    async with opened(settings) as chain:
        await chain.catch_up()
        yield chain


async def visit(settings: Settings) -> None:
    """A short life of a keeper: up to the newest block, and gone."""
    async with in_step(settings):
        pass


def cells(book: Book) -> Cells:
    """All cells but those of the way there; an aggregator is followed from the block after the one in which it was found."""
    fields, tables = OF_THE_WAY_THERE
    return {(table, key): value for table, key, value in book.tables.cells() if table not in tables and not fields.intersection(key)}


async def assert_true(chain: Chain, settings: Settings) -> None:
    """The book says what a book made from nothing says, and what the chain says of every account."""
    assert await Auditor(chain.bookkeeper, chain.markets, chain.reader, EVERYBODY).differences() == []
    assert all(len(list(market.accounts(chain.view))) > 10 for market in chain.markets)
    assert all(len(venue.pools(chain.view)) >= 8 for venue in chain.venues)
    async with in_step(settings.model_copy(update={"data_dir": settings.data_dir / "fresh"})) as other:
        assert cells(chain.book) == cells(other.book)
        assert chain.head == other.head
