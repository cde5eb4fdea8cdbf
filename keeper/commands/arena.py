"""`keeper arena`: the keeper against rivals, and why it lost what it lost."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

from keeper.arena.entrants import US, latency_ms, rivals
from keeper.arena.match import match
from keeper.arena.report import participant, report
from keeper.arena.scenarios import scenario
from keeper.arena.tactics import PLANNER
from keeper.devnet import Devnet, DevnetOptions
from keeper.log import setup

COLUMNS = (
    "row",
    "who",
    "captured_share",
    "win_rate",
    "won",
    "lost",
    "net_wei",
    "paid_wei",
    "block",
    "account",
    "reason",
    "winner",
    "they_paid_wei",
    "could_pay_wei",
)


async def arena(name: str, against: Sequence[str], alone: bool, seed: int) -> AsyncIterator[dict[str, Any]]:
    """One row a participant and a loss; the last has the figures. Raises ConfigError for a name that is none, Halt when one fails."""
    setup("error")
    chosen = scenario(name)
    others = rivals(against)
    latencies = {who: latency_ms(who, seed) for who in (US, *others)}
    async with Devnet.start(DevnetOptions(accounts=chosen.accounts, seed=seed), _say) as net:
        capturable_wei = (await match(net, chosen, seed, [US], _say)).captured_wei(US)
        unhurried_wei = (await match(net, chosen, seed, [PLANNER], _say)).captured_wei(PLANNER)
        for who in others if alone else ():
            scores = await match(net, chosen, seed, [who], _say)
            yield participant(scores, who, latencies[who], capturable_wei, alone=True)
        scores = await match(net, chosen, seed, list(latencies), _say)
    for row in report(name, seed, scores, US, latencies, (capturable_wei, unhurried_wei)):
        yield row


def _say(step: str) -> None:
    print(f"{step} …", file=sys.stderr, flush=True)
