"""What `keeper stress` finds out of one chain, before it is printed or drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from keeper.app import ChainState
from keeper.errors import Halt
from keeper.outlook import price_factor
from keeper.planning.planner import Planner
from keeper.ports import View, Witness
from keeper.risk.capacity import capacities
from keeper.risk.cascade import Cascade, Left, Round
from keeper.risk.losses import Losses, Prior, blended, families, pegged, prior_moves, simulate
from keeper.risk.moves import DAY_S
from keeper.risk.stress import PPM, Point, Positions, Tick, curve, owed, positions, secured, shocked, unit_of
from keeper.risk.volatility import Volatility
from keeper.risk.watch import Candidate
from keeper.types import Address

SHARES = tuple(step / 20 for step in range(26))
"""Of the shock: the curve goes a quarter beyond it."""

ALL_PLANS = 10**9
TOLERATED_SLIPPAGE = 0.05

Bars = Callable[[str, int], Tick]
"""(what, how many) → the callback that hears how many are done."""


def quiet(what: str, total: int) -> Tick:
    """The default progress: none."""
    return lambda done: None


@dataclass(frozen=True, slots=True)
class Bank:
    """What one market had at stake. `debt`, `collateral`: of the accounts the shock makes liquidatable; `bad_debt`: what is expected to be
    left of it when nobody acts any more. In the market's unit."""

    market: str
    unit: str
    bearer: str
    all_debt: int
    accounts: int
    debt: int
    collateral: int
    written_off: int
    at_risk: int

    @property
    def bad_debt(self) -> int:
        return self.written_off + self.at_risk


@dataclass(frozen=True, slots=True)
class Tail:
    """Many paths of the markets that count in one unit. `capacity`: value of each token that pools absorb; `assumed`: tokens with too
    little history to measure how they move."""

    unit: str
    losses: Losses
    capacity: Mapping[Address, float]
    assumed: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All that one chain's stress came to."""

    chain: str
    block: int
    moves: Mapping[Address, int]
    symbols: Mapping[Address, str]
    feedback: float
    seed: int
    horizon_s: float
    curves: Mapping[str, Sequence[Point]]
    banks: Sequence[Bank]
    rounds: Sequence[Round]
    left: Sequence[Left]
    tails: Sequence[Tail]


# --- the report -------------------------------------------------------------------------------------------------------


def symbols_of(chain: ChainState) -> dict[Address, str]:
    """Of everything that has a price, the tokens that only exist on some market's books too."""
    priced = {feed.token: feed.symbol for market in chain.markets for feed in market.feeds(chain.view)}
    return priced | {token: symbol for market in chain.markets for token, symbol in market.tokens(chain.view).items()}


def examine(
    chain: ChainState,
    moves: Mapping[Address, int],
    paths: int = 0,
    seed: int = 1,
    feedback: float = 0.0,
    horizon_s: float = DAY_S,
    seen: Volatility | None = None,
    bars: Bars = quiet,
) -> Report:
    """At the block a transaction sent now would land in. `seen`: how prices have moved. Raises Halt when nobody
    owes anything."""
    view, landing = chain.view, chain.landing(chain.head)
    books = [positions(m, view, landing.timestamp_s, bars(f"reading {m.name}", sum(1 for _ in m.accounts(view)))) for m in chain.markets]
    if not any(book.accounts for book in books):
        raise Halt(f"chain {chain.settings.name}: nothing to stress: nobody owes anything in {', '.join(m.name for m in chain.markets)}")
    books = [book for book in books if book.accounts]
    state = shocked(chain.markets, chain.venues, view, moves)
    cascade = cascade_of(chain, books, moves, feedback, bars)
    hit = cascade.eligible(state)
    rounds = list(cascade.rounds(state))
    left = cascade.left(state)
    return Report(
        chain=chain.settings.name,
        block=landing.number,
        moves=moves,
        symbols=symbols_of(chain),
        feedback=feedback,
        seed=seed,
        horizon_s=horizon_s,
        curves={book.market.name: curve(book, moves, SHARES) for book in books},
        banks=[_bank(book, view, hit, rounds, left) for book in books],
        rounds=rounds,
        left=left,
        tails=_tails(chain, books, paths, seed, horizon_s, seen or Volatility(), bars) if paths else (),
    )


def _bank(book: Positions, view: View, hit: Iterable[Candidate], rounds: Iterable[Round], left: Iterable[Left]) -> Bank:
    name = book.market.name
    mine = [candidate.health for candidate in hit if candidate.market_name == name]
    return Bank(
        market=name,
        unit=book.unit,
        bearer=book.market.bearer(view),
        all_debt=int(book.debt.sum()),
        accounts=len(mine),
        debt=sum(owed(health) for health in mine),
        collateral=sum(secured(health) for health in mine),
        written_off=sum(tally.bad_debt for each in rounds for tally in each.tallies if tally.market == name),
        at_risk=sum(account.at_risk for account in left if account.market == name),
    )


# --- the cascade --------------------------------------------------------------------------------------------------


def cascade_of(chain: ChainState, books: Sequence[Positions], moves: Mapping[Address, int], feedback: float, bars: Bars = quiet) -> Cascade:
    """The keeper's planner, without the price guard: a shock is what it would hold for."""
    planner = Planner(chain.predictor, chain.settings.bidding.min_priority_fee_wei, ALL_PLANS)
    witnesses = [venue for venue in chain.venues if isinstance(venue, Witness)]
    anchors = chain.settings.guard.anchors or _numeraire(books, moves)
    landing = chain.landing(chain.head)
    quote, native = chain.predictor.router.best_in, chain.settings.native_token
    return Cascade(books, planner, quote, witnesses, native, anchors, landing, round(feedback * PPM), partial(bars, "liquidating"))


def _numeraire(books: Sequence[Positions], moves: Mapping[Address, int]) -> tuple[Address, ...]:
    """What pools are measured in when the config names no anchors: the most borrowed token of those that the shock leaves alone."""
    debts: dict[Address, float] = {}
    for book in books:
        for token, debt in zip(book.tokens, book.debt.sum(axis=0) / unit_of(book), strict=True):
            debts[token] = debts.get(token, 0.0) + (0.0 if token in moves else float(debt))
    return (max(debts, key=lambda token: debts[token]),)


# --- many paths ---------------------------------------------------------------------------------------------------


def _tails(
    chain: ChainState, books: Sequence[Positions], paths: int, seed: int, horizon_s: float, seen: Volatility, bars: Bars
) -> list[Tail]:
    """Values of different units do not add up: markets are taken together by unit."""
    units = dict.fromkeys(book.unit for book in books)
    return [_tail(chain, unit, [book for book in books if book.unit == unit], paths, seed, horizon_s, seen, bars) for unit in units]


def _tail(
    chain: ChainState, unit: str, books: Sequence[Positions], paths: int, seed: int, horizon_s: float, seen: Volatility, bars: Bars
) -> Tail:
    kin: dict[Address, str] = {}
    for book in books:
        kin = families(book.market, chain.view) | kin
    stable = frozenset[Address]().union(*(pegged(book) for book in books))
    factors = [price_factor(next(book.market for book in books if token in book.tokens), token) for token in kin]
    moves = blended(prior_moves(kin, stable, Prior()), seen.moves(factors))
    router, tick = chain.predictor.router, bars("pools", sum(len(book.tokens) for book in books))
    capacity = capacities(books, router.best_in, chain.view, TOLERATED_SLIPPAGE, tick)
    priced = [(book, book.market.margin(chain.view)) for book in books]
    rng = np.random.default_rng(seed)
    losses = simulate(priced, moves, capacity, horizon_s, paths, rng, bars("paths", paths))
    return Tail(unit, losses, capacity, tuple(token for token in kin if (token,) not in moves.measured))
