"""Who won what, and why we did not: from receipts, at oracle prices, the same way for everybody. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from keeper.arena.mempool import Tx
from keeper.execution import executor
from keeper.types import Address, Hash, Log

WAD = 10**18


@dataclass(frozen=True, slots=True)
class Shot:
    """A participant's transaction that landed. `value_wei`: what its beneficiary got, at oracle prices; `burnt_wei`: the base fee's part of
    its gas; `paid_wei`: the builder's."""

    who: str
    block: int
    place: int
    account: str
    won: bool
    value_wei: int
    burnt_wei: int
    paid_wei: int
    gas_used: int
    tx: Hash
    arrived_ms: int

    @property
    def captured_wei(self) -> int:
        """Before bids."""
        return self.value_wei - self.burnt_wei

    @property
    def net_wei(self) -> int:
        return self.captured_wei - self.paid_wei


@dataclass(frozen=True, slots=True)
class Told:
    """What our daemon said of a candidate for a block."""

    block: int
    account: str
    verdict: str
    reason: str


@dataclass
class Scores:
    """Of one run."""

    shots: list[Shot] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    work_s: list[float] = field(default_factory=list)
    stages_s: dict[str, list[float]] = field(default_factory=dict)
    """Of the blocks with plans."""

    def of(self, who: str) -> list[Shot]:
        return [shot for shot in self.shots if shot.who == who]

    def captured_wei(self, who: str) -> int:
        return sum(shot.captured_wei for shot in self.of(who))

    def net_wei(self, who: str) -> int:
        return sum(shot.net_wei for shot in self.of(who))


Worth = Mapping[Address, tuple[int, int]]
"""Token → the price in wei of a whole one, and how much of its smallest unit that is."""


def shot_of(receipt: Mapping[str, Any], tx: Tx, who: tuple[str, Address], accounts: Sequence[str], worth: Worth, base_fee_wei: int) -> Shot:
    """`who`: its sender's name and beneficiary; `accounts`: whom it can be about."""
    logs = tuple(_log(raw) for raw in receipt["logs"])
    gains = executor.gains(logs, Address(tx.to), who[1])
    value = sum(amount * worth[token][0] // worth[token][1] for token, amount in gains.items() if token in worth)
    gas, price = int(receipt["gasUsed"], 16), int(receipt["effectiveGasPrice"], 16)
    data = tx.data.hex()
    account = next((one for one in accounts if one[2:] in data), "")
    won = executor.settled(logs, Address(tx.to)) is not None
    place, block = int(receipt["transactionIndex"], 16), int(receipt["blockNumber"], 16)
    burnt, paid = gas * base_fee_wei, gas * (price - base_fee_wei)
    return Shot(who[0], block, place, account, won, value, burnt, paid, gas, tx.hash, tx.arrived_ms)


def _log(raw: Mapping[str, Any]) -> Log:
    topics = tuple(topic.lower() for topic in raw["topics"])
    zero = Hash("0x" + "0" * 64)
    return Log(Address(raw["address"].lower()), topics, bytes.fromhex(raw["data"][2:]), 0, zero, 0, zero, 0, 0)


# --- why not ------------------------------------------------------------------------------------------------------


def losses(scores: Scores, us: str) -> list[dict[str, Any]]:
    """Every liquidation that another won: who, what they paid, how late we were, what we could have paid."""
    return [_loss(shot, scores, us) for shot in scores.shots if shot.won and shot.who != us]


def _loss(won: Shot, scores: Scores, us: str) -> dict[str, Any]:
    ours = next((one for one in scores.of(us) if one.account == won.account and one.block >= won.block and not one.won), None)
    said = [one for one in scores.told if one.account == won.account and one.block == won.block]
    return {
        "row": "loss",
        "block": won.block,
        "account": won.account,
        "reason": _reason(won, ours, said, scores, us),
        "winner": won.who,
        "they_paid_wei": won.paid_wei,
        "they_earned_wei": won.net_wei,
        "we_paid_wei": ours.paid_wei if ours else 0,
        "late_blocks": ours.block - won.block if ours else None,
        "late_ms": ours.arrived_ms - won.arrived_ms if ours and ours.block == won.block else None,
        "could_pay_wei": max(won.captured_wei, 0),
    }


def _reason(won: Shot, ours: Shot | None, said: Sequence[Told], scores: Scores, us: str) -> str:
    if ours and ours.block == won.block:
        return _behind(won, ours)
    if held := next((one.reason for one in said if one.verdict == "skipped" and one.reason != "in_flight"), ""):
        return held
    if any(one.won and one.account == won.account and one.block <= won.block for one in scores.of(us)):
        return "took_the_rest"
    if ours:
        return "landed_later"
    if not said:
        return "oracle_backrun"
    return "not_included" if said[0].verdict == "pending" else said[0].reason or said[0].verdict


def _behind(won: Shot, ours: Shot) -> str:
    """Why ours comes after theirs in the block."""
    if ours.paid_wei * won.gas_used < won.paid_wei * ours.gas_used:
        return "outbid"
    return "later" if ours.arrived_ms > won.arrived_ms else "behind_own_nonce"


def summary(scores: Scores, us: str, capturable_wei: int) -> dict[str, Any]:
    """The figures of a run, for one of its participants."""
    own, won = scores.of(us), [shot for shot in scores.shots if shot.won]
    ours = [shot for shot in won if shot.who == us]
    return {
        "captured_share": round(scores.captured_wei(us) / capturable_wei, 4) if capturable_wei > 0 else 0.0,
        "net_profit": scores.net_wei(us),
        "win_rate": round(len(ours) / len(won), 4) if won else 0.0,
        "losses_by_reason": dict(Counter(row["reason"] for row in losses(scores, us))),
        "captured_wei": scores.captured_wei(us),
        "capturable_wei": capturable_wei,
        "bids_wei": sum(shot.paid_wei for shot in ours),
        "cost_of_losing_wei": sum(shot.burnt_wei + shot.paid_wei for shot in own if not shot.won),
        "won": len(ours),
        "work_ms_median": _median_ms(scores.work_s) if scores.work_s else None,
        "stage_ms_median": {stage: _median_ms(taken) for stage, taken in scores.stages_s.items()},
    }


def _median_ms(taken_s: Sequence[float]) -> float:
    return round(1000 * median(taken_s), 2)
