"""The market's tables: what the book keeps of it. All state is here; nothing else remembers anything.

bank: (field): price, rate, index, since (s), paused
collateral: (account): in the token's smallest unit
shares: (account): of all debt
"""

from __future__ import annotations

from dataclasses import dataclass

from keeper.ports import View
from keeper.types import Address, Write


@dataclass(frozen=True, slots=True)
class Token:
    address: Address
    symbol: str
    decimals: int

    @property
    def unit(self) -> int:
        return int(10**self.decimals)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the contract never changes, in basis points; `close_all_below` in wads."""

    threshold_bps: int
    bonus_bps: int
    close_bps: int
    close_all_below: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """What discovery found; constant for the market's life."""

    name: str
    address: Address
    first_block: int
    collateral: Token
    debt: Token
    terms: Terms


class Cells:
    """Names of the tables, and readers of their cells."""

    def __init__(self, name: str) -> None:
        self.bank = f"{name}/bank"
        self.collateral = f"{name}/collateral"
        self.shares = f"{name}/shares"
        self.columns: tuple[str, ...] = (self.collateral, self.shares)

    def of_bank(self, view: View, field: str) -> int:
        return view.get(self.bank, (field,))

    def collateral_of(self, view: View, account: Address) -> int:
        return view.get(self.collateral, (account,))

    def shares_of(self, view: View, account: Address) -> int:
        return view.get(self.shares, (account,))

    def add(self, view: View, table: str, account: Address, amount: int) -> Write:
        """A balance that changes by so much."""
        return table, (account,), view.get(table, (account,)) + amount
