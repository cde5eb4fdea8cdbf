"""The devnet's Uniswap v3 pools: which there are, how deep, and what price stands for what square root."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isqrt, log

from keeper.types import Address

SPACING = {100: 1, 500: 10, 3000: 60}
MAX_TICK = 887272
FULL = (-MAX_TICK, MAX_TICK)


@dataclass(frozen=True, slots=True)
class Pool:
    """`ranges`: (lower, upper) tick offsets from the first price and the USD (whole) put on each side of it."""

    base: str
    quote: str
    fee: int
    ranges: tuple[tuple[int, int, int], ...]

    @property
    def name(self) -> str:
        return f"pool.{self.base}-{self.quote}-{self.fee}"


def _wide(usd: int) -> tuple[tuple[int, int, int], ...]:
    """The usual shape of a volatile pair: everywhere, around the price, and steps below and above it."""
    around = ((*FULL, usd), (-6000, 6000, usd), (-2000, 2000, usd), (-500, 500, usd // 3))
    return (*around, (-4000, -900, usd // 4), (900, 4000, usd // 4), (-1500, 300, usd // 8), (-300, 1500, usd // 8))


def _pegged(usd: int) -> tuple[tuple[int, int, int], ...]:
    return ((*FULL, usd // 4), (-300, 300, usd), (-50, 50, usd), (-20, 5, usd // 4), (-5, 20, usd // 4))


POOLS = (
    Pool("WETH", "USDC", 500, _wide(16_000_000)),
    Pool("WETH", "USDC", 3000, _wide(8_000_000)),
    Pool("WETH", "DAI", 3000, _wide(3_000_000)),
    Pool("WBTC", "WETH", 3000, _wide(10_000_000)),
    Pool("WBTC", "USDC", 3000, _wide(4_000_000)),
    Pool("DAI", "USDC", 100, _pegged(20_000_000)),
    Pool("wstETH", "WETH", 100, _pegged(12_000_000)),
    Pool("LINK", "WETH", 3000, ((*FULL, 300_000), (-3000, 3000, 150_000), (-600, 600, 60_000))),
)


def ordered(pool: Pool, tokens: dict[str, Address]) -> tuple[str, str]:
    """The symbols of token 0 and token 1."""
    first, second = sorted((pool.base, pool.quote), key=lambda symbol: tokens[symbol])
    return first, second


def sqrt_price_x96(price0: int, unit0: int, price1: int, unit1: int) -> int:
    """The pool's square root for token 0 worth `price0` and token 1 worth `price1` (same unit of value), rounded down."""
    return isqrt((price0 * unit1 << 192) // (price1 * unit0))


def tick_of(sqrt_x96: int) -> int:
    return floor(2 * log(sqrt_x96 / 2**96) / log(1.0001))


def tick_range(pool: Pool, tick: int, lower: int, upper: int) -> tuple[int, int]:
    """Offsets from `tick` as ticks the pool can use."""
    spacing, limit = SPACING[pool.fee], MAX_TICK // SPACING[pool.fee] * SPACING[pool.fee]
    if (lower, upper) == FULL:
        return -limit, limit
    return (tick + lower) // spacing * spacing, (tick + upper) // spacing * spacing
