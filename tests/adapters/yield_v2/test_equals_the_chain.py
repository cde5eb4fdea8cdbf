"""The whole adapter against the real contracts, on random states: levels, lots, payouts, legality, and what a deal leaves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from keeper.adapters.yield_v2 import YieldV2
from keeper.adapters.yield_v2.codec import call_data, id_word, selector, signed, vault_word, word
from keeper.adapters.yield_v2.deals import BUY, START
from keeper.adapters.yield_v2.market import YieldV2Market
from keeper.book.state import Tables
from keeper.devnet import Devnet
from keeper.devnet.names import derived
from keeper.errors import Skip
from keeper.options import Options
from keeper.types import Address, Fill, Key, Pair, Read
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.yield_v2.world import BUYER, KEEPER, World

CALC_PAYOUT = selector("calcPayout(bytes12,address,uint256)")
AUCTIONS, BALANCES, VAULTS = selector("auctions(bytes12)"), selector("balances(bytes12)"), selector("vaults(bytes12)")
LIMITS = selector("limits(bytes6,bytes6)")
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
REWARD_TO = derived("tests: reward")
STEPS_S = (1, 12, 12, 12, 60, 600, 1801, 86_400)
STATES, DEALT_STATES = 150, 200


@dataclass
class Run:
    net: Devnet
    world: World
    reader: NodeReader
    indexer: Indexer
    market: YieldV2Market
    now_s: int
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def view(self) -> Tables:
        return self.indexer.tables

    @property
    def accounts(self) -> list[Address]:
        return sorted(self.market.accounts(self.view))

    async def mine(self, step_s: int) -> None:
        self.now_s += step_s
        await self.net.mine(self.now_s)
        await self.indexer.sync()
        receipts = await self.reader.request("eth_getBlockReceipts", "latest")
        self.seen.update("succeeded" if receipt["status"] == "0x1" else "reverted" for receipt in receipts)


@pytest.fixture
async def run(net: Devnet) -> AsyncIterator[Run]:
    async with aiohttp.ClientSession() as session:
        reader, world = NodeReader(net.rpc, session), World(net, random.Random(1))
        await world.prepare()
        await net.mine()
        options = Options({"reward_to": [REWARD_TO]})
        market = await YieldV2().open(reader, "yield", net.addresses["yield.witch"], None, options)
        assert isinstance(market, YieldV2Market)
        indexer = Indexer(reader, market)
        head = await indexer.sync()
        yield Run(net, world, reader, indexer, market, head.timestamp_s)


async def test_levels_lots_and_payouts_equal_the_contracts_in_every_random_state(run: Run) -> None:
    for state in range(STATES):
        await _live(run)
        await _levels(run)
        await _tables(run)
        await _payouts(run)
        if state % 25 == 24:
            await _usual(run)
    assert run.seen["levels"] > 3000
    assert min(run.seen[kind] for kind in ("below", "matured", "on auction", "bargains", "payouts")) > 100
    assert min(run.seen["succeeded"], run.seen["reverted"]) > 200


async def test_deals_are_legal_exactly_where_the_contract_takes_them_and_move_what_it_moves(run: Run) -> None:
    for state in range(DEALT_STATES):
        await _live(run)
        await _legality(run)
        await _deal(run)
        if state % 5 == 4:
            await _usual(run)
    assert min(run.seen["legal start"], run.seen["illegal start"], run.seen["legal buy"], run.seen["illegal buy"]) > 100
    assert min(run.seen[kind] for kind in ("started", "bought all", "bought some", "bought matured")) >= 5


# --- walking ------------------------------------------------------------------------------------------------------


async def _live(run: Run) -> None:
    world, step_s = run.world, run.world.rng.choice(STEPS_S)
    actions = [*world.tick(0.1), *world.tick(0.05)]
    for _ in range(world.rng.randrange(1, 4)):
        actions += world.action(run.accounts, run.now_s + step_s)
    if world.rng.random() < 0.25:
        actions += world.governance()
    if world.rng.random() < 0.1:
        actions.append(world.gift())
    await world.send(actions)
    await run.mine(step_s)


async def _usual(run: Run) -> None:
    await run.world.send(run.world.usual())
    await run.mine(12)


# --- comparing ----------------------------------------------------------------------------------------------------


async def _levels(run: Run) -> None:
    """Also that `health` has the sign of the level, or of the bargain, and that rows never miss."""
    for at_s in (run.now_s, run.now_s + run.world.rng.choice([1, 12, 3000, 10**6])):
        audits = {account: run.market.audit(run.view, account, at_s) for account in run.accounts}
        replies = await run.reader.calls([audit.read for audit in audits.values()], at_s=at_s)
        for (account, audit), reply in zip(audits.items(), replies, strict=True):
            assert reply is not None
            assert audit.words == {0: word(reply, 0)}, account
            _judged(run, account, at_s, signed(word(reply, 0)))


def _judged(run: Run, account: Address, at_s: int, level: int) -> None:
    health, found = run.market.health(run.view, account, at_s), run.market.position(run.view, account, at_s)
    assert found is not None
    run.seen.update({"levels": 1, "below": level < 0, "matured": found.growth.accrual_wad is not None, "on auction": found.lot is not None})
    if found.lot is None:
        assert health.liquidatable == (level < 0)
        surplus = level * found.base.price / 10**found.base.decimals
    else:
        surplus = found.asked * found.base.price / 10**found.base.decimals - found.offered * found.ilk.price / 10**found.ilk.decimals
        assert health.liquidatable == (surplus < 0) or abs(surplus) < 1
        run.seen["bargains"] += health.liquidatable
    (row,) = run.market.rows(run.view, account)
    factors = run.market.factors(run.view, at_s, row.weights)
    low = row.constant + sum(weight * factors[factor].value for factor, weight in row.weights.items())
    high = low + row.slack + sum(abs(weight) * factors[factor].width + factors[factor].slack for factor, weight in row.weights.items())
    assert low <= surplus <= high, account
    assert high - low < 1e-6 * health.debt + 4e5, account  # a WBTC unit is 1e5


async def _tables(run: Run) -> None:
    """What the index says of every vault and limit, against the contracts' own words."""
    cells, view = run.market.cells, run.view
    witch, cauldron = run.market.deployment.witch, run.market.deployment.cauldron
    for account in run.accounts:
        reads = [Read(cauldron, call_data(head, vault_word(account))) for head in (VAULTS, BALANCES)]
        vault_words, balance_words, auction_words = await run.reader.calls([*reads, Read(witch, call_data(AUCTIONS, vault_word(account)))])
        assert vault_words
        assert balance_words
        assert auction_words
        vault, auction = cells.vault_of(view, account), cells.auction_of(view, account)
        assert vault
        assert (int(vault.owner, 16), id_word(vault.series), id_word(vault.ilk)) == tuple(word(vault_words, at) for at in range(3))
        assert (vault.art, vault.ink) == tuple(word(balance_words, at) for at in range(2))
        expected = [0] * 8
        if auction:
            base, ilk, series = (id_word(number) for number in (auction.base, auction.ilk, auction.series))
            owner, starter = int(auction.owner, 16), int(auction.auctioneer, 16)
            expected = [owner, auction.start_s, base, auction.ink, auction.art, starter, ilk, series]
        assert expected == [word(auction_words, at) for at in range(8)]
    for ilk, base in {(int(key[0]), int(key[1])) for key in view.keys(cells.limit)}:
        (limits,) = await run.reader.calls([Read(witch, call_data(LIMITS, id_word(ilk), id_word(base)))])
        assert limits
        assert tuple(word(limits, at) for at in range(2)) == tuple(view.get(cells.limit, (ilk, base, name)) for name in ("max", "sum"))


async def _payouts(run: Run) -> None:
    """Of every lot, for some of its debt, now and at other times: the clock is the contract's."""
    for account in run.accounts:
        auction = run.market.cells.auction_of(run.view, account)
        if auction is None or not auction.art:
            continue
        at_s, art = run.now_s + run.world.rng.choice([0, 1, 37, 900, 10**5]), run.world.rng.randrange(1, auction.art + 1)
        read = Read(run.market.deployment.witch, call_data(CALC_PAYOUT, vault_word(account), BUYER, art))
        (reply,) = await run.reader.calls([read], at_s=at_s)
        found = run.market.position(run.view, account, at_s)
        assert reply
        assert found
        assert found.lot
        cut = found.lot.split(art) if auction.auctioneer != BUYER else (sum(found.lot.split(art)), 0)
        assert (*cut, art) == tuple(word(reply, at) for at in range(3))
        run.seen["payouts"] += 1


# --- deals --------------------------------------------------------------------------------------------------------


async def _legality(run: Run) -> None:
    """Every vault both ways, bought at several amounts: legal here exactly where the contract takes it."""
    at_s, rng = run.now_s + 12, run.world.rng
    asked: list[tuple[Fill | Skip, Address, str, int]] = []
    for account in rng.sample(run.accounts, 8):
        asked.append((_try(run, account, START, 1, at_s), account, START, 1))
        asked += [(_try(run, account, BUY, cover, at_s), account, BUY, cover) for cover in _covers(run, account, at_s)]
    calls = [_call(run, account, kind, cover, at_s) for _, account, kind, cover in asked]
    for (fill, account, kind, cover), reply in zip(asked, await run.reader.batch(calls), strict=True):
        legal = isinstance(fill, Fill)
        assert legal == _taken(reply, kind), f"{kind} {account} {cover}: {fill} {reply}"
        run.seen[f"{'legal' if legal else 'illegal'} {kind}"] += 1


def _call(run: Run, account: Address, kind: str, cover: int, at_s: int) -> tuple[str, list[object]]:
    vault, witch = bytes.fromhex(account[2:26]), run.market.deployment.witch
    arguments = ("auction", vault, REWARD_TO) if kind == START else ("payBase", vault, BUYER, 0, cover)
    data = "0x" + run.net.encode("yield.witch", *arguments).hex()
    return "eth_call", [{"from": BUYER, "to": witch, "data": data}, "latest", {}, {"time": hex(at_s)}]


def _taken(reply: dict[str, Any], kind: str) -> bool:
    """A purchase of nothing is no deal, though the contract takes the money."""
    return "result" in reply and (kind == START or int(reply["result"][:66], 16) > 0)


def _covers(run: Run, account: Address, at_s: int) -> list[int]:
    found = run.market.position(run.view, account, at_s)
    if found is None or found.lot is None:
        return [10**9]
    pair = _pair(run, account, at_s)
    edges = [amount + step for amount in (pair.amounts if pair else (found.asked,)) for step in (-1, 0, 1)]
    return [cover for cover in (*edges, 1, found.asked // 3, found.asked * 2, run.world.rng.randrange(1, found.asked + 2)) if cover > 0]


def _pair(run: Run, account: Address, at_s: int) -> Pair | None:
    try:
        return next(iter(run.market.pairs(run.view, account, at_s)), None)
    except Skip:
        return None


def _try(run: Run, account: Address, kind: str, cover: int, at_s: int) -> Fill | Skip:
    found = run.market.position(run.view, account, at_s)
    assert found
    join = run.market.cells.join_of(run.view, run.market.deployment, found.vault.base) if kind == BUY else ""
    try:
        return run.market.fill(run.view, Pair(account, found.base.token, found.ilk.token, (), kind, join or ""), cover, at_s)
    except Skip as skip:
        return skip


async def _deal(run: Run) -> None:
    """A proposed deal, alone in its block, by the steps as they are encoded: amounts, and the whole state it leaves."""
    at_s = run.now_s + 12
    pairs = [pair for account in run.accounts if (pair := _pair(run, account, at_s))]
    if not pairs:
        return
    pair = run.world.rng.choice(pairs)
    cover = run.world.rng.choice([*pair.amounts, pair.amounts[-1] // 2 + 1])
    try:
        fill = run.market.fill(run.view, pair, cover, at_s)
    except Skip:
        assert cover not in pair.amounts
        return
    await _execute(run, fill)


async def _execute(run: Run, fill: Fill) -> None:
    expected = Tables()
    expected.write(run.view.cells())
    expected.write(fill.writes)
    for step in run.market.encode(fill, KEEPER):
        await run.net.send(KEEPER, step.target, step.data, gas=2_000_000)
    await run.mine(12)
    receipts = await run.reader.request("eth_getBlockReceipts", "latest")
    assert {receipt["status"] for receipt in receipts} == {"0x1"}
    assert _differing(expected, run.view) == {}
    receipt = receipts[0] if fill.kind == START else receipts[1]
    assert 0.6 < run.market.gas(fill) / int(receipt["gasUsed"], 16) < 1.7
    assert _moved(receipt["logs"], fill) == (fill.repaid, fill.seized, fill.protocol_fee)
    run.seen[_name(run, fill)] += 1


def _moved(logs: Iterable[dict[str, Any]], fill: Fill) -> tuple[int, int, int]:
    """(paid, got, what the starter got) by the tokens' own events."""
    found: Counter[str] = Counter()
    for log in logs:
        if log["topics"][0] == TRANSFER:
            sender, receiver, amount = log["topics"][1][-40:], log["topics"][2][-40:], int(log["data"], 16)
            if log["address"] == fill.debt_token and sender == KEEPER[2:]:
                found["paid"] += amount
            elif log["address"] == fill.collateral_token:
                found["got" if receiver == KEEPER[2:] else "cut"] += amount
    return found["paid"], found["got"], found["cut"]


def _name(run: Run, fill: Fill) -> str:
    if fill.kind == START:
        return "started"
    run.seen["bought matured"] += run.view.get(run.market.cells.series, (_series(run, fill), "rate")) > 0
    run.seen["promised"] += bool(fill.promised)
    return "bought some" if run.market.cells.auction_of(run.view, fill.account) else "bought all"


def _series(run: Run, fill: Fill) -> int:
    vault = run.market.cells.vault_of(run.view, fill.account)
    assert vault
    return vault.series


def _differing(expected: Tables, actual: Tables) -> dict[tuple[str, Key], tuple[int, int]]:
    """(expected, actual) of every cell that differs."""
    left, right = ({(table, key): value for table, key, value in tables.cells()} for tables in (expected, actual))
    return {name: (left.get(name, 0), right.get(name, 0)) for name in left.keys() | right.keys() if left.get(name, 0) != right.get(name, 0)}
