"""After the demo an independent judge finds nothing left to earn."""

from __future__ import annotations

from keeper.commands.demo import BLOCK_TIME_S, Story, play, ready_settings
from keeper.devnet import Devnet, DevnetOptions
from keeper.monitor.view import View
from tests.e2e.checker import check
from tests.e2e.world import TIP_WEI


async def test_after_the_demo_no_call_of_the_executor_earns_more_than_its_gas() -> None:
    async with Devnet.start(DevnetOptions(block_time_s=BLOCK_TIME_S)) as net:
        settings = await ready_settings(net, dry_run=False)
        story = Story()
        await play(net, settings, True, story, View("demo", {}))
        executor = settings.chains[0].executor
        assert executor is not None
        assert executor.address is not None
        report = await check(net, executor.address, TIP_WEI)
    assert report.profitable == []
    assert len(story.settled) > 20
    for item in story.settled:
        assert item.exact
        assert abs(item.gas_paid_wei - item.gas_predicted_wei) * 100 <= 3 * item.gas_predicted_wei
        assert item.foreign == ()
