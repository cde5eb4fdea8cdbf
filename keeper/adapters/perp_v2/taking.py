"""What a transaction does, as the contracts do it, on an overlay: settle a book, cancel orders, take a position over, trade it away.

The liquidator is nobody in particular: it comes with nothing and leaves with nothing, so its own cells never show. Times are the block's.
Source: perp-curie `ClearingHouse`, `Exchange`, `OrderBook`; formulas as proven against the chain.
"""

from __future__ import annotations

from keeper.adapters.perp_v2 import growth, index, mark, oracle, settling, swaps
from keeper.adapters.perp_v2.account import account_at, position_at
from keeper.adapters.perp_v2.cells import Cells, Deployment, ticks_of
from keeper.adapters.perp_v2.growth import Growth
from keeper.adapters.perp_v2.moment import Moment
from keeper.adapters.perp_v2.pool import Pool, Step, liquidity_moved
from keeper.adapters.perp_v2.rounding import RATIO, WAD, mul_div_truncated, mul_ratio_up, price_wad
from keeper.book.state import Overlay
from keeper.concentrated import amount0_down, amount0_up, amount1_down, amount1_up, sqrt_ratio_at_tick
from keeper.errors import Skip
from keeper.types import Address, Traded

WINDOW_S = 15
SPREAD = 100_000
"""Of a market whose ratio is set to 0; a version without a band has none at all."""


class Floor:
    """Where it happens: one state, changed step by step, at one time."""

    def __init__(self, deployment: Deployment, cells: Cells, state: Overlay, at_s: int) -> None:
        self.deployment, self.cells, self.state, self.at_s = deployment, cells, state, at_s

    @property
    def now(self) -> Moment:
        return Moment(self.deployment, self.cells, self.state, self.at_s)

    # --- funding

    def hear(self, account: Address) -> tuple[Address, ...]:
        """Have the feeds that an account's worth hangs on cache what they have not cached yet; returns those that had something to."""
        cells, state, books = self.cells, self.state, self.deployment.books
        feeds = [books[number].feed for number in cells.books_of(state, account)]
        feeds += [held.feed for held, _ in cells.held_by(state, account)]
        found = []
        for feed in dict.fromkeys(feed.address for feed in feeds):
            if writes := index.unheard(cells, state, feed, self.at_s):
                state.write(writes)
                found.append(feed)
        return tuple(found)

    def settle(self, number: int, account: Address) -> None:
        """A book's funding for everybody, and what this account owes of it."""
        self._settle_book(number)
        moment, cells = self.now, self.cells
        funding = position_at(moment, moment.book(number), account).funding
        self.state.write([cells.add(self.state, cells.owed, -funding, account)])
        self.state.write(settling.settled(cells, self.state, number, account))

    def _settle_book(self, number: int) -> None:
        """First it has the feed cache its answer, which may bend the index's mean back."""
        cells, state, at_s = self.cells, self.state, self.at_s
        feed = self.deployment.books[number].feed.address
        price, since_s = index.latest(cells, state, feed, at_s)
        if since_s > cells.of_feed(state, feed, "cached_at"):
            state.write(index.cached(cells, state, feed, price, since_s))
        if cells.of_book(state, number, "settled") == at_s:
            return
        now = mark.growth_at(self.deployment, cells, state, number, at_s)
        fields = {"g": now.g, "gd": now.gd, "settled": at_s}
        if at_s >= cells.of_book(state, number, "window_at") + WINDOW_S:
            fields |= {"window_tick": cells.of_book(state, number, "tick"), "window_at": at_s}
        self._put(number, fields)

    # --- positions

    def exchange(self, number: int, account: Address, base: int, quote: int) -> None:
        """Add to a taker's position; what that closes is realised."""
        cells, state = self.cells, self.state
        size, notional = (cells.signed(state, table, number, account) for table in (cells.size, cells.notional))
        realized = realized_pnl(size, notional, base, quote)
        state.write([cells.add(state, cells.owed, realized, account)])
        state.write(settling.position_changed(cells, state, number, account, base, notional + quote - realized))

    def cancel(self, number: int, account: Address) -> None:
        """All orders of an account in a book: what they hold and were lent becomes the taker's."""
        self.settle(number, account)
        for packed in self.cells.ranges(self.state, number, account):
            self._remove(number, account, packed)

    def _remove(self, number: int, account: Address, packed: int) -> None:
        cells, state, moment = self.cells, self.state, self.now
        lower, upper = ticks_of(packed)
        book, liquidity = moment.book(number), cells.of_order(state, number, packed, account, "liquidity")
        low, high, price = sqrt_ratio_at_tick(lower), sqrt_ratio_at_tick(upper), book.sqrt_price
        base = amount0_down(max(price, low), high, liquidity) if price < high else 0
        quote = amount1_down(low, min(price, high), liquidity) if price > low else 0
        base -= cells.of_order(state, number, packed, account, "base")
        quote -= cells.of_order(state, number, packed, account, "quote")
        here = growth.inside(cells, state, number, lower, upper, growth.stored(cells, state, number), book.tick)
        earned = (here.fee - cells.of_order(state, number, packed, account, "fee") & (1 << 256) - 1) * liquidity >> 128
        self._withdraw_liquidity(number, lower, upper, liquidity)
        state.write(settling.liquidity_changed(cells, state, number, account, lower, upper, 0, 0, -liquidity))
        state.write([cells.add(state, cells.owed, earned, account)])
        if base or quote:
            self.exchange(number, account, base, quote)

    def _withdraw_liquidity(self, number: int, lower: int, upper: int, liquidity: int) -> None:
        cells, state = self.cells, self.state
        if lower <= cells.of_book(state, number, "tick") < upper:
            state.write(oracle.written(cells, state, number, self.at_s))
        for tick in (lower, upper):
            if state.get(cells.tick, (number, tick, "gross")) == liquidity:
                state.write(growth.put_outside(cells, number, tick, Growth(0, 0, 0)))
        spacing = self.deployment.books[number].spacing
        state.write(liquidity_moved(cells, state, number, spacing, lower, upper, -liquidity))

    # --- the pool

    def trade(self, number: int, size: int, bounded: bool = True) -> Traded:
        """Sell (`size` < 0) or buy exactly that much base. Raises Skip: "illiquid", if `bounded` also "tick_limit", which passes."""
        down, amount, cells = size < 0, abs(size), self.cells
        fee_ratio, exchange_ratio = (cells.book_setting(self.state, number, field) for field in ("fee", "exchange"))
        book = self.deployment.books[number]
        pool = Pool(cells, self.state, number, book.spacing)
        scaled = -(-amount * RATIO // (RATIO - fee_ratio)) if down else amount
        steps = list(pool.swap(scaled, down, down, fee_ratio))
        paid, got = sum(step.paid for step in steps), sum(step.got for step in steps)
        if (paid if down else got) != scaled:
            raise Skip("illiquid", "the pool has not enough on that side")
        if bounded:
            self._check(number, steps)
            self._check_band(number, pool.price, steps[-1].part.end)
        base = -(paid * (RATIO - fee_ratio) // RATIO) if down else got
        quote = got if down else -(paid * (RATIO - fee_ratio) // RATIO)
        replayed = steps if down else list(pool.swap(amount, down, False, exchange_ratio))
        fees = _fees(replayed, down, exchange_ratio)
        self._swapped(number, steps, paid if down else -got, got if down else paid, sum(fees))
        insurance = cells.book_setting(self.state, number, "insurance")
        return Traded(base, quote - sum(fees), sum(mul_ratio_up(fee, insurance) for fee in fees), sum(fees))

    def _check(self, number: int, steps: list[Step]) -> None:
        """The contract closes only a part where the price would move too far within a window."""
        cells, state = self.cells, self.state
        most, anchor = cells.book_setting(state, number, "max_ticks"), cells.of_book(state, number, "window_tick")
        if abs(steps[-1].part.tick - anchor) > most:
            raise Skip("tick_limit", f"the exit moves the price by more than {most} ticks at once")

    def _check_band(self, number: int, before: int, after: int) -> None:
        """No trade may take the price further from the index than the band, or, where it is outside already, than it is."""
        most = self.cells.book_setting(self.state, number, "spread") or SPREAD
        if not self.deployment.books[number].defaults["spread"]:
            return
        index = mark.index_price(self.deployment, self.cells, self.state, number, self.at_s, 0)
        old, new = (mul_div_truncated(price_wad(price) - index, RATIO, index) for price in (before, after))
        if not min(old, -most) <= new <= max(old, most):
            raise Skip("price_band", f"the exit takes the price {new / 10**4:.1f} % from the index, {most / 10**4:.1f} % allowed")

    def _swapped(self, number: int, steps: list[Step], base_in: int, quote: int, fee: int) -> None:
        cells, state, last = self.cells, self.state, steps[-1].part
        if last.tick != cells.of_book(state, number, "tick"):
            state.write(oracle.written(cells, state, number, self.at_s))
        state.write(swaps.passed(cells, self.deployment.books[number], state, number, last.end, base_in, quote))
        state.write(swaps.charged(cells, state, number, fee))
        liquidity = cells.of_book(state, number, "liquidity")
        for step in steps:
            net = 0 if step.part.crossed is None else state.get(cells.tick, (number, step.part.crossed, "net"))
            liquidity += -net if base_in > 0 else net
        fields = {"price": last.end, "tick": last.tick, "liquidity": liquidity, "swaps": cells.of_book(state, number, "swaps") + 1}
        self._put(number, fields | {"first_trade": cells.of_book(state, number, "first_trade") or self.at_s})

    # --- the fund

    def pay_fund(self, amount: int) -> None:
        """With 18 decimals."""
        self.state.write([self.cells.add(self.state, self.cells.owed, amount, self.deployment.insurance_fund)])

    def give_fund(self, amount: int) -> None:
        """To its wallet, in the settlement token."""
        self.state.write([(self.cells.config, ("fund_cash",), self.state.get(self.cells.config, ("fund_cash",)) + amount)])

    def fund_capacity(self) -> int:
        """What the insurance fund can bear, in the settlement token."""
        cells, state, fund = self.cells, self.state, self.deployment.insurance_fund
        value = cells.signed(state, cells.balance, fund) * self.deployment.scale + cells.signed(state, cells.owed, fund)
        return value // self.deployment.scale + state.get(cells.config, ("fund_cash",))

    def settle_bad_debt(self, account: Address) -> int:
        """Once nothing is left that could pay it: what the fund bears, in the settlement token."""
        cells, state, found = self.cells, self.state, account_at(self.now, account)
        if found.positions or found.collaterals or found.counted >= 0:
            return 0
        amount = -found.counted // self.deployment.scale
        state.write([cells.add(state, cells.balance, amount, account)])
        state.write([cells.add(state, cells.balance, -amount, self.deployment.insurance_fund)])
        return amount

    def _put(self, number: int, fields: dict[str, int]) -> None:
        self.state.write([(self.cells.pool, (number, field), value) for field, value in fields.items()])


def realized_pnl(size: int, notional: int, base: int, quote: int) -> int:
    """Of adding (base, quote) to a position: for what of it that closes."""
    if not size or not base or (size > 0) == (base > 0):
        return 0
    closed = abs(base) * WAD // abs(size)
    if closed <= WAD:
        return quote + mul_div_truncated(notional, closed, WAD)
    return notional + mul_div_truncated(quote, WAD, closed)


def _fees(steps: list[Step], down: bool, ratio: int) -> list[int]:
    """Of each step of the replay: a share of the quote paid out, or what was charged on the quote taken in."""
    if down:
        return [mul_ratio_up(step.got, ratio) for step in steps if step.part.liquidity]
    return [step.paid - _net_in(step, down) for step in steps if step.part.liquidity]


def _net_in(step: Step, down: bool) -> int:
    part = step.part
    return amount0_up(part.start, part.end, part.liquidity) if down else amount1_up(part.start, part.end, part.liquidity)
