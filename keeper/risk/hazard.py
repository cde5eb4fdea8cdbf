"""How likely is an account to be liquidatable within a time? For ranking, pre-warming and people; never for money.

Exact for one price. For several, the surface HF = 1 is replaced by its tangent at the point prices are most likely to reach first, and what
it bends away from that tangent acts as a drift (Breitung's second-order reliability, as a rate). There the account is one jump diffusion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keeper.risk.moves import Floats, Moves
from keeper.risk.passage import jump_passage
from keeper.types import Factor

SEARCH_STEPS, SETTLING, LEAST_SPEED, TOLERANCE = 16, 0.8, 0.05, 0.01
MOST_HOLLOW = -0.9
"""A surface that bends around an account any closer is taken to bend this much: its distance over its radius."""

BLOCK = 2**20
"""Numbers worked on at once."""


class Projection(NamedTuple):
    """Accounts as one number each that falls to 0 when they cross. Per second; shape [N].

    `distance`: log moves; `sigma`: of the diffusion; `drift`; `jump_sd`: of one jump."""

    distance: Floats
    sigma: Floats
    drift: Floats
    jump_sd: Floats


def hazards(counted: ArrayLike, owed: ArrayLike, moves: Moves, horizon_s: ArrayLike, carry: ArrayLike = 0.0) -> Floats:
    """Probability that Σ counted·exp(x) ≤ Σ owed·exp(x) at some moment of the horizon. [N]

    `counted`, `owed` [N, F]: what is counted for and against an account now, by the factor it moves with: any unit, all at least 0.
    `horizon_s`: seconds, of all or of each; `carry`: drift of ln HF a second that is no price's doing, such as interest."""
    up, down = np.atleast_2d(np.asarray(counted, float)), np.atleast_2d(np.asarray(owed, float))
    horizon, own = (np.broadcast_to(np.asarray(part, float), len(up)) for part in (horizon_s, carry))
    found = np.empty(len(up))
    for part in _blocks(up.shape):
        seen = project(up[part], down[part], moves, own[part])
        found[part] = jump_passage(seen.distance, seen.sigma, seen.drift, horizon[part], moves.jump_rate, seen.jump_sd)
    return found


def hazard(
    counted: Mapping[Factor, float], owed: Mapping[Factor, float], moves: Moves, horizon_s: Sequence[float], carry: float = 0.0
) -> tuple[float, ...]:
    """`hazards` of one account, at several horizons. Raises KeyError for a factor that `moves` does not know."""
    column = {factor: at for at, factor in enumerate(moves.factors)}
    rows = np.zeros((2, len(column)))
    for row, values in zip(rows, (counted, owed), strict=True):
        for factor, value in values.items():
            row[column[factor]] += value
    up, down = (np.broadcast_to(row, (len(horizon_s), len(column))) for row in rows)
    return tuple(float(p) for p in hazards(up, down, moves, np.asarray(horizon_s), carry))


def expected_wei(probability: float, net_wei: int) -> float:
    """What waiting for an account is worth: hazard × net profit. An estimate, for ranking."""
    return probability * net_wei


def project(counted: Floats, owed: Floats, moves: Moves, carry: Floats) -> Projection:
    """The nearest way across, in deviations of everything prices may do. Infinitely far when no prices lead there.

    What is counted and owed in one factor is netted first: the surface is the same, and the way to it straighter."""
    net = counted - owed
    up, down = np.maximum(net, 0.0), np.maximum(-net, 0.0)
    found = Projection(*(np.zeros(len(net)) for _ in range(4)))
    surplus, short = net.sum(axis=1), down.sum(axis=1)
    found.distance[:] = np.where((surplus > 0) | (owed.sum(axis=1) <= 0), np.inf, 0.0)
    alive = (surplus > 0) & (short > 0)
    if not alive.any():
        return found
    up, down, total = up[alive], down[alive], moves.total
    x = _nearest(up, down, total)
    c, d = _shares(up, down, x)
    normal = c - d
    away = _quadratic(normal, total)
    distance = np.maximum(_log_health(up, down, x) - _dot(normal, x), np.finfo(float).tiny)
    interest = carry[alive] * owed[alive].sum(axis=1) / short[alive]
    found.distance[alive] = distance
    found.sigma[alive] = np.sqrt(_quadratic(normal, moves.covariance))
    found.drift[alive] = normal @ moves.drift + _as_drift(_bend(c, d, total, away), distance, away) + interest
    found.jump_sd[alive] = np.sqrt(_quadratic(normal, moves.jump_covariance))
    return found


def _nearest(up: Floats, down: Floats, total: Floats) -> Floats:
    """Log moves of the most likely crossing: Hasofer & Lind's search, slower where it overshoots. Where it finds none: no moves."""
    x = np.zeros_like(up)
    speed, last = np.ones(len(up)), np.full(len(up), np.inf)
    for _ in range(SEARCH_STEPS):
        step = _target(up, down, x, total) - x
        size = np.abs(step).max(axis=1)
        speed = np.where(size > SETTLING * last, np.maximum(speed / 2, LEAST_SPEED), np.minimum(speed * 1.3, 1.0))
        x += step * (speed / np.maximum(size, 1.0))[:, None]
        last = size
    missed = np.abs(_log_health(up, down, x)) > TOLERANCE * _log_health(up, down, np.zeros_like(x))
    x[missed] = 0.0
    return x


def _target(up: Floats, down: Floats, x: Floats, total: Floats) -> Floats:
    """Where the tangent of ln HF at x reaches 0 first."""
    normal = np.subtract(*_shares(up, down, x))
    reach = _ratio(_dot(normal, x) - _log_health(up, down, x), _quadratic(normal, total))
    return np.asarray((normal @ total) * reach[:, None])


def _log_health(up: Floats, down: Floats, x: Floats) -> Floats:
    moved = np.exp(x)
    return np.asarray(np.log((up * moved).sum(axis=1) / (down * moved).sum(axis=1)))


def _shares(up: Floats, down: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Of each factor in what is counted and in what is owed, after log moves x."""
    moved = np.exp(x)
    c, d = up * moved, down * moved
    return c / c.sum(axis=1, keepdims=True), d / d.sum(axis=1, keepdims=True)


def _bend(c: Floats, d: Floats, total: Floats, away: Floats) -> Floats:
    """Curvature of ln HF along the surface: tr(HΣ) less its part across, with H = diag(c) - cc' - diag(d) + dd'."""
    normal = c - d
    g = normal @ total
    along = normal @ np.diag(total) - _quadratic(c, total) + _quadratic(d, total)
    across = _dot(normal, g * g) - _dot(c, g) ** 2 + _dot(d, g) ** 2
    return along - _ratio(across, away)


def _as_drift(bend: Floats, distance: Floats, away: Floats) -> Floats:
    """The mean over the way there of a curvature that fades with its radius."""
    relative = np.maximum(_ratio(bend * distance, away), MOST_HOLLOW)
    fading = np.where(np.abs(relative) > 1e-9, _ratio(np.log1p(relative), relative), 1.0)
    return bend / 2 * fading


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("nf,nf->n", a, b))


def _ratio(a: Floats, b: Floats) -> Floats:
    """0 where there is nothing to divide by: where no price moves."""
    return np.divide(a, b, out=np.zeros_like(b), where=b != 0)


def _quadratic(v: Floats, matrix: Floats) -> Floats:
    return np.asarray(np.maximum(_dot(v @ matrix, v), 0.0))


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    size = max(BLOCK // max(shape[1], 1), 1)
    return (slice(start, start + size) for start in range(0, shape[0], size))
