"""Singletons made of numbers, for what no devnet has: ten thousand markets, any sums, any rate model."""

from __future__ import annotations

from keeper.adapters.morpho_blue.cells import BORROW, COLLATERAL, FIRST, Deployment, Policy, Totals
from keeper.adapters.morpho_blue.codec import hashed
from keeper.adapters.morpho_blue.events import CREATE_MARKET
from keeper.adapters.morpho_blue.market import MorphoBlueMarket
from keeper.book.state import Tables
from keeper.devnet.names import derived
from keeper.fixedpoint import WAD
from keeper.types import Address, Hash, Log, Write

NAME = "morpho"
NOW_S = 1_700_000_000
BLUE, ACCOUNT, ORACLE, IRM = (derived(f"tests: {name}") for name in ("blue", "account of blue", "oracle of blue", "irm of blue"))
LOAN, SECURITY = derived("tests: loan"), derived("tests: security")
NOTHING = Hash("0x" + "0" * 64)


def market_of(policy: Policy | None = None) -> MorphoBlueMarket:
    trusted = Policy(feeds={token: frozenset({derived(f"tests: feed of {token}")}) for token in (LOAN, SECURITY)})
    return MorphoBlueMarket(Deployment(NAME, BLUE, 1, policy or trusted))


def id_of(number: int) -> str:
    return f"0x{hashed(number):064x}"


def account(number: int) -> Address:
    return Address(f"0x{number + 1:040x}")


class State(Tables):
    """Tables of one singleton, with markets and positions put in by hand."""

    def __init__(self, market: MorphoBlueMarket) -> None:
        super().__init__({market.name: market.columns})
        self.cells_of = market.cells

    def listed(
        self, number: int, totals: Totals, price: int, lltv_wad: int, refuted: int = 0, dollars: int = 10**8, decimals: int = 18
    ) -> None:
        """The next market, of its own oracle."""
        cells, market = self.cells_of, id_of(number)
        oracle = Address(f"0x{int(ORACLE, 16) + number & (1 << 160) - 1:040x}")
        params = {"loan": int(LOAN, 16), "collateral": int(SECURITY, 16), "oracle": int(oracle, 16), "irm": int(IRM, 16), "lltv": lltv_wad}
        writes: list[Write] = [(cells.param, (market, field), value) for field, value in params.items()]
        writes += [
            (cells.known, (market,), FIRST + number),
            (cells.slot, (number,), int(market, 16)),
            (cells.market, ("numbers",), number + 1),
        ]
        writes += [(cells.oracle, (oracle, "price"), price), (cells.irm, (IRM, "seen"), 1), (cells.irm, (IRM, "refuted"), refuted)]
        writes += [(cells.token, (LOAN, field), value) for field, value in {"decimals": decimals + 1, "price": dollars}.items()]
        self.write([*writes, *cells.totals_written(market, totals)])

    def position(self, number: int, shares: int, collateral: int, owner: Address = ACCOUNT) -> None:
        cells = self.cells_of
        places = (cells.place(number, "", side, owner) for side in (BORROW, COLLATERAL))
        self.write([(*place, value) for place, value in zip(places, (shares, collateral), strict=True)])


def created(number: int, loan: Address = LOAN, collateral: Address = SECURITY, lltv_wad: int = 86 * WAD // 100) -> Log:
    words = (int(loan, 16), int(collateral, 16), int(ORACLE, 16) + number, int(IRM, 16), lltv_wad)
    return log(CREATE_MARKET, number, *words)


def log(topic0: str, number: int, *words: int, topics: tuple[str, ...] = ()) -> Log:
    """One of the singleton, about the market of this number."""
    data = b"".join(word.to_bytes(32) for word in words)
    return Log(BLUE, (topic0, id_of(number), *topics), data, 1, NOTHING, NOW_S, NOTHING, 0, 0)
