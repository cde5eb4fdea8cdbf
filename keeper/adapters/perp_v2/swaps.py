"""What a swap leaves besides the pool's own numbers: makers' fees, and growths turned around at every tick crossed. No event tells them.

The path is walked from the old price to the new. Selling base, each step's fee is a share of the quote it pays out; buying, of the quote it
takes in, but the last step also keeps what the price did not use up: it is known when `PositionChanged` names the whole fee.
Source: perp-curie `OrderBook.replaySwap`.
"""

from __future__ import annotations

from collections.abc import Iterator

from keeper.adapters.perp_v2 import growth
from keeper.adapters.perp_v2.cells import BookInfo, Cells
from keeper.adapters.perp_v2.growth import Growth
from keeper.adapters.perp_v2.pool import Part, Pool
from keeper.adapters.perp_v2.rounding import Q128, RATIO, WORD_MASK, mul_ratio_up
from keeper.concentrated import amount1_down, amount1_up
from keeper.ports import View
from keeper.types import Write


def passed(cells: Cells, book: BookInfo, view: View, number: int, end: int, base_in: int, quote: int) -> list[Write]:
    """`end`: the new price (√ X96); `base_in`: what the pool took in, negative: paid out; `quote`: the pool's other amount, unsigned."""
    down = base_in > 0
    now, writes, charged, open_liquidity = growth.stored(cells, view, number), list[Write](), 0, 0
    for part, fee in _fees(cells, book, view, number, end, down, quote):
        if fee is None:
            open_liquidity = part.liquidity
        elif part.liquidity:
            charged += fee
            now = _credited(cells, view, number, now, fee, part.liquidity)
        if part.crossed is not None:
            turned = now - growth.outside(cells, view, number, part.crossed)
            writes += growth.put_outside(cells, number, part.crossed, turned)
    fields = {"fee_growth": now.fee, "owed_fee": charged, "owed_liquidity": open_liquidity + 1 if open_liquidity else 0}
    return [*writes, *((cells.pool, (number, field), value) for field, value in fields.items())]


def charged(cells: Cells, view: View, number: int, fee: int) -> list[Write]:
    """The last step's fee, once the whole is known; nothing where no swap went before."""
    open_liquidity = cells.of_book(view, number, "owed_liquidity")
    if not open_liquidity:
        return []
    rest = fee - cells.of_book(view, number, "owed_fee")
    now = _credited(cells, view, number, growth.stored(cells, view, number), rest, open_liquidity - 1)
    return [(cells.pool, (number, "fee_growth"), now.fee), (cells.pool, (number, "owed_liquidity"), 0)]


def _credited(cells: Cells, view: View, number: int, now: Growth, fee: int, liquidity: int) -> Growth:
    to_makers = fee - mul_ratio_up(fee, cells.book_setting(view, number, "insurance"))
    return Growth(now.fee + to_makers * Q128 // liquidity & WORD_MASK, now.g, now.gd)


def _fees(cells: Cells, book: BookInfo, view: View, number: int, end: int, down: bool, quote: int) -> Iterator[tuple[Part, int | None]]:
    """Each step with its fee; None where it must be told."""
    ratio, moved = cells.book_setting(view, number, "exchange"), 0
    for part in Pool(cells, view, number, book.spacing).path(end, down):
        last = part.end == end
        if down:
            out = quote - moved if last else amount1_down(part.start, part.end, part.liquidity)
            moved += out
            yield part, mul_ratio_up(out, ratio)
        elif last and part.crossed is None:
            yield part, None
        else:
            taken = amount1_up(part.start, part.end, part.liquidity)
            yield part, -(-taken * ratio // (RATIO - ratio))
