"""What others' purchases would have been worth to us: how long rivals wait. Pure.

Each is reckoned on the state its transaction met, at its block's timestamp and base fee, as a plan of ours for the same deal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from itertools import groupby

from keeper.bidding.auction import Standing
from keeper.book.book import apply_logs
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.planning.choice import Chooser
from keeper.planning.patience import Patience
from keeper.planning.predict import Predictor
from keeper.ports import Auctioneer, LogSource, Market, View
from keeper.types import Address, Block, Head, Purchase

TELLING = 100
"""A purchase whose price is less than so many times its gas is passed over: what it tells of is the gas."""


class Reckoner:
    """`priority_fee_wei`: the least tip per gas."""

    def __init__(self, sources: Sequence[LogSource], predictor: Predictor, patience: Patience, priority_fee_wei: int) -> None:
        self._sources, self._predictor, self._patience = tuple(sources), predictor, patience
        self._priority_fee_wei = priority_fee_wei
        self._markets = [market for market in predictor.markets.values() if isinstance(market, Auctioneer)]

    def rivals(self, block: Block, before: View, ours: Collection[Address]) -> Iterator[Standing]:
        """Lots that somebody else bought in this block while their price fell, as they stood. `before`: the state just before the block;
        `ours`: who buys for us."""
        if not any(market.bought(block.logs, before) for market in self._markets):
            return
        state = Overlay(before)
        for _, transaction in groupby(block.logs, key=lambda log: log.tx_index):
            logs = tuple(transaction)
            for market in self._markets:
                for purchase in market.bought(logs, state):
                    if purchase.buyer not in ours:
                        yield from self._standing(market, purchase, state, block.head)
            apply_logs(self._sources, logs, state)

    def _standing(self, market: Market, purchase: Purchase, view: View, head: Head) -> Iterator[Standing]:
        """None of a deal that we could not have made, or that tells nothing."""
        gas_price_wei = head.base_fee_wei + self._priority_fee_wei
        with suppress(Skip):
            made = Chooser(self._predictor, view, head.timestamp_s, gas_price_wei).exactly(market, purchase.pair)
            if self._patience.waits(market, made, view):
                standing = self._patience.standing(market, made, view, gas_price_wei)
                if standing.price_wei >= TELLING * standing.cost_wei:
                    yield standing
