"""Concentrated liquidity's fixed-point arithmetic (Uniswap v3) on plain integers, rounding as the pool rounds: venues price swaps with
it, and markets whose positions live on such a pool price them.

Prices are square roots of token1/token0 with 96 fractional bits (`_x96` throughout, so not in the names); a tick is log base 1.0001 of
the price. Sources: the v3 white paper §6, and the pool itself, against which the tests compare every number.
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt, log

MIN_TICK = -887272
MAX_TICK = 887272
FEE_UNIT = 10**6

_Q96 = 2**96
_MAX_UINT256 = 2**256 - 1
_EXTRA_BITS = 512
_LOG_TICK = log(1.0001) / 2


def _tick_factors() -> tuple[int, ...]:
    """1.0001 ** (-2**i / 2) with 128 fractional bits, to the nearest, for each bit i of a tick."""
    factor = isqrt((10_000 << (2 * _EXTRA_BITS)) // 10_001)
    factors = []
    for _ in range(MAX_TICK.bit_length()):
        factors.append(((factor >> (_EXTRA_BITS - 129)) + 1) >> 1)
        factor = factor * factor >> _EXTRA_BITS
    return tuple(factors)


_TICK_FACTORS = _tick_factors()


@lru_cache(maxsize=1 << 16)
def sqrt_ratio_at_tick(tick: int) -> int:
    """Price at a tick, rounded up. Ticks beyond ±887272 have none: ValueError."""
    if not MIN_TICK <= tick <= MAX_TICK:
        raise ValueError(f"tick must be within ±{MAX_TICK}, was {tick}")
    ratio = 1 << 128
    for bit, factor in enumerate(_TICK_FACTORS):
        if abs(tick) >> bit & 1:
            ratio = ratio * factor >> 128
    if tick > 0:
        ratio = _MAX_UINT256 // ratio
    return -(-ratio >> 32)


MIN_SQRT_RATIO = sqrt_ratio_at_tick(MIN_TICK)
MAX_SQRT_RATIO = sqrt_ratio_at_tick(MAX_TICK)


def tick_at_sqrt_ratio(price: int) -> int:
    """The greatest tick whose price is at most `price`. The logarithm only guesses; the integers decide."""
    if not MIN_SQRT_RATIO <= price < MAX_SQRT_RATIO:
        raise ValueError(f"price must be in [{MIN_SQRT_RATIO}, {MAX_SQRT_RATIO}), was {price}")
    tick = min(max(round(log(price / _Q96) / _LOG_TICK), MIN_TICK), MAX_TICK - 1)
    ratio_at = sqrt_ratio_at_tick.__wrapped__  # a price is anywhere: nobody asks for these ticks again
    while ratio_at(tick) > price:
        tick -= 1
    while ratio_at(tick + 1) <= price:
        tick += 1
    return tick


def amount0_down(a: int, b: int, liquidity: int) -> int:
    """Token 0 held by `liquidity` between two prices, in either order."""
    low, high = (a, b) if a < b else (b, a)
    return (liquidity << 96) * (high - low) // high // low


def amount0_up(a: int, b: int, liquidity: int) -> int:
    low, high = (a, b) if a < b else (b, a)
    return -(-(liquidity << 96) * (high - low) // high // low)


def amount1_down(a: int, b: int, liquidity: int) -> int:
    """Token 1 held by `liquidity` between two prices, in either order."""
    return liquidity * abs(b - a) >> 96


def amount1_up(a: int, b: int, liquidity: int) -> int:
    return -(-liquidity * abs(b - a) >> 96)


def price_after_adding0(price: int, liquidity: int, amount: int) -> int:
    """Rounded up; where the exact product would overflow 256 bits, by the pool's coarser formula."""
    if amount == 0:
        return price
    reserve = liquidity << 96
    product = amount * price
    if reserve + product <= _MAX_UINT256:
        return -(-reserve * price // (reserve + product))
    return -(-reserve // (reserve // price + amount))


def price_after_adding1(price: int, liquidity: int, amount: int) -> int:
    """Rounded down."""
    return price + (amount << 96) // liquidity


def price_after_taking0(price: int, liquidity: int, amount: int) -> int:
    """Rounded up. `amount` is less than the liquidity holds up to the step's target, so there is such a price."""
    reserve = liquidity << 96
    return -(-reserve * price // (reserve - amount * price))


def price_after_taking1(price: int, liquidity: int, amount: int) -> int:
    """Rounded down."""
    return price - -(-(amount << 96) // liquidity)


def fee_on(amount: int, fee_pips: int) -> int:
    """Fee owed on top of a net input, rounded up."""
    return -(-amount * fee_pips // (FEE_UNIT - fee_pips))


def step_in(price: int, target: int, liquidity: int, remaining: int, fee_pips: int) -> tuple[int, int, int]:
    """One exact-input step towards `target`: (price reached, input used with its fee, output)."""
    down = price >= target
    needed = amount0_up(price, target, liquidity) if down else amount1_up(price, target, liquidity)
    net = remaining * (FEE_UNIT - fee_pips) // FEE_UNIT
    if net >= needed:
        reached = target
    else:
        reached = price_after_adding0(price, liquidity, net) if down else price_after_adding1(price, liquidity, net)
    out = amount1_down(price, reached, liquidity) if down else amount0_down(price, reached, liquidity)
    used = needed + fee_on(needed, fee_pips) if reached == target else remaining
    return reached, used, out


def step_out(price: int, target: int, liquidity: int, remaining: int, fee_pips: int) -> tuple[int, int, int]:
    """One exact-output step towards `target`: (price reached, output, input with its fee)."""
    down = price >= target
    held = amount1_down(price, target, liquidity) if down else amount0_down(price, target, liquidity)
    if remaining >= held:
        reached = target
    else:
        reached = price_after_taking1(price, liquidity, remaining) if down else price_after_taking0(price, liquidity, remaining)
        if reached != target:
            held = amount1_down(price, reached, liquidity) if down else amount0_down(price, reached, liquidity)
    net = amount0_up(price, reached, liquidity) if down else amount1_up(price, reached, liquidity)
    return reached, min(held, remaining), net + fee_on(net, fee_pips)
