"""The market of the synthetic book: what thirty reserves are worth, how they move, who belongs together, how often they are held.

Prices and volatilities are of the order seen in 2025; only their spread matters here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ZIPF = 1.1
"""Exponent of reserve use: the most-held one is held by about half of the accounts."""

TAIL_SHARE = 2e-4
"""How often an account's leg is in the last reserve: fewer than one account in a thousand holds it."""

EMODE_THRESHOLD = 0.95
HOURS_PER_YEAR = 24 * 365


class Reserve(NamedTuple):
    """`family`: reserves that move together; "" when it moves alone. `volatility` is annual."""

    symbol: str
    family: str
    price_usd: float
    decimals: int
    threshold: float
    volatility: float


RESERVES = (
    Reserve("WETH", "eth", 3000.0, 18, 0.83, 0.65),
    Reserve("wstETH", "eth", 3550.0, 18, 0.80, 0.65),
    Reserve("weETH", "eth", 3150.0, 18, 0.78, 0.65),
    Reserve("rETH", "eth", 3360.0, 18, 0.77, 0.65),
    Reserve("cbETH", "eth", 3250.0, 18, 0.77, 0.66),
    Reserve("osETH", "eth", 3120.0, 18, 0.75, 0.66),
    Reserve("WBTC", "btc", 95000.0, 8, 0.78, 0.50),
    Reserve("cbBTC", "btc", 95000.0, 8, 0.78, 0.50),
    Reserve("tBTC", "btc", 94800.0, 18, 0.76, 0.51),
    Reserve("LBTC", "btc", 94700.0, 8, 0.75, 0.51),
    Reserve("USDC", "usd", 1.0, 6, 0.78, 0.01),
    Reserve("USDT", "usd", 1.0, 6, 0.78, 0.01),
    Reserve("DAI", "usd", 1.0, 18, 0.77, 0.01),
    Reserve("USDe", "usd", 1.0, 18, 0.75, 0.02),
    Reserve("sUSDe", "usd", 1.17, 18, 0.75, 0.02),
    Reserve("sDAI", "usd", 1.15, 18, 0.77, 0.01),
    Reserve("GHO", "usd", 1.0, 18, 0.75, 0.02),
    Reserve("PYUSD", "usd", 1.0, 6, 0.75, 0.01),
    Reserve("crvUSD", "usd", 1.0, 18, 0.70, 0.02),
    Reserve("LUSD", "usd", 1.01, 18, 0.70, 0.03),
    Reserve("FRAX", "usd", 0.99, 18, 0.70, 0.02),
    Reserve("LINK", "", 15.0, 18, 0.68, 0.85),
    Reserve("UNI", "", 9.0, 18, 0.65, 0.90),
    Reserve("LDO", "", 1.4, 18, 0.50, 1.00),
    Reserve("MKR", "", 1600.0, 18, 0.65, 0.80),
    Reserve("CRV", "", 0.6, 18, 0.45, 1.10),
    Reserve("SNX", "", 1.8, 18, 0.45, 1.10),
    Reserve("ENS", "", 20.0, 18, 0.45, 1.00),
    Reserve("BAL", "", 2.1, 18, 0.45, 1.00),
    Reserve("TAIL", "", 0.004, 18, 0.40, 2.00),
)
COUNT, TAIL = len(RESERVES), len(RESERVES) - 1
BASE_UNIT = 10**8
"""Values are in US dollars with eight decimals."""

SUPPLIED_FIRST = ("WETH", "USDC", "wstETH", "WBTC", "weETH", "USDT", "LINK", "cbBTC", "rETH", "DAI")
OWED_FIRST = ("USDC", "USDT", "WETH", "DAI", "GHO", "WBTC", "USDe", "PYUSD", "LUSD", "wstETH")

STAKED = np.array([number for number, reserve in enumerate(RESERVES) if reserve.family == "eth"][1:])
STAKED_SHARES = np.array([0.45, 0.30, 0.12, 0.08, 0.05])


def shares(first: tuple[str, ...]) -> Floats:
    """How often each reserve is drawn: by Zipf's law, these first, then the others as listed."""
    symbols = [reserve.symbol for reserve in RESERVES]
    order = [symbols.index(symbol) for symbol in first]
    order += [number for number in range(COUNT) if number not in order]
    weight = np.zeros(COUNT)
    weight[order] = 1.0 / np.arange(1, COUNT + 1) ** ZIPF
    weight[TAIL] = 0.0
    weight *= (1.0 - TAIL_SHARE) / weight.sum()
    weight[TAIL] = TAIL_SHARE
    return weight


def indexes() -> tuple[Floats, Floats]:
    """(supply, debt): interest so far, a few per cent, different for each reserve."""
    step = np.arange(COUNT) / COUNT
    return 1.0 + 0.08 * step, 1.0 + 0.12 * step


def unit_values() -> tuple[Floats, Floats]:
    """(supplied, owed): what a scaled unit of each reserve is worth, in the base unit."""
    price = np.array([reserve.price_usd * BASE_UNIT / 10.0**reserve.decimals for reserve in RESERVES])
    supply, debt = indexes()
    return price * supply, price * debt


def thresholds() -> Floats:
    return np.array([reserve.threshold for reserve in RESERVES])
