"""One pool's swap, step by step as the contract makes it: from one initialised tick or end of a bitmap word to the next.

Every step rounds, so the steps must be the contract's own. Only where there is no liquidity, and so nothing to round, are they skipped.
"""

from __future__ import annotations

from typing import NamedTuple

from keeper.concentrated import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    sqrt_ratio_at_tick,
    step_in,
    step_out,
    tick_at_sqrt_ratio,
)
from keeper.ports import View
from keeper.types import Address
from keeper.venues.uniswap_v3.tables import WORD_BITS, Names

LOWEST_PRICE = MIN_SQRT_RATIO + 1
HIGHEST_PRICE = MAX_SQRT_RATIO - 1

MAX_STEPS = 500
"""A longer swap counts as illiquid. It would burn over 3.5M gas, and a thin pool opened to slow quotes down must not."""


class Walk(NamedTuple):
    """A swap's end. `left`: what of the amount found no counterpart. `other`: the amount of the other token. `words`: bitmap words moved
    through; `crossings`: initialised ticks crossed."""

    left: int
    other: int
    price: int
    tick: int
    liquidity: int
    words: int
    crossings: int


class Ticks:
    """A pool's initialised ticks, as a view shows them."""

    __slots__ = ("_bitmap", "_get", "_net", "_pool", "_spacing", "_words")

    def __init__(self, view: View, names: Names, pool: Address) -> None:
        self._get = view.get
        self._bitmap, self._net, self._words = names.bitmap, names.net, names.words
        self._pool = pool
        self._spacing = view.get(names.spacing, (pool,))

    def net(self, tick: int) -> int:
        return self._get(self._net, (self._pool, tick))

    def next(self, tick: int, down: bool) -> tuple[int, bool]:
        """The next initialised tick within the bitmap word, or the word's last one; and which of the two it is."""
        index = tick // self._spacing + (not down)
        word, bit = index >> 8, index & 255
        marks = self._get(self._bitmap, (self._pool, word))
        if down:
            marks &= (2 << bit) - 1
            last = marks.bit_length() - 1 if marks else 0
        else:
            marks &= -1 << bit
            last = (marks & -marks).bit_length() - 1 if marks else WORD_BITS - 1
        return (word << 8 | last) * self._spacing, marks != 0

    def beyond(self, tick: int, down: bool) -> int | None:
        """The next initialised tick beyond the word of `tick`, which has none; None when there is none at all."""
        word = self._word_beyond(tick // self._spacing + (not down) >> 8, down)
        if word is None:
            return None
        marks = self._get(self._bitmap, (self._pool, word))
        bit = marks.bit_length() - 1 if down else (marks & -marks).bit_length() - 1
        return (word << 8 | bit) * self._spacing

    def words_between(self, a: int, b: int) -> int:
        return abs((a // self._spacing >> 8) - (b // self._spacing >> 8))

    def _word_beyond(self, word: int, down: bool) -> int | None:
        word += -1 if down else 1
        end = (MIN_TICK if down else MAX_TICK) // self._spacing >> 16
        for group in range(word >> 8, end + (-1 if down else 1), -1 if down else 1):
            marks = self._get(self._words, (self._pool, group))
            if group == word >> 8:
                marks &= (2 << (word & 255)) - 1 if down else -1 << (word & 255)
            if marks:
                return group << 8 | (marks.bit_length() - 1 if down else (marks & -marks).bit_length() - 1)
        return None


def walk(view: View, names: Names, pool: Address, fee_pips: int, down: bool, amount: int, exact_in: bool, limit: int | None = None) -> Walk:
    """Swap `amount` (input if `exact_in`, else output) of an initialised pool. `down`: token 0 in, so that the price falls. `limit`: the
    square root of the price at which it ends anyway."""
    ticks = Ticks(view, names, pool)
    key = (pool,)
    price, tick, liquidity = view.get(names.price, key), view.get(names.tick, key), view.get(names.liquidity, key)
    limit = limit or (LOWEST_PRICE if down else HIGHEST_PRICE)
    step = step_in if exact_in else step_out
    start, left, other, crossings = tick, amount, 0, 0
    for _ in range(MAX_STEPS):
        if left <= 0 or (price <= limit if down else price >= limit):
            break
        following, initialized = ticks.next(tick, down)
        if not liquidity and not initialized:
            beyond = ticks.beyond(tick, down)
            if beyond is None:
                break
            following, initialized = beyond, True
        boundary = sqrt_ratio_at_tick(min(max(following, MIN_TICK), MAX_TICK))
        before = price
        price, used, got = step(price, max(boundary, limit) if down else min(boundary, limit), liquidity, left, fee_pips)
        left -= used
        other += got
        if price == boundary:
            if initialized:
                crossings += 1
                liquidity += -ticks.net(following) if down else ticks.net(following)
            tick = following - 1 if down else following
        elif price != before:
            tick = tick_at_sqrt_ratio(price)
    return Walk(left, other, price, tick, liquidity, ticks.words_between(start, tick), crossings)
