"""Price paths: how a market moves, step by step. Pure, in integers, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from eth_utils.crypto import keccak

from keeper.errors import ConfigError

PPM = 10**6
BETA_PERCENT = {"WETH": 100, "wstETH": 100, "WBTC": 55, "LINK": 110, "USDC": 0, "DAI": 0}
STRESS_PPM = {"wstETH": 35_000, "DAI": 6_000}  # discount when ether is down by DEEP_PPM
DEEP_PPM = 280_000
NOISE_PPM = {"WETH": 1_500, "wstETH": 300, "WBTC": 1_200, "LINK": 2_500, "USDC": 40, "DAI": 60}
NOISE_OF = {"wstETH": "WETH"}  # ether-like tokens share ether's noise, and add little of their own

Kind = Literal["calm", "crash", "recovery", "wick"]
KINDS: tuple[Kind, ...] = ("calm", "crash", "recovery", "wick")


def path(kind: str, steps: int, seed: int, start_prices: Mapping[str, int]) -> list[dict[str, int]]:
    """Prices of every token after each step. calm: noise around the start; crash: ether ends 24-30 % lower, staked ether at a discount;
    recovery: ether ends 30-38 % higher; wick: down as in a crash and back to the start. Raises ConfigError for another kind."""
    if kind not in KINDS:
        raise ConfigError(f"the price path must be one of {', '.join(KINDS)}, was {kind}")
    return [
        {symbol: _price(symbol, price, _move(kind, step, steps, seed), step, seed) for symbol, price in start_prices.items()}
        for step in range(1, steps + 1)
    ]


def _move(kind: str, step: int, steps: int, seed: int) -> int:
    """Ether's distance from its start, in ppm, without noise."""
    depth = DEEP_PPM + _draw(f"{seed} depth", 40_000) // 2 * 2 - 20_000
    if kind == "crash":
        return -depth * _ease(step, steps) // PPM
    if kind == "recovery":
        return (depth + 60_000) * _ease(step, steps) // PPM
    if kind == "wick":
        bottom = max(steps // 3, 1)
        progress = _ease(step, bottom) if step <= bottom else PPM - _ease(step - bottom, max(steps - bottom, 1))
        return -depth * progress // PPM
    return 0


def _ease(step: int, steps: int) -> int:
    """0 to PPM, slow at both ends: 3x² - 2x³."""
    x = PPM * step // steps
    return (3 * x * x * PPM - 2 * x * x * x) // PPM**2


def _price(symbol: str, start: int, move: int, step: int, seed: int) -> int:
    change = PPM + move * BETA_PERCENT.get(symbol, 100) // 100
    stress = PPM - STRESS_PPM.get(symbol, 0) * max(-move, 0) // DEEP_PPM
    return start * change * stress * (PPM + _noise(symbol, step, seed)) // PPM**3


def _noise(symbol: str, step: int, seed: int) -> int:
    shared = _noise(NOISE_OF[symbol], step, seed) if symbol in NOISE_OF else 0
    size = NOISE_PPM.get(symbol, 0)
    return shared + _draw(f"{seed} {symbol} {step}", 2 * size) - size


def _draw(label: str, high: int) -> int:
    return int.from_bytes(keccak(text=label)) % (high + 1)
