"""Fixed-point arithmetic on Python integers; the rounding is in the name.

Half-up is what lending protocols' ray and percentage libraries do; all arguments are non-negative.
"""

from __future__ import annotations

WAD = 10**18
RAY = 10**27
BPS = 10**4
YEAR_S = 365 * 24 * 3600
MAX_UINT256 = 2**256 - 1


def mul_div_down(a: int, b: int, denominator: int) -> int:
    return a * b // denominator


def mul_div_up(a: int, b: int, denominator: int) -> int:
    return -(-a * b // denominator)


def ray_mul_half_up(a: int, b: int) -> int:
    return (a * b + RAY // 2) // RAY


def ray_mul_down(a: int, b: int) -> int:
    return a * b // RAY


def ray_mul_up(a: int, b: int) -> int:
    return -(-a * b // RAY)


def ray_div_half_up(a: int, b: int) -> int:
    return (a * RAY + b // 2) // b


def ray_div_down(a: int, b: int) -> int:
    return a * RAY // b


def ray_div_up(a: int, b: int) -> int:
    return -(-a * RAY // b)


def wad_div_half_up(a: int, b: int) -> int:
    return (a * WAD + b // 2) // b


def percent_mul_half_up(value: int, bps: int) -> int:
    return (value * bps + BPS // 2) // BPS


def percent_mul_down(value: int, bps: int) -> int:
    return value * bps // BPS


def percent_mul_up(value: int, bps: int) -> int:
    return -(-value * bps // BPS)


def percent_div_half_up(value: int, bps: int) -> int:
    return (value * BPS + bps // 2) // bps


def percent_div_down(value: int, bps: int) -> int:
    return value * BPS // bps


def percent_div_up(value: int, bps: int) -> int:
    return -(-value * BPS // bps)
