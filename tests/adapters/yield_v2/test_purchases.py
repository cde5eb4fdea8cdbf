"""What somebody bought of a lot is read off the chain as the deal that it was, and said to fall in price only while it does."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from itertools import groupby

import aiohttp

from keeper.adapters.yield_v2 import YieldV2
from keeper.adapters.yield_v2.codec import account_of, topic_address, word
from keeper.adapters.yield_v2.deals import BUY, START
from keeper.adapters.yield_v2.market import YieldV2Market
from keeper.adapters.yield_v2.purchases import BOUGHT
from keeper.book.state import Overlay
from keeper.devnet import Devnet
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.errors import Skip
from keeper.ports import Auctioneer, View
from keeper.types import Log, Pair
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.world import Action
from tests.adapters.yield_v2.world import BUYER, MOST, STARTER, World, vault_bytes

STATES = 100
STEPS_S = (1, 12, 60, 600, 600, 1801)


async def test_every_purchase_of_others_is_the_deal_it_was(net: Devnet) -> None:
    async with aiohttp.ClientSession() as session:
        reader, world = NodeReader(net.rpc, session), World(net, random.Random(3))
        await world.prepare()
        await world.send([world.set_price("WETH", BY_SYMBOL["WETH"].price * 7 // 10)])
        await net.mine()
        market = await YieldV2().open(reader, "yield", net.addresses["yield.witch"], None)
        assert isinstance(market, YieldV2Market)
        assert isinstance(market, Auctioneer)
        indexer, seen = Indexer(reader, market), Counter[str]()
        now_s = (await indexer.sync()).timestamp_s
        for _ in range(STATES):
            now_s += world.rng.choice(STEPS_S)
            mark = indexer.mark()
            await world.send([*world.tick(0.1), *world.action(sorted(market.accounts(indexer.tables)), now_s)])
            await world.send(some_buying(world, market, indexer.tables))
            block = await net.mine(now_s)
            logs = await reader.logs(market.filters(indexer.tables), block, block)
            indexer.rewind(mark)
            state = Overlay(indexer.tables)
            for _, transaction in groupby(logs, key=lambda log: log.tx_index):
                told = list(transaction)
                seen.update(compared(market, told, state))
                for log in told:
                    state.write(market.apply(log, state))
            await indexer.sync()
            seen.update(clocks(market, indexer.tables, now_s))
    print(dict(seen))
    assert min(seen[kind] for kind in ("bought", "bought some", "bought all", "falls", "falls no more", "to start")) >= 5


def some_buying(world: World, market: YieldV2Market, view: View) -> list[Action]:
    """Every vault that may be is put up for auction, and some of what is on auction is bought, whole or in part."""
    accounts = sorted(market.accounts(view))
    lots = {account: lot.art for account in accounts if (lot := market.cells.auction_of(view, account))}
    starts = [world.act(STARTER, "yield.witch", "auction", vault_bytes(account), STARTER) for account in accounts if account not in lots]
    buys = [
        world.act(
            BUYER,
            "yield.witch",
            "payBase",
            vault_bytes(account),
            BUYER,
            0,
            world.rng.choice([MOST, lots[account] // 3, lots[account] // 5]),
        )
        for account in world.rng.sample([*lots], min(len(lots), 2))
    ]
    return [*world.rng.sample(starts, min(len(starts), 3)), *buys]


def compared(market: YieldV2Market, logs: list[Log], view: View) -> Counter[str]:
    """A transaction of the devnet's people buys at most once."""
    seen = Counter[str]()
    told = [log for log in logs if log.topics[0] == BOUGHT]
    assert len(market.bought(logs, view)) == len(told)
    for log, purchase in zip(told, market.bought(logs, view), strict=True):
        assert (purchase.buyer, purchase.pair.account) == (topic_address(log.topics[2]), account_of(log.topics[1]))
        assert purchase.buyer == BUYER
        with suppress(Skip):  # what is paid with fyTokens needs no join
            fill = market.fill(view, purchase.pair, purchase.pair.amounts[-1], log.timestamp_s)
            left = Overlay(view, fill.writes)
            before, after = (market.cells.vault_of(state, purchase.pair.account) for state in (view, left))
            assert before is not None
            art = before.art - (after.art if after else 0)
            assert abs(art - word(log.data, 1)) <= 1
            assert abs(fill.seized + fill.protocol_fee - word(log.data, 0)) * word(log.data, 1) <= 2 * word(log.data, 0)
            seen.update(["bought", "bought some" if market.cells.auction_of(left, purchase.pair.account) else "bought all"])
    return seen


def clocks(market: YieldV2Market, view: View, at_s: int) -> Counter[str]:
    """A lot that falls gives more a minute later, and any other the same; to start an auction is never worth waiting for."""
    seen = Counter[str]()
    for account in market.accounts(view):
        now, later = (market.position(view, account, when) for when in (at_s, at_s + 60))
        assert now is not None
        assert later is not None
        pair = Pair(account, now.base.token, now.ilk.token, (1,), START if now.lot is None else BUY)
        if now.lot is None:
            assert not market.falls(view, pair, at_s)
            seen["to start"] += 1
        else:
            assert market.falls(view, pair, at_s) == (later.offered > now.offered)
            seen["falls" if later.offered > now.offered else "falls no more"] += 1
    return seen
