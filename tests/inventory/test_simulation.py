"""Through random prices and a crash, taking over at random: never below maintenance, nothing held for longer than is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import cast

import pytest

from keeper.book.state import Overlay, Tables
from keeper.errors import Skip
from keeper.inventory.inventory import House, HouseMarket, Inventory
from keeper.inventory.limits import Limits
from keeper.inventory.policy import Mode, Policy
from keeper.planning.predict import Predictor
from keeper.planning.routing import Router
from keeper.types import CLOSE, DEPOSIT, OPEN, TAKE, WITHDRAW, Address, Landing, Plan, Prediction
from tests.inventory.paper import OURS, WAD, Paper, get

PRICES = {"eth": 2_000 * WAD, "btc": 60_000 * WAD}
DEPTH = {"eth": 3 * 10**6 * WAD, "btc": 30 * 10**6 * WAD}
WHO = Address("0x" + "11" * 20)
NATIVE = Address("0x" + "dd" * 20)
PAPER = Paper(DEPTH)
LIMITS = Limits(per_market=200_000 * WAD, in_all=300_000 * WAD)
MARGIN = 100_000 * WAD
BLOCKS = 60


@dataclass
class World:
    """One account, and a market that moves between blocks; `late`: what had to go and could not."""

    rng: Random
    policy: Policy
    idle: int = 0
    state: Tables = field(init=False)
    number: int = 100
    taken: int = 0
    refused: int = 0
    made: list[Prediction] = field(default_factory=list)
    outside: int = 0
    """Blocks after which what is held was not hedged."""

    def __post_init__(self) -> None:
        self.state = PAPER.start(PRICES, MARGIN, self.idle)
        self.inventory = self.house(self.policy)
        self.inventory.block(self.state, self.landing)

    def house(self, policy: Policy) -> Inventory:
        market = cast("HouseMarket", PAPER)
        hedges = {"eth": (("btc", 10_000),)} if policy.mode is Mode.HEDGE else {}
        return Inventory(Predictor([market], Router([]), [], NATIVE), [House(market, OURS, policy, LIMITS, hedges)])

    @property
    def landing(self) -> Landing:
        return Landing(self.number + 1, 12 * self.number, 10**9)

    def move(self, factor: float) -> None:
        for target in PRICES:
            noise = self.rng.uniform(0.995, 1.005)
            self.state.write(PAPER.moved(target, get(self.state, "mark", target) * round(factor * noise * 10**6) // 10**6))

    def act(self) -> list[Prediction]:
        """What is planned about what we hold lands in the next block."""
        made, _ = self.inventory.block(self.state, self.landing)
        for prediction in made:
            self.state.write(prediction.writes)
        self.made += made
        return made

    def take(self, target: str, value: int) -> None:
        size = value * WAD // get(self.state, "mark", target) * self.rng.choice([-1, 1])
        self.state.write(PAPER.stranger(WHO, target, size))
        try:
            for pair in self.inventory.pairs(cast("HouseMarket", PAPER), self.state, WHO, 0):
                self.state.write(PAPER.fill(self.state, pair, pair.amounts[-1], 0).writes)
                self.taken += 1
                self.refused += pair.amounts[-1] < abs(size)
        except Skip:
            self.refused += 1
        self.state.write(PAPER.stranger(WHO, target, 0))

    def blocks(self, crash_at: int, targets: list[str]) -> Iterator[None]:
        for step in range(BLOCKS):
            self.move(0.6 if step == crash_at else 1.0)
            self.safe()
            self.act()
            self.outside = 0 if self.hedged() else self.outside + 1
            if self.rng.random() < 0.4:
                self.take(self.rng.choice(targets), self.rng.randrange(1_000, 400_000) * WAD)
            self.number += 1
            yield

    def safe(self) -> None:
        standing = PAPER.standing(self.state, OURS, 0)
        assert standing.equity > standing.required or not standing.holdings

    def hedged(self) -> bool:
        standing = PAPER.standing(self.state, OURS, 0)
        eth, btc = standing.holding("eth").value, standing.holding("btc").value
        return abs(eth + btc) <= abs(eth) * self.policy.band_bps // 10_000 + WAD

    def size(self, target: str) -> int:
        return get(self.state, "size", target, OURS)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_taken_is_gone_within_three_blocks_and_a_crash_does_not_reach_us(seed: int) -> None:
    rng = Random(seed)
    world, since = World(rng, Policy(hard_cap_bps=2_000)), dict[str, int]()
    sizes: dict[str, int] = dict.fromkeys(PRICES, 0)
    for _ in world.blocks(rng.randrange(BLOCKS), list(PRICES)):
        world.safe()
        for target in PRICES:
            size = world.size(target)
            if not size or size * sizes[target] < 0 or not sizes[target]:
                since[target] = world.number
            assert world.number - since[target] <= 3 or not size
            sizes[target] = size
    assert world.taken
    assert world.refused
    assert {made.fill.kind for made in world.made} >= {CLOSE}


@pytest.mark.parametrize("seed", range(12))
def test_what_is_kept_is_hedged_into_the_band_at_no_more_than_the_cap(seed: int) -> None:
    rng = Random(seed)
    policy = Policy(mode=Mode.HEDGE, hold_blocks=20, cost_cap_bps=100, hard_cap_bps=2_000)
    world = World(rng, policy)
    for _ in world.blocks(rng.randrange(BLOCKS), ["eth"]):
        world.safe()
        assert world.outside <= 3
    assert world.taken
    assert OPEN in {made.fill.kind for made in world.made}


def test_what_is_there_at_the_start_is_due_at_once() -> None:
    world = World(Random(1), Policy(hard_cap_bps=2_000))
    world.take("eth", 50_000 * WAD)
    (made,), _ = world.house(world.policy).block(world.state, world.landing)
    assert (made.plan.kind, made.fill.counted, made.plan.by) == (CLOSE, abs(world.size("eth")), OURS)
    assert made.value_wei > 0


def test_what_cannot_be_sold_within_the_hard_cap_is_told_of() -> None:
    world = World(Random(1), Policy(hard_cap_bps=1))
    world.take("eth", 50_000 * WAD)
    world.number += 3
    made, refused = world.inventory.block(world.state, world.landing)
    assert made == [] or refused == []
    world.number += 3
    made, refused = world.inventory.block(world.state, world.landing)
    assert made == []
    assert [no.reason for no in refused] == ["exit_cap"]


def test_a_target_with_a_plan_of_ours_on_its_way_is_left_alone() -> None:
    world = World(Random(1), Policy())
    world.take("eth", 50_000 * WAD)
    world.number += 3
    (made,), _ = world.inventory.block(world.state, world.landing)
    plans: list[Plan] = [made.plan]
    assert world.inventory.block(world.state, world.landing, plans) == ([], [])


def test_margin_is_topped_up_before_anything_is_given_away() -> None:
    world = World(Random(1), Policy(), idle=LIMITS.in_all // 200)
    world.take("btc", 200_000 * WAD)
    world.state.write(PAPER.moved("btc", PRICES["btc"] * (125 if world.size("btc") < 0 else 75) // 100))
    made, _ = world.inventory.block(world.state, world.landing)
    assert made[0].plan.kind == DEPOSIT


def test_money_in_the_wallet_becomes_margin_and_is_money_again_when_nothing_is_kept_any_more() -> None:
    world = World(Random(1), Policy(), idle=MARGIN)
    (deposit,) = world.act()
    assert (deposit.plan.kind, deposit.fill.cover) == (DEPOSIT, MARGIN)
    assert world.act() == []
    world.inventory = world.house(Policy(mode=Mode.UNWIND))
    world.take("eth", 50_000 * WAD)
    (withdrawal,) = world.act()
    assert (withdrawal.plan.kind, withdrawal.fill.cover) == (WITHDRAW, 2 * MARGIN)
    assert world.act() == []


def test_nothing_is_withdrawn_before_everything_is_traded_away() -> None:
    world = World(Random(1), Policy(hard_cap_bps=2_000))
    world.take("eth", 50_000 * WAD)
    world.inventory = world.house(Policy(mode=Mode.UNWIND, hard_cap_bps=2_000))
    assert [made.plan.kind for made in world.act()] == [CLOSE]
    assert [made.plan.kind for made in world.act()] == [WITHDRAW]


def test_keeping_is_worth_its_exit_less_the_risk() -> None:
    world = World(Random(1), Policy())
    world.state.write(PAPER.stranger(WHO, "eth", 10 * WAD))
    (pair,) = world.inventory.pairs(cast("HouseMarket", PAPER), world.state, WHO, 0)
    assert pair.kind == TAKE
    fill = PAPER.fill(world.state, pair, pair.amounts[-1], 0)
    judged = world.inventory.judged(cast("HouseMarket", PAPER), world.state, fill, 0)
    assert 0 < judged.promised[0][1] < fill.promised[0][1]
    assert Overlay(world.state, judged.writes).get("size", ("eth", OURS))
