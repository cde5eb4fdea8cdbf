"""The engine against looking at every row, in exact arithmetic, after every step."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from keeper.risk import block, engine, recentring, shelf
from keeper.risk.engine import Engine, Recentring
from keeper.risk.layer import Rows
from keeper.types import Factor, Quote, Row, RowBlock

FLOOR: Factor = ("m", "floor")
PRICED: list[Factor] = [("m", side, str(asset)) for side in ("c", "d") for asset in range(6)]
CLOCKS: list[Factor] = [("p", "funding", str(market)) for market in range(2)]
FAMILY = {"0": "eth", "1": "eth", "2": "eth"}
WIDTH = 1e-6
"""Far more than floats lose, so that truth never hangs on them."""

UNITS = 1e-3

CLOSE = 1e-6
"""Floats may differ about what is so near."""


@pytest.fixture(scope="module", autouse=True)
def _small_books_take_every_way() -> Iterator[None]:
    """Forty rows are to be sliced and flooded like a million."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "WATCHED", 4)
        patch.setattr(engine, "LAYERS", 6)
        patch.setattr(shelf, "FEW", 12)
        patch.setattr(shelf, "FLOOD", 3)
        patch.setattr(block, "CACHED", 64)
        patch.setattr(shelf, "CACHED", 64)
        patch.setattr(shelf, "PAGE", 3)
        patch.setattr(recentring, "PART", 16)
        yield


def family(factor: Factor) -> str | None:
    return FAMILY.get(factor[2], factor[2]) if factor in PRICED else None


class World:
    """An engine, and what it should say: rows whose true surplus lies somewhere between their bounds."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.engine = Engine(family)
        self.values: dict[Factor, float] = {factor: rng.choice([1.0, 3000.0, 60000.0]) for factor in PRICED} | dict.fromkeys(CLOCKS, 0.0)
        self.rows: dict[int, tuple[Row, Fraction]] = {}
        self.inside: set[int] = set()
        self.work: Recentring | None = None
        for factor in CLOCKS:
            self.engine.factors.column(factor, step=0.001)
        self.move({}, 1000.0)

    # --- steps

    def move(self, moves: dict[Factor, float], floor: float | None = None) -> None:
        self.values |= moves
        quotes = [(factor, Quote(value, WIDTH * abs(value), UNITS * abs(value))) for factor, value in self.values.items()]
        self.engine.set(quotes)
        if floor is not None:
            self.floor = floor
        self.engine.set([(FLOOR, Quote(self.floor))])

    def put(self) -> None:
        row = self.row()
        old = self.rng.choice([None, *self.rows]) if self.rows else None
        if old is not None:
            del self.rows[old]
        handle = self.engine.put(old, row, FLOOR)
        self.move({})
        self.rows[handle] = row, Fraction(self.rng.uniform(0.1, 0.9))

    def fill(self, count: int = 40) -> None:
        rows = [self.row(boxed=False) for _ in range(count)]
        for handle, row in zip(self.engine.fill(_block(rows), FLOOR).tolist(), rows, strict=True):
            self.rows[handle] = row, Fraction(self.rng.uniform(0.1, 0.9))
        self.move({})

    def drop(self) -> None:
        if self.rows:
            handle = self.rng.choice(list(self.rows))
            del self.rows[handle]
            self.engine.drop(handle)

    def begin(self) -> None:
        self.work = self.work or self.engine.work(everything=self.rng.random() < 0.5)

    def run(self) -> None:
        if self.work:
            self.work.run()

    def adopt(self) -> None:
        if self.work:
            self.engine.adopt(self.work.run())
            self.work = None

    def shake(self) -> None:
        """A small move of everything, members of families together."""
        market = {name: self.rng.gauss(0, 0.01) for name in {family(f) for f in PRICED}}
        self.move({f: self.values[f] * (1 + market[family(f)] + self.rng.gauss(0, 1e-4)) for f in PRICED})

    def stray(self) -> None:
        """One factor alone, perhaps wildly; it may become nothing or unknown."""
        factor = self.rng.choice(PRICED)
        by = self.rng.choice([0.5, 0.9, 1.1, 2.0, 1000.0, 0.001, 0.0, float("nan")])
        self.move({factor: (self.values[factor] if self.values[factor] > 0 else 1.0) * by})

    def fund(self) -> None:
        """A funding index steps, through zero too."""
        self.move({factor: self.values[factor] + self.rng.choice([-0.5, -0.01, 0.01, 0.5]) for factor in CLOCKS})

    def gas(self) -> None:
        self.move({}, self.floor * self.rng.choice([0.01, 0.5, 2.0, 100.0]))

    # --- rows

    def row(self, boxed: bool = True) -> Row:
        kind = self.rng.choice(["lend", "lend", "loop", "perp", "wide"])
        if kind == "perp":
            return self._perp(boxed)
        legs = {"lend": (self.rng.randint(1, 2), self.rng.randint(1, 2)), "loop": (1, 1), "wide": (6, 6)}[kind]
        held, owed = PRICED[:6], PRICED[6:]
        if kind == "loop":
            held, owed = held[:3], owed[:3]
        debt = self.rng.choice([10.0, 1e4, 1e6])
        weights = {f: debt * self.rng.uniform(0.95, 1.3) / legs[0] / self._value(f) for f in self.rng.sample(held, legs[0])}
        weights |= {f: -debt / legs[1] / self._value(f) for f in self.rng.sample(owed, legs[1])}
        return Row(weights, -1e-6, slack=1e-4)

    def _perp(self, boxed: bool) -> Row:
        """Long or short, with a funding index; one with open orders holds on a box only."""
        price, size = PRICED[self.rng.randrange(6)], self.rng.choice([-1.0, 1.0]) * self.rng.uniform(1, 50)
        value = self._value(price)
        weights = {price: size, self.rng.choice(CLOCKS): self.rng.choice([-1.0, 1.0]) * 100}
        box = {price: (value * 0.97, value * 1.05)} if boxed and self.rng.random() < 0.5 else {}
        return Row(weights, -size * value + abs(size) * value * self.rng.uniform(0.0, 0.3), slack=1e-4, box=box)

    def _value(self, factor: Factor) -> float:
        return self.values[factor] if self.values[factor] > 0 else 1.0

    # --- truth

    def due(self) -> None:
        """What a fall of everything would bring; nothing of it has happened."""
        then = {factor: value * 0.9 for factor, value in self.values.items()}
        found = set(self.engine.due((factor, Quote(value)) for factor, value in then.items())().tolist())
        for handle, (row, _) in self.rows.items():
            low, fallen = (row.constant + sum(w * values[f] for f, w in row.weights.items()) for values in (self.values, then))
            owed = -sum(min(w, 0.0) * then[f] for f, w in row.weights.items())
            if abs(low) > CLOSE and abs(fallen) > CLOSE and abs(owed - self.floor) > CLOSE:
                assert (handle in found) == (low > 0 > fallen and not owed < self.floor)

    def true(self, handle: int) -> bool:
        row, share = self.rows[handle]
        if any(np.isnan(self.values[factor]) for factor in row.weights):
            return handle % 2 == 0  # what the contract says of a price nobody knows: anything
        low = Fraction(row.constant) + sum((Fraction(w) * Fraction(self.values[f]) for f, w in row.weights.items()), Fraction(0))
        units = {f: Fraction(abs(w) * WIDTH) + Fraction(UNITS) for f, w in row.weights.items()}
        widths = sum((more * abs(Fraction(self.values[f])) for f, more in units.items()), Fraction(0))
        return bool(low + share * (Fraction(row.slack) + widths) < 0)

    def decide(self, rows: Rows) -> NDArray[np.bool_]:
        return np.array([handle in self.rows and self.true(handle) for handle in rows.tolist()])

    def reissue(self) -> None:
        """Rows that left their boxes are asked for again."""
        for handle in self.engine.outdated():
            row, share = self.rows[handle]
            box = {f: (self.values[f] * 0.97 - 1e-9, self.values[f] * 1.05 + 1e-9) for f in row.box if self.values[f] >= 0}
            fresh = Row(row.weights, row.constant, row.slack, box)
            assert self.engine.put(handle, fresh, FLOOR) == handle
            self.rows[handle] = fresh, share

    def tick(self) -> None:
        self.reissue()
        change = self.engine.tick(self.decide)
        entered, left = set(change.entered.tolist()), set(change.left.tolist())
        before = self.inside
        assert not entered & before
        assert left <= before
        self.inside = (before | entered) - left
        assert self.inside == {handle for handle in self.rows if self.true(handle) and self.pays(handle)}
        assert self.inside == set(self.engine.inside().tolist())

    def pays(self, handle: int) -> bool:
        """Owes what is worth a liquidation, or an unknown amount."""
        return not sum(-w * self.values[f] for f, w in self.rows[handle][0].weights.items() if w < 0) < self.floor


STEPS: dict[str, Callable[[World], None]] = {
    name: getattr(World, name)
    for name in ("put", "fill", "drop", "begin", "run", "adopt", "shake", "shake", "stray", "fund", "gas", "due", "tick")
}


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(sorted(STEPS)), max_size=40))
@example(1, ["fill", "begin", "adopt", "stray", "stray"])
def test_whatever_happens_the_set_is_what_a_look_at_every_row_gives(seed: int, steps: list[str]) -> None:
    world = World(random.Random(seed))
    world.fill()
    world.tick()
    for step in steps:
        if step == "drop":
            world.tick()
        STEPS[step](world)
        world.tick()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from(["shake", "stray", "fund", "gas", "put"]), max_size=30))
def test_certified_rows_are_not_looked_at_and_nothing_is_missed(seed: int, steps: list[str]) -> None:
    """Each step is followed by a fresh re-centring: certificates are what is tested."""
    world = World(random.Random(seed))
    world.fill(200)
    world.tick()
    for step in steps:
        world.engine.recentre()
        STEPS[step](world)
        world.tick()


def test_a_tick_of_one_factor_looks_at_few_rows() -> None:
    world = World(random.Random(7))
    world.fill(20_000)
    world.tick()
    world.engine.recentre()
    before = world.engine.watched
    world.shake()
    world.engine.tick(world.decide)
    assert before < 4000
    assert world.engine.watched < 6000


def _block(rows: list[Row]) -> RowBlock:
    factors = tuple({factor: None for row in rows for factor in row.weights})
    most = max(len(row.weights) for row in rows)
    column, weight = np.zeros((len(rows), most), np.intp), np.zeros((len(rows), most))
    for number, row in enumerate(rows):
        for place, (factor, value) in enumerate(row.weights.items()):
            column[number, place], weight[number, place] = factors.index(factor), value
    constant, slack = np.array([row.constant for row in rows]), np.array([row.slack for row in rows])
    return RowBlock(factors, np.arange(len(rows), dtype=np.int32), column, weight, constant, slack)
