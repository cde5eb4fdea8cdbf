"""The starter's share of a lot is income of ours in the block in which somebody buys: as much as the token's own log says came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from keeper.app import Chain, ledger_path, open_chain
from keeper.book.state import Overlay
from keeper.config import load
from keeper.devnet import Devnet
from keeper.devnet.names import BENEFICIARY
from keeper.ledger.ledger import PAID, Ledger, LedgerRow
from keeper.ledger.rewards import STRANGER, Rewards
from keeper.planning.rivals import Reckoner
from keeper.ports import Auctioneer
from keeper.types import Address
from tests.e2e.auctions import Rival
from tests.ledger.test_ledger import raw, row
from tests.markets import only
from tests.planning.test_patience import STARTER

LATER_S = 900


@dataclass
class Scene:
    """Lots are for sale: what every second brings its starter is ours."""

    net: Devnet
    chain: Chain
    ledger: Ledger
    rival: Rival
    lots: list[Address]

    def rewards(self) -> Rewards:
        chain = self.chain
        reckoner = Reckoner(chain.book.sources, chain.predictor, chain.patience, 10**8)
        return Rewards(chain.book, chain.bookkeeper, chain.reader, reckoner, self.ledger)

    async def bought(self, *lots: Address, part: int = 1, at_s: int | None = None) -> int:
        """In one block; what our beneficiary got."""
        before = await self.balance()
        for lot in lots:
            _, art = await self.rival.auction(lot)
            await self.rival.buy(lot, art // part if part > 1 else 2**128 - 1)
        await self.net.mine(at_s)
        await self.chain.catch_up()
        return await self.balance() - before

    async def balance(self) -> int:
        found: int = (await self.net.read("token.WETH", "balanceOf", BENEFICIARY))[0]
        return found

    async def paid(self) -> list[LedgerRow]:
        return await self.ledger.paid()


@asynccontextmanager
async def staged(net: Devnet, folder: Path) -> AsyncIterator[Scene]:
    prices, rival = await net.prices(), Rival(net, 0)
    await rival.prepare()
    await net.set_prices({"WETH": prices["WETH"] * 90 // 100})
    await net.mine()
    settings = only(load(net.config, {"KEEPER_DATA_DIR": str(folder)}), "yield")
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=True) as chain:
        lots = await started(net, rival)
        ledger = await Ledger.open(ledger_path(settings, settings.chains[0]), settings.chains[0].chain_id)
        await chain.catch_up()
        yield Scene(net, chain, ledger, rival, lots)
        await ledger.close()


async def started(net: Devnet, rival: Rival) -> list[Address]:
    """Put up for sale a while ago."""
    await net.request("anvil_setBalance", STARTER, hex(10**24))
    vaults = [Address(vault.address) for vault in net.vaults]
    for place, account in enumerate(vaults):
        receiver = BENEFICIARY if place % 2 == 0 else STARTER
        data = net.encode("yield.witch", "auction", bytes.fromhex(account[2:26]), receiver)
        await net.send(STARTER, net.addresses["yield.witch"], data, gas=1_000_000)
    await net.mine()
    now_s = int((await net.request("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    await net.mine(now_s + LATER_S)
    return [account for account in vaults if (await rival.auction(account))[0]]


async def ours_and_not(scene: Scene) -> tuple[list[Address], list[Address]]:
    """Lots of one kind of collateral, by whose their starter's share is."""
    found: tuple[list[Address], list[Address]] = [], []
    kinds = set()
    for lot in scene.lots:
        _, _, _, _, _, starter, kind, _ = await scene.net.read("yield.witch", "auctions", bytes.fromhex(lot[2:26]))
        kinds.add(kind)
        if len(kinds) == 1:
            found[starter.lower() != BENEFICIARY].append(lot)
    return found


def amounts(rows: Sequence[LedgerRow]) -> list[int]:
    assert all(one.predicted_profit == one.realised_profit > 0 for one in rows)
    assert all(one.gains == {one.profit_token: one.realised_profit} and not one.gas_paid_wei for one in rows)
    assert all(one.net_eth_wei > 0 for one in rows)
    assert {one.result for one in rows} <= {PAID}
    return [one.realised_profit for one in rows]


async def test_what_comes_is_booked_to_the_wei_with_what_earned_it_and_once(net: Devnet, tmp_path: Path) -> None:
    async with staged(net, tmp_path) as scene:
        (first, second, *_), (other, *_) = await ours_and_not(scene)
        started_s = (await scene.rival.auction(first))[0]
        own = replace(row(0x5A, block=1), market="yield", account=first, timestamp_s=started_s)
        await scene.ledger.append([own])
        rewards = scene.rewards()
        await rewards.look()
        assert not await scene.paid()
        came = await scene.bought(first, other, part=3)
        for again in (rewards, rewards, scene.rewards()):
            await again.look()
            (booked,) = await scene.paid()
            assert amounts([booked]) == [came]
        assert (booked.account, booked.reason) == (first, f"started by {own.tx}")
        both = await scene.bought(second, first)
        await rewards.look()
        rows = (await scene.paid())[1:]
        assert sum(amounts(rows)) == both
        assert {(one.account, one.reason) for one in rows} == {(first, f"started by {own.tx}"), (second, STRANGER)}
        assert (await scene.ledger.totals()).results == {"won": 1, PAID: 3}


async def test_what_was_paid_while_nobody_looked_is_made_up_for(net: Devnet, tmp_path: Path) -> None:
    """So is what a keeper that was killed had seen and not written down."""
    async with staged(net, tmp_path) as scene:
        (first, second, *_), _ = await ours_and_not(scene)
        await scene.ledger.append([row(1, block=1)])
        came = await scene.bought(first) + await scene.bought(second)
        await scene.rewards().look()
        assert sum(amounts(await scene.paid())) == came


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_reorg_takes_back_what_was_paid_and_the_sum_is_what_came_in_the_end(net: Devnet, tmp_path: Path, restarted: bool) -> None:
    async with staged(net, tmp_path) as scene:
        (first, second, *_), _ = await ours_and_not(scene)
        await scene.ledger.append([row(1, block=1)])
        rewards, snapshot = scene.rewards(), await net.snapshot()
        await scene.bought(first, second)
        await rewards.look()
        assert len(await scene.paid()) == 2
        await net.revert(snapshot)
        came = await scene.bought(second, at_s=scene.chain.head.timestamp_s + 7)
        await (scene.rewards() if restarted else rewards).look()
        assert amounts(await scene.paid()) == [came]
        every = await raw(scene.ledger, "SELECT realised_profit, reverses FROM ledger WHERE result = 'paid'")
        assert sum(int(str(amount)) for amount, _ in every) == came
        assert len([reverses for _, reverses in every if reverses]) == 2


async def test_of_two_parts_in_one_transaction_the_second_is_reckoned_on_what_the_first_left(net: Devnet, tmp_path: Path) -> None:
    async with staged(net, tmp_path) as scene:
        (first, *_), _ = await ours_and_not(scene)
        await scene.bought(first, part=3)
        book, market = scene.chain.book, scene.chain.predictor.markets["yield"]
        assert isinstance(market, Auctioneer)
        view = book.before(scene.chain.head.hash)
        assert view
        logs = (await scene.chain.bookkeeper.block(scene.chain.head)).logs
        (once,), (one, two) = market.bought(logs, view), market.bought([*logs, *logs], view)
        left = Overlay(view)
        left.write(write for log in logs for write in market.apply(log, left))
        (later,) = market.bought(logs, left)
        assert once == one != two
        assert two.reward == later.reward


async def test_the_transaction_that_paid_us_may_be_ours_and_keeps_its_own_row(net: Devnet, tmp_path: Path) -> None:
    """Only that one is reversed by the fate of the transaction."""
    async with staged(net, tmp_path) as scene:
        (first, *_), _ = await ours_and_not(scene)
        await scene.ledger.append([row(1, block=1)])
        await scene.bought(first)
        await scene.rewards().look()
        (booked,) = await scene.paid()
        own = replace(row(2, block=booked.block), tx=booked.tx)
        await scene.ledger.append([own])
        await scene.ledger.append([own])
        assert len(await scene.ledger.rows()) == 3
        await scene.ledger.reverse([booked.tx], scene.chain.head)
        assert await scene.paid() == [booked]
