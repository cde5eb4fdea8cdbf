"""Interest rate models, recognised by what they do.

Every accrual of interest tells the rate its model gave. A known model predicts that rate from the state before; one that ever gives another
is refuted, for the whole of its contract, and with it the markets that use it. Nothing is read, and no address has to be trusted.

Source of the adaptive curve: `AdaptiveCurveIrm.sol` and `ExpLib.sol` of morpho-blue-irm.
"""

from __future__ import annotations

from enum import IntEnum

from keeper.adapters.morpho_blue.cells import Totals
from keeper.fixedpoint import WAD, YEAR_S

STEEPNESS = 4 * WAD
SPEED = 50 * WAD // YEAR_S
TARGET = 9 * WAD // 10
INITIAL = 4 * WAD // 100 // YEAR_S
LEAST, MOST = WAD // 1000 // YEAR_S, 2 * WAD // YEAR_S
LN_2, LN_WEI = 693147180559945309, -41446531673892822312
EXP_BOUND, EXP_MOST = 93859467695000404319, 57716089161558943949701069502944508345128422502756744429568


class Model(IntEnum):
    """As bits of what an IRM has refuted."""

    ADAPTIVE = 1
    FIXED = 2
    NONE = 4  # the market charges no interest
    UNKNOWN = 8


def recognised(refuted: int, seen: int, told: int) -> Model:
    """The model that explains all an IRM has said, if there is one. `told`: whether it has said anything of this market."""
    if seen and not refuted & Model.ADAPTIVE:
        return Model.ADAPTIVE
    if told and not refuted & Model.FIXED:
        return Model.FIXED
    return Model.UNKNOWN


def refuted_by(totals: Totals, rate: int, at_s: int) -> int:
    """The models that would have given another rate at `at_s`."""
    adaptive = Model.ADAPTIVE if adaptive_rate(totals, at_s)[0] != rate else 0
    return adaptive | (Model.FIXED if totals.told and totals.told != rate else 0)


def adaptive_rate(totals: Totals, at_s: int) -> tuple[int, int]:
    """(mean rate since the last accrual, rate at target from now on), wad a second."""
    used = totals.borrowed * WAD // totals.supplied if totals.supplied else 0
    err = _to_zero((used - TARGET) * WAD, WAD - TARGET if used > TARGET else TARGET)
    start = totals.target
    change = _to_zero(SPEED * err, WAD) * (at_s - totals.at_s)
    if not start:
        return _curve(INITIAL, err), INITIAL
    if not change:
        return _curve(start, err), start
    end = _moved(start, change)
    return _curve((start + end + 2 * _moved(start, _to_zero(change, 2))) // 4, err), end


def exponential(x: int) -> int:
    """e^x in wad by a square on ±ln 2 / 2 and a shift."""
    if x < LN_WEI:
        return 0
    if x >= EXP_BOUND:
        return EXP_MOST
    twos = _to_zero(x + (-(LN_2 // 2) if x < 0 else LN_2 // 2), LN_2)
    rest = x - twos * LN_2
    power = WAD + rest + rest * rest // WAD // 2
    return power << twos if twos >= 0 else power >> -twos


def _curve(rate: int, err: int) -> int:
    steep = WAD - WAD * WAD // STEEPNESS if err < 0 else STEEPNESS - WAD
    return (_to_zero(steep * err, WAD) + WAD) * rate // WAD


def _moved(start: int, change: int) -> int:
    return min(max(start * exponential(change) // WAD, LEAST), MOST)


def _to_zero(value: int, divisor: int) -> int:
    """Signed division as the EVM does it."""
    return value // divisor if value >= 0 else -(-value // divisor)
