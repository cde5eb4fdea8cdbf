"""Doubts about prices are told when they come and when they go, not each block."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from structlog import get_logger
from structlog.testing import capture_logs

from keeper.monitor.prices import PriceAlerts
from keeper.monitor.report import Metrics
from keeper.risk.sanity import Check, Finding, PriceVerdict, Ruling
from keeper.types import Address, PriceFeed

TOKEN = Address("0x" + "01" * 20)


def verdict(ruling: Ruling | None, figures: str = "1 bps") -> PriceVerdict:
    findings = (Finding(Check.JUMP, ruling, figures),) if ruling else ()
    return PriceVerdict(PriceFeed(TOKEN, "WETH", 18, "usd-8", 1), findings, None, None)


def test_each_change_is_told_once_and_counted() -> None:
    registry = CollectorRegistry()
    alerts = PriceAlerts("one", get_logger(), Metrics(registry))
    labels = {"chain": "one", "market": "lend", "token": "WETH", "check": "jump"}
    seen: list[list[tuple[object, ...]]] = []
    gauge: list[float | None] = []
    for ruling in (None, Ruling.TRADE, Ruling.ALERT, Ruling.ALERT, Ruling.HOLD, Ruling.HOLD, None, None):
        with capture_logs() as logs:
            alerts.tell("lend", [verdict(ruling, f"{len(seen)} bps")])
        seen.append([(entry["event"], entry.get("ruling"), entry["log_level"]) for entry in logs])
        gauge.append(registry.get_sample_value("keeper_price_doubt", labels))
    came, held, went = ("price_doubted", "alert", "warning"), ("price_doubted", "hold", "warning"), ("price_trusted", None, "info")
    assert seen == [[], [], [came], [], [held], [], [went], []]
    assert gauge == [None, None, 1, 1, 2, 2, 0, 0]
    assert registry.get_sample_value("keeper_price_doubts_total", {"chain": "one", "check": "jump"}) == 2


def test_markets_do_not_silence_each_other() -> None:
    alerts = PriceAlerts("one", get_logger(), Metrics(CollectorRegistry()))
    with capture_logs() as logs:
        for _ in range(2):
            for market in ("a", "b"):
                alerts.tell(market, [verdict(Ruling.HOLD)])
    assert [entry["market"] for entry in logs] == ["a", "b"]
