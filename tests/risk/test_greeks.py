"""Greeks are the slopes of the integer health itself, on both versions' random accounts."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Sequence
from fractions import Fraction
from random import Random

import aiohttp
import numpy as np
import pytest

from keeper.adapters.aave_v3 import AaveV3
from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.book.state import Overlay
from keeper.devnet import Devnet
from keeper.fixedpoint import YEAR_S
from keeper.ports import View
from keeper.risk.greeks import Bent, Greek, Payoff, exposures, greeks, payoffs
from keeper.risk.moves import DAY_S, martingale
from keeper.types import Address, Factor, Health, Leg
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.world import World

MARKETS = ("aave_v36", "aave_v302")
BLOCKS = 12
STEP = 0.02
SAME = 1e-6


def name(token: Address) -> Factor:
    return ("price", token)


def of(health: Health) -> tuple[Greek, ...]:
    tokens = tuple({name(payoff.token) for payoff in payoffs(health)})
    size = len(tokens)
    return greeks(health, martingale(tokens, np.eye(size) / YEAR_S, 0.0, np.zeros((size, size))), name).per_price


class Bumped:
    """The integer health of an account at other prices of one token."""

    def __init__(self, market: AaveV3Market, view: View, account: Address, greek: Greek, at_s: int) -> None:
        self.market, self.view, self.account, self.greek, self.at_s = market, view, account, greek, at_s

    def at(self, move: float) -> tuple[Fraction, int, Fraction]:
        """(relative move in whole units of price, surplus, health factor)"""
        price = round(self.greek.price * (1 + move))
        there = Overlay(self.view, self.market.repriced(self.view, {self.greek.token: price}))
        found = self.market.health(there, self.account, self.at_s)
        moved = Fraction(price - self.greek.price, self.greek.price)
        return moved, found.weighted_collateral - found.debt, Fraction(found.health_factor_wad, 10**18)

    def surplus_slope(self) -> float:
        """Per 1 %; linear, so any step will do."""
        (up, high, _), (down, low, _) = self.at(0.5), self.at(-0.5)
        return float((high - low) / (up - down)) / 100

    def health_slope(self) -> float:
        """Per 1 %: central differences of two steps, whose errors of the third order cancel."""
        return float((4 * self._central(STEP / 2) - self._central(STEP)) / 3) / 100

    def health_curve(self) -> float:
        (up, _, high), (_, _, middle), (down, _, low) = self.at(STEP), self.at(0.0), self.at(-STEP)
        return float((high - 2 * middle + low) / ((up - down) / 2) ** 2) / 10_000

    def _central(self, step: float) -> Fraction:
        (up, _, high), (down, _, low) = self.at(step), self.at(-step)
        return (high - low) / (up - down)


class Life:
    """Both markets on one devnet, with accounts at random."""

    def __init__(self, net: Devnet, indexers: Sequence[Indexer]) -> None:
        self.net, self.indexers = net, indexers

    async def block(self, world: World) -> int:
        actions = world.tick(0.05)
        for market in MARKETS:
            users = [borrower.address for borrower in self.net.population if borrower.market == market]
            actions += [world.action(market, users) for _ in range(4)]
            actions += [action for _ in range(3) for action in world.leverage(market, world.rng.choice(users))]
        await world.send(actions)
        await self.net.mine()
        heads = [await indexer.sync() for indexer in self.indexers]
        return heads[0].timestamp_s

    def accounts(self, at_s: int) -> Iterator[tuple[AaveV3Market, View, Health]]:
        for indexer in self.indexers:
            market = indexer.market
            assert isinstance(market, AaveV3Market)
            for account in market.accounts(indexer.tables):
                health = market.health(indexer.tables, account, at_s)
                if health.debt > 10**11 and health.weighted_collateral:
                    yield market, indexer.tables, health


@pytest.fixture
async def life(net: Devnet) -> AsyncIterator[Life]:
    async with aiohttp.ClientSession() as session:
        reader = NodeReader(net.rpc, session)
        yield Life(
            net, [Indexer(reader, await AaveV3().open(reader, market, net.addresses[f"{market}.provider"], None)) for market in MARKETS]
        )


async def test_greeks_equal_differences_of_the_integer_health(net: Devnet, life: Life) -> None:
    """To a relative 1e-6, and what integers cannot show: a unit of base currency a leg, and where an average threshold is floored to the
    basis point, that."""
    world, compared, mixed = World(net, Random(11)), 0, 0
    await world.prepare([borrower.address for borrower in net.population], MARKETS)
    for _ in range(BLOCKS):
        at_s = await life.block(world)
    for market, view, health in life.accounts(at_s):
        floored = (
            market.deployment.rules.average_floored and len({leg.threshold_bps for leg in health.legs if leg.side == "collateral"}) > 1
        )
        for greek in of(health):
            seen = Bumped(market, view, health.account, greek, at_s)
            unit = 2 * len(health.legs) + (health.weighted_collateral * 3e-4 if floored else 0)
            assert greek.surplus_delta == pytest.approx(seen.surplus_slope(), rel=SAME, abs=unit / 100)
            blur = unit / health.debt
            assert greek.health_delta == pytest.approx(seen.health_slope(), rel=SAME, abs=3 * blur / STEP / 100)
            assert greek.health_gamma == pytest.approx(seen.health_curve(), rel=1e-2, abs=4 * blur / STEP**2 / 10_000)
            assert greek.surplus_gamma == 0
            compared, mixed = compared + 1, mixed + floored
    assert compared > 150
    assert 0 < mixed < compared / 2


async def test_an_emode_with_one_price_for_all_is_one_price(net: Devnet, life: Life) -> None:
    """3.0.2: what is priced as another token moves with it, and not with itself."""
    world = World(net, Random(5))
    await world.prepare([borrower.address for borrower in net.population], MARKETS)
    await world.send([world.admin("aave_v302", "setEModeCategory", 1, 9000, 9500, 10100, world.asset("WETH"), "ETH")])
    at_s = await life.block(world)
    found = [
        (market, view, health) for market, view, health in life.accounts(at_s) if any(leg.priced_as != leg.token for leg in health.legs)
    ]
    assert found
    for market, view, health in found:
        for greek in of(health):
            seen = Bumped(market, view, health.account, greek, at_s)
            floored = health.weighted_collateral * 3e-4 if len(health.legs) > 2 else 10
            assert greek.surplus_delta == pytest.approx(seen.surplus_slope(), rel=SAME, abs=floored / 100)
        counted, owed = exposures(health, name)
        assert {name(greek.token) for greek in of(health)} == counted.keys() == owed.keys()
        assert sum(counted.values()) == pytest.approx(health.weighted_collateral, rel=3e-4)
        assert sum(owed.values()) == health.debt


# --- without a chain ----------------------------------------------------------------------------------------------

WETH, USDC = Address("0x" + "1" * 40), Address("0x" + "2" * 40)
LEGS = (Leg(WETH, "WETH", "collateral", 1, 200_000, 8_000, 2_000, 18), Leg(USDC, "USDC", "debt", 1, 150_000, 0, 1, 6))
HEALTH = Health(Address("0x" + "3" * 40), 0, 16 * 10**18 // 15, 160_000, 150_000, "usd-2", LEGS)
FACTORS = (name(WETH), name(USDC))


def test_distance_is_the_surplus_in_deviations_of_a_day() -> None:
    """160,000 of collateral at 64 % a year against 150,000 of debt at 12 %, correlated by one half."""
    a, b = 160_000 * 0.64, 150_000 * 0.12
    covariance = np.array([[0.64**2, 0.5 * 0.64 * 0.12], [0.5 * 0.64 * 0.12, 0.12**2]]) / YEAR_S
    found = greeks(HEALTH, martingale(FACTORS, covariance, 0.0, np.zeros((2, 2))), name)
    day = math.sqrt(DAY_S / YEAR_S)
    assert found.distance_sigma == pytest.approx(10_000 / (math.sqrt(a * a + b * b - a * b) * day))
    weth, usdc = found.per_price
    assert (weth.distance_sigma, usdc.distance_sigma) == pytest.approx((10_000 / (a * day), 10_000 / (b * day)))
    assert (weth.liquidation_price, weth.move_bps, usdc.move_bps) == (1_875, -625, 0)


def test_prices_that_do_not_move_are_infinitely_far() -> None:
    found = greeks(HEALTH, martingale(FACTORS, np.zeros((2, 2)), 0.0, np.zeros((2, 2))), name)
    assert found.distance_sigma == math.inf
    assert [greek.distance_sigma for greek in found.per_price] == [math.inf, math.inf]


def test_jumps_shorten_the_distance() -> None:
    still = martingale(FACTORS, np.eye(2) / YEAR_S, 0.0, np.zeros((2, 2)))
    jumping = martingale(FACTORS, np.eye(2) / YEAR_S, 1 / DAY_S, np.eye(2) / 100)
    assert greeks(HEALTH, jumping, name).distance_sigma < greeks(HEALTH, still, name).distance_sigma / 2


def test_a_pay_off_that_is_not_linear_has_a_gamma_of_its_own() -> None:
    """A margin that falls with the square of the price: 2,000 at 100, its derivatives taken by hand."""

    def margin(price: float) -> float:
        return 3_000 - 0.1 * price * price

    bent = Payoff(WETH, "PERP", 100, counted=Bent(margin(100), -2_000.0, -2_000.0), owed=Bent(1_600.0))
    health = Health(HEALTH.account, 0, 125 * 10**16, 2_000, 1_600, "usd-2")
    moves = martingale((name(WETH),), np.eye(1) / YEAR_S, 0.0, np.zeros((1, 1)))
    (greek,) = greeks(health, moves, name, [bent]).per_price
    assert greek.surplus_delta == pytest.approx(margin(100.5) - margin(99.5))
    assert greek.surplus_gamma == pytest.approx(margin(101) - 2 * margin(100) + margin(99))
    assert greek.health_gamma == pytest.approx((margin(101) - 2 * margin(100) + margin(99)) / 1_600)


def test_a_price_without_a_forecast_is_refused() -> None:
    with pytest.raises(KeyError):
        greeks(HEALTH, martingale((), np.zeros((0, 0)), 0.0, np.zeros((0, 0))), name)
