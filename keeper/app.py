"""The composition root: the only module that knows concrete classes. Everything else meets through `ports.py`.

`open_chain` gives what every command needs: the node, the sources found by discovery, and a book in step with the chain.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import orjson

from keeper.bidding.auction import Rivals
from keeper.book.book import Book
from keeper.book.bookkeeper import Bookkeeper
from keeper.book.indexer import Progress
from keeper.book.resume import Resume, ResumeReader, ResumeStore
from keeper.book.store import BookStore, Glimpse
from keeper.chain.codec import topic
from keeper.chain.feed import ChainFeed
from keeper.chain.fees import landing
from keeper.chain.heads import HeadSource, PollHeads
from keeper.chain.node import Node
from keeper.chain.pool import Pool, Second
from keeper.chain.reader import NodeReader, PastReader
from keeper.config import Settings
from keeper.config.settings import ChainSettings, MarketSettings, VenueSettings
from keeper.errors import ConfigError, Transient
from keeper.execution.haltfile import HaltFile
from keeper.inventory.inventory import Inventory
from keeper.ledger.onlooker import recall
from keeper.nodes import heads_of, open_node
from keeper.options import OptionError, Options
from keeper.planning.patience import Patience
from keeper.planning.planner import Planner
from keeper.planning.predict import Predictor
from keeper.planning.prewarm import Prewarmer
from keeper.planning.routing import Router
from keeper.ports import Adapter, ColumnView, FlashLender, LogSource, Market, Reader, Venue, Witness
from keeper.recording.record import Deck, TapedReader, TapedStore
from keeper.risk.guard import PriceGuard, Prices
from keeper.risk.references import References
from keeper.risk.watch import Candidate, Watch
from keeper.terms import house, keeps_nothing, policy
from keeper.types import Address, ChainUpdate, Head, Landing, LogFilter, Write

ANSWER_UPDATED = topic("AnswerUpdated(int256,uint256,uint256)")
CATCH_UP_S = 60.0
REORG_BLOCKS = 256
ACCOUNTS = "accounts"


@dataclass(frozen=True)
class ChainState:
    """One chain as far as it follows from what is read of it: markets, venues, a book, and the plans that come of it."""

    settings: ChainSettings
    markets: tuple[Market, ...]
    venues: tuple[Venue, ...]
    book: Book
    bookkeeper: Bookkeeper
    predictor: Predictor
    planner: Planner
    watch: Watch
    guard: PriceGuard
    prewarmer: Prewarmer
    rivals: Rivals
    patience: Patience
    inventory: Inventory

    @property
    def head(self) -> Head:
        if self.book.head is None:
            raise RuntimeError("the book has no head before it was resumed")
        return self.book.head

    @property
    def view(self) -> ColumnView:
        return self.book.tables

    def landing(self, head: Head) -> Landing:
        return landing(head, self.settings.block_time_s)

    def foreseen(self, writes: Sequence[Write], landing: Landing) -> list[Candidate]:
        """Who would be due if these cells were written. Everything is as before afterwards."""
        tables = self.book.tables
        undo = tables.write(writes)
        try:
            self.watch.update(writes, tables)
            return self.watch.candidates(tables, landing)
        finally:
            tables.write(undo)
            self.watch.update(undo, tables)

    def prices(self) -> Prices:
        """What the guard makes of every price, for a transaction sent now."""
        return self.guard.at(self.view, self.landing(self.head).timestamp_s)

    async def advance(self, update: ChainUpdate) -> None:
        """One step of the chain: the book, then the rows of the accounts it touched."""
        changed = await self.bookkeeper.advance(update)
        self.watch.update(changed, self.view)
        self.prewarmer.observe(changed)

    async def save(self) -> None:
        """Write the last step down."""
        await self.bookkeeper.save()


@dataclass(frozen=True)
class Chain(ChainState):
    """A chain with its node."""

    rpc: Node
    reader: NodeReader
    feed: ChainFeed

    async def catch_up(self) -> None:
        """Follow the feed to the node's newest block."""
        newest = await self.reader.head()
        async with aclosing(self.feed.updates()) as updates:
            while self.head.number < newest.number or (self.head.number == newest.number and self.head.hash != newest.hash):
                await self.advance(await self._soon(anext(updates)))
        await self.save()

    async def _soon(self, step: Awaitable[ChainUpdate]) -> ChainUpdate:
        """The feed tries for ever; somebody waits for this."""
        try:
            async with asyncio.timeout(CATCH_UP_S):
                return await step
        except TimeoutError:
            raise Transient(f"node of {self.settings.name}: gave no way to its newest block within {CATCH_UP_S:g} s: try again") from None


def unpriced(chain: ChainState) -> str | None:
    """What is wrong with native_token: no profit can be weighed against gas that has no price. Of a book in step with the chain."""
    native = chain.settings.native_token
    listed = any(native in market.tokens(chain.view) for market in chain.markets)
    if listed or any(native in (pool.token0, pool.token1) for venue in chain.venues for pool in venue.pools(chain.view)):
        return None
    return f"chains.{chain.settings.name}.native_token: nothing trades {native}: name the wrapped token in which gas is paid"


def chain_named(settings: Settings, name: str | None = None) -> ChainSettings:
    """The chain of that name; the only one when none is named."""
    found = [chain for chain in settings.chains if name in (None, chain.name)]
    if not found:
        raise ConfigError(f"no chain is named {name!r}: there are {', '.join(chain.name for chain in settings.chains)}")
    return found[0]


@asynccontextmanager
async def open_chain(
    settings: Settings, chain: ChainSettings, progress: Progress, owned: bool, deck: Deck | None = None, until: Head | None = None
) -> AsyncIterator[Chain]:
    """A chain whose book stands where the feed can take over. Not `owned`: the book's file is only read, a daemon may be writing it.
    `deck`: a recorder of what the book consumes. `until`: as it was when that was the newest block, from a book of its own."""
    async with open_node(chain) as (rpc, node):
        path, reader = book_path(settings, chain), PastReader(rpc, until) if until else node
        store = await BookStore.open(path, chain.chain_id) if owned else Glimpse(None if until else path, chain.chain_id)
        try:
            seen: ResumeReader = TapedReader(deck, reader) if deck else reader
            kept: ResumeStore = TapedStore(deck, store) if deck else store
            state = await open_state(chain, seen, kept, progress, await recall(rivals_path(settings, chain)))
            heads = PollHeads(reader, 1.0) if until else _heads(chain, reader, state.book)
            second = NodeReader(Second(rpc)) if isinstance(rpc, Pool) else None
            poll_s = float(chain.block_time_s)
            feed = ChainFeed(reader, heads, state.book.ancestors(), state.book.filters, REORG_BLOCKS, poll_s=poll_s, second=second)
            yield Chain(**vars(state), rpc=rpc, reader=reader, feed=feed)
        finally:
            await store.close()


async def open_state(
    chain: ChainSettings, reader: ResumeReader, store: ResumeStore, progress: Progress, rivals: Rivals | None = None
) -> ChainState:
    """Discovery, then the book from what is stored and what the chain adds. `rivals`: how long others wait, as far as it is known."""
    chain = _with_accounts(chain)
    markets = [await open_market(chain, item, reader) for item in chain.markets]
    venues: list[Venue] = [await _open("keeper.venues", item, reader, chain) for item in chain.venues]
    guard = PriceGuard(policy(chain.guard), [venue for venue in venues if isinstance(venue, Witness)], chain.native_token, markets)
    sources: list[LogSource] = [*markets, *venues, *([guard.references] if guard.references.addresses else [])]
    book = Book(sources, REORG_BLOCKS, lambda view: [token for market in markets for token in market.tokens(view)])
    await Resume(book, reader, store, _identities(chain), progress).run()
    watch = Watch(markets, chain.native_token, chain.bidding.min_priority_fee_wei)
    watch.rebuild(book.tables)
    lenders = [market for market in markets if isinstance(market, FlashLender)]
    predictor = Predictor(markets, Router(venues, chain.deny_tokens), lenders, chain.native_token)
    rivals = rivals or Rivals()
    patience = Patience(predictor, rivals, chain.block_time_s)
    planner = Planner(predictor, chain.bidding.min_priority_fee_wei, chain.limits.max_plans_per_block, guard, patience)
    houses = [house(item, predictor.markets[item.market], chain) for item in chain.inventory]
    inventory = planner.inventory = predictor.custody = Inventory(predictor, houses, chain.block_time_s)
    return ChainState(
        chain,
        tuple(markets),
        tuple(venues),
        book,
        Bookkeeper(book, reader, store),
        predictor,
        planner,
        watch,
        guard,
        Prewarmer(planner, markets),
        rivals,
        patience,
        inventory,
    )


def _with_accounts(chain: ChainSettings) -> ChainSettings:
    """A market is told which accounts there are ours: what lies in their wallets no event of its own says."""
    ours = {item.market: item.account for item in chain.inventory}
    told = [m.model_copy(update={"options": {**m.options, ACCOUNTS: [ours[m.name]]}}) if m.name in ours else m for m in chain.markets]
    return chain.model_copy(update={"markets": tuple(told)})


async def open_market(chain: ChainSettings, item: MarketSettings, reader: Reader) -> Market:
    """By discovery alone, without a book. Raises ConfigError, Transient."""
    market: Market = await _open("keeper.adapters", item, reader, chain)
    return market


async def _open(group: str, item: MarketSettings | VenueSettings, reader: Reader, chain: ChainSettings) -> Any:
    """Discovery by the installed adapter of that name."""
    found = next(iter(entry_points(group=group, name=item.adapter)), None)
    if found is None:
        raise ConfigError(f"{item.name}: no adapter named {item.adapter!r} is installed")
    adapter: Adapter = found.load()()
    try:
        return await adapter.open(reader, item.name, item.address, _first_block(item, chain), Options(item.options))
    except OptionError as error:
        if error.option == ACCOUNTS and item.name in {house.market for house in chain.inventory}:
            raise ConfigError(keeps_nothing(chain, item.name)) from None
        raise ConfigError(f"chains.{chain.name}.{item.name}.options.{error.option}: {error}: correct it in the config") from None
    except ConfigError as error:
        raise ConfigError(f"chains.{chain.name}.{item.name}.address: {error}: correct it in the config") from None


def _identities(chain: ChainSettings) -> Mapping[str, str]:
    """What a source's tables depend on: with a corrected first block, or other options, they are to be filled anew."""
    items: Sequence[MarketSettings | VenueSettings] = (*chain.markets, *chain.venues)
    return {**{item.name: _identity(item, chain) for item in items}, References.name: "1"}


def _identity(item: MarketSettings | VenueSettings, chain: ChainSettings) -> str:
    options = f":{orjson.dumps(item.options, option=orjson.OPT_SORT_KEYS).decode()}" if item.options else ""
    return f"{item.adapter}:{item.address}:{_first_block(item, chain)}{options}"


def _first_block(item: MarketSettings | VenueSettings, chain: ChainSettings) -> int | None:
    return item.first_block if item.first_block is not None else chain.first_block


def _heads(chain: ChainSettings, reader: NodeReader, book: Book) -> HeadSource:
    def oracles() -> list[LogFilter]:
        answered = frozenset({ANSWER_UPDATED})
        return [LogFilter(f.address, answered, f.since_block) for f in book.filters() if ANSWER_UPDATED in f.topics]

    return heads_of(chain, reader, oracles)


def book_path(settings: Settings, chain: ChainSettings) -> Path:
    return settings.data_dir / chain.name / "book.sqlite"


def ledger_path(settings: Settings, chain: ChainSettings) -> Path:
    return settings.data_dir / chain.name / "ledger.sqlite"


def halt_file(settings: Settings, chain: ChainSettings) -> HaltFile:
    return HaltFile(settings.data_dir / chain.name)


def rivals_path(settings: Settings, chain: ChainSettings) -> Path:
    """What is known of others who buy at auctions."""
    return settings.data_dir / chain.name / "auctions.json"


def races_path(settings: Settings, chain: ChainSettings) -> Path:
    """What is known of who wins liquidations, and what was offered for them of late."""
    return settings.data_dir / chain.name / "races.json"


__all__ = ["Address", "Chain", "book_path", "chain_named", "ledger_path", "open_chain"]
