"""A state at a time: its books and prices, each worked out once for all accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from keeper.adapters.perp_v2 import index, mark
from keeper.adapters.perp_v2.cells import Cells, Collateral, Deployment
from keeper.adapters.perp_v2.mark import Book
from keeper.errors import Skip
from keeper.ports import View

T = TypeVar("T")


class Moment:
    """`view` must stay as it is."""

    def __init__(self, deployment: Deployment, cells: Cells, view: View, at_s: int) -> None:
        self.deployment, self.cells, self.view, self.at_s = deployment, cells, view, at_s
        self._books: dict[int, Book | Skip] = {}
        self._prices: dict[str, int | Skip] = {}

    def book(self, number: int) -> Book:
        """Raises Skip("no_price") where the contract reverts."""
        if number not in self._books:
            self._books[number] = _kept(lambda: mark.book_at(self.deployment, self.cells, self.view, number, self.at_s))
        return _given(self._books[number])

    def price(self, token: Collateral) -> int:
        """Of a whole token, in its feed's decimals, averaged as funding is. Raises Skip("no_price")."""
        if token.token not in self._prices:
            self._prices[token.token] = _kept(lambda: self._mean(token))
        return _given(self._prices[token.token])

    def _mean(self, token: Collateral) -> int:
        if self.cells.of_token(self.view, token.token, "moved"):
            raise Skip("no_price", "the collateral has another price feed; restart to discover it")
        window_s = self.cells.setting(self.view, "twap_window_s")
        return index.mean(self.cells, self.view, token.feed.address, self.at_s, window_s)


def _kept(work: Callable[[], T]) -> T | Skip:
    try:
        return work()
    except Skip as skip:
        return Skip(skip.reason, skip.detail)  # not the one raised: it holds its frames


def _given(found: T | Skip) -> T:
    if isinstance(found, Skip):
        raise Skip(found.reason, found.detail)
    return found
