"""How much of a token pools absorb before its sale costs more than it should: real ticks, sold piece by piece on an overlay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.ports import Market, View
from keeper.risk.moves import Floats
from keeper.risk.stress import Positions, Tick
from keeper.types import Address, Hop

PIECES = 32
PASSES = 2
"""Of what the first one finds, the second one sells finer pieces."""

LEAST_PIECE = 64
"""A piece is not cut smaller than into this many parts."""

Quote = Callable[[View, Address, Address, int], Sequence[Hop]]
"""(view, token, into, amount) → the best way to sell. Raises Skip."""


def capacities(books: Sequence[Positions], quote: Quote, view: View, slippage: float, tick: Tick = lambda _: None) -> dict[Address, float]:
    """Value of each token that pools absorb, at most all that accounts have of it, sold for what is most owed against it. What exists only
    on its market's books is not sold: all of it."""
    found: dict[Address, float] = {}
    held, owed = _stakes(books)
    for number, (token, value) in enumerate(held.items(), start=1):
        market = next(book.market for book in books if token in book.tokens)
        tick(number)
        if token not in market.tokens(view):
            found[token] = value
            continue
        into = max((other for one, other in owed if one == token and other != token), key=lambda other: owed[token, other], default=token)
        whole = market.value(view, token, 10**18) or 0
        amount = absorbed(quote, market, view, token, into, int(value / whole * 10**18), slippage) if whole else 0
        found[token] = float(market.value(view, token, amount) or 0)
    return found


def _stakes(books: Sequence[Positions]) -> tuple[dict[Address, float], dict[tuple[Address, Address], float]]:
    """Value of each collateral; and of each debt against it, by the collateral's share in its account."""
    held: dict[Address, float] = {}
    owed: dict[tuple[Address, Address], float] = {}
    for book in books:
        against = _shares(book.collateral).T @ book.debt
        for i, token in enumerate(book.tokens):
            if value := float(book.collateral[:, i].sum()):
                held[token] = held.get(token, 0.0) + value
            for j, other in enumerate(book.tokens):
                owed[token, other] = owed.get((token, other), 0.0) + float(against[i, j])
    return held, owed


def _shares(values: Floats) -> Floats:
    return np.asarray(np.divide(values, values.sum(axis=1, keepdims=True), out=np.zeros_like(values), where=values > 0))


def absorbed(quote: Quote, market: Market, view: View, token: Address, into: Address, most: int, slippage: float) -> int:
    """How much of a token pools take, at most `most`, while each piece still brings all but `slippage` of its worth at the oracle."""
    sold = most
    for _ in range(PASSES):
        sold = _sold(quote, market, view, token, into, min(2 * sold, most), slippage)
    return sold


def _sold(quote: Quote, market: Market, view: View, token: Address, into: Address, most: int, slippage: float) -> int:
    state, sold, piece = Overlay(view), 0, max(most // PIECES, 1)
    least = max(piece // LEAST_PIECE, 1)
    while sold < most and piece >= least:
        amount = min(piece, most - sold)
        hops = _sale(quote, market, state, token, into, amount, slippage)
        if hops:
            sold += amount
            state.write(write for hop in hops for write in hop.writes)
        else:
            piece //= 2
    return sold


def _sale(quote: Quote, market: Market, view: View, token: Address, into: Address, amount: int, slippage: float) -> Sequence[Hop]:
    try:
        hops = quote(view, token, into, amount)
    except Skip:
        return ()
    got = sum(market.value(view, into, hop.amount_out) or 0 for hop in hops[-1:])
    return hops if got >= (1 - slippage) * (market.value(view, token, amount) or 0) else ()
