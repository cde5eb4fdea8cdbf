"""What `keeper stress` finds out of one chain, before it is printed or drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keeper.app import ChainState
from keeper.errors import Halt
from keeper.planning.planner import Planner, Rejected
from keeper.ports import View, Witness
from keeper.risk.capacity import capacities
from keeper.risk.cascade import Cascade, Left, Round
from keeper.risk.losses import Losses, Prior, families, pegged, prior_moves, simulate
from keeper.risk.moves import DAY_S
from keeper.risk.stress import PPM, Point, Positions, Tick, curve, positions, secured, shocked
from keeper.risk.watch import Candidate
from keeper.types import Address, Landing, Prediction

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
    """Many paths of the markets that count in one unit. `capacity`: value of each token that pools absorb."""

    unit: str
    losses: Losses
    capacity: Mapping[Address, float]


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
    return {token: symbol for market in chain.markets for token, symbol in market.tokens(chain.view).items()}


def examine(
    chain: ChainState,
    moves: Mapping[Address, int],
    paths: int = 0,
    seed: int = 1,
    feedback: float = 0.0,
    horizon_s: float = DAY_S,
    bars: Bars = quiet,
) -> Report:
    """At the block a transaction sent now would land in. Raises Halt when nobody owes anything."""
    view, landing = chain.view, chain.landing(chain.head)
    books = [positions(m, view, landing.timestamp_s, bars(f"reading {m.name}", sum(1 for _ in m.accounts(view)))) for m in chain.markets]
    if not any(book.accounts for book in books):
        raise Halt(f"chain {chain.settings.name}: nothing to stress: nobody owes anything in {', '.join(m.name for m in chain.markets)}")
    books = [book for book in books if book.accounts]
    state = shocked(chain.markets, chain.venues, view, moves)
    cascade = _cascade(chain, books, moves, feedback, bars)
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
        tails=_tails(chain, books, paths, seed, horizon_s, bars) if paths else (),
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
        debt=sum(health.debt for health in mine),
        collateral=sum(secured(health) for health in mine),
        written_off=sum(tally.bad_debt for each in rounds for tally in each.tallies if tally.market == name),
        at_risk=sum(account.at_risk for account in left if account.market == name),
    )


# --- the cascade --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """A planner that says how far it is."""

    planner: Planner
    bars: Bars

    def block(self, candidates: Iterable[Candidate], view: View, landing: Landing) -> tuple[list[Prediction], list[Rejected]]:
        found = list(candidates)
        tick = self.bars("liquidating", len(found))
        return self.planner.block(_ticking(found, tick), view, landing)


def _ticking(items: Sequence[Candidate], tick: Tick) -> Iterator[Candidate]:
    for number, item in enumerate(items, start=1):
        tick(number)
        yield item


def _cascade(chain: ChainState, books: Sequence[Positions], moves: Mapping[Address, int], feedback: float, bars: Bars) -> Cascade:
    """The keeper's planner, without the price guard: a shock is what it would hold for."""
    planner = Planner(chain.predictor, chain.settings.bidding.min_priority_fee_wei, ALL_PLANS)
    witnesses = [venue for venue in chain.venues if isinstance(venue, Witness)]
    anchors = chain.settings.guard.anchors or _numeraire(books, moves)
    landing = chain.landing(chain.head)
    return Cascade(books, _Told(planner, bars), witnesses, chain.settings.native_token, anchors, landing, round(feedback * PPM))


def _numeraire(books: Sequence[Positions], moves: Mapping[Address, int]) -> tuple[Address, ...]:
    """What pools are measured in when the config names no anchors: the most borrowed token of those that the shock leaves alone."""
    owed: dict[Address, float] = {}
    for book in books:
        for token, debt in zip(book.tokens, book.debt.sum(axis=0), strict=True):
            owed[token] = owed.get(token, 0.0) + (0.0 if token in moves else float(debt))
    return (max(owed, key=lambda token: owed[token]),)


# --- many paths ---------------------------------------------------------------------------------------------------


def _tails(chain: ChainState, books: Sequence[Positions], paths: int, seed: int, horizon_s: float, bars: Bars) -> list[Tail]:
    """Values of different units do not add up: markets are taken together by unit."""
    units = dict.fromkeys(book.unit for book in books)
    return [_tail(chain, unit, [book for book in books if book.unit == unit], paths, seed, horizon_s, bars) for unit in units]


def _tail(chain: ChainState, unit: str, books: Sequence[Positions], paths: int, seed: int, horizon_s: float, bars: Bars) -> Tail:
    kin: dict[Address, str] = {}
    for book in books:
        kin = families(book.market, chain.view) | kin
    stable = frozenset[Address]().union(*(pegged(book) for book in books))
    moves = prior_moves(kin, stable, Prior())
    router, tick = chain.predictor.router, bars("pools", sum(len(book.tokens) for book in books))
    capacity = capacities(books, router.best_in, chain.view, TOLERATED_SLIPPAGE, tick)
    priced = [(book, book.market.margin(chain.view)) for book in books]
    rng = np.random.default_rng(seed)
    return Tail(unit, simulate(priced, moves, capacity, horizon_s, paths, rng, bars("paths", paths)), capacity)
