"""What is learned from what has happened on one chain: of others at auctions and in races, of starts and accounts of our own."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Protocol

from keeper.app import Chain, races_path, rivals_path
from keeper.config import Settings
from keeper.execution.hand import Hand
from keeper.ledger.accountant import Accountant
from keeper.ledger.bookmaker import Bookmaker, Learned
from keeper.ledger.holdings import Holdings
from keeper.ledger.ledger import Ledger
from keeper.ledger.onlooker import Onlooker
from keeper.ledger.rewards import Rewards
from keeper.monitor.report import Metrics
from keeper.planning.races import Liquidated, Referee
from keeper.planning.rivals import Reckoner
from keeper.storage.database import Database
from keeper.terms import behind


class Looker(Protocol):
    async def look(self) -> None:
        """At what has happened since the last time."""
        ...


async def lookers(
    settings: Settings, chain: Chain, hand: Hand, database: Database, learned: Learned, metrics: Metrics
) -> tuple[Looker, ...]:
    """Everybody who looks back, beside the work."""
    named = chain.settings
    reckoner = Reckoner(chain.book.sources, chain.predictor, chain.patience, named.bidding.min_priority_fee_wei)
    ours, path = (hand.executor, hand.beneficiary), rivals_path(settings, named)
    onlooker = await Onlooker.open(chain.book, chain.bookkeeper, reckoner, chain.rivals, path, ours)
    rewards = Rewards(chain.book, chain.bookkeeper, chain.reader, reckoner, Ledger(database))
    holdings, tell = Holdings(database), partial(metrics.inventory, named.name)
    accountant = Accountant(chain.book, chain.bookkeeper, chain.inventory.houses, holdings, tell)
    return onlooker, rewards, accountant, _bookmaker(chain, hand, learned, races_path(settings, named), metrics)


def _bookmaker(chain: Chain, hand: Hand, learned: Learned, path: Path, metrics: Metrics) -> Bookmaker:
    bidding, ours = chain.settings.bidding, hand.ours
    referee = Referee(chain.book.sources, chain.predictor, bidding.min_profit_wei)

    def channel_of(race: Liquidated) -> str:
        return behind(chain.settings) if race.due_index >= 0 else bidding.channel

    return Bookmaker(
        chain.book, chain.bookkeeper, chain.rpc, referee, learned, channel_of, path, ours, partial(metrics.liquidation, chain.settings.name)
    )
