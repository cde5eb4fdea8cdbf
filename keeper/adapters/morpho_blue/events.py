"""What each event log changes: pure, exact, by fixed word positions. Applied strictly in log order from the singleton's first block.

Anyone may open a market. One that the policy does not allow is forgotten, and its events cost one look-up each: nothing is kept of it, and
nothing looked up anew because of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from keeper.adapters.morpho_blue import prices
from keeper.adapters.morpho_blue.cells import BORROW, COLLATERAL, FIELDS, FIRST, PARAMS, WAITING, Cells, Deployment, Params, Totals
from keeper.adapters.morpho_blue.codec import signed, to_address, topic, topic_address, word, words
from keeper.adapters.morpho_blue.irm import INITIAL, adaptive_rate, refuted_by
from keeper.errors import Transient
from keeper.ports import View
from keeper.types import ZERO_ADDRESS, Log, Write

CREATE_MARKET = topic("CreateMarket(bytes32,(address,address,address,address,uint256))")
ANSWER_UPDATED = topic("AnswerUpdated(int256,uint256,uint256)")


@dataclass(frozen=True, slots=True)
class Place:
    """A market that is followed, or (without a number) still to be looked at."""

    cells: Cells
    market: str
    number: int | None

    def moved(self, view: View, side: int, account: str, change: int) -> Write:
        table, key = self.cells.place(self.number, self.market, side, account)
        return table, key, view.get(table, key) + change

    def totals(self, view: View) -> Totals:
        return self.cells.totals(view, self.market)

    def changed(self, before: Totals, after: Totals) -> list[Write]:
        """Only what differs."""
        fields = zip(FIELDS, before, after, strict=True)
        return [(self.cells.total, (self.market, field), new) for field, old, new in fields if old != new]


class Applier:
    """Log by log, the cells it changes. Holds for every view of the same shape as the one given."""

    def __init__(self, deployment: Deployment, cells: Cells, view: View) -> None:
        self._deployment, self._cells = deployment, cells
        self._fed = prices.fed(deployment, cells, view)

    def __call__(self, log: Log, view: View) -> list[Write]:
        """None for a log of a market, contract or kind that is not followed. Raises Transient for one that lacks words: no contract emits
        it."""
        try:
            return self._applied(log, view) if log.topics else []
        except IndexError:
            raise Transient(f"a log of {log.address} in block {log.block_number} is cut short: the node sent a part of it") from None

    def _applied(self, log: Log, view: View) -> list[Write]:
        if log.address == self._deployment.address:
            return self._singleton(log, view)
        fed = self._fed.get(log.address)
        if fed is None or log.topics[0] != ANSWER_UPDATED:
            return []
        return prices.answered(self._cells, view, fed, max(signed(int(log.topics[1], 16)), 0), word(log.data, 0))

    def _singleton(self, log: Log, view: View) -> list[Write]:
        handler = MARKET.get(log.topics[0])
        if handler is None:
            return _created(self._deployment, self._cells, log) if log.topics[0] == CREATE_MARKET else []
        market = log.topics[1]
        known = view.get(self._cells.known, (market,))
        return handler(Place(self._cells, market, known - FIRST if known >= FIRST else None), log, view) if known else []


def reshapes(cells: Cells, writes: Iterable[Write]) -> bool:
    """Whether these writes may change what is followed, or what an `Applier` has looked up."""
    for table, key, _ in writes:
        if table == cells.slot or (table == cells.oracle and key[1] in prices.MADE_OF):
            return True
        if (table == cells.feed and key[1] == "aggregator") or (table == cells.token and key[1] in prices.VALUED_BY):
            return True
    return False


# --- markets ------------------------------------------------------------------------------------------------------


def _created(deployment: Deployment, cells: Cells, log: Log) -> list[Write]:
    market, values = log.topics[1], words(log.data, len(PARAMS))
    loan, collateral, oracle, irm = (to_address(value) for value in values[:4])
    if not deployment.policy.may_follow(market, Params(market, loan, collateral, oracle, irm, values[4])):
        return []
    writes: list[Write] = [(cells.param, (market, field), value) for field, value in zip(PARAMS, values, strict=True)]
    writes.append((cells.param, (market, "block"), log.block_number))
    target = INITIAL if irm != ZERO_ADDRESS else 0
    totals: list[Write] = [(cells.total, (market, "at"), log.timestamp_s), (cells.total, (market, "target"), target)]
    return [*writes, *totals, (cells.known, (market,), WAITING)]


def _accrue_interest(place: Place, log: Log, view: View) -> list[Write]:
    """The contract's word is the sum; what it says of the rate proves or refutes the models."""
    rate, interest, shares = words(log.data, 3)
    before, cells = place.totals(view), place.cells
    after = before._replace(
        supplied=before.supplied + interest,
        supply_shares=before.supply_shares + shares,
        borrowed=before.borrowed + interest,
        at_s=log.timestamp_s,
        target=adaptive_rate(before, log.timestamp_s)[1],
        told=rate,
    )
    irm = to_address(view.get(cells.param, (place.market, "irm")))
    refuted = view.get(cells.irm, (irm, "refuted"))
    proof: list[Write] = [
        (cells.irm, (irm, "seen"), 1),
        (cells.irm, (irm, "refuted"), refuted | refuted_by(before, rate, log.timestamp_s)),
    ]
    return [*place.changed(before, after), *proof]


def _set_fee(place: Place, log: Log, view: View) -> list[Write]:
    return [(place.cells.total, (place.market, "fee"), word(log.data, 0))]


# --- lenders and borrowers ----------------------------------------------------------------------------------------


def _supply(place: Place, log: Log, view: View) -> list[Write]:
    assets, shares = words(log.data, 2)
    return _supplied(place, view, assets, shares)


def _withdraw(place: Place, log: Log, view: View) -> list[Write]:
    _, assets, shares = words(log.data, 3)
    return _supplied(place, view, -assets, -shares)


def _supplied(place: Place, view: View, assets: int, shares: int) -> list[Write]:
    totals = place.totals(view)
    return place.changed(totals, totals._replace(supplied=totals.supplied + assets, supply_shares=totals.supply_shares + shares))


def _borrow(place: Place, log: Log, view: View) -> list[Write]:
    _, assets, shares = words(log.data, 3)
    totals = place.totals(view)
    after = totals._replace(borrowed=totals.borrowed + assets, borrow_shares=totals.borrow_shares + shares)
    return [*place.changed(totals, after), place.moved(view, BORROW, topic_address(log.topics[2]), shares)]


def _repay(place: Place, log: Log, view: View) -> list[Write]:
    """By rounding, more may be repaid than was owed by all."""
    assets, shares = words(log.data, 2)
    totals = place.totals(view)
    after = totals._replace(borrowed=max(totals.borrowed - assets, 0), borrow_shares=totals.borrow_shares - shares)
    return [*place.changed(totals, after), place.moved(view, BORROW, topic_address(log.topics[3]), -shares)]


def _supply_collateral(place: Place, log: Log, view: View) -> list[Write]:
    return [place.moved(view, COLLATERAL, topic_address(log.topics[3]), word(log.data, 0))]


def _withdraw_collateral(place: Place, log: Log, view: View) -> list[Write]:
    return [place.moved(view, COLLATERAL, topic_address(log.topics[2]), -word(log.data, 1))]


def _liquidate(place: Place, log: Log, view: View) -> list[Write]:
    repaid, shares, seized, bad, bad_shares = words(log.data, 5)
    account, totals = topic_address(log.topics[3]), place.totals(view)
    after = liquidated(totals, repaid, shares, bad, bad_shares)
    borrow, collateral = (place.moved(view, BORROW, account, -shares - bad_shares), place.moved(view, COLLATERAL, account, -seized))
    return [*place.changed(totals, after), borrow, collateral]


def liquidated(totals: Totals, repaid: int, shares: int, bad: int, bad_shares: int) -> Totals:
    """The sums after so much was repaid, and so much written off at the suppliers' cost."""
    return totals._replace(
        supplied=totals.supplied - bad,
        borrowed=max(totals.borrowed - repaid, 0) - bad,
        borrow_shares=totals.borrow_shares - shares - bad_shares,
    )


MARKET: Mapping[str, Callable[[Place, Log, View], list[Write]]] = {
    topic("AccrueInterest(bytes32,uint256,uint256,uint256)"): _accrue_interest,
    topic("SetFee(bytes32,uint256)"): _set_fee,
    topic("Supply(bytes32,address,address,uint256,uint256)"): _supply,
    topic("Withdraw(bytes32,address,address,address,uint256,uint256)"): _withdraw,
    topic("Borrow(bytes32,address,address,address,uint256,uint256)"): _borrow,
    topic("Repay(bytes32,address,address,uint256,uint256)"): _repay,
    topic("SupplyCollateral(bytes32,address,address,uint256)"): _supply_collateral,
    topic("WithdrawCollateral(bytes32,address,address,address,uint256)"): _withdraw_collateral,
    topic("Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"): _liquidate,
}
SINGLETON = frozenset({*MARKET, CREATE_MARKET})
"""Topic 0 of all that is followed of the singleton, whose other events change nothing here."""
