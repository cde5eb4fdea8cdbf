"""The protocol's fixed point: what is signed is truncated toward zero, but a conversion to fewer decimals is floored.

Prices X96 have 96 fractional bits, `square root` prices too; money has 18 decimals unless named otherwise; ratios have 6.
Source: perp-curie `PerpMath`, `SettlementTokenMath`, `OracleLibrary` use.
"""

from __future__ import annotations

Q96 = 1 << 96
Q128 = 1 << 128
WORD_MASK = (1 << 256) - 1
WAD = 10**18
RATIO = 10**6
DAY_S = 86400


def divide_truncated(a: int, b: int) -> int:
    """Signed division as the machine's: toward zero. `b` > 0."""
    return a // b if a >= 0 else -(-a // b)


def mul_div_truncated(a: int, b: int, denominator: int) -> int:
    return divide_truncated(a * b, denominator)


def mul_ratio(value: int, ratio: int) -> int:
    return divide_truncated(value * ratio, RATIO)


def mul_ratio_up(value: int, ratio: int) -> int:
    return -(-value * ratio // RATIO)


def price_x96(sqrt_price: int) -> int:
    return sqrt_price * sqrt_price // Q96


def price_wad(sqrt_price: int) -> int:
    """With 18 decimals, by two floors."""
    return price_x96(sqrt_price) * WAD // Q96
