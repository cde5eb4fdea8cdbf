"""The synthetic book in the columns of a real market, so that what is timed is the keeper's own way from a log to a row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from keeper.bench.cells import FIRST_TIMESTAMP_S, account, asset, entries, market_cells
from keeper.bench.population import Population
from keeper.bench.reserves import COUNT
from keeper.book.state import Tables
from keeper.risk.watch import Watch
from keeper.testing.traffic import Traffic
from keeper.types import Address, Hash, Head, Landing, Write

ADDRESS_BYTES = 20
GWEI = 10**9
TIP_WEI = GWEI // 10
LANDING = Landing(1, FIRST_TIMESTAMP_S + 12, GWEI)

MARKET = Traffic(accounts=0).market
CELLS = MARKET.cells


def token(reserve: int, owed: bool) -> Address:
    """The token whose holders supplied the reserve, or owe it."""
    return Address(f"0x{(0x70CE << 80 | 2 * reserve + owed + 1):040x}")


def head(number: int) -> Head:
    return Head(number, _hash(number + 1), _hash(number), FIRST_TIMESTAMP_S + 12 * number, GWEI, 30_000_000, 15_000_000)


def fill(population: Population) -> Callable[[Tables], None]:
    """What puts a population into a book's empty tables."""

    def write(tables: Tables) -> None:
        tables.write(reserves())
        columns = tables.columns[MARKET.name]
        columns.roll.extend(addresses(len(population)))
        for table, found in entries(population, CELLS).items():
            columns.fill(table, found, key_parts=1 if table == CELLS.category else 2)

    return write


def reserves() -> list[Write]:
    """The market without its accounts."""
    found = list(market_cells(CELLS))
    for reserve in range(COUNT):
        for owed, field in enumerate(("atoken", "vtoken")):
            found.append((CELLS.token, (token(reserve, bool(owed)),), 2 * reserve + owed + 1))
            found.append((CELLS.reserve, (reserve, field), int(token(reserve, bool(owed)), 16)))
    return found


def addresses(count: int) -> NDArray[np.uint8]:
    """uint8[count, 20]: of the accounts 0 … count - 1."""
    raw = b"".join(bytes.fromhex(account(number)[2:]) for number in range(count))
    return np.frombuffer(raw, np.uint8).reshape(-1, ADDRESS_BYTES)


def watched(tables: Tables) -> Watch:
    """Everybody's rows, compiled."""
    watch = Watch([MARKET], asset(0), TIP_WEI)
    watch.rebuild(tables)
    return watch


def certified(watch: Watch, tables: Tables) -> Watch:
    """At work: the first tick is done, and nothing is left to be re-centred."""
    watch.tick(tables, LANDING)
    while work := watch.work():
        watch.adopt(work.run())
    return watch


def _hash(number: int) -> Hash:
    return Hash(f"0x{number:064x}")
