"""An account at a moment, to the wei: its value, what it must have, and how much of which position may be liquidated.

Money has 18 decimals here. The vault floors an account's value to the settlement token's decimals before it is compared.
Source: perp-curie `AccountBalance`, `Vault`, `Exchange`, `OrderBook`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from keeper.adapters.perp_v2 import growth
from keeper.adapters.perp_v2.cells import Collateral, ticks_of
from keeper.adapters.perp_v2.mark import Book
from keeper.adapters.perp_v2.moment import Moment
from keeper.adapters.perp_v2.rounding import DAY_S, Q96, Q128, RATIO, WAD, WORD_MASK, divide_truncated, mul_div_truncated, mul_ratio
from keeper.adapters.perp_v2.settling import DUST
from keeper.concentrated import amount0_down, amount1_down, sqrt_ratio_at_tick
from keeper.errors import Skip
from keeper.types import Address

WHOLE_BELOW = 100 * WAD
"""Positions worth no more may be liquidated whole."""


@dataclass(frozen=True, slots=True)
class Orders:
    """All orders of an account in a book: what they hold, what was lent to them, and what they have earned since it was settled."""

    base: int = 0
    quote: int = 0
    base_debt: int = 0
    quote_debt: int = 0
    fee: int = 0
    funding: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """In one book: `size` and `value` with what the orders hold; `taker_size` and `taker_notional` without."""

    number: int
    mark: int
    taker_size: int
    taker_notional: int
    orders: Orders
    size: int
    value: int
    funding: int

    @property
    def notional(self) -> int:
        return self.taker_notional + self.orders.quote - self.orders.quote_debt


@dataclass(frozen=True)
class Account:
    """`balance` in the settlement token's decimals, `owed` and all else with 18. `collaterals`: (which, amount, value after its ratio)."""

    account: Address
    at_s: int
    positions: tuple[Position, ...]
    balance: int
    owed: int
    collaterals: tuple[tuple[Collateral, int, int], ...]
    scale: int
    mm_ratio: int

    @cached_property
    def settlement(self) -> int:
        """The settlement token's part, with what is pending."""
        pending = sum(position.orders.fee - position.funding for position in self.positions)
        return self.balance * self.scale + pending + self.owed

    @cached_property
    def secured(self) -> int:
        """What collaterals other than the settlement token count for."""
        return sum(value for _, _, value in self.collaterals)

    @cached_property
    def unrealized(self) -> int:
        return sum(position.value + position.notional for position in self.positions)

    @cached_property
    def exposure(self) -> int:
        """Σ |position value|"""
        return sum(abs(position.value) for position in self.positions)

    @property
    def value(self) -> int:
        return self.settlement + self.secured + self.unrealized

    @property
    def counted(self) -> int:
        """The value that is compared: floored to the settlement token's decimals."""
        return self.value // self.scale * self.scale

    @property
    def requirement(self) -> int:
        return mul_ratio(self.exposure, self.mm_ratio)

    @property
    def liquidatable(self) -> bool:
        return self.counted < self.requirement

    @property
    def debt(self) -> int:
        """What the collaterals have to make up for."""
        return max(-(self.settlement + self.unrealized), 0)

    @property
    def borrowed(self) -> int:
        """The total debt value: quote and base owed to the clearing house."""
        quote = min(sum(position.taker_notional - position.orders.quote_debt for position in self.positions), 0)
        owed = (mul_div_truncated(min(p.taker_size - p.orders.base_debt, 0), p.mark, WAD) for p in self.positions)
        return abs(quote + sum(owed))

    def free_collateral(self, ratio: int) -> int:
        """In the settlement token's decimals."""
        return (min(self.value - self.unrealized, self.value) - mul_ratio(self.borrowed, ratio)) // self.scale

    def position(self, number: int) -> Position | None:
        return next((position for position in self.positions if position.number == number), None)

    def most(self, position: Position) -> int:
        """The size that may be liquidated, signed; 0 while the account is healthy."""
        if not self.liquidatable or not position.size:
            return 0
        own = abs(position.value)
        if own <= WHOLE_BELOW or self.counted < self.requirement // 2:
            return position.size
        share = RATIO if not own else min(RATIO, self.exposure * RATIO // (2 * own))
        return mul_ratio(position.size, share)


def account_at(moment: Moment, account: Address) -> Account:
    """Raises Skip: "no_price" where the contract reverts, "unknown_book" where it has what discovery did not find."""
    cells, view = moment.cells, moment.view
    if view.get(cells.stranger, (account,)):
        raise Skip("unknown_book", "it has a position or a collateral added later; restart to discover it")
    return Account(
        account=account,
        at_s=moment.at_s,
        positions=tuple(position_at(moment, moment.book(number), account) for number in cells.books_of(view, account)),
        balance=cells.signed(view, cells.balance, account),
        owed=cells.signed(view, cells.owed, account),
        collaterals=tuple((held, amount, collateral_value(moment, held, amount)) for held, amount in cells.held_by(view, account)),
        scale=moment.deployment.scale,
        mm_ratio=cells.setting(view, "mm"),
    )


def collateral_value(moment: Moment, held: Collateral, amount: int) -> int:
    """After its ratio. The floor is before it."""
    whole = amount * moment.price(held) // 10**held.feed.decimals * 10 ** (18 - held.decimals)
    return mul_ratio(whole, moment.cells.of_token(moment.view, held.token, "ratio"))


def position_at(moment: Moment, book: Book, account: Address) -> Position:
    cells, view, number = moment.cells, moment.view, book.number
    taker_size = cells.signed(view, cells.size, number, account)
    orders = orders_at(moment, book, account)
    size = taker_size + orders.base - orders.base_debt
    size = size if abs(size) >= DUST else 0
    grown = book.growth.g - cells.signed(view, cells.growth, number, account)
    funding = orders.funding + mul_div_truncated(taker_size - orders.base_debt, grown, Q96)
    return Position(
        number=number,
        mark=book.mark,
        taker_size=taker_size,
        taker_notional=cells.signed(view, cells.notional, number, account),
        orders=orders,
        size=size,
        value=mul_div_truncated(size, book.mark, WAD),
        funding=divide_truncated(funding, DAY_S),
    )


def orders_at(moment: Moment, book: Book, account: Address) -> Orders:
    ranges = moment.cells.ranges(moment.view, book.number, account)
    if not ranges:
        return Orders()
    each = [_order(moment, book, account, packed) for packed in ranges]
    return Orders(*(sum(getattr(order, field) for order in each) for field in Orders.__slots__))


def _order(moment: Moment, book: Book, account: Address, packed: int) -> Orders:
    """Its amounts as the pool would pay them out; its share of fees and funding since they were settled."""
    liquidity, base_debt, quote_debt, fee, g, under, gd = (
        moment.cells.of_order(moment.view, book.number, packed, account, field)
        for field in ("liquidity", "base", "quote", "fee", "g", "below", "gd")
    )
    lower, upper = ticks_of(packed)
    low, high, price = sqrt_ratio_at_tick(lower), sqrt_ratio_at_tick(upper), book.sqrt_price
    here = growth.inside(moment.cells, moment.view, book.number, lower, upper, book.growth, book.tick)
    below = growth.below(moment.cells, moment.view, book.number, lower, book.growth, book.tick).g - under
    funding = amount0_down(low, high, liquidity) * below
    funding += liquidity * ((here.gd - gd) - mul_div_truncated(here.g - g, Q96, high))
    return Orders(
        base=amount0_down(max(price, low), high, liquidity) if price < high else 0,
        quote=amount1_down(low, min(price, high), liquidity) if price > low else 0,
        base_debt=base_debt,
        quote_debt=quote_debt,
        fee=(here.fee - fee & WORD_MASK) * liquidity // Q128,
        funding=divide_truncated(funding, Q96),
    )
