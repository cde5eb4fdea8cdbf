"""When to stop sending on our own account: what has landed says that something is wrong. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from keeper.ledger.ledger import PAID, TRANSFERRED, LedgerRow
from keeper.types import Verdict

HOUR_S, DAY_S = 3_600, 86_400


@dataclass(frozen=True, slots=True)
class Breakers:
    """The least of each that stops it; 0: never."""

    reverts_in_a_row: int
    """That nobody can explain. Being late is no such thing."""
    loss_per_hour_wei: int
    gas_per_day_wei: int
    """Of all transactions, tips included."""


def tripped(breakers: Breakers, rows: Sequence[LedgerRow], now_s: int) -> str:
    """Which breaker, and on what figures; "": none. `rows`: what stands since the last `keeper resume`, the newest first; `now_s`: of the
    newest block."""
    ours = [row for row in rows if row.result != PAID]
    calls = (row for row in ours if row.result != TRANSFERRED)  # that ether can be sent says nothing of whether calls still work
    reverts = sum(1 for _ in takewhile(lambda row: row.result == Verdict.REVERTED, calls))
    lost_wei = -sum(row.net_eth_wei for row in rows if row.timestamp_s > now_s - HOUR_S)
    gas_wei = sum(row.gas_paid_wei for row in ours if row.timestamp_s > now_s - DAY_S)
    found = (
        (breakers.reverts_in_a_row, reverts, f"reverts_in_a_row: {reverts} transactions reverted one after another, unexplained"),
        (breakers.loss_per_hour_wei, lost_wei, f"loss_per_hour_wei: {lost_wei} wei were lost within an hour"),
        (breakers.gas_per_day_wei, gas_wei, f"gas_per_day_wei: {gas_wei} wei were paid for gas within a day"),
    )
    return next((words for limit, value, words in found if 0 < limit <= value), "")
