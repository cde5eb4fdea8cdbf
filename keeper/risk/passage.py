"""The probability that a jump diffusion falls below zero within a time. Closed forms, vectorised; no Monte Carlo.

Without jumps: reflection (theory A7). With double-exponential jumps: Kou & Wang, "First passage times of a jump diffusion process" (2003),
theorem 4.1, whose Laplace transform is inverted by Gaver and Stehfest; only what jumps add to the closed form is inverted.
"""

from __future__ import annotations

from math import comb, factorial, log

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

STEHFEST = 6
"""Pairs of terms: more need more digits than a float has."""

NEWTON_STEPS = 14
LEAST_EVENTS, LEAST_SHARE = 1e-9, 1e-9
"""Jumps are left out when fewer are expected, or below this share of the variance. A diffusion of a smaller share counts as this much."""

ERFCX = (-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277)
"""Numerical Recipes, 6.2.2: relative error below 1.2e-7 everywhere."""


def normal_cdf(z: ArrayLike) -> Floats:
    """Φ(z), relative error 1.2e-7 also in the lower tail."""
    z = np.asarray(z, float)
    with np.errstate(under="ignore"):
        tail = _erfcx(np.abs(z) / np.sqrt(2)) * np.exp(-z * z / 2) / 2
    return np.asarray(np.where(z > 0, 1 - tail, tail))


def first_passage(distance: ArrayLike, sigma: ArrayLike, drift: ArrayLike, horizon_s: ArrayLike) -> Floats:
    """P(distance + drift · t + sigma · W(t) ≤ 0 for some t ≤ horizon_s). All per second, broadcast against each other; no jumps."""
    h, s, nu, t = _broadcast(distance, sigma, drift, horizon_s)
    sd = s * np.sqrt(np.maximum(t, 0))
    with np.errstate(all="ignore"):
        up, down = (h + nu * t) / sd, (h - nu * t) / sd
        reflected = np.where(
            down > 0,
            _erfcx(np.maximum(down, 0) / np.sqrt(2)) * np.exp(-up * up / 2) / 2,
            np.exp(-2 * nu * h / (s * s)) * normal_cdf(-down),
        )
        found = normal_cdf(-up) + np.where(np.isnan(reflected), 0, reflected)
    certain = np.where(h + nu * t <= 0, 1.0, 0.0)
    return _settled(np.where(sd > 0, found, certain), h)


def jump_passage(
    distance: ArrayLike, sigma: ArrayLike, drift: ArrayLike, horizon_s: ArrayLike, jump_rate: ArrayLike, jump_sd: ArrayLike
) -> Floats:
    """The same with jumps: `jump_rate` a second, symmetric double-exponential with standard deviation `jump_sd`."""
    parts = _broadcast(distance, sigma, drift, horizon_s, jump_rate, jump_sd)
    h, s, nu, t, rate, size = (part.ravel() for part in parts)
    found = first_passage(h, s, nu, t)
    jumping = rate * size * size * t
    total = s * s * t + jumping
    seen = (h > 0) & (rate * t > LEAST_EVENTS) & (jumping > LEAST_SHARE * total)
    found[seen] += _added(*(part[seen] for part in (h, s, nu, t, rate, size, total)))
    return _settled(found, h).reshape(parts[0].shape)


def _added(h: Floats, s: Floats, nu: Floats, t: Floats, rate: Floats, size: Floats, total: Floats) -> Floats:
    """What jumps add, in units where the horizon and the total deviation are 1."""
    unit = np.sqrt(total)
    barrier, variance, drift = h / unit, np.maximum(s * s * t / total, LEAST_SHARE), -nu * t / unit
    events, eta = rate * t, np.sqrt(2) * unit / size
    with_jumps, without = np.zeros_like(h), np.zeros_like(h)
    for k, weight in enumerate(_stehfest(STEHFEST), start=1):
        alpha = k * log(2)
        with_jumps += weight / k * _transform(barrier, variance, drift, events, eta, alpha)
        without += weight / k * _diffusion_transform(barrier, variance, drift, alpha)
    return with_jumps - without


def _transform(b: Floats, variance: Floats, drift: Floats, events: Floats, eta: Floats, alpha: float) -> Floats:
    """E[exp(-alpha · time of passage)], by the two positive roots of the Lévy exponent."""
    near, far = _roots(variance, drift, events, eta, alpha)
    with np.errstate(under="ignore"):
        slow = (eta - near) / eta * far / (far - near) * np.exp(-b * near)
        fast = (far - eta) / eta * near / (far - near) * np.exp(-b * far)
    return slow + fast


def _diffusion_transform(b: Floats, variance: Floats, drift: Floats, alpha: float) -> Floats:
    with np.errstate(under="ignore", divide="ignore"):
        root = np.sqrt(drift * drift + 2 * variance * alpha)
        return np.exp(-b * np.where(drift > 0, 2 * alpha / (root + drift), (root - drift) / variance))


def _roots(variance: Floats, drift: Floats, events: Floats, eta: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Of (drift·x + variance·x²/2 - alpha)(eta² - x²) + events·x²: one below eta, one above. In units of eta, from the roots at drift 0."""
    a, m = variance * eta * eta / 2, drift * eta
    middle = a + alpha + events
    root = np.sqrt(middle * middle - 4 * a * alpha)
    near, far = np.sqrt(2 * alpha / (middle + root)), np.sqrt((middle + root) / (2 * a))
    edge = 2 + np.sqrt((alpha + events) / a) + np.abs(m) / a
    return _polish(near, np.zeros_like(a), np.ones_like(a), a, m, events, alpha) * eta, (
        _polish(far, np.ones_like(a), edge * 2, a, m, events, alpha) * eta
    )


def _polish(x: Floats, low: Floats, high: Floats, a: Floats, m: Floats, events: Floats, alpha: float) -> Floats:
    """Newton on the Lévy exponent less alpha, which rises through its one root within (low, high); halved where it would leave."""
    for _ in range(NEWTON_STEPS):
        room = 1 - x * x
        with np.errstate(all="ignore"):
            value = m * x + a * x * x + events * x * x / room - alpha
            step = value / (m + 2 * a * x + 2 * events * x / (room * room))
        low, high = np.where(value < 0, x, low), np.where(value < 0, high, x)
        moved = x - step
        x = np.where((moved >= low) & (moved <= high), moved, (low + high) / 2)
    return x


def _stehfest(pairs: int) -> list[float]:
    def weight(k: int) -> float:
        terms = (j ** (pairs + 1) * comb(pairs, j) * comb(2 * j, j) * comb(j, k - j) for j in range((k + 1) // 2, min(k, pairs) + 1))
        return float(sum(terms) / factorial(pairs)) * (1 if (pairs + k) % 2 == 0 else -1)

    return [weight(k) for k in range(1, 2 * pairs + 1)]


def _erfcx(x: Floats) -> Floats:
    """exp(x²)·erfc(x) for x ≥ 0."""
    t = 1 / (1 + x / 2)
    found = np.zeros_like(t)
    for coefficient in reversed(ERFCX):
        found = coefficient + t * found
    return np.asarray(t * np.exp(found))


def _settled(found: Floats, h: Floats) -> Floats:
    """At or below zero it has happened."""
    return np.where(h <= 0, 1.0, np.clip(found, 0.0, 1.0))


def _broadcast(*parts: ArrayLike) -> list[Floats]:
    return [np.array(part) for part in np.broadcast_arrays(*(np.asarray(part, float) for part in parts))]
