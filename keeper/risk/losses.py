"""What prices may cost a market: value- and liquidity-at-risk over many simulated paths. Estimates, for reports; never for money.

On each path every account is liquidated when it first can be, as far as pools absorb what is seized at a tolerable price. They absorb that
much once, as if they did not recover within the horizon; for the rest nobody comes, and what the collateral then lacks is lost at its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from keeper.fixedpoint import YEAR_S
from keeper.ports import Market, View
from keeper.risk.moves import DAY_S, Floats, Moves, martingale
from keeper.risk.stress import Positions, Tick, priced, unit_of
from keeper.types import Address, Factor

STEPS = 24
BLOCK = 2**21
"""Numbers worked on at once."""

PEGGED_WITHIN = 0.05


# --- how prices move ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prior:
    """What is assumed of tokens without a history: volatility per year, and correlation. `pegged`: volatility of tokens worth one unit of
    the market's currency; `kin`: correlation within a family. Jumps: so many a year, each of so many daily deviations."""

    volatility: float = 0.8
    pegged: float = 0.05
    correlation: float = 0.7
    kin: float = 0.999
    jumps: float = 6.0
    jump_days: float = 2.0


def prior_moves(families: Mapping[Address, str], pegged: frozenset[Address], prior: Prior) -> Moves:
    """Factors are `(token,)`, in the order of `families`. Pegged tokens move by themselves."""
    tokens = tuple(families)
    size = len(tokens)
    correlation = np.eye(size)
    for i, one in enumerate(tokens):
        for j, other in enumerate(tokens[:i]):
            if not {one, other} & pegged:
                correlation[i, j] = correlation[j, i] = prior.kin if families[one] == families[other] else prior.correlation
    yearly = np.array([prior.pegged if token in pegged else prior.volatility for token in tokens])
    covariance = correlation * np.outer(yearly, yearly) / YEAR_S
    factors: tuple[Factor, ...] = tuple((token,) for token in tokens)
    return martingale(factors, covariance, prior.jumps / YEAR_S, covariance * DAY_S * prior.jump_days**2)


def blended(prior: Moves, seen: Moves) -> Moves:
    """What was measured where it was, else the prior; of the same tokens in the same order. Jumps come as often as seen."""
    known = np.array([factor in seen.measured for factor in seen.factors], np.bool_)
    if not known.any():
        return prior
    covariance = _blend(prior.covariance, seen.covariance, known)
    jumps = _blend(prior.jump_covariance, seen.jump_covariance, known)
    measured = frozenset(factor for factor, is_known in zip(prior.factors, known, strict=True) if is_known)
    return martingale(prior.factors, covariance, seen.jump_rate, jumps, measured)


def _blend(prior: Floats, seen: Floats, known: NDArray[np.bool_]) -> Floats:
    deviation = np.sqrt(np.where(known, np.diag(seen), np.diag(prior)))
    correlation = np.where(np.outer(known, known), _correlation(seen), _correlation(prior))
    return np.asarray(correlation * np.outer(deviation, deviation))


def _correlation(covariance: Floats) -> Floats:
    scale = np.sqrt(np.diag(covariance))
    return np.asarray(np.divide(covariance, np.outer(scale, scale), out=np.eye(len(scale)), where=np.outer(scale, scale) > 0))


def families(market: Market, view: View) -> dict[Address, str]:
    """What each token is likely to move with, by the market's own word on the factors its price drives."""
    factors = {factor for account in market.accounts(view) for row in market.rows(view, account) for factor in row.weights}
    named = {cell: market.family(view, factor) for factor in sorted(factors) for cell in market.drivers(view, factor)}
    found = {}
    for token in priced(market, view):
        cells = [(table, key) for table, key, _ in market.repriced(view, {token: 1})]
        found[token] = next((family for cell in cells if (family := named.get(cell))), None) or token
    return found


def pegged(book: Positions) -> frozenset[Address]:
    """Tokens worth about one unit of the market's currency: "usd-8" makes them dollars."""
    return frozenset(t for t, price in zip(book.tokens, book.price, strict=True) if abs(price / unit_of(book) - 1) < PEGGED_WITHIN)


def walks(moves: Moves, horizon_s: float, paths: int, rng: Generator, at_once: int) -> Iterator[Floats]:
    """Price relatives [F, n, STEPS], n paths at a time."""
    dt = horizon_s / STEPS
    root, jump_root = _root(moves.covariance * dt), _root(moves.jump_covariance)
    for start in range(0, paths, at_once):
        n = min(at_once, paths - start)
        shape = n, STEPS, len(moves.factors)
        steps = rng.standard_normal(shape) @ root.T + moves.drift * dt
        jumps = rng.poisson(moves.jump_rate * dt, shape[:2])
        # A multivariate Laplace variable is a normal one times the root of an exponential one, and those add up to a gamma one.
        size = np.sqrt(rng.gamma(np.maximum(jumps, 1))) * (jumps > 0)
        steps += size[..., None] * (rng.standard_normal(shape) @ jump_root.T)
        yield np.exp(np.cumsum(steps, axis=1)).transpose(2, 0, 1)


def _root(covariance: Floats) -> Floats:
    """A square root that does not mind a singular matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


# --- what is lost -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Losses:
    """One number per path, in the markets' unit: `lost` (bad debt), `seized`, `stuck` (seized beyond what pools absorb)."""

    lost: Floats
    seized: Floats
    stuck: Floats


@dataclass(frozen=True, slots=True)
class _Falls:
    """H accounts that became liquidatable on some path. `path` [H]; values when they did and at the end; `tokens` float64[H, all tokens]:
    what would be seized of each, at today's prices."""

    path: NDArray[np.intp]
    collateral: Floats
    debt: Floats
    last_collateral: Floats
    last_debt: Floats
    seized: Floats
    tokens: Floats
    margin: float


def simulate(
    books: Sequence[tuple[Positions, float]],
    moves: Moves,
    capacity: Mapping[Address, float],
    horizon_s: float,
    paths: int,
    rng: Generator,
    tick: Tick = lambda _: None,
) -> Losses:
    """`books`: markets with one unit of value, and the most each pays a liquidator; `moves`: its factors are `(token,)`; `capacity`: value
    of each token that pools absorb, at today's prices."""
    tokens = [Address(factor[0]) for factor in moves.factors]
    room = np.array([capacity.get(token, 0.0) for token in tokens])
    at_once = max(BLOCK // (STEPS * max(max((len(book.accounts) for book, _ in books), default=1), 1)), 1)
    found: list[Floats] = []
    for relatives in walks(moves, horizon_s, paths, rng, at_once):
        found.append(_block([_falls(book, margin, tokens, relatives) for book, margin in books], room, relatives.shape[1]))
        tick(sum(part.shape[1] for part in found))
    return Losses(*np.concatenate(found, axis=1))


def _falls(book: Positions, margin: float, tokens: Sequence[Address], relatives: Floats) -> _Falls:
    columns = [tokens.index(token) for token in book.tokens]
    mine = np.where(book.steady[:, None, None], 1.0, relatives[columns])
    flat = mine.reshape(len(columns), -1)
    under = (book.surplus @ flat < 0).reshape(len(book.accounts), *mine.shape[1:])
    account, path = np.nonzero(under.any(axis=2))
    then, last = mine[:, path, under[account, path].argmax(axis=1)].T, mine[:, path, -1].T
    held, owed = book.collateral[account], book.debt[account]
    collateral, debt = (held * then).sum(1), (owed * then).sum(1)
    seized = np.minimum(collateral, debt * (1 + margin))
    taken = np.zeros((len(path), len(tokens)))
    taken[:, columns] = held * _ratio(seized, collateral)[:, None]
    return _Falls(path, collateral, debt, (held * last).sum(1), (owed * last).sum(1), seized, taken, margin)


def _block(falls: Sequence[_Falls], room: Floats, paths: int) -> Floats:
    """[lost, seized, stuck] × paths."""
    wanted = np.zeros((paths, len(room)))
    for fall in falls:
        np.add.at(wanted, fall.path, fall.tokens)
    unsold = _ratio(np.maximum(wanted - room, 0.0), wanted)
    lost, seized, stuck = np.zeros((3, paths))
    for fall in falls:
        waits = _ratio((fall.tokens * unsold[fall.path]).sum(1), fall.tokens.sum(1))
        now = np.maximum(fall.debt - fall.collateral / (1 + fall.margin), 0.0)
        later = np.maximum(fall.last_debt - fall.last_collateral, 0.0)
        np.add.at(lost, fall.path, (1 - waits) * now + waits * later)
        np.add.at(seized, fall.path, fall.seized)
        np.add.at(stuck, fall.path, waits * fall.seized)
    return np.stack([lost, seized, stuck])


def _ratio(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.divide(a, b, out=np.zeros_like(a), where=b > 0))


def at_risk(values: Floats, level: float = 0.95) -> float:
    """The value that only 1 - `level` of the paths exceed."""
    return float(np.quantile(values, level, method="inverted_cdf"))
