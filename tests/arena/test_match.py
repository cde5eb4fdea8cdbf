"""A short match between processes: the daemon as it is, and rivals that plan as it does."""

from __future__ import annotations

from keeper.arena.entrants import US
from keeper.arena.match import match
from keeper.arena.scenarios import Scenario
from keeper.arena.score import losses, summary
from keeper.arena.tactics import PLANNER
from keeper.devnet import Devnet

SHORT = Scenario("one step down", 40, "crash", 1, quiet=0)


def quiet(step: str) -> None:
    """Nobody listens."""


async def test_the_daemon_races_a_poller_and_every_liquidation_is_accounted_for(net: Devnet) -> None:
    alone = (await match(net, SHORT, 1, [PLANNER], quiet)).captured_wei(PLANNER)
    scores = await match(net, SHORT, 1, [US, "poller"], quiet)
    figures, won = summary(scores, US, alone), [shot for shot in scores.shots if shot.won]
    assert alone > 0
    assert len(won) == figures["won"] + len(losses(scores, US)) > 5
    assert scores.captured_wei(US) + scores.captured_wei("poller") >= alone * 95 // 100
    assert figures["captured_share"] >= 0.95
    assert figures["net_profit"] > 0
    assert all(shot.account for shot in scores.shots)
