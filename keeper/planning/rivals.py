"""What others' purchases would have been worth to us: how long rivals wait. Pure.

Each is reckoned on the state its transaction met, at its block's timestamp and base fee, as a plan of ours for the same deal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import NamedTuple

from keeper.bidding.auction import Standing
from keeper.book.book import apply_logs
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.planning.choice import Chooser
from keeper.planning.patience import Patience
from keeper.planning.predict import Predictor
from keeper.ports import Auctioneer, LogSource, Market, View
from keeper.types import Address, Block, Hash, Head, Purchase

TELLING = 100
"""A purchase whose price is less than so many times its gas is passed over: what it tells of is the gas."""


class Bought(NamedTuple):
    """A purchase with its transaction, and the state that met."""

    tx: Hash
    market: Market
    purchase: Purchase
    state: View


class Reckoner:
    """`priority_fee_wei`: the least tip per gas."""

    def __init__(self, sources: Sequence[LogSource], predictor: Predictor, patience: Patience, priority_fee_wei: int) -> None:
        self._sources, self._predictor, self._patience = tuple(sources), predictor, patience
        self._priority_fee_wei = priority_fee_wei
        self._markets = [market for market in predictor.markets.values() if isinstance(market, Auctioneer)]

    @property
    def watches(self) -> bool:
        """Whether anything is sold at all."""
        return bool(self._markets)

    def bought(self, block: Block, before: View) -> Iterator[Bought]:
        """Every purchase of a block, to be looked at before the next one is asked for. `before`: the state just before the block."""
        if not any(market.bought(block.logs, before) for market in self._markets):
            return
        state = Overlay(before)
        for tx, transaction in groupby(block.logs, key=lambda log: log.tx_hash):
            logs = tuple(transaction)
            for market in self._markets:
                for purchase in market.bought(logs, state):
                    yield Bought(tx, market, purchase, state)
            apply_logs(self._sources, logs, state)

    def standings(self, of: Bought, head: Head) -> Iterator[Standing]:
        """The lot as it stood while its price fell; none of a deal that we could not have made, or that tells nothing."""
        gas_price_wei = head.base_fee_wei + self._priority_fee_wei
        with suppress(Skip):
            made = Chooser(self._predictor, of.state, head.timestamp_s, gas_price_wei).exactly(of.market, of.purchase.pair)
            if self._patience.waits(of.market, made, of.state):
                standing = self._patience.standing(of.market, made, of.state, gas_price_wei)
                if standing.price_wei >= TELLING * standing.cost_wei:
                    yield standing

    def worth_wei(self, of: Bought, token: Address, amount: int) -> int:
        """By the market's oracle; nothing without a price."""
        try:
            return self._predictor.value_wei(of.market, of.state, token, amount)
        except Skip:
            return 0
