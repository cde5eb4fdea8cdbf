"""Settlement: what each of our transactions should have earned on the state it met, and what it did.

For a block that holds transactions of ours the state before it is taken from the journal and the block's logs are applied transaction by
transaction. Each of ours is predicted on exactly what the ones before it left, ours or not, at the block's timestamp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby

from keeper.book.book import Book, apply_logs
from keeper.book.bookkeeper import Bookkeeper
from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.ledger.ledger import LedgerRow
from keeper.planning.predict import Predictor
from keeper.ports import View
from keeper.types import Address, Block, Entry, Hash, Head, Log, Plan, Prediction, Verdict

NOBODY = Address("")


@dataclass(frozen=True, slots=True)
class Landed:
    """One of our transactions with its receipt. `floor`: the least profit with which it does not revert; `gas_predicted`: what the
    simulation said, in gas."""

    tx: Hash
    tx_index: int
    executor: Address
    plan: Plan
    succeeded: bool
    logs: tuple[Log, ...]
    floor: int
    gas_predicted: int
    gas_used: int
    gas_price_wei: int


@dataclass(frozen=True, slots=True)
class Settled:
    """A transaction's result. Profits in the profit token's smallest unit; `foreign`: transactions of others before it in its block
    whose events the book follows."""

    landed: Landed
    head: Head
    verdict: Verdict
    reason: str
    predicted_profit: int
    realised_profit: int
    gains: Mapping[Address, int]
    gas_predicted_wei: int
    gas_paid_wei: int
    net_wei: int
    foreign: tuple[Hash, ...] = field(default=())
    predicted_gains: Mapping[Address, int] = field(default_factory=dict)
    parts: tuple[tuple[str, int], ...] = ()

    @property
    def exact(self) -> bool:
        """Every token the beneficiary received is what was predicted, to the wei."""
        return self.predicted_profit == self.realised_profit and _some(self.predicted_gains) == _some(self.gains)

    @property
    def unpredicted(self) -> bool:
        return self.verdict is Verdict.WON and (bool(self.reason) or not self.exact)


def row_of(settled: Settled) -> LedgerRow:
    """A result as the ledger keeps it."""
    landed, head = settled.landed, settled.head
    return LedgerRow(
        tx=landed.tx,
        block=head.number,
        block_hash=head.hash,
        market=landed.plan.market,
        account=landed.plan.account,
        result=str(settled.verdict),
        reason=settled.reason,
        profit_token=landed.plan.profit_token,
        predicted_profit=settled.predicted_profit,
        realised_profit=settled.realised_profit,
        gas_predicted_wei=settled.gas_predicted_wei,
        gas_paid_wei=settled.gas_paid_wei,
        net_eth_wei=settled.net_wei,
        timestamp_s=head.timestamp_s,
        foreign=settled.foreign,
        gains=dict(settled.gains),
    )


def entries_of(settled: Settled) -> list[Entry]:
    """Where the profit of a position comes from that was taken over and traded away at once."""
    plan, head = settled.landed.plan, settled.head
    where = head.number, settled.landed.tx
    return [Entry(plan.market, NOBODY, plan.target, kind, amount, plan.profit_token, *where) for kind, amount in settled.parts if amount]


Earnings = Callable[[Address, Sequence[Log]], tuple[int, dict[Address, int]]]
"""Profit and all gains of the beneficiary, from the logs of a receipt of this executor."""


class Settler:
    """Explains blocks that hold our transactions."""

    def __init__(self, book: Book, bookkeeper: Bookkeeper, predictor: Predictor, earnings: Earnings) -> None:
        self._book, self._bookkeeper, self._predictor, self._earnings = book, bookkeeper, predictor, earnings

    def ahead(self, head: Head) -> bool:
        """The book has yet to reach this block: the node has changed branches since the last step."""
        known = self._book.ancestors()
        return bool(known) and head.number > known[0].number and all(head.hash != other.hash for other in known)

    async def block(self, head: Head, landed: Sequence[Landed]) -> list[Settled]:
        """Results in the order of the block. What was read at no head before it (a book just rebuilt) is read at its parent, and so is what
        was misread there: a busy node may answer for one block from the next one's state."""
        block = await self._bookkeeper.block(head)
        view = self._book.before(head.hash)
        settled = self._in_order(block, landed, view)
        if view is not None and any(item.unpredicted for item in settled):
            settled = self._in_order(block, landed, Overlay(view, await self._bookkeeper.read_before(head, view)))
        return settled

    def _in_order(self, block: Block, landed: Sequence[Landed], view: View | None) -> list[Settled]:
        mine = {item.tx: item for item in landed}
        state = None if view is None else Overlay(view)
        foreign: list[Hash] = []
        settled: list[Settled] = []
        for tx, logs in by_transaction(block.logs, mine.values()):
            if tx in mine:
                settled.append(self._settle(mine[tx], block.head, state, tuple(foreign)))
            else:
                foreign.append(tx)
            if state is not None:
                apply_logs(self._book.sources, logs, state)
        return settled

    def _settle(self, item: Landed, head: Head, state: Overlay | None, foreign: tuple[Hash, ...]) -> Settled:
        prediction, why_not = self._predict(item.plan, head, state)
        profit, gains = self._earnings(item.executor, item.logs) if item.succeeded else (0, {})
        paid = item.gas_used * item.gas_price_wei
        verdict, reason = _verdict(item, prediction, why_not)
        return Settled(
            landed=item,
            head=head,
            verdict=verdict,
            reason=reason,
            predicted_profit=prediction.profit if prediction else 0,
            realised_profit=profit,
            gains=gains,
            gas_predicted_wei=item.gas_predicted * item.gas_price_wei,
            gas_paid_wei=paid,
            net_wei=self._worth_wei(item.plan, gains, state) - paid,
            foreign=foreign,
            predicted_gains=prediction.gains if prediction and item.succeeded else {},
            parts=prediction.fill.parts if prediction and item.succeeded else (),
        )

    def _predict(self, plan: Plan, head: Head, state: Overlay | None) -> tuple[Prediction | None, str]:
        if state is None:
            return None, "beyond_journal"
        try:
            return self._predictor.predict(plan, state, head.timestamp_s), ""
        except Skip as skip:
            return None, skip.reason

    def _worth_wei(self, plan: Plan, gains: Mapping[Address, int], state: Overlay | None) -> int:
        """At the market's oracle; a token it no longer prices counts as nothing, as do all when the market has left the config."""
        view = self._book.tables if state is None else state
        market = self._predictor.markets.get(plan.market)
        if market is None:
            return 0
        worth = 0
        for token, amount in gains.items():
            with suppress(Skip):
                worth += self._predictor.value_wei(market, view, token, amount)
        return worth


def _some(gains: Mapping[Address, int]) -> dict[Address, int]:
    return {token: amount for token, amount in gains.items() if amount}


def _verdict(item: Landed, prediction: Prediction | None, why_not: str) -> tuple[Verdict, str]:
    """Won as predicted, or lost because the state it met allows it no longer, or reverted although it should have worked."""
    if item.succeeded:
        return Verdict.WON, "" if prediction else f"unpredicted: {why_not}"
    if prediction is None:
        return Verdict.LOST, why_not
    return (Verdict.LOST, "below_floor") if prediction.profit < item.floor else (Verdict.REVERTED, "unexplained")


def by_transaction(logs: Sequence[Log], mine: Iterable[Landed]) -> list[tuple[Hash, tuple[Log, ...]]]:
    """The block's transactions in order: those with followed logs, and ours even when they left none."""
    found = {(index, tx): tuple(group) for (index, tx), group in groupby(logs, key=lambda log: (log.tx_index, log.tx_hash))}
    for item in mine:
        found.setdefault((item.tx_index, item.tx), ())
    return [(tx, group) for (_, tx), group in sorted(found.items())]
