"""Tells which markets of a market stay outside though its options allow them, when that changes: a cap must not work in silence."""

from __future__ import annotations

from collections.abc import Iterable

from keeper.monitor.report import EventLog
from keeper.ports import Market, Selective, View


class LeftOut:
    """What was told last, for one chain."""

    def __init__(self, chain: str, log: EventLog) -> None:
        self._chain, self._log = chain, log
        self._told: dict[str, str | None] = {}

    def tell(self, markets: Iterable[Market], view: View) -> None:
        for market in markets:
            reason = market.left_out(view) if isinstance(market, Selective) else None
            if reason != self._told.get(market.name):
                self._log.warning("markets_left_out", chain=self._chain, market=market.name, reason=reason or "none any more")
            self._told[market.name] = reason
