"""What a fill of our own account promises is what its calls do: every cell, our own included, to the wei."""

from __future__ import annotations

from random import Random

import pytest

from keeper.adapters.perp_v2 import PerpV2
from keeper.adapters.perp_v2.market import PerpV2Market
from keeper.book.state import Overlay, Tables
from keeper.devnet.rpc import RpcError
from keeper.errors import Skip
from keeper.inventory.port import Holdable
from keeper.options import Options
from keeper.types import CLOSE, DEPOSIT, OPEN, TAKE, WITHDRAW, Address, Fill, Pair, Step
from tests.adapters.chain import Indexer, NodeReader
from tests.adapters.perp_v2.curie import Curie, member
from tests.adapters.perp_v2.play import USD, Play
from tests.adapters.perp_v2.test_liquidation import Stage, differing, entered
from tests.adapters.perp_v2.truth import differences, questions

OURS = member("our account")
MARGIN = 50_000

Cells = dict[tuple[str, tuple[int | str, ...]], int]


def cells(view: Tables | Overlay, market: PerpV2Market) -> Cells:
    names = [name for name in vars(market.cells).values() if isinstance(name, str) and name.startswith("test/")]
    return {(name, key): view.get(name, key) for name in names for key in view.keys(name)}


class House(Stage):
    """Everybody in place, and `OURS` with margin in the vault and money beside it."""

    def pair(self, kind: str, market: str = "ETH") -> Pair:
        target = self.curie.at(f"base.{market}")
        return Pair(OURS, self.curie.usdc, self.curie.usdc, (), kind, target, OURS)

    async def made(self, kind: str, cover: int, market: str = "ETH") -> Fill:
        """Filled, executed by our own account in the next block, and compared."""
        return await self.proven_own(await self.filled(self.pair(kind, market), cover))

    async def taken(self, who: Address, cover: int | None = None) -> Fill:
        (pair,) = self.market.takes(self.indexer.tables, who, OURS, await self.upcoming_s())
        assert (pair.kind, pair.by) == (TAKE, OURS)
        return await self.proven_own(await self.filled(pair, cover or pair.amounts[-1]))

    async def proven_own(self, fill: Fill) -> Fill:
        promised = cells(Overlay(self.indexer.tables, fill.writes), self.market)
        await self.sent(fill)
        await self.indexer.sync()
        assert differing(promised, cells(self.indexer.tables, self.market)) == []
        return fill

    async def sent(self, fill: Fill) -> None:
        """Its calls in the next block. Raises AssertionError on a revert."""
        net, at_s = self.curie.net, await self.upcoming_s()
        steps = [step for step in (*fill.before, *self.market.encode(fill, OURS)) if isinstance(step, Step)]
        sent = [await net.send(OURS, step.target, step.data) for step in steps]
        await net.mine(at_s)
        for tx in sent:
            receipt = await net.request("eth_getTransactionReceipt", tx)
            assert receipt["status"] == "0x1", await net.request("debug_traceTransaction", tx, {"tracer": "callTracer"})

    async def equals_the_chain(self) -> None:
        """The account's numbers, as the contracts tell them."""
        at_s = await self.upcoming_s()
        asked = list(questions(self.curie, self.market, self.indexer.tables, OURS, at_s))
        assert await differences(self.reader, asked, at_s) == []
        found = self.market.account(self.indexer.tables, OURS, at_s)
        standing = self.market.standing(self.indexer.tables, OURS, at_s)
        assert (standing.equity // 10**12 * 10**12, standing.required) == (found.counted, found.requirement)

    @property
    def reader(self) -> NodeReader:
        return self.indexer.reader


@pytest.fixture
async def house(curie: Curie, reader: NodeReader) -> House:
    play = Play(curie, Random(11))
    await play.begin()
    await curie.enrich(OURS, "USDC", 2 * MARGIN * USD)
    await play.deposit(OURS, MARGIN)
    market = await PerpV2().open(reader, "test", curie.at("clearing_house"), None, Options({"accounts": [OURS]}))
    assert isinstance(market, PerpV2Market)
    assert isinstance(market, Holdable)
    return House(play, market, Indexer(reader, market))


@pytest.mark.parametrize(("short", "factor"), [(False, 0.95), (True, 1.05)])
async def test_a_position_is_taken_kept_and_traded_away_in_slices(house: House, short: bool, factor: float) -> None:
    who = await entered(house, "one", "ETH", short, 1_000, 9_500)
    await house.crash("ETH", factor)
    size = (await house.taken(who)).counted
    await house.equals_the_chain()
    await house.play.wait(700)
    await house.play.reprice("ETH", 0.99)
    held = await house.made(CLOSE, size // 3)
    assert held.counted == size // 3
    await house.equals_the_chain()
    whole = await house.made(CLOSE, 2**255)
    assert whole.counted == size - size // 3
    assert house.market.standing(house.indexer.tables, OURS, await house.upcoming_s()).holdings == ()


async def test_what_is_taken_adds_to_and_reduces_what_is_held(house: House) -> None:
    """Funding that our own position owes is settled on the way."""
    await house.play.open(OURS, "ETH", False, 4_000)
    await house.play.wait(900)
    who = await entered(house, "one", "ETH", False, 1_000, 9_500)
    await house.crash("ETH", 0.95)
    await house.taken(who, 10**17)
    await house.taken(who, 3 * 10**17)
    other = await entered(house, "two", "ETH", True, 1_000, 9_500)
    await house.crash("ETH", 1.05)
    await house.crash("ETH", 1.03)
    await house.taken(other, 10**18)
    await house.taken(other)
    await house.equals_the_chain()


@pytest.mark.parametrize("sell", [True, False])
async def test_a_hedge_is_opened_in_another_book_turned_round_and_closed(house: House, sell: bool) -> None:
    await house.play.open(OURS, "ETH", not sell, 9_000)
    sign = -1 if sell else 1
    await house.made(OPEN, sign * 10**17, "BTC")
    await house.play.wait(100)
    await house.made(OPEN, -sign * 3 * 10**17, "BTC")
    await house.equals_the_chain()
    await house.made(CLOSE, 10**19, "BTC")
    await house.equals_the_chain()


async def test_margin_goes_in_and_comes_out(house: House) -> None:
    await house.play.open(OURS, "ETH", True, 9_000)
    await house.play.wait(800)
    await house.made(DEPOSIT, 7 * USD + 1)
    await house.play.reprice("ETH", 1.01)
    await house.play.wait(500)
    await house.made(WITHDRAW, 1_234 * USD + 5)
    await house.equals_the_chain()
    standing = house.market.standing(house.indexer.tables, OURS, await house.upcoming_s())
    assert standing.idle == (MARGIN - 7 + 1_234) * 10**18 + 4 * 10**12


async def test_all_that_is_free_can_be_withdrawn_and_no_more(house: House) -> None:
    await house.play.open(OURS, "ETH", True, 9_000)
    standing = house.market.standing(house.indexer.tables, OURS, await house.upcoming_s())
    free = standing.free // standing.scale
    with pytest.raises(Skip, match="margin"):
        await house.filled(house.pair(WITHDRAW), free + 1)
    await house.made(WITHDRAW, free)


async def test_more_margin_than_the_account_has_is_not_put_in(house: House) -> None:
    with pytest.raises(Skip, match="no_funds"):
        await house.filled(house.pair(DEPOSIT), (MARGIN + 1) * USD)


async def test_a_position_for_which_the_margin_is_not_there_is_refused(house: House) -> None:
    """By us, and by the contract."""
    who = await entered(house, "one", "ETH", False, 1_000, 9_500)
    await house.crash("ETH", 0.95)
    await house.made(WITHDRAW, MARGIN * USD)
    (pair,) = house.market.takes(house.indexer.tables, who, OURS, await house.upcoming_s())
    with pytest.raises(Skip, match="margin"):
        await house.filled(pair, pair.amounts[-1])
    with pytest.raises(RpcError) as caught:
        await house.curie.call("clearing_house", "liquidate(address,address)", who, pair.target, sender=OURS)
    assert b"CH_NEFCI".hex() in str(caught.value.data)


async def test_a_take_promises_what_trading_it_away_at_once_would_bring(house: House) -> None:
    who = await entered(house, "one", "ETH", False, 1_000, 9_500)
    await house.crash("ETH", 0.95)
    (pair,) = house.market.takes(house.indexer.tables, who, OURS, await house.upcoming_s())
    kept = await house.filled(pair, pair.amounts[-1])
    (unwind,) = await house.pairs(who)
    at_once = await house.filled(unwind, pair.amounts[-1])
    assert kept.promised == ((house.curie.usdc, at_once.seized - at_once.repaid),)
    assert (kept.repaid, kept.seized, kept.funds) == (0, 0, 0)


async def test_nobody_takes_over_from_himself(house: House) -> None:
    who = await entered(house, "one", "ETH", False, 1_000, 9_500)
    await house.crash("ETH", 0.95)
    assert house.market.takes(house.indexer.tables, who, who, await house.upcoming_s()) == ()
