"""The whole adapter against the real contracts, on random states of both versions."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import islice

import aiohttp
import pytest

from keeper.adapters.aave_v3 import AaveV3
from keeper.adapters.aave_v3.codec import call_data, topic, word
from keeper.adapters.aave_v3.market import LIQUIDATION_CALL, AaveV3Market
from keeper.adapters.aave_v3.rules import MIN_LEFTOVER_BASE
from keeper.book.state import Tables
from keeper.devnet import Devnet
from keeper.devnet.names import DEPLOYER
from keeper.errors import Skip
from keeper.fixedpoint import MAX_UINT256
from keeper.types import TWICE, Address, Fill, Leg, Pair, Read
from tests.adapters import truth
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.world import LIQUIDATOR, Action, World

MARKETS = ("aave_v36", "aave_v302")
LIQUIDATED = topic("LiquidationCall(address,address,address,uint256,uint256,address,bool)")
STEPS_S = (0, 1, 12, 12, 12, 600, 86_400, 30 * 86_400)
STATES = 200
PLANNED_STATES = 120


@dataclass
class Run:
    """Both markets followed over one devnet, and what was compared."""

    net: Devnet
    world: World
    reader: NodeReader
    indexers: dict[str, Indexer]
    users: dict[str, list[Address]]
    now_s: int
    seen: Counter[str]

    def market(self, name: str) -> AaveV3Market:
        market = self.indexers[name].market
        assert isinstance(market, AaveV3Market)
        return market

    async def mine(self, actions: Sequence[Action], step_s: int) -> list[dict[str, object]]:
        await self.world.send(actions)
        self.now_s += step_s
        await self.net.mine(self.now_s)
        for indexer in self.indexers.values():
            await indexer.sync()
        receipts: list[dict[str, object]] = await self.reader.request("eth_getBlockReceipts", "latest")
        self.seen.update("succeeded" if receipt["status"] == "0x1" else "reverted" for receipt in receipts)
        return receipts


@pytest.fixture
async def run(net: Devnet) -> AsyncIterator[Run]:
    async with aiohttp.ClientSession() as session:
        reader, world = NodeReader(net.rpc, session), World(net, random.Random(1))
        users = {name: [b.address for b in net.population if b.market == name] for name in MARKETS}
        await world.prepare([account for accounts in users.values() for account in accounts], MARKETS)
        await world.send(_unusual(net, world))
        await net.mine()
        indexers = {name: Indexer(reader, await AaveV3().open(reader, name, net.addresses[f"{name}.provider"], None)) for name in MARKETS}
        heads = [await indexer.sync() for indexer in indexers.values()]
        yield Run(net, world, reader, indexers, users, heads[-1].timestamp_s, Counter())


async def test_health_bits_balances_and_indexes_equal_the_contracts_in_every_random_state(run: Run) -> None:
    for state in range(STATES):
        await run.mine(_random_actions(run), run.world.rng.choice(STEPS_S))
        for name in MARKETS:
            await _compare(run, name, whole=state % 10 == 0)
    assert run.seen["words"] > 100_000
    assert run.seen["liquidatable"] > 500
    assert run.seen["certainly liquidatable"] > 300
    assert min(run.seen["succeeded"], run.seen["reverted"]) > 200


async def test_planned_liquidations_move_exactly_what_the_contracts_move(run: Run) -> None:
    for _ in range(PLANNED_STATES):
        await run.mine([*_random_actions(run), *run.world.tick(0.15)], run.world.rng.choice(STEPS_S[:5]))
        for name in MARKETS:
            await _legality(run, name)
        await _liquidate(run)
    assert min(run.seen["legal"], run.seen["illegal"]) > 1000
    assert run.seen["fills"] > 80
    assert min(run.seen["bad debts"], run.seen["same asset"], run.seen["two calls"], run.seen["as the data provider says"]) > 2


# --- walking ------------------------------------------------------------------------------------------------------


def _unusual(net: Devnet, world: World) -> list[Action]:
    """3.0.2: one price for all assets of an eMode. 3.6: somebody who may cover deficits."""
    provider, umbrella = "aave_v36.provider", b"UMBRELLA".ljust(32, b"\0")
    return [
        world.admin("aave_v302", "setEModeCategory", 1, 9000, 9500, 10100, world.asset("WETH"), "ETH"),
        Action(DEPLOYER, net.addresses[provider], net.encode(provider, "setAddress", umbrella, LIQUIDATOR)),
    ]


def _random_actions(run: Run) -> list[Action]:
    actions = run.world.tick(0.08)
    for name in MARKETS:
        actions += [run.world.action(name, run.users[name]) for _ in range(run.world.rng.randrange(1, 5))]
        if run.world.rng.random() < 0.7:
            actions += run.world.leverage(name, run.world.rng.choice(run.users[name]))
        if run.world.rng.random() < 0.2:
            actions.append(run.world.governance(name))
    if run.world.rng.random() < 0.2:
        actions.append(run.world.cover_deficit("aave_v36"))
    return actions


# --- comparing ----------------------------------------------------------------------------------------------------


async def _compare(run: Run, name: str, whole: bool) -> None:
    indexer, market, users = run.indexers[name], run.market(name), run.users[name]
    everyone = [*users, LIQUIDATOR, run.net.addresses["treasury"]]
    later_s = run.now_s + run.world.rng.choice([1, 12, 3_000, 10**7])
    for at_s in (run.now_s, later_s):
        claims = truth.health(indexer, everyone, at_s) + truth.indexes(market, indexer.tables, at_s)
        run.seen["liquidatable"] += sum(words.get(5, MAX_UINT256) < 10**18 for _, words, _ in claims)
        run.seen["words"] += await truth.check(run.reader, claims, at_s)
        _rows_never_miss(run, market, everyone, at_s)
    claims = truth.users(market, indexer.tables, everyone)
    if whole:
        claims += truth.balances(market, indexer.tables, everyone)
        claims += truth.deficits(market, indexer.tables) if market.deployment.rules.burns_bad_debt else []
    run.seen["words"] += await truth.check(run.reader, claims)


def _rows_never_miss(run: Run, market: AaveV3Market, accounts: Sequence[Address], at_s: int) -> None:
    """A surplus at the lower bound means healthy, none at the upper one liquidatable; and the bounds are not further from the truth than a
    basis point and a few units."""
    view = run.indexers[market.name].tables
    for account in accounts:
        for row in market.rows(view, account):
            health, factors = market.health(view, account, at_s), market.factors(view, at_s, row.weights)
            low = row.constant + sum(weight * factors[factor].value for factor, weight in row.weights.items())
            spread = sum(abs(weight) * factors[factor].width + factors[factor].slack for factor, weight in row.weights.items())
            high = low + row.slack + spread
            assert low < 0 or not health.liquidatable
            assert high >= 0 or health.liquidatable
            run.seen["certainly liquidatable"] += high < 0
            gap = health.weighted_collateral - health.debt - low
            token_units = 3 * sum(quote.value for quote in factors.values())  # dear tokens with few decimals round by cents
            assert -1 <= gap <= health.weighted_collateral * 3e-4 + health.debt * 1e-6 + 20 + token_units


# --- liquidations -------------------------------------------------------------------------------------------------


async def _legality(run: Run, name: str) -> None:
    """Every (debt, collateral) of some accounts at several covers: legal here exactly when the contract takes it."""
    market, view, at_s = run.market(name), run.indexers[name].tables, run.now_s + 12
    falling = [account for account in run.users[name] if market.health(view, account, at_s).liquidatable]
    questions: list[tuple[bytes, bool, str]] = []
    for account in run.world.rng.sample(falling, min(1, len(falling))):
        held = market.health(view, account, at_s).legs
        for debt in sorted({leg.token for leg in held if leg.side == "debt"}):
            for collateral in sorted({leg.token for leg in held if leg.side == "collateral"}):
                for cover in sorted({MAX_UINT256, *_covers(run, market, account, debt, collateral)}):
                    fill = _try(run, market, account, debt, collateral, cover, at_s)
                    data = call_data(LIQUIDATION_CALL, collateral, debt, account, cover, 0)
                    questions.append((data, fill is not None, f"{account} {debt} {collateral} {cover}"))
    calls = [
        ("eth_call", [{"from": LIQUIDATOR, "to": market.deployment.pool, "data": "0x" + data.hex()}, "latest", {}, {"time": hex(at_s)}])
        for data, _, _ in questions
    ]
    for (_, legal, what), reply in zip(questions, await run.reader.batch(calls), strict=True):
        assert legal == ("result" in reply), f"{name} {what}: {reply}"
        run.seen["legal" if legal else "illegal"] += 1


def _covers(run: Run, market: AaveV3Market, account: Address, debt: Address, collateral: Address) -> list[int]:
    view, at_s = run.indexers[market.name].tables, run.now_s + 12
    owed = next(leg.amount for leg in market.health(view, account, at_s).legs if leg.token == debt and leg.side == "debt")
    pair = _pair(run, market, account, debt, collateral, at_s)
    edges = [amount + step for amount in (pair.amounts if pair else ()) for step in (-1, 0, 1)]
    return [cover for cover in (*edges, 1, 2, owed // 100, owed // 2, owed - 1, owed, run.world.rng.randrange(owed + 1)) if cover >= 0]


def _pair(run: Run, market: AaveV3Market, account: Address, debt: Address, collateral: Address, at_s: int) -> Pair | None:
    try:
        pairs = market.pairs(run.indexers[market.name].tables, account, at_s)
    except Skip:
        return None
    return next((pair for pair in pairs if (pair.debt_token, pair.collateral_token) == (debt, collateral)), None)


def _try(run: Run, market: AaveV3Market, account: Address, debt: Address, collateral: Address, cover: int, at_s: int) -> Fill | None:
    try:
        return market.fill(run.indexers[market.name].tables, Pair(account, debt, collateral, ()), cover, at_s)
    except Skip:
        return None


async def _liquidate(run: Run) -> None:
    """One planned liquidation per market, alone in its block, of one call or two: amounts and the whole state it leaves."""
    plans = {name: fill for name in MARKETS if (fill := await _plan(run, name)) is not None}
    before = {name: truth.copy(run.indexers[name].tables) for name in plans}
    calls = {name: run.market(name).encode(fill, LIQUIDATOR)[1:-1] for name, fill in plans.items()}
    receipts = iter(await run.mine([Action(LIQUIDATOR, step.target, step.data) for steps in calls.values() for step in steps], 12))
    for name, fill in plans.items():
        mine = list(islice(receipts, len(calls[name])))
        repaid, seized = zip(*map(_moved, mine), strict=True)
        assert (sum(repaid), sum(seized)) == (fill.repaid, fill.seized)
        before[name].write(fill.writes)
        assert truth.cells_that_differ(run.market(name), before[name], run.indexers[name].tables) == {}
        run.seen["fills"] += 1
        run.seen["bad debts"] += fill.bad_debt
        gas = sum(int(str(receipt["gasUsed"]), 16) for receipt in mine)
        assert gas * 0.4 < run.market(name).gas(fill) < gas * 1.6
        run.seen["same asset"] += fill.debt_token == fill.collateral_token
        run.seen["two calls"] += fill.kind == TWICE


async def _plan(run: Run, name: str) -> Fill | None:
    """A random legal fill; every other time one that leaves bad debt, if there is any."""
    market, view, at_s, rng = run.market(name), run.indexers[name].tables, run.now_s + 12, run.world.rng
    fills: list[Fill] = []
    for account in run.users[name]:
        try:
            pairs = market.pairs(view, account, at_s)
        except Skip:
            continue
        fills += [market.fill(view, pair, rng.choice(pair.amounts), at_s) for pair in pairs]
    bad = [fill for fill in fills if fill.bad_debt]
    if not fills:
        return None
    fill = rng.choice(bad if bad and rng.random() < 0.5 else fills)
    if name == "aave_v36" and fill.kind != TWICE:
        await _as_the_data_provider_says(run, fill, at_s)
    return fill


async def _as_the_data_provider_says(run: Run, fill: Fill, at_s: int) -> None:
    """3.6 ships its own calculator; what it says of a legal cover is what the fill says. It floors the debt left where the contract
    takes the ceiling, so on the very edge of the dust rule it recommends one base unit less."""
    read = run.net.addresses["aave_v36.liquidation_data_provider"]
    arguments = (fill.account, fill.collateral_token, fill.debt_token, fill.cover)
    data = run.net.encode("aave_v36.liquidation_data_provider", "getLiquidationInfo", *arguments)
    (reply,) = await run.reader.calls([Read(read, data)], at_s=at_s)
    assert reply is not None
    amounts = tuple(word(reply, len(reply) // 32 - at) for at in (4, 3, 2))
    if amounts == (fill.seized, fill.repaid, fill.protocol_fee):
        run.seen["as the data provider says"] += 1
        return
    debt = next(leg for leg in run.market("aave_v36").health(_view(run), fill.account, at_s).legs if _owes(leg, fill.debt_token))
    unit = 10 ** run.market("aave_v36").cells.of_asset(_view(run), fill.debt_token, "decimals")
    assert (debt.amount - fill.repaid) * debt.price // unit == MIN_LEFTOVER_BASE - 1


def _view(run: Run) -> Tables:
    return run.indexers["aave_v36"].tables


def _owes(leg: Leg, token: Address) -> bool:
    return leg.side == "debt" and leg.token == token


def _moved(receipt: dict[str, object]) -> tuple[int, int]:
    assert receipt["status"] == "0x1"
    logs = receipt["logs"]
    assert isinstance(logs, list)
    data = next(bytes.fromhex(log["data"][2:]) for log in logs if log["topics"][0] == LIQUIDATED)
    return word(data, 0), word(data, 1)
