"""`keeper arena`: the keeper against rivals, and why it lost what it lost."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from keeper.arena.entrants import US, latency_ms, rivals
from keeper.arena.match import match
from keeper.arena.memory import Memory
from keeper.arena.report import participant, report
from keeper.arena.scenarios import SCENARIOS, scenario
from keeper.arena.series import CONSTANTS_BPS, total
from keeper.arena.tactics import PLANNER
from keeper.devnet import Devnet, DevnetOptions
from keeper.log import setup

COLUMNS = (
    "row",
    "scenario",
    "seed",
    "who",
    "share_bps",
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


@dataclass(frozen=True, slots=True)
class Extras:
    """Beside the match itself. `alone`: each rival without the others; `hindsight`: us with constant bids; `swap`: the match once more,
    with everybody's seat, so keys and luck with equal bids, exchanged; `remember`: what is learned in one match serves in the next."""

    alone: bool = False
    remember: bool = False
    hindsight: bool = False
    swap: bool = False


async def arena(names: Sequence[str], against: Sequence[str], seeds: Sequence[int], extras: Extras) -> AsyncIterator[dict[str, Any]]:
    """One row a participant and a loss, of each match one with its figures; of several, or with extras, a last one with those of all.
    Raises ConfigError for a name that is none, Halt when one fails."""
    setup("error")
    chosen, others = [*SCENARIOS] if list(names) == ["all"] else [name for name in names if scenario(name)], rivals(against)
    rows: list[dict[str, Any]] = []
    memory = Memory(lasts=extras.remember)
    for seed in seeds:
        for name in chosen:
            async for row in _game(name, others, seed, extras, memory):
                rows.append(row)
                yield row
    if sum(row["row"] == "result" for row in rows) > 1 or extras.hindsight:
        yield total(rows)


async def _game(name: str, others: Sequence[str], seed: int, extras: Extras, memory: Memory) -> AsyncIterator[dict[str, Any]]:
    chosen, seats, of = scenario(name), (US, *others), {"scenario": name, "seed": seed}
    latencies = {who: latency_ms(who, seed) for who in seats}
    async with Devnet.start(DevnetOptions(accounts=chosen.accounts, seed=seed), _say) as net:
        capturable_wei = (await match(net, chosen, seed, [US], _say)).captured_wei(US)
        unhurried_wei = (await match(net, chosen, seed, [PLANNER], _say)).captured_wei(PLANNER)
        for who in others if extras.alone else ():
            scores = await match(net, chosen, seed, [who], _say)
            yield participant(scores, who, latencies[who], capturable_wei, alone=True) | of
        for share_bps in CONSTANTS_BPS if extras.hindsight else ():
            scores = await match(net, chosen, seed, seats, _say, share_bps)
            yield {"row": "constant", "who": US, "share_bps": share_bps, "net_wei": scores.net_wei(US)} | of
        for seated in (seats, seats[::-1]) if extras.swap else (seats,):
            scores = await match(net, chosen, seed, seated, _say, memory=memory)
            for row in report(scores, US, latencies, (capturable_wei, unhurried_wei)):
                yield row | of


def _say(step: str) -> None:
    print(f"{step} …", file=sys.stderr, flush=True)
