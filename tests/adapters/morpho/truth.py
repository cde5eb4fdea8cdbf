"""What the contract says, now and at other times, compared with what the tables say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keeper.adapters.morpho_blue import interest
from keeper.adapters.morpho_blue.cells import Totals
from keeper.adapters.morpho_blue.codec import call_data, selector, words
from keeper.book.state import Tables
from keeper.devnet.genesis import morpho
from keeper.ports import View
from keeper.types import Address, Key, Read
from tests.adapters.morpho.conftest import Followed
from tests.adapters.morpho.world import LIQUIDATOR

MARKET = selector("market(bytes32)")
POSITION = selector("position(bytes32,address)")


async def check_markets(run: Followed) -> int:
    """Supplied, borrowed, their shares, when, and the fee, as they are stored; returns how many words were compared."""
    singleton, ids = run.market.address, list(run.numbers())
    replies = await run.reader.calls([Read(singleton, call_data(MARKET, market)) for market in ids])
    for market, reply in zip(ids, replies, strict=True):
        assert reply is not None
        assert words(reply, 6) == run.market.cells.totals(run.tables, market)[:6], market
    return 6 * len(ids)


async def check_positions(run: Followed, accounts: Sequence[Address]) -> int:
    places = [(market, number, account) for market, number in run.numbers().items() for account in accounts]
    reads = [Read(run.market.address, call_data(POSITION, market, account)) for market, _, account in places]
    for (market, number, account), reply in zip(places, await run.reader.calls(reads), strict=True):
        assert reply is not None
        found = tuple(run.tables.get(table, (number, account)) for table in run.market.columns)
        assert words(reply, 3)[1:] == found, f"{account} in {market}"
    return 2 * len(places)


async def check_accrual(run: Followed, at_s: int) -> int:
    """The sums after an accrual of interest at `at_s`, whatever block that is in."""
    for market, genesis in run.world.ids.items():
        accrue = run.world.call(LIQUIDATOR, "accrueInterest", genesis)
        after = await simulated(run, [(accrue.to, accrue.data), (accrue.to, call_data(MARKET, market))], at_s)
        params = run.market.cells.params(run.tables, market)
        expected = interest.at(run.market.cells, run.tables, params, at_s)
        assert words(after[-1], 6) == (*expected[:4], at_s, expected.fee), f"{genesis.name} at {at_s}"
    return 6 * len(run.world.ids)


async def check_health(run: Followed, accounts: Sequence[Address], at_s: int) -> int:
    """Whether the contract lets one share of the debt be liquidated at `at_s`; returns for how many it does."""
    moments = [position for account in accounts for position in run.market.positions(run.tables, account, at_s)]
    markets = run.world.ids
    judged = [position for position in moments if position.params.id in markets and position.collateral]
    calls = [run.world.liquidate(markets[p.params.id], p.account, 0, 1) for p in judged]
    replies = await run.reader.batch([_call(run, call.data, at_s) for call in calls])
    for position, reply in zip(judged, replies, strict=True):
        assert ("result" in reply) == position.liquidatable, f"{position} at {at_s}: {reply}"
    return sum(position.liquidatable for position in judged)


def _call(run: Followed, data: bytes, at_s: int) -> tuple[str, list[Any]]:
    request = {"from": LIQUIDATOR, "to": run.market.address, "data": "0x" + data.hex()}
    return "eth_call", [request, "latest", {}, {"time": hex(at_s)}]


async def simulated(run: Followed, calls: Sequence[tuple[Address, bytes]], at_s: int) -> list[bytes]:
    """What calls by the liquidator return, one after another in one block at `at_s`."""
    requests = [{"from": LIQUIDATOR, "to": to, "data": "0x" + data.hex()} for to, data in calls]
    (block,) = await run.reader.request(
        "eth_simulateV1", {"blockStateCalls": [{"blockOverrides": {"time": hex(at_s)}, "calls": requests}]}, "latest"
    )
    assert all(call["status"] == "0x1" for call in block["calls"]), block["calls"]
    return [bytes.fromhex(call["returnData"][2:]) for call in block["calls"]]


def copy(tables: Tables, columns: dict[str, tuple[str, ...]]) -> Tables:
    fresh = Tables(columns)
    fresh.write(tables.cells())
    return fresh


def cells_that_differ(expected: View, tables: Tables) -> dict[tuple[str, Key], tuple[int, int]]:
    """(expected, actual) of every differing cell."""
    return {(table, key): (expected.get(table, key), value) for table, key, value in tables.cells() if expected.get(table, key) != value}


def totals_of(run: Followed, market: morpho.Market) -> Totals:
    return run.market.cells.totals(run.tables, morpho.market_id(run.net.addresses, market))
