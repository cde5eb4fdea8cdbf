"""The watch over two real markets against asking every account for its health, whatever the book, the clock and the gas do."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.adapters.aave_v3.position import flagged
from keeper.adapters.aave_v3.versions import V3_0, VERSIONS, RuleSet
from keeper.fixedpoint import BPS, RAY
from keeper.risk import block, engine, recentring, shelf, watch
from keeper.risk.engine import Recentring
from keeper.risk.watch import Watch
from keeper.types import Address, Health, Landing, Write
from tests.adapters.synthetic import NOW_S, State, asset, market_of

ACCOUNTS = [Address(f"0x{number + 1:040x}") for number in range(14)]
DECIMALS = {0: 18, 1: 6, 2: 8, 3: 18, 4: 18, 5: 6, 63: 18, 64: 18, 90: 6}
RESERVES = tuple(DECIMALS)
ALIKE = {1: (0, 3), 2: (1, 5)}
PRICES = {0: 2000 * 10**8, 2: 60_000 * 10**8, 3: 2100 * 10**8}
NATIVE = asset(0)
SPECIAL = asset(200)
TIP_WEI = 10**9
GAS, ABOVE = 200_000, Fraction(1, 10)
"""What the watch is documented to take for granted: the least gas, and how far above its price what is seized may sell."""

EDGE = Fraction(1, 10**5)
"""How closely a debt may be to the least that pays before either answer is right: floats count it a unit over."""


@pytest.fixture(scope="module", autouse=True)
def _small_books_take_every_way() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            *((engine, "WATCHED", 2), (engine, "LAYERS", 6), (engine, "REST", 2)),
            *((shelf, "FEW", 4), (shelf, "FLOOD", 6), (recentring, "PART", 5), (shelf, "PAGE", 2), (shelf, "CACHED", 32)),
            *((block, "CACHED", 32), (watch, "MANY", 3)),
        ):
            patch.setattr(module, name, value)
        yield


class World:
    """Two markets in one book with a journal, a watch over both, and what it should say."""

    def __init__(self, rng: random.Random, seen: Counter[str], versions: Sequence[RuleSet] = (*VERSIONS, VERSIONS[0])) -> None:
        self.rng, self.seen = rng, seen
        self.markets = tuple(market_of(rng.choice(versions), name) for name in ("one", "two"))
        self.state = State(*self.markets)
        self.watch = Watch(self.markets, NATIVE, TIP_WEI)
        self.journal: list[list[Write]] = []
        self.work: Recentring | None = None
        self.found: set[tuple[str, Address]] = set()
        self.landing = Landing(1, NOW_S, 20 * 10**9)
        for market in self.markets:
            self.list_reserves(market)
            for account in ACCOUNTS:
                self.state.write(self.position(market, account))
        self.watch.rebuild(self.state)

    def list_reserves(self, market: AaveV3Market) -> None:
        self.state.cells_of = market.cells
        for reserve, decimals in DECIMALS.items():
            price = PRICES.get(reserve, 10**8)
            self.state.reserve(reserve, price, decimals, emode=next((category for category in ALIKE if reserve in ALIKE[category]), 0))
        self.state.emode(1, 9300, 10100, 1 << 0 | 1 << 3)
        self.state.emode(2, 9700, 10050, 1 << 1 | 1 << 5 | 1 << 64)
        self.state.write([(market.cells.asset, (SPECIAL, "price"), 2050 * 10**8), (market.cells.emode, (1, "oracle"), int(SPECIAL, 16))])

    # --- the book

    def do(self, writes: Sequence[Write]) -> None:
        self.journal.append(self.state.write(writes))
        self.watch.update(writes, self.state)

    def block(self) -> None:
        """Many things at once."""
        kinds = self.rng.choices(WRITERS, k=self.rng.randrange(2, 9))
        self.do([write for kind in kinds for write in kind(self)])

    def undo(self) -> None:
        """A reorg takes blocks back, newest first; the next ones come at once."""
        undone = [write for _ in range(min(self.rng.randrange(1, 7), len(self.journal))) for write in self.journal.pop()]
        self.state.write(undone)
        self.watch.update(undone, self.state)

    def rebuild(self) -> None:
        self.watch.rebuild(self.state)
        self.found = set()

    # --- what blocks write

    def any(self) -> AaveV3Market:
        return self.rng.choice(self.markets)

    def balance_of(self, market: AaveV3Market, reserve: int, dollars: float) -> int:
        """Scaled units worth so much at the first prices, whatever they are now."""
        return int(dollars * 1e8 / PRICES.get(reserve, 10**8) * 10 ** DECIMALS[reserve])

    def position(self, market: AaveV3Market, account: Address) -> list[Write]:
        """Open anew: near the edge, of any size and width."""
        cells, rng = market.cells, self.rng
        category = rng.choice([0, 0, 1, 1, 2, 255])
        width = rng.choice([(1, 1), (1, 1), (2, 1), (1, 2), (3, 2), (6, 5), (9, 9)])
        held, owed = rng.sample(RESERVES, width[0]), rng.sample(RESERVES, width[1])
        if category in ALIKE and rng.random() < 0.7:
            held, owed = [rng.choice(ALIKE[category])], [rng.choice(ALIKE[category])]
        debt = rng.choice([1.0, 30.0, 50.0, 70.0, 1e3, 1e6])
        secured = debt * rng.choice([1.03, 1.07, 1.08, 1.2, 1.24, 1.25, 1.3, 1.5])
        writes: list[Write] = [(table, key, 0) for table in (cells.supply, cells.debt) for key in self.state.keys_of(table, account)]
        writes += [(cells.supply, (reserve, account), self.balance_of(market, reserve, secured / len(held))) for reserve in held]
        writes += [(cells.debt, (reserve, account), self.balance_of(market, reserve, debt / len(owed))) for reserve in owed]
        bits = sum(2 << 2 * reserve for reserve in held) | sum(1 << 2 * reserve for reserve in owed)
        writes += [(cells.bits, (page, account), bits >> 128 * page & (1 << 128) - 1) for page in (0, 1)]
        return [*writes, (cells.category, (account,), category)]

    def open(self) -> list[Write]:
        return self.position(self.any(), self.rng.choice(ACCOUNTS))

    def close(self) -> list[Write]:
        market, account = self.any(), self.rng.choice(ACCOUNTS)
        return [(table, key, 0) for table in market.columns for key in self.state.keys_of(table, account)]

    def balance(self) -> list[Write]:
        """One cell changes a little, or becomes nothing, dust or more than any column holds."""
        market, account = self.any(), self.rng.choice(ACCOUNTS)
        table = self.rng.choice([market.cells.supply, market.cells.debt])
        keys = [*self.state.keys_of(table, account), (self.rng.choice(RESERVES), account)]
        key = self.rng.choice(keys)
        before = self.state.get(table, key)
        changed = [before * 99 // 100, before * 101 // 100, before // 2, before + 1, 0, 1, 3_000_000, 10**18, 2**64 + 5, 2**128 + 7]
        return [(table, key, self.rng.choice(changed))]

    def bit(self) -> list[Write]:
        market, account = self.any(), self.rng.choice(ACCOUNTS)
        page, place = divmod(self.rng.choice(RESERVES), 64)
        key = (page, account)
        return [(market.cells.bits, key, self.state.get(market.cells.bits, key) ^ 1 << 2 * place + self.rng.randrange(2))]

    def category(self) -> list[Write]:
        return [(self.any().cells.category, (self.rng.choice(ACCOUNTS),), self.rng.choice([0, 1, 2, 255]))]

    def shake(self) -> list[Write]:
        """All prices move a little, mostly together."""
        market, common = self.any(), self.rng.gauss(0, 0.01)
        cells = market.cells
        prices = {token: cells.price(self.state, token) for token in cells.price_keys(self.state)}
        return [(cells.asset, (token, "price"), int(price * (1 + common + self.rng.gauss(0, 1e-4)))) for token, price in prices.items()]

    def stray(self) -> list[Write]:
        """One price alone; it may be lost."""
        cells, token = self.any().cells, self.rng.choice([*map(asset, RESERVES), SPECIAL, SPECIAL, SPECIAL])
        price = cells.price(self.state, token) or PRICES.get(int(token, 16) - int(asset(0), 16), 10**8)
        by = self.rng.choice([0.5, 0.9, 0.99, 1.01, 1.1, 2.0, 1000.0, 0.0])
        return [(cells.asset, (token, "price"), int(price * by))]

    def calm(self) -> list[Write]:
        """Prices as they were at first."""
        cells = self.any().cells
        return [(cells.asset, (asset(reserve), "price"), PRICES.get(reserve, 10**8)) for reserve in RESERVES]

    def unprice(self) -> list[Write]:
        return [(self.any().cells.asset, (asset(self.rng.choice([0, *RESERVES])), "unpriced"), self.rng.choice([0, 1]))]

    def accrue(self) -> list[Write]:
        cells, reserve = self.any().cells, self.rng.choice(RESERVES)
        index = cells.index_of(self.state, reserve)
        grown = self.rng.choice([1000, 1001, 1100])
        rate = self.rng.choice([0, RAY // 50, 10 * RAY])
        fields = {
            "li": index.li * grown // 1000,
            "bi": index.bi * grown // 1000,
            "lr": rate // 2,
            "br": rate,
            "ts": self.landing.timestamp_s,
        }
        return [(cells.index, (reserve, field), value) for field, value in fields.items()]

    def threshold(self) -> list[Write]:
        cells, reserve, rng = self.any().cells, self.rng.choice(RESERVES), self.rng
        field, value = rng.choice([("lt", rng.choice([0, 1, 7900, 8000, 8100])), ("emode", rng.choice([0, 1, 2])), ("bonus", 11500)])
        return [(cells.reserve, (reserve, field), value)]

    def emode(self) -> list[Write]:
        cells, rng = self.any().cells, self.rng
        choices: list[tuple[str, Sequence[int]]] = [
            ("lt", (0, 9200, 9300, 9500)),
            ("bonus", (10100, 10500)),
            ("collateral", (0, 0b1001, 0b101111, rng.getrandbits(91))),
            ("oracle", (0, int(SPECIAL, 16), int(asset(2), 16))),
        ]
        field, values = rng.choice(choices)
        return [(cells.emode, (rng.choice([1, 2, 255]), field), rng.choice(values))]

    def drop_reserve(self) -> list[Write]:
        """A reserve is dropped, as its event says, also one that is held; or another takes its place."""
        cells, reserve = self.any().cells, self.rng.choice(RESERVES)
        token = cells.asset_of(self.state, reserve)
        gone: list[Write] = [
            (table, key, 0) for table in (cells.reserve, cells.index) for key in self.state.keys(table) if key[0] == reserve
        ]
        if token:
            return [(cells.slot, (reserve,), 0), (cells.id, (token,), 0), *gone]
        listed = {"lt": 8000, "bonus": 10500, "active": 1}
        writes: list[Write] = [(cells.slot, (reserve,), int(asset(reserve), 16)), (cells.id, (asset(reserve),), reserve + 1)]
        writes += [(cells.index, (reserve, field), RAY) for field in ("li", "bi")]
        return writes + [(cells.reserve, (reserve, field), value) for field, value in listed.items()]

    def oracle(self) -> list[Write]:
        cells = self.any().cells
        writes: list[Write] = [(cells.market, ("oracle",), self.rng.getrandbits(160))]
        return writes + [(cells.asset, (token, "source"), 0) for token in cells.price_keys(self.state)]

    # --- time and gas

    def land(self) -> None:
        after_s = self.rng.choice([-12, 0, 1, 12, 600, 86_400, 30 * 86_400])
        self.landing = Landing(self.landing.number + 1, self.landing.timestamp_s + after_s, self.landing.base_fee_wei)

    def gas(self) -> None:
        fee = self.rng.choice([0, 10**8, 18 * 10**9, 20 * 10**9, 22 * 10**9, 10**12])
        self.landing = Landing(self.landing.number + 1, self.landing.timestamp_s, fee)

    # --- certificates

    def begin(self) -> None:
        self.work = self.work or self.watch.engine.work(everything=self.rng.random() < 0.5)

    def run(self) -> None:
        if self.work:
            self.work.run()

    def adopt(self) -> None:
        if self.work:
            self.seen["adopted"] += 1
            self.watch.adopt(self.work.run())
            self.work = None

    def recentre(self) -> None:
        self.adopt()
        self.watch.engine.recentre()

    # --- truth

    def look(self) -> None:
        found = self.watch.candidates(self.state, self.landing)
        names = {(candidate.market_name, candidate.account) for candidate in found}
        assert len(names) == len(found)
        assert [c.health.debt for c in found] == sorted((c.health.debt for c in found), reverse=True)
        inside = {self.named(tag) for tag in self.watch.engine.tags(self.watch.engine.inside()).tolist()}
        assert inside == names
        must, may = self.truth()
        assert must <= names <= may
        self.seen.update(looks=1, liquidatable=len(names), entered=len(names - self.found), left=len(self.found - names))
        self.found = names

    def named(self, tag: int) -> tuple[str, Address]:
        name = self.markets[tag >> 40].name
        return name, self.state.account(name, tag & (1 << 40) - 1)

    def truth(self) -> tuple[set[tuple[str, Address]], set[tuple[str, Address]]]:
        """(who must be found, who may be): every account is asked for its health."""
        must, may = set(), set()
        for market in self.markets:
            least = self.least(market)
            for account in market.accounts(self.state):
                health = market.health(self.state, account, self.landing.timestamp_s)
                if health.liquidatable:
                    below, above = self.bounds(market, account, health)
                    must |= {(market.name, account)} if below >= least else set()
                    may |= {(market.name, account)} if above >= least else set()
                    self.seen["parked"] += above < least
        return must, may

    def least(self, market: AaveV3Market) -> Fraction:
        """Debt whose bonus, sold at the best, earns the least gas."""
        cells, state = market.cells, self.state
        bonuses = [BPS, *(cells.of(state, reserve, "bonus") for reserve in cells.reserve_ids(state))]
        bonuses += [cells.of_emode(state, category, "bonus") for category in cells.emodes(state)]
        cost = market.value(state, NATIVE, GAS * (self.landing.base_fee_wei + TIP_WEI)) or 0
        return cost / (Fraction(max(bonuses), BPS) * (1 + ABOVE) - 1)

    def bounds(self, market: AaveV3Market, account: Address, health: Health) -> tuple[Fraction, Fraction]:
        """Of what an account owes as the watch may see it. What of it is in a reserve that was dropped nobody knows."""
        state, cells = self.state, market.cells
        units = sum(Fraction(2 * leg.price, 10**leg.decimals) + 2 for leg in health.legs if leg.side == "debt")
        lost = any(cells.asset_of(state, reserve) is None for reserve, _, _ in flagged(cells.flags(state, account)))
        low, high = health.debt * (1 - EDGE) - units, health.debt * (1 + EDGE) + units
        return low, Fraction(10**60) if lost else high


WRITERS: Sequence[Callable[[World], list[Write]]] = (
    *(World.open, World.close, World.balance, World.balance, World.bit, World.category),
    *(World.shake, World.shake, World.stray, World.calm, World.unprice, World.accrue, World.threshold, World.emode),
    *(World.drop_reserve, World.oracle),
)
"""Every kind of cell there is, as events and reads write them."""


def _written(kind: Callable[[World], list[Write]]) -> Callable[[World], None]:
    return lambda world: world.do(kind(world))


STEPS: Mapping[str, Callable[[World], None]] = {kind.__name__: _written(kind) for kind in WRITERS} | {
    name: getattr(World, name) for name in ("block", "undo", "rebuild", "land", "gas", "begin", "run", "adopt", "recentre")
}
OFTEN = ("begin", "begin", "adopt", "adopt", "shake", "shake", "block", "block", "undo", "balance", "land")


def play(seed: int, steps: Sequence[tuple[str, bool]], seen: Counter[str]) -> None:
    """Steps, each with or without a look after it."""
    world = World(random.Random(seed), seen)
    world.look()
    for step, look in steps:
        STEPS[step](world)
        if look:
            world.look()
    world.look()


def test_whatever_happens_candidates_are_what_asking_everybody_gives() -> None:
    seen = Counter[str]()

    @settings(max_examples=70, deadline=None)
    @given(st.integers(0, 2**32), st.lists(st.tuples(st.sampled_from([*sorted(STEPS), *OFTEN]), st.booleans()), min_size=30, max_size=60))
    def run(seed: int, steps: list[tuple[str, bool]]) -> None:
        play(seed, steps, seen)

    run()
    assert min(seen[kind] for kind in ("looks", "liquidatable", "parked", "entered", "left", "adopted")) > 40, seen


def test_an_emodes_new_price_source_is_followed_at_once() -> None:
    seen = Counter[str]()
    world = World(random.Random(1), seen, [V3_0])
    world.look()
    for market in world.markets:
        cells = market.cells
        world.do([(cells.emode, (1, "oracle"), int(asset(2), 16))])
        world.look()
        for price in (PRICES[2] // 30, PRICES[2] // 10, PRICES[2]):
            world.do([(cells.asset, (asset(2), "price"), price)])
            world.look()
    assert seen["entered"] > seen["left"] > 1


def test_an_account_that_closes_and_opens_again_keeps_to_few_rows() -> None:
    world = World(random.Random(2), Counter[str]())
    for _ in range(300):
        world.do(world.open())
        world.do(world.close())
    world.look()
    assert sum(shelf.used for shelf in world.watch.engine._shelves) < 4 * len(ACCOUNTS) * len(world.markets)
