"""Keeps one row per account in step with the book and says who is liquidatable: nominated in floats, decided in integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keeper.ports import Market, View
from keeper.risk.scan import Scan
from keeper.types import Address, Factor, Health, Write


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that integers say is liquidatable at the landing block."""

    market: Market
    account: Address
    health: Health

    @property
    def market_name(self) -> str:
        return self.market.name


class Watch:
    """Every indebted account of every market of a chain."""

    def __init__(self, markets: Sequence[Market]) -> None:
        self._markets = {market.name: market for market in markets}
        self._scan: Scan[tuple[str, Address]] = Scan()

    def __len__(self) -> int:
        return len(self._scan)

    def rebuild(self, view: View) -> None:
        """Start from a whole state."""
        self._scan = Scan()
        for market in self._markets.values():
            self._refresh(market, market.accounts(view), view)

    def update(self, changed: Iterable[Write], view: View) -> None:
        """Follow a change of the book: only the accounts these cells belong to are looked at."""
        writes = list(changed)
        for market in self._markets.values():
            self._refresh(market, market.touched(writes), view)

    def candidates(self, view: View, at_s: int) -> list[Candidate]:
        """Accounts with a health factor below 1 at `at_s`, worst surplus first."""
        found = []
        for name, account in self._scan.nominate(self._factors(view, at_s)):
            health = self._markets[name].health(view, account, at_s)
            if health.liquidatable:
                found.append(Candidate(self._markets[name], account, health))
        return found

    def _factors(self, view: View, at_s: int) -> dict[Factor, float]:
        return {factor: value for market in self._markets.values() for factor, value in market.factors(view, at_s).items()}

    def _refresh(self, market: Market, accounts: Iterable[Address], view: View) -> None:
        for account in accounts:
            row = market.row(view, account)
            if any(weight < 0 for weight in row.weights.values()):
                self._scan.put((market.name, account), row)
            else:
                self._scan.drop((market.name, account))
