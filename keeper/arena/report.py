"""What a reader of a match is told: the participants, every loss and its reason, what was emulated, and the figures. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keeper.arena.builder import SLOT_MS
from keeper.arena.score import Scores, losses, summary

Row = dict[str, Any]

EMULATED = (
    "the blocks are built by us on anvil: effective tip, nonce order per sender, whole bundles; two strangers use about half of each block",
    f"a slot has {SLOT_MS} ms; it ends when everybody is done, and who came when follows from the latencies below, not from this machine",
    "pools move first, the oracles that follow them report a block later; nothing else trades",
    "value is what beneficiaries got, at oracle prices of its block; captured is before bids, net after them; auctions take longer and are "
    "left out",
)


def participant(scores: Scores, who: str, latency_ms: int, capturable_wei: int, alone: bool = False) -> Row:
    """One's figures, of a match or of a run `alone`."""
    figures = summary(scores, who, capturable_wei)
    shots = scores.of(who)
    return {
        "row": "alone" if alone else "participant",
        "who": who,
        "latency_ms": latency_ms,
        "captured_share": figures["captured_share"],
        "win_rate": figures["win_rate"],
        "won": figures["won"],
        "lost": sum(not shot.won for shot in shots),
        "net_wei": figures["net_profit"],
        "paid_wei": figures["bids_wei"],
        "cost_of_losing_wei": figures["cost_of_losing_wei"],
    }


def report(scores: Scores, us: str, latencies: Mapping[str, int], alone_wei: tuple[int, int]) -> Iterator[Row]:
    """The rows of a match; the last one has the figures that count. `alone_wei`: what we capture with nobody beside us, and what our
    planner would that looks at heads alone."""
    capturable_wei, unhurried_wei = alone_wei
    for who, latency_ms in latencies.items():
        yield participant(scores, who, latency_ms, capturable_wei)
    yield from losses(scores, us)
    figures = summary(scores, us, capturable_wei)
    told = {"net_wei": figures["net_profit"], "paid_wei": figures["bids_wei"], "unhurried_wei": unhurried_wei, "emulated": list(EMULATED)}
    yield {"row": "result", "who": us, **figures, **told}
