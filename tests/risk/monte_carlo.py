"""What hazards are judged by: the same model, path by path, with the whole non-linear health factor and no projection.

Steps end at every jump, and a Brownian bridge between them takes most of the bias of looking only now and then. Each path counts with the
probability of its crossing, and a control variate removes most of the noise: the account as one geometric Brownian motion along the same
path without its jumps, whose answer is a textbook formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keeper.risk.moves import Moves

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Account:
    """[F] each."""

    counted: Floats
    owed: Floats
    horizon_s: float

    @property
    def log_health(self) -> float:
        return math.log(self.counted.sum() / self.owed.sum())


def crossing(account: Account, moves: Moves, rng: np.random.Generator, paths: int, steps: int) -> tuple[float, float]:
    """(probability, standard error)"""
    times, jumped = _times(account.horizon_s, moves, rng, paths, steps)
    spans = np.diff(times, axis=1, prepend=0.0)
    noise = rng.standard_normal((paths // 2, spans.shape[1], len(moves.factors)))
    noise = np.concatenate([noise, -noise])
    walk = (noise @ _root(moves.covariance).T) * np.sqrt(spans)[:, :, None]
    leaps = _leaps(moves, rng, jumped)
    pulls = spans[:, :, None] * moves.drift
    weights = account.counted / account.counted.sum() - account.owed / account.owed.sum()
    found = _crossed(account, walk + pulls, leaps, moves, spans)
    control, known = _control(account, weights, walk, moves, spans)
    slope = float(np.clip(np.cov(found, control)[0, 1] / max(control.var(), 1e-30), 0, 1.5))
    better = found - slope * (control - known)
    pairs = (better[: paths // 2] + better[paths // 2 :]) / 2
    return float(pairs.mean()), float(pairs.std() / math.sqrt(len(pairs)))


def _times(horizon_s: float, moves: Moves, rng: np.random.Generator, paths: int, steps: int) -> tuple[Floats, NDArray[np.bool_]]:
    """A grid with every jump's moment in it, both of each pair of antithetic paths the same; and whether a jump ends the step."""
    counts = rng.poisson(moves.jump_rate * horizon_s, paths // 2)
    most = int(counts.max(initial=0))
    drawn = rng.uniform(0, horizon_s, (paths // 2, most))
    jumps = np.where(np.arange(most) < counts[:, None], drawn, horizon_s)
    grid = np.broadcast_to(horizon_s * np.arange(1, steps + 1) / steps, (paths // 2, steps))
    times = np.concatenate([grid, jumps], axis=1)
    is_jump = np.concatenate([np.zeros_like(grid), np.arange(most) < counts[:, None]], axis=1).astype(bool)
    order = np.argsort(times, axis=1, kind="stable")
    times, is_jump = np.take_along_axis(times, order, 1), np.take_along_axis(is_jump, order, 1)
    return np.concatenate([times, times]), np.concatenate([is_jump, is_jump])


def _leaps(moves: Moves, rng: np.random.Generator, jumped: NDArray[np.bool_]) -> Floats:
    """Multivariate Laplace: a normal variable whose variance is exponential."""
    leaps = np.zeros((*jumped.shape, len(moves.factors)))
    n = int(jumped.sum())
    normal = rng.standard_normal((n, len(moves.factors))) @ _root(moves.jump_covariance).T
    leaps[jumped] = normal * np.sqrt(rng.exponential(size=n))[:, None]
    return leaps


def _crossed(account: Account, walk: Floats, leaps: Floats, moves: Moves, spans: Floats) -> Floats:
    """Per path, the probability that it crossed, given where it was at the end of every step."""
    after = np.cumsum(walk + leaps, axis=1)
    before = after - walk - leaps
    start, _ = _health(account, before)
    end, slope = _health(account, after - leaps)
    landed, _ = _health(account, after)
    variance = np.einsum("psf,fg,psg->ps", slope, moves.covariance, slope) * spans
    return np.asarray(1 - np.prod(_survived(start, end, variance) * (landed > 0), axis=1))


def _health(account: Account, x: Floats) -> tuple[Floats, Floats]:
    """ln HF and its gradient."""
    moved = np.exp(x)
    up, down = moved * account.counted, moved * account.owed
    total_up, total_down = up.sum(axis=2), down.sum(axis=2)
    return np.log(total_up / total_down), up / total_up[:, :, None] - down / total_down[:, :, None]


def _survived(start: Floats, end: Floats, variance: Floats) -> Floats:
    both = (start > 0) & (end > 0)
    with np.errstate(all="ignore"):
        touched = np.exp(-2 * start * end / variance)
    return np.where(both, 1 - np.where(variance > 0, touched, 0.0), 0.0)


def _control(account: Account, weights: Floats, walk: Floats, moves: Moves, spans: Floats) -> tuple[Floats, float]:
    sigma = math.sqrt(max(float(weights @ moves.covariance @ weights), 1e-30))
    steps = walk @ weights
    end = account.log_health + np.cumsum(steps, axis=1)
    survived = _survived(end - steps, end, sigma * sigma * spans)
    return 1 - np.prod(survived, axis=1), math.erfc(account.log_health / (sigma * math.sqrt(2 * account.horizon_s)))


def _root(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
