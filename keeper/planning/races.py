"""Who was first to each liquidation of a block, and what it would have been worth to us. Pure.

No protocol's events are asked: an account that could be liquidated, and owes less on less collateral after somebody's transaction than
before it, was liquidated by it. The state is the one that transaction met.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

from keeper.book.book import apply_logs
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.planning.choice import Chooser
from keeper.planning.predict import Predictor
from keeper.ports import LogSource, Market, View
from keeper.types import Address, Block, Hash, Head, Health, Write

SINCE_BEFORE = -1


@dataclass(frozen=True, slots=True)
class Liquidated:
    """One account, by one transaction. `value_wei`: the most that our best plan could have paid for its place, 0 where none pays; `gas`:
    that plan's. `due_index`: the transaction of the same block that made it due, an oracle's or its own; -1: it was due before."""

    market: str
    account: Address
    tx: Hash
    tx_index: int
    due_index: int
    value_wei: int
    gas: int


class Referee:
    """`min_profit_wei`: the least that is worth our while."""

    def __init__(self, sources: Sequence[LogSource], predictor: Predictor, min_profit_wei: int) -> None:
        self._sources, self._predictor, self._min_profit_wei = tuple(sources), predictor, min_profit_wei

    def liquidated(self, block: Block, before: View) -> Iterator[Liquidated]:
        """In the order of the block. `before`: the state just before it."""
        state, done = Overlay(before), list[tuple[int, list[Write]]]()
        for _, logs in groupby(block.logs, key=lambda log: log.tx_index):
            transaction = tuple(logs)
            after = Overlay(state)
            apply_logs(self._sources, transaction, after)
            writes = after.writes()
            for market, account in self._taken(state, after, writes, block.head.timestamp_s):
                value_wei, gas = self._worth(market, state, account, block.head)
                due_index = _due_index(market, account, before, done, block.head.timestamp_s)
                yield Liquidated(market.name, account, transaction[0].tx_hash, transaction[0].tx_index, due_index, value_wei, gas)
            done.append((transaction[0].tx_index, writes))
            state.write(writes)

    def _taken(self, state: View, after: View, writes: Sequence[Write], at_s: int) -> Iterator[tuple[Market, Address]]:
        for market in self._predictor.markets.values():
            for account in sorted(market.touched(writes)):
                earlier = market.health(state, account, at_s)
                if earlier.liquidatable and _less(market.health(after, account, at_s), earlier):
                    yield market, account

    def _worth(self, market: Market, view: View, account: Address, head: Head) -> tuple[int, int]:
        """(what could have been paid beyond the base fee, gas)"""
        with suppress(Skip):
            made = Chooser(self._predictor, view, head.timestamp_s, head.base_fee_wei).best(market, account)
            return max(made.value_wei - made.gas * head.base_fee_wei - self._min_profit_wei, 0), made.gas
        return 0, 0


def _less(later: Health, earlier: Health) -> bool:
    return later.debt < earlier.debt and later.weighted_collateral < earlier.weighted_collateral


def _due_index(market: Market, account: Address, before: View, done: Sequence[tuple[int, list[Write]]], at_s: int) -> int:
    """Of those done before the account was taken."""
    if market.health(before, account, at_s).liquidatable:
        return SINCE_BEFORE
    state = Overlay(before)
    for index, writes in done:
        state.write(writes)
        if market.health(state, account, at_s).liquidatable:
            return index
    return SINCE_BEFORE
