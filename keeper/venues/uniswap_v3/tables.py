"""The cells a venue keeps, under its own name: what the pool contracts hold in storage, as far as amounts depend on it."""

from __future__ import annotations

from dataclasses import dataclass

from keeper.book.state import Overlay
from keeper.ports import View
from keeper.types import Address, Key, Write

TOKENS = "tokens"
"""Shared: (address,) → decimals + 1 of every token some market can seize or repay."""

WORD_BITS = 256


@dataclass(frozen=True, slots=True)
class Names:
    """Table names.

    pools: (token0, token1, fee) → the pool's address as an integer. created, spacing, price, tick, liquidity: (pool,) → value.
    gross, net: (pool, tick) → liquidity that refers to the tick, and that joins when it is crossed upwards.
    bitmap: (pool, word) → which of 256 tick spacings are initialised; words: (pool, group) → which of 256 words are not empty.
    knot: (pool, number) → a moment at which the tick changed (see `twap`); span: (pool,) → the first number kept · 2^32 + the next one.
    """

    pools: str
    created: str
    spacing: str
    price: str
    tick: str
    liquidity: str
    gross: str
    net: str
    bitmap: str
    words: str
    knot: str
    span: str

    @classmethod
    def of(cls, venue: str) -> Names:
        return cls(*(f"{venue}.{field}" for field in cls.__dataclass_fields__))


def liquidity_writes(view: View, names: Names, pool: Address, lower: int, upper: int, delta: int) -> list[Write]:
    """The cells that adding `delta` (negative: removing) of liquidity between two ticks changes."""
    cells = Overlay(view)
    _add(cells, names.net, (pool, lower), delta)
    _add(cells, names.net, (pool, upper), -delta)
    for tick in (lower, upper):
        before = cells.get(names.gross, (pool, tick))
        _add(cells, names.gross, (pool, tick), delta)
        if (before == 0) != (before + delta == 0):
            _flip(cells, names, pool, tick // view.get(names.spacing, (pool,)))
    if lower <= view.get(names.tick, (pool,)) < upper:
        _add(cells, names.liquidity, (pool,), delta)
    return cells.writes()


def _add(cells: Overlay, table: str, key: Key, delta: int) -> None:
    cells.write([(table, key, cells.get(table, key) + delta)])


def _flip(cells: Overlay, names: Names, pool: Address, index: int) -> None:
    """Toggle one tick in the bitmap, and its word in the bitmap of words when the word becomes empty or stops being so."""
    word, bit = divmod(index, WORD_BITS)
    before = cells.get(names.bitmap, (pool, word))
    after = before ^ 1 << bit
    cells.write([(names.bitmap, (pool, word), after)])
    if (before == 0) != (after == 0):
        group, place = divmod(word, WORD_BITS)
        key = (pool, group)
        cells.write([(names.words, key, cells.get(names.words, key) ^ 1 << place)])
