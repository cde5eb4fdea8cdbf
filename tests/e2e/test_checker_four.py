"""The judge of four protocols: on a calm devnet nothing is due; after a crash it sees money of every kind, and what it says is paid."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from keeper.devnet import Devnet
from keeper.devnet.genesis import morpho
from keeper.devnet.names import BENEFICIARY, DEPLOYER, OPERATOR, PERP_MARKETS, TRADER
from keeper.devnet.paths import path
from keeper.types import Address
from tests.e2e.calls import CALLBACK, FLASH_LOAN, FLASH_SWAP, NO_FUNDING, execute
from tests.e2e.checker import ALL, Attempt, Report, check, moved, prices_of, protocol_of, worth_wei
from tests.e2e.checker.attempts import valuer
from tests.e2e.checker.perp import TakeOver
from tests.e2e.checker.witch import MOST, Take, vault_of
from tests.e2e.world import World, world

SEED = 3
ACCOUNTS = 40
CRASH_STEPS = 6
AUCTION_AGE_S = 2700
FUNDINGS = {
    ("aave", "liquidate"): {NO_FUNDING, FLASH_LOAN, FLASH_SWAP},
    ("morpho", "shares"): {FLASH_LOAN, FLASH_SWAP, CALLBACK},
    ("morpho", "assets"): {FLASH_LOAN, FLASH_SWAP, CALLBACK},
    ("yield", "start"): {NO_FUNDING},
    ("yield", "buy"): {FLASH_LOAN, FLASH_SWAP},
    ("perp", "liquidate"): {FLASH_LOAN},
    ("perp", "collateral"): {FLASH_LOAN, FLASH_SWAP},
}
HATCHED = ("liar", "toll", "frozen")
KINDS = pytest.mark.parametrize("kind", FUNDINGS, ids="-".join)


@dataclass(frozen=True, slots=True)
class Judged:
    """A devnet some blocks into a crash that no keeper has seen, with the judge's word before and after."""

    here: World
    before: Report
    after: Report

    def profitable(self, kind: tuple[str, str]) -> list[Attempt]:
        return [a for a in self.after.profitable if (protocol_of(a.choice.market), a.choice.kind) == kind]


@pytest.fixture(scope="module")
async def judged() -> AsyncIterator[Judged]:
    async with world(ACCOUNTS, SEED) as here:
        before = await check(here.net, here.executor, protocols=ALL)
        await crash(here.net)
        await start_auctions(here.net)
        await hatch(here.net)
        yield Judged(here, before, await check(here.net, here.executor, protocols=ALL))


async def crash(net: Devnet) -> None:
    """With time for the perpetual markets to follow."""
    for prices in path("crash", CRASH_STEPS, SEED, await net.prices()):
        await net.set_prices(prices)
        await net.mine()
        await net.arbitrage()
        await net.mine()


async def start_auctions(net: Devnet) -> None:
    """Of every other vault, by a stranger; so long ago that buying pays, and that average prices have followed."""
    for vault in net.vaults[::2]:
        if (await net.read("yield.cauldron", "level", vault_of(vault.address)))[0] < 0:
            await net.call(TRADER, "yield.witch", "auction", vault_of(vault.address), TRADER)
    head = await net.request("eth_getBlockByNumber", "latest", False)
    await net.mine(int(head["timestamp"], 16) + AUCTION_AGE_S)


async def hatch(net: Devnet) -> None:
    """The hostile oracles say less, so that their borrowers are due."""
    for name in HATCHED:
        (price,) = await net.read(f"morpho.oracle.{name}", "price")
        await net.call(TRADER, f"morpho.oracle.{name}", "say", price * 97 // 100)


def test_on_a_calm_devnet_nobody_is_due_and_nothing_can_be_earned(judged: Judged) -> None:
    assert judged.before.positions == ()
    assert judged.before.attempts == ()


@KINDS
def test_every_kind_of_deed_is_seen_to_pay_with_every_funding_that_can_carry_it(judged: Judged, kind: tuple[str, str]) -> None:
    found = judged.profitable(kind)
    assert {attempt.funding.kind for attempt in found} == FUNDINGS[kind]
    loans = {attempt.funding.source for attempt in found if attempt.funding.kind == FLASH_LOAN}
    lenders = {judged.here.net.addresses[name] for name in ("aave_v36.pool", "aave_v302.pool", "morpho.blue")}
    assert loans == (lenders if FLASH_LOAN in FUNDINGS[kind] else set())


def test_no_other_kind_of_deed_is_ever_tried(judged: Judged) -> None:
    assert set(judged.after.best()) == set(FUNDINGS)


def test_both_perpetual_markets_are_looked_at_and_makers_too(judged: Judged) -> None:
    found = [a.choice for a in judged.profitable(("perp", "liquidate"))]
    taken = [choice for choice in found if isinstance(choice, TakeOver)]
    assert {choice.target for choice in taken} == {judged.here.net.addresses[f"perp.base.{symbol}"] for symbol in PERP_MARKETS}
    assert any(choice.orders for choice in taken)


def test_of_everybody_ten_amounts_are_tried(judged: Judged) -> None:
    tried: dict[tuple[str, Address, str, str], set[int]] = {}
    for position in judged.after.positions:
        for deed in position.deeds:
            target = deed.target if isinstance(deed, TakeOver) else deed.debt + deed.collateral
            tried.setdefault((deed.market, deed.account, deed.kind, target), set()).add(deed.cover)
    least = {"start": 1, "shares": 9, "assets": 9, "collateral": 9, "liquidate": 10, "buy": 10}
    full = [kind for (_, _, kind, _), amounts in tried.items() if len(amounts) == least[kind]]
    assert set(full) == set(least)
    assert len(full) > len(tried) * 9 // 10


def test_hostile_markets_have_somebody_due_but_pay_nobody(judged: Judged) -> None:
    ids = {market.oracle: morpho.market_id(judged.here.net.addresses, market) for market in morpho.HOSTILE}
    due = {position.market for position in judged.after.positions}
    assert {name for name in HATCHED if ids[name] in due} == {"liar", "toll"}  # what is frozen is seized by nobody
    assert [attempt for attempt in judged.after.profitable if attempt.choice.market in {ids[name] for name in HATCHED}] == []


async def test_tokens_nobody_prices_are_worth_nothing(judged: Judged) -> None:
    net = judged.here.net
    prices = await prices_of(net, valuer("morpho"))
    gains = {net.addresses["morpho.token.TOLL"]: 10**24, net.addresses["token.WETH"]: 7}
    assert worth_wei(net, prices, gains) == 7


@KINDS
async def test_what_is_promised_is_what_the_chain_pays(judged: Judged, kind: tuple[str, str]) -> None:
    best = judged.after.best()[kind]
    snapshot = await judged.here.net.snapshot()
    try:
        await assert_paid(judged.here, best)
    finally:
        await judged.here.net.revert(snapshot)


async def assert_paid(here: World, best: Attempt) -> None:
    """What the beneficiary gets in that block is worth the gain, and the gas costs what was said."""
    net = here.net
    sent = await net.send(OPERATOR, here.executor, execute(net, here.executor, best.choice, best.funding, best.path))
    bought = [await buy_all(net, best)] if best.choice.promised else []
    block = await net.request("eth_getBlockByNumber", hex(await net.mine()), False)
    receipts = [await net.request("eth_getTransactionReceipt", tx) for tx in (sent, *bought)]
    assert [receipt["status"] for receipt in receipts] == ["0x1"] * len(receipts)
    gains = moved([log for receipt in receipts for log in receipt["logs"]], to=BENEFICIARY)
    oracle = valuer(best.choice.market)
    assert worth_wei(net, await prices_of(net, oracle), gains) == best.gain_wei > 0
    assert int(receipts[0]["gasUsed"], 16) * int(block["baseFeePerGas"], 16) == best.cost_wei


async def buy_all(net: Devnet, best: Attempt) -> str:
    """Into the mempool: a stranger buys all of the auction that is started."""
    whole = Take(best.choice.market, best.choice.account, best.choice.debt, best.choice.collateral, MOST)
    symbol = next(name for name, token in net.addresses.items() if token == best.choice.debt and name.startswith("token."))
    await net.send(DEPLOYER, best.choice.debt, net.encode(symbol, "mint(address,uint256)", DEPLOYER, 2**100))
    allow, buy, _ = whole.calls(net, DEPLOYER)
    await net.send(DEPLOYER, allow.to, allow.data)
    return await net.send(DEPLOYER, buy.to, buy.data)
