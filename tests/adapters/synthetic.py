"""Markets made of numbers, for rules that no devnet deployment has."""

from __future__ import annotations

from collections.abc import Mapping

from keeper.adapters.aave_v3.cells import Deployment, Era
from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.adapters.aave_v3.versions import RuleSet
from keeper.book.state import Tables
from keeper.devnet.names import derived
from keeper.fixedpoint import RAY
from keeper.types import Address, Write

NAME = "market"
NOW_S = 1_700_000_000
POOL, CONFIGURATOR, PROVIDER = derived("tests: pool"), derived("tests: configurator"), derived("tests: provider")
ACCOUNT = derived("tests: account")
BASE = 10**8


def market_of(rules: RuleSet, name: str = NAME) -> AaveV3Market:
    return AaveV3Market(Deployment(name, PROVIDER, POOL, CONFIGURATOR, 1, (Era((1, 0), rules),), "usd-8"))


def asset(reserve: int) -> Address:
    return Address(f"0x{0xA55E7000 + reserve:040x}")


class State(Tables):
    """Tables of markets, with reserves and positions put in by hand: into the market whose names are in `cells_of`."""

    def __init__(self, market: AaveV3Market, *others: AaveV3Market) -> None:
        super().__init__({one.name: one.columns for one in (market, *others)})
        self.cells_of = market.cells

    def reserve(
        self, reserve: int, price: int, decimals: int = 18, lt: int = 8000, bonus: int = 10500, fee: int = 1000, emode: int = 0
    ) -> None:
        """A reserve that accrues: indexes above one and positive rates, last updated an hour before `NOW_S`."""
        names, token = self.cells_of, asset(reserve)
        fields = {"active": 1, "flash": 1, "lt": lt, "bonus": bonus, "fee": fee, "factor": 1000, "block": 1, "emode": emode}
        index = {"li": RAY * 103 // 100 + 7, "bi": RAY * 107 // 100 + 3, "lr": RAY // 50, "br": RAY // 20, "ts": NOW_S - 3600}
        values = {"decimals": decimals, "price": price, "cash": 10**40, "treasury": int(derived("treasury"), 16)}
        writes: list[Write] = [(names.slot, (reserve,), int(token, 16)), (names.id, (token,), reserve + 1)]
        writes += [(names.reserve, (reserve, field), value) for field, value in fields.items()]
        writes += [(names.index, (reserve, field), value) for field, value in index.items()]
        writes += [(names.asset, (token, field), value) for field, value in values.items()]
        self.write(writes)

    def emode(self, category: int, lt: int, bonus: int, collateral: int = 0) -> None:
        fields = {"lt": lt, "bonus": bonus, "collateral": collateral}
        self.write([(self.cells_of.emode, (category, field), value) for field, value in fields.items()])

    def position(self, supplied: Mapping[int, int], owed: Mapping[int, int], category: int = 0) -> None:
        """Scaled balances by reserve; every supply is used as collateral."""
        bits = sum(2 << 2 * reserve for reserve in supplied) + sum(1 << 2 * reserve for reserve in owed)
        self.write([(self.cells_of.bits, (0, ACCOUNT), bits), (self.cells_of.category, (ACCOUNT,), category)])
        for reserve, scaled in supplied.items():
            self.write(self.cells_of.move(self, "supply", reserve, ACCOUNT, scaled))
        for reserve, scaled in owed.items():
            self.write(self.cells_of.move(self, "debt", reserve, ACCOUNT, scaled))
