"""Who bought what of a lot: read off the Witch's events. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keeper.adapters.yield_v2 import deals
from keeper.adapters.yield_v2.cells import Cells, Deployment
from keeper.adapters.yield_v2.codec import account_of, log_word, topic, topic_address
from keeper.adapters.yield_v2.events import Applier
from keeper.adapters.yield_v2.position import Position, evaluate
from keeper.book.state import Overlay
from keeper.ports import View
from keeper.types import Log, Pair, Purchase, Reward

BOUGHT = topic("Bought(bytes12,address,uint256,uint256)")


def purchases(deployment: Deployment, cells: Cells, logs: Sequence[Log], view: View) -> Iterator[Purchase]:
    """Of lots that were for sale in this view, in the order of the logs. What was paid with fyTokens counts as paid with the base."""
    state, apply = Overlay(view), Applier(deployment, cells, view)
    for log in logs:
        if log.address != deployment.witch or log.topics[:1] != (BOUGHT,):
            continue
        found = evaluate(deployment, cells, state, account_of(log.topics[1]), log.timestamp_s)
        join = cells.join_of(view, deployment, found.vault.base) if found else None
        if found is None or found.lot is None or join is None:
            continue
        art = log_word(log, 1)
        cover = deals.cover_of(cells, view, found, art)
        pair = Pair(found.account, found.base.token, found.ilk.token, (cover,), deals.BUY, join)
        yield Purchase(topic_address(log.topics[2]), pair, _reward(deployment, cells, view, found, art))
        state.write(apply(log, state))  # another part of the same lot may follow


def _reward(deployment: Deployment, cells: Cells, view: View, found: Position, art: int) -> Reward | None:
    """The starter's share, where that goes to whom we name."""
    lot, payer = found.lot, cells.join_of(view, deployment, found.vault.ilk)
    if lot is None or payer is None or lot.auction.auctioneer != deployment.reward_to:
        return None
    cut = lot.split(art)[1]
    return Reward(found.ilk.token, cut, payer, lot.auction.auctioneer, lot.auction.start_s) if cut else None
