"""Keeps the perpetual markets where their indexes are: an arbitrageur trades towards them, as far as the exchange allows at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt, sqrt
from typing import Any, Protocol

from keeper.devnet.genesis.builder import transaction
from keeper.devnet.genesis.perp import MAX_TICKS, WINDOW_S
from keeper.devnet.names import PERP_ARBITRAGEUR, PERP_MARKETS
from keeper.devnet.uniswap import tick_of
from keeper.types import Address

WAD = 10**18
ENOUGH = 10**6 * WAD  # of a base token; more than any market can take: the trade ends at its price limit
NEVER_S = 2**32
TRADE_GAS = 4_000_000
MARGIN_TICKS = 10
"""Left of those, for a price between two ticks."""


class Net(Protocol):
    addresses: dict[str, Address]

    def encode(self, name: str, function: str, *args: Any) -> bytes: ...


class Perpetuals:
    """Of one devnet. `slots`: `slot0` of every pool, in the order of `PERP_MARKETS`."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._windows: dict[str, tuple[int, int]] = {}

    def trades(self, prices: Mapping[str, int], slots: Sequence[tuple[Any, ...]], lands_s: int) -> list[dict[str, str]]:
        """Towards these prices, in a block of that time."""
        found = []
        for (symbol, priced_as), slot in zip(PERP_MARKETS.items(), slots, strict=True):
            current, tick = slot[0], slot[1]
            target = _within(isqrt((prices[priced_as] << 192) // 10**8), self._base(symbol, tick, lands_s))
            if tick_of(target) != tick_of(current):
                found.append(self._trade(symbol, target < current, target))
        return found

    def _base(self, symbol: str, tick: int, lands_s: int) -> int:
        """Where the market stood when its window began."""
        began_s, base = self._windows.get(symbol, (0, tick))
        if not began_s <= lands_s < began_s + WINDOW_S:
            began_s, base = self._windows[symbol] = lands_s, tick
        return base

    def _trade(self, symbol: str, down: bool, limit: int) -> dict[str, str]:
        base = self._net.addresses[f"perp.base.{symbol}"]
        amount = ENOUGH if down else ENOUGH * 10**6
        order = (base, down, True, amount, 0, NEVER_S, limit, bytes(32))
        data = self._net.encode("perp.clearing_house", "openPosition", order)
        return transaction(PERP_ARBITRAGEUR, self._net.addresses["perp.clearing_house"], data, 0, TRADE_GAS)


def _within(target: int, base_tick: int) -> int:
    """A square root of a price, no further than the window allows."""
    reach = MAX_TICKS - MARGIN_TICKS
    least, most = (int(sqrt(1.0001 ** (base_tick + ticks)) * 2**96) for ticks in (-reach, reach))
    return min(max(target, least), most)
