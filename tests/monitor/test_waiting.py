"""A lot that is left for later is told of once, with its figures."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from keeper.monitor.report import Metrics, Reporter
from keeper.pipeline import BlockReport
from keeper.types import Address, Hash, Head, Outcome, Verdict

HASH = Hash("0x" + "0" * 64)


class Log:
    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []

    def info(self, event: str, **values: object) -> None:
        self.said.append((event, values.get("detail")))

    warning = error = info


def report(block: int, *reasons: str) -> BlockReport:
    outcomes = [Outcome(block, "m", Address(f"0x{n}"), Verdict.SKIPPED, reason, detail=f"{block}") for n, reason in enumerate(reasons)]
    return BlockReport(Head(block, HASH, HASH, 1, 1, 1, 1), len(outcomes), tuple(outcomes), 0.1)


def test_a_lot_is_told_of_when_it_begins_to_wait_and_not_again_until_it_has_stopped() -> None:
    log = Log()
    reporter = Reporter("c", log, Metrics(CollectorRegistry()))
    for block in (report(1, "waiting"), report(2, "waiting", "waiting"), report(3, "healthy", "waiting"), report(4, "waiting", "waiting")):
        reporter.block(block)
    assert [detail for event, detail in log.said if event == "waiting"] == ["1", "2", "4"]
