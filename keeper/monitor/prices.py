"""Tells of doubts about prices when they come and when they go: a wrong price may stand for days, one line each block would hide it."""

from __future__ import annotations

from collections.abc import Iterable

from keeper.monitor.report import EventLog, Metrics
from keeper.risk.sanity import Check, Finding, PriceVerdict, Ruling
from keeper.types import Address

Place = tuple[str, Address, Check]
"""(market, token, check)"""


class PriceAlerts:
    """What was told last, for one chain. A doubt the config trades on is not told."""

    def __init__(self, chain: str, log: EventLog, metrics: Metrics) -> None:
        self._chain, self._log, self._metrics = chain, log, metrics
        self._told: dict[Place, tuple[str, Ruling]] = {}

    def tell(self, market: str, verdicts: Iterable[PriceVerdict]) -> None:
        """All of a market's verdicts on the newest block."""
        found = {
            (market, verdict.feed.token, finding.check): (verdict.feed.symbol, finding)
            for verdict in verdicts
            for finding in verdict.findings
            if finding.ruling is not Ruling.TRADE
        }
        for place in [place for place in self._told if place[0] == market and place not in found]:
            self._gone(place)
        for place, (symbol, finding) in found.items():
            if self._told.get(place) != (symbol, finding.ruling):
                self._come(place, symbol, finding)

    def _come(self, place: Place, symbol: str, finding: Finding) -> None:
        market, token, check = place
        self._told[place] = symbol, finding.ruling
        self._metrics.price_doubted(self._chain, market, symbol, check.value, finding.ruling.severity)
        ruling, detail = finding.ruling.value, finding.detail
        self._log.warning(
            "price_doubted", chain=self._chain, market=market, symbol=symbol, token=token, check=check.value, ruling=ruling, detail=detail
        )

    def _gone(self, place: Place) -> None:
        market, token, check = place
        symbol, _ = self._told.pop(place)
        self._metrics.price_doubted(self._chain, market, symbol, check.value, 0)
        self._log.info("price_trusted", chain=self._chain, market=market, symbol=symbol, token=token, check=check.value)
