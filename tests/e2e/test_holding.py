"""Positions are taken over and kept on an account contract of ours, while the market falls by 40 %: by what the chain says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from keeper.adapters.perp_v2.codec import signed_word, topic
from keeper.commands.inventory import KINDS, inventory
from keeper.devnet.names import derived
from keeper.types import DEPOSIT, Address
from keeper.types.holding import EXIT, FEE, FUNDING, HEDGE, INHERITED, OTHER, PAPER, PRICE
from tests.e2e.accounts import configured, housed
from tests.e2e.test_reorg import replace
from tests.e2e.world import Keeper, World, assert_ledger_is_the_chain, keeper_on, ours, query, settle_down, step, succeeded, world

pytestmark = pytest.mark.timeout(300)

USD = 10**6
STRANGER = derived("tests: a stranger with money to give away")
CHANGED = topic("PositionChanged(address,address,int256,int256,uint256,int256,int256,uint256)")
BOOKS = ("ETH", "BTC")
CRASH_PERCENT = 40
DEADLINE_BLOCKS = 3
BAND_BPS = 1500
DOWN = {"WETH": 100, "wstETH": 100, "WBTC": 100}
"""By so many percent of what ether falls."""


@dataclass
class Own:
    """Our account on the chain, block by block."""

    here: World
    account: Address
    held: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {book: [] for book in BOOKS})
    sizes: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {book: [] for book in BOOKS})
    """(block, value at the mark or size, with 18 decimals) in every block."""

    async def look(self, block: int) -> None:
        """Never liquidatable."""
        net = self.here.net
        value, required = await self.value(), await self._of("account_balance", "getMarginRequirementForLiquidation")
        assert value >= required, f"liquidatable in block {block}: value {value}, requirement {required}"
        for book in BOOKS:
            base = net.addresses[f"perp.base.{book}"]
            for seen, what in ((self.held, "Value"), (self.sizes, "Size")):
                found = await net.read("perp.account_balance", f"getTotalPosition{what}", self.account, base)
                seen[book].append((block, found[0]))

    def price(self, book: str, block: int) -> int:
        """At the mark, with 18 decimals; 0 where nothing is held."""
        values, sizes = dict(self.held[book]), dict(self.sizes[book])
        return values[block] * 10**18 // sizes[block] if sizes[block] else 0

    async def grown(self, book: str, since: int, until: int) -> int:
        """By how much our trades in these blocks made its position larger, on whichever side."""
        topics = [CHANGED, *("0x" + address[2:].zfill(64) for address in (self.account, self.here.net.addresses[f"perp.base.{book}"]))]
        where = {
            "fromBlock": hex(since),
            "toBlock": hex(until),
            "address": self.here.net.addresses["perp.clearing_house"],
            "topics": topics,
        }
        bases = [signed_word(bytes.fromhex(log["data"][2:]), 0) for log in await self.here.net.request("eth_getLogs", where)]
        return max(sum(base for base in bases if base > 0), -sum(base for base in bases if base < 0))

    async def value(self) -> int:
        return await self._of("clearing_house", "getAccountValue")

    async def _of(self, contract: str, function: str) -> int:
        found: int = (await self.here.net.read(f"perp.{contract}", function, self.account))[0]
        return found

    @property
    def holds(self) -> bool:
        return any(seen and seen[-1][1] for seen in self.held.values())


@asynccontextmanager
async def keeping(mode: str, margin: int, per_market: int = 50_000) -> AsyncIterator[Own]:
    """A world in whose config an account of ours keeps positions."""
    async with world(40, 1, markets=("perp",)) as here:
        account = await housed(here)
        await here.net.deal("USDC", account, margin * USD)
        bases = [here.net.addresses[f"perp.base.{book}"] for book in BOOKS]
        hedges = f'hedges = [{{ target = "{bases[0]}", against = "{bases[1]}" }}]' if mode == "hedge" else ""
        yield Own(configured(here, account, f'mode = "{mode}"\nper_market = {per_market}\nin_all = 100_000\n{hedges}'), account)


async def moved(own: Own, keeper: Keeper, percent: float) -> None:
    """Prices fall by so much; two blocks more let arbitrage follow."""
    prices = await own.here.net.prices()
    to = {symbol: prices[symbol] * (10_000 - int(percent * share)) // 10_000 for symbol, share in DOWN.items()}
    for block in range(3):
        if block:
            await own.here.net.arbitrage()
        number = await step(own.here, keeper, None if block else to)
        await keeper.ready(number)
        await own.look(number)


async def slide(own: Own, keeper: Keeper, until_held: bool = False) -> None:
    """By 40 % in small steps."""
    for _ in range(20):
        await moved(own, keeper, 2.5)
        if until_held and own.holds:
            return


async def jump(own: Own, keeper: Keeper) -> None:
    """Down in steps until something is held, by 40 % at once, and down in steps again."""
    for _ in range(12):
        await moved(own, keeper, 2)
        if own.holds:
            break
    assert own.holds
    await moved(own, keeper, CRASH_PERCENT)
    for _ in range(8):
        await moved(own, keeper, 2)


def stuck(own: Own, keeper: Keeper, block: int) -> bool:
    """Whether it was told that nothing can be sold now, for what the next block would have."""
    told = (o for report in keeper.reports if report.head.number == block - 1 for o in report.outcomes if o.account == own.account)
    return any(outcome.reason in {"tick_limit", "price_band", "exit_cap"} for outcome in told)


@pytest.mark.parametrize("margin", [3_000, 100_000])
async def test_what_is_taken_is_gone_within_three_blocks_and_earns_money(margin: int) -> None:
    async with keeping("hold", margin) as own, keeper_on(own.here) as keeper:
        await step(own.here, keeper)
        await slide(own, keeper)
        for book in BOOKS:
            for block, size in own.sizes[book]:
                assert abs(size) <= await own.grown(book, block - DEADLINE_BLOCKS + 1, block)
        assert any(size for seen in own.sizes.values() for _, size in seen)
        await all_well(own, keeper, DEPOSIT, INHERITED, PAPER, PRICE, FUNDING, EXIT, FEE)
        assert await own.value() > margin * 10**18


@pytest.mark.parametrize("margin", [3_000, 100_000])
async def test_a_crash_of_a_single_block_does_not_reach_us_and_what_the_exchange_does_not_let_go_is_told_of(margin: int) -> None:
    """An exchange's price may move by so much at once, and arbitrage is there first."""
    async with keeping("hold", margin) as own, keeper_on(own.here) as keeper:
        await step(own.here, keeper)
        await jump(own, keeper)
        for book in BOOKS:
            for block, size in own.sizes[book]:
                assert stuck(own, keeper, block) or abs(size) <= await own.grown(book, block - DEADLINE_BLOCKS + 1, block)
        await all_well(own, keeper)


async def test_what_is_kept_is_hedged_within_three_blocks() -> None:
    async with keeping("hedge", 100_000) as own, keeper_on(own.here) as keeper:
        await step(own.here, keeper)
        await slide(own, keeper)
        both = list(zip(own.held["ETH"], own.held["BTC"], strict=True))
        for (block, ether), (_, bitcoin) in both:
            fresh = sum([await own.grown(book, block - DEADLINE_BLOCKS + 1, block) * own.price(book, block) for book in BOOKS]) // 10**18
            assert abs(ether + bitcoin) <= abs(ether) * BAND_BPS // 10_000 + fresh + 1
        assert any(ether * bitcoin < 0 for (_, ether), (_, bitcoin) in both)
        await all_well(own, keeper, DEPOSIT, INHERITED, PAPER, PRICE, FUNDING, HEDGE, EXIT, FEE)
        assert await own.value() > 100_000 * 10**18


async def all_well(own: Own, keeper: Keeper, *kinds: str) -> None:
    """Nothing reverted, the ledger is what the chain says, and why what we have changed is told to the unit."""
    await settle_down(own.here, keeper)
    await keeper.ready(await step(own.here, keeper))
    had = [row async for row in await inventory(own.here.settings, over_time=True)]
    lives = [row async for row in await inventory(own.here.settings)]
    assert abs(had[-1]["equity"] - await own.value()) < 10**12  # the contract tells it in the token's own unit
    assert sum(row["total"] for row in lives) == had[-1]["equity"] - had[0]["equity"]
    assert all(sum(row[kind] for kind in KINDS) == row["equity"] - last["equity"] for last, row in pairwise(had))
    assert {kind for kind in KINDS if any(row[kind] for row in lives)} >= {*kinds}
    unnamed, moved = (sum(abs(row[kind]) for row in had for kind in some) for some in ((OTHER,), KINDS))
    assert unnamed * 10_000 < moved
    assert all(succeeded(receipt) for receipt in await ours(own.here))
    await assert_ledger_is_the_chain(own.here)


async def test_no_more_is_taken_than_the_limit_allows_and_the_rest_is_told_of() -> None:
    most = 500
    async with keeping("hold", 100_000, per_market=most) as own, keeper_on(own.here) as keeper:
        await step(own.here, keeper)
        await slide(own, keeper)
        assert max(abs(value) for seen in own.held.values() for _, value in seen) <= most * 10**18 * 101 // 100  # the mark moves on
        told = [o for report in keeper.reports for o in report.outcomes if o.reason == "inventory_limit"]
        assert told


async def deposited(own: Own, amount: int) -> None:
    """By a stranger, as anybody can."""
    net, calls = own.here.net, [("token.USDC", "approve"), ("perp.vault", "depositFor")]
    await net.request("anvil_setBalance", STRANGER, hex(10**20))
    await net.deal("USDC", STRANGER, amount)
    arguments: list[tuple[object, ...]] = [(net.addresses["perp.vault"], amount), (own.account, net.addresses["token.USDC"], amount)]
    for (name, function), words in zip(calls, arguments, strict=True):
        await net.send(STRANGER, net.addresses[name], net.encode(name, function, *words), gas=2_000_000)


async def test_what_is_told_adds_up_over_restarts_and_blocks_that_are_taken_back() -> None:
    async with keeping("hold", 100_000) as own:
        async with keeper_on(own.here) as keeper:
            await step(own.here, keeper)
            await slide(own, keeper, until_held=True)
            await replace(own.here, keeper, 2)
            await deposited(own, 777 * USD)
            await moved(own, keeper, 1)
        await own.here.net.set_prices({"WETH": (await own.here.net.prices())["WETH"] * 99 // 100})
        await own.here.net.mine()
        async with keeper_on(own.here) as keeper:
            await moved(own, keeper, 2)
            await slide(own, keeper, until_held=True)
        async with keeper_on(own.here) as keeper:
            for _ in range(8):
                await keeper.ready(await step(own.here, keeper))
            await all_well(own, keeper, INHERITED)
        gift = query(own.here, "select kind from entries where amount = '777000000000000000000' and account != '' and tx != ''")
        assert gift == [(DEPOSIT,)]
        assert query(own.here, "select count(*) from entries where reverses is not null and account != ''") != [(0,)]
