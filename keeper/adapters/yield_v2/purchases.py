"""Who bought what of a lot: read off the Witch's events. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keeper.adapters.yield_v2 import deals
from keeper.adapters.yield_v2.cells import Cells, Deployment
from keeper.adapters.yield_v2.codec import account_of, log_word, topic, topic_address
from keeper.adapters.yield_v2.position import evaluate
from keeper.ports import View
from keeper.types import Log, Pair, Purchase

BOUGHT = topic("Bought(bytes12,address,uint256,uint256)")


def purchases(deployment: Deployment, cells: Cells, logs: Sequence[Log], view: View) -> Iterator[Purchase]:
    """Of lots that were for sale in this view, in the order of the logs. What was paid with fyTokens counts as paid with the base."""
    for log in logs:
        if log.address != deployment.witch or log.topics[:1] != (BOUGHT,):
            continue
        found = evaluate(deployment, cells, view, account_of(log.topics[1]), log.timestamp_s)
        join = cells.join_of(view, deployment, found.vault.base) if found else None
        if found is None or found.lot is None or join is None:
            continue
        cover = deals.cover_of(cells, view, found, log_word(log, 1))
        pair = Pair(found.account, found.base.token, found.ilk.token, (cover,), deals.BUY, join)
        yield Purchase(topic_address(log.topics[2]), pair)
