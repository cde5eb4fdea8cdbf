"""What stays outside is told once, when it changes."""

from __future__ import annotations

from typing import Any, cast

from keeper.book.state import Tables
from keeper.monitor.left_out import LeftOut
from keeper.ports import Market


class Crowded:
    name = "crowded"

    def __init__(self) -> None:
        self.reason: str | None = None

    def left_out(self, view: object) -> str | None:
        return self.reason


class Told:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})

    info = error = debug = warning


def test_markets_that_stay_outside_are_told_of_once_and_again_when_they_no_longer_do() -> None:
    market, log = Crowded(), Told()
    left_out = LeftOut("mainnet", cast("Any", log))
    for reason in (None, "3 markets", "3 markets", "4 markets", None, None):
        market.reason = reason
        left_out.tell([cast("Market", market)], Tables())
    assert [line["reason"] for line in log.lines] == ["3 markets", "4 markets", "none any more"]
    assert {(line["event"], line["chain"], line["market"]) for line in log.lines} == {("markets_left_out", "mainnet", "crowded")}
