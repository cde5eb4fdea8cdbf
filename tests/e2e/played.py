"""One run of the demo, for all tests that look at what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points

import pytest

from keeper.commands.demo import BLOCK_TIME_S, Story, play, ready_settings
from keeper.config import Settings
from keeper.devnet import Devnet, DevnetOptions
from keeper.ledger.settle import Settled
from keeper.monitor.view import View
from keeper.types import Address, Verdict
from tests.e2e.checker import ALL, Attempt, Report, check, protocol_of
from tests.e2e.world import TIP_WEI

ADAPTERS = {"aave-v3": "aave", "morpho-blue": "morpho", "yield-v2": "yield", "perp-v2": "perp"}


@dataclass(frozen=True, slots=True)
class Played:
    """What the keeper did, and the judge's word on the last block after which it had nothing more to do; and for every
    protocol on the block before the keeper first took something there."""

    story: Story
    markets: dict[str, str]
    report: Report
    earlier: dict[str, Report]
    wild: Address
    """A stranger's interest rate: the keeper refuses the isolated market that has it, whatever is to be had there."""

    def judged(self, protocol: str) -> None:
        if protocol not in self.markets.values():
            pytest.skip(f"no market of {protocol} is configured here")

    def left(self, protocol: str) -> list[Attempt]:
        mine = [attempt for attempt in self.report.profitable if protocol_of(attempt.choice.market) == protocol]
        return [attempt for attempt in mine if self.wild not in getattr(attempt.choice, "params", ())]


async def played_through() -> Played:
    async with Devnet.start(DevnetOptions(block_time_s=BLOCK_TIME_S)) as net:
        settings = await ready_settings(net, dry_run=False)
        story = Story()
        await play(net, settings, True, story, View("demo", {}))
        markets, executor = configured(settings), settings.chains[0].executor
        assert executor is not None
        assert executor.address is not None
        assert story.calm_block > 0
        protocols = [protocol for protocol in ALL if protocol in markets.values()]
        report = await check(net, executor.address, TIP_WEI, protocols, story.calm_block)
        earlier = {
            protocol: await check(net, executor.address, TIP_WEI, protocols, item.head.number - 1)
            for protocol, item in firsts(story, markets).items()
        }
        return Played(story, markets, report, earlier, net.addresses["morpho.irm.wild"])


def firsts(story: Story, markets: dict[str, str]) -> dict[str, Settled]:
    """Of what was won in each protocol."""
    return {markets[item.landed.plan.market]: item for item in reversed(story.settled) if item.verdict is Verdict.WON}


def configured(settings: Settings) -> dict[str, str]:
    """Market → protocol, of those whose adapter is installed."""
    installed = {plug.name for plug in entry_points(group="keeper.adapters")}
    return {market.name: ADAPTERS[market.adapter] for market in settings.chains[0].markets if market.adapter in installed}
