"""Where the money of an account of ours comes from and goes: entries that add up to every change of its equity, to the unit.

A change is told apart by comparing two standings. Between blocks nothing but prices and funding changes what is held; a deal is
compared on one state at one time, so what it moves itself is a price, and what is left of the change is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from keeper.types import CLOSE, DEPOSIT, TAKE, WITHDRAW, Entry, Fill, Hash, Standing
from keeper.types.holding import EXIT, FEE, FUNDING, HEDGE, INHERITED, OTHER, PAPER, PRICE

NO_TX = Hash("")


class Where(NamedTuple):
    """In which block, and by which transaction ("": by time alone)."""

    market: str
    block: int
    tx: Hash = NO_TX


@dataclass(frozen=True, slots=True)
class Deal:
    """What we did between two standings on one state at one time. `fee`: of trading; `worth`: of a take-over, traded away at
    once; `amount`: of margin that is moved. All with 18 decimals."""

    kind: str
    target: str
    fee: int = 0
    worth: int = 0
    amount: int = 0

    @property
    def trades(self) -> bool:
        """Or it only moves margin."""
        return self.kind not in {DEPOSIT, WITHDRAW}


def deal_of(fill: Fill, scale: int, fee: int = 0) -> Deal:
    """`scale`: 18-decimal units in the token's smallest."""
    worth = sum(promised for _, promised in fill.promised)
    return Deal(fill.kind, fill.target, fee, worth * scale, fill.counted * scale)


def drift(before: Standing, after: Standing, where: Where) -> list[Entry]:
    """What time, prices and strangers did to an account that did nothing. Funding that somebody settled meanwhile is told of no market."""
    known = [*_prices(before, after), *_fundings(before, after)]
    rest = _change(before, after) - sum(amount for _, _, amount in known)
    return _entries(before, where, [*known, ("", FUNDING if _sizes(before) == _sizes(after) else OTHER, rest)])


def dealt(before: Standing, after: Standing, deal: Deal, where: Where) -> list[Entry]:
    """What a deal of ours did. Funding it settles on the way changes nothing."""
    known = [*_prices(before, after), *(part for part in _fundings(before, after) if deal.trades and part[0] != deal.target)]
    known += _own(deal, _change(before, after) - sum(amount for _, _, amount in known))
    rest = _change(before, after) - sum(amount for _, _, amount in known)
    return _entries(before, where, [*known, ("", OTHER, rest)])


def moved(before: Standing, after: Standing, where: Where) -> list[Entry]:
    """What a transaction of somebody else did, on one state at one time: there, to settle funding changes nothing. Who leaves the
    positions alone moves margin."""
    known = [*_prices(before, after)]
    rest = _change(before, after) - sum(amount for _, _, amount in known)
    margin = DEPOSIT if rest > 0 else WITHDRAW
    return _entries(before, where, [*known, ("", margin if _sizes(before) == _sizes(after) and abs(rest) >= before.scale else OTHER, rest)])


def total(entries: Iterable[Entry]) -> int:
    return sum(entry.amount for entry in entries)


Part = tuple[str, str, int]
"""(target, kind, amount)"""


def _own(deal: Deal, change: int) -> Iterator[Part]:
    """Of what a deal itself changed."""
    if deal.kind == TAKE:
        yield from ((deal.target, INHERITED, deal.worth), (deal.target, PAPER, change - deal.worth))
    elif deal.trades:
        yield from ((deal.target, EXIT if deal.kind == CLOSE else HEDGE, change + deal.fee), (deal.target, FEE, -deal.fee))
    else:
        yield "", deal.kind, deal.amount if deal.kind == DEPOSIT else -deal.amount


def _entries(of: Standing, where: Where, parts: Iterable[Part]) -> list[Entry]:
    return [
        Entry(where.market, of.account, target, kind, amount, of.token, where.block, where.tx) for target, kind, amount in parts if amount
    ]


def _change(before: Standing, after: Standing) -> int:
    return after.equity - before.equity


def _sizes(standing: Standing) -> dict[str, int]:
    return {held.target: held.size for held in standing.holdings}


def _prices(before: Standing, after: Standing) -> Iterator[Part]:
    """What moves of the mark did to what is held after, where something was held before."""
    for new in after.holdings:
        old = before.holding(new.target)
        if old.size:
            yield new.target, PRICE, new.value - old.value * new.size // old.size


def _fundings(before: Standing, after: Standing) -> Iterator[Part]:
    for target in dict.fromkeys((*_sizes(before), *_sizes(after))):
        yield target, FUNDING, before.holding(target).funding - after.holding(target).funding
