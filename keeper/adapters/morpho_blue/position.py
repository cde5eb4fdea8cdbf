"""An account's debt in one market at a timestamp, as the contract sees it, to the wei."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.adapters.morpho_blue import interest, rules
from keeper.adapters.morpho_blue.cells import Cells, Params, Totals
from keeper.fixedpoint import MAX_UINT256, WAD
from keeper.ports import View
from keeper.types import Address


@dataclass(frozen=True, slots=True)
class Position:
    """`owed` and `limit` (the most that may be owed) in the loan token's smallest unit. `price` 0: the oracle never gave one."""

    account: Address
    at_s: int
    number: int
    params: Params
    totals: Totals
    shares: int
    collateral: int
    price: int
    owed: int
    limit: int

    @property
    def health_factor_wad(self) -> int:
        """Below 1 exactly where the contract finds it unhealthy; nothing is known without a price."""
        return self.limit * WAD // self.owed if self.owed and self.price else MAX_UINT256

    @property
    def liquidatable(self) -> bool:
        return self.health_factor_wad < WAD


class Moment:
    """Every market at one timestamp on one state, which stays as it is: each is brought there once."""

    def __init__(self, cells: Cells, view: View, at_s: int) -> None:
        self._cells, self._view, self._at_s = cells, view, at_s
        self._markets: dict[int, tuple[Params, Totals, int]] = {}

    def positions(self, account: Address) -> list[Position]:
        """Where it owes something, in the order of the markets."""
        return [self.position(number, account) for number in self._cells.debts(self._view, account)]

    def position(self, number: int, account: Address) -> Position:
        params, totals, price = self._market(number)
        shares, collateral = (self._view.get(table, (number, account)) for table in self._cells.columns)
        owed = rules.assets_up(shares, totals.borrowed, totals.borrow_shares)
        limit = rules.limit(collateral, price, params.lltv_wad)
        return Position(account, self._at_s, number, params, totals, shares, collateral, price, owed, limit)

    def _market(self, number: int) -> tuple[Params, Totals, int]:
        if number not in self._markets:
            params = self._cells.params(self._view, self._cells.id_of(self._view, number))
            totals = interest.at(self._cells, self._view, params, self._at_s)
            self._markets[number] = params, totals, self._cells.of_oracle(self._view, params.oracle, "price")
        return self._markets[number]
