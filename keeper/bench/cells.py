"""The synthetic book as the cells of a market's tables, so that the adapter's own code compiles the rows.

`tables` names the tables; an adapter's cells fit as they are. Keys and fields are those of its documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from keeper.bench.population import EMODE, Population
from keeper.bench.reserves import BASE_UNIT, EMODE_THRESHOLD, RESERVES, indexes
from keeper.fixedpoint import BPS, RAY
from keeper.types import Address, Entries, Write

FIRST_TIMESTAMP_S = 1_700_000_000


class Tables(Protocol):
    """Names of a market's tables."""

    slot: str
    id: str
    reserve: str
    index: str
    asset: str
    emode: str
    supply: str
    debt: str
    bits: str
    category: str


def account(number: int) -> Address:
    """The address of an account, by its number: spread over all of them, as real ones are."""
    return Address(f"0x{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC8341082276B % 2**160:040x}")


def asset(reserve: int) -> Address:
    return Address(f"0x{0xA55E7 << 80 | reserve + 1:040x}")


def market_cells(tables: Tables) -> Iterator[Write]:
    """Every reserve with its parameters, indexes and price, and the category of the loops."""
    supply, debt = indexes()
    for number, reserve in enumerate(RESERVES):
        yield tables.slot, (number,), int(asset(number), 16)
        yield tables.id, (asset(number),), number + 1
        yield tables.reserve, (number, "active"), 1
        yield tables.reserve, (number, "lt"), round(reserve.threshold * BPS)
        yield tables.reserve, (number, "bonus"), 10_500
        yield tables.index, (number, "li"), round(supply[number] * RAY)
        yield tables.index, (number, "bi"), round(debt[number] * RAY)
        yield tables.index, (number, "ts"), FIRST_TIMESTAMP_S
        yield tables.asset, (asset(number), "decimals"), reserve.decimals
        yield tables.asset, (asset(number), "price"), round(reserve.price_usd * BASE_UNIT)
    together = sum(1 << number for number, reserve in enumerate(RESERVES) if reserve.family == "eth")
    yield tables.emode, (EMODE, "lt"), round(EMODE_THRESHOLD * BPS)
    yield tables.emode, (EMODE, "bonus"), 10_100
    yield tables.emode, (EMODE, "collateral"), together


def account_cells(population: Population, tables: Tables) -> Iterator[Write]:
    """Each account's balances, flags and category, account by account. For many accounts `entries` is faster."""
    for number in range(len(population)):
        yield from _of_account(population, tables, number, account(number))


def _of_account(population: Population, tables: Tables, number: int, owner: Address) -> Iterator[Write]:
    places = (array[number].tolist() for array in (population.reserve, population.side, population.low, population.high))
    for reserve, side, low, high in zip(*places, strict=True):
        if side:
            yield (tables.supply if side > 0 else tables.debt), (reserve, owner), low | high << 64
    yield tables.bits, (0, owner), int(population.flags[number])
    if population.category[number]:
        yield tables.category, (owner,), int(population.category[number])


def entries(population: Population, tables: Tables) -> dict[str, Entries]:
    """The same cells as columns, table by table; an account's slot is its number."""
    everyone = np.arange(len(population), dtype=np.int32)
    nobody_above = np.zeros(len(population), np.uint64)
    grouped = np.flatnonzero(population.category)
    return {
        tables.supply: _positions(population, population.side > 0),
        tables.debt: _positions(population, population.side < 0),
        tables.bits: Entries(np.zeros(len(population), np.int32), everyone, population.flags, nobody_above),
        tables.category: Entries(
            np.zeros(len(grouped), np.int32), everyone[grouped], population.category[grouped].astype(np.uint64), nobody_above[grouped]
        ),
    }


def _positions(population: Population, chosen: NDArray[np.bool_]) -> Entries:
    slot = np.nonzero(chosen)[0].astype(np.int32)
    return Entries(population.reserve[chosen].astype(np.int32), slot, population.low[chosen], population.high[chosen])
