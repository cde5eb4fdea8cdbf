"""`keeper scan --watch` and `keeper why` on a chain whose oracles have spoken for days, and on one where they have not."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from keeper.app import Chain, open_chain
from keeper.commands.scan import prospects
from keeper.config import load
from keeper.devnet import Devnet
from keeper.fixedpoint import YEAR_S
from keeper.outlook import HORIZONS_S, outlook, price_factor
from tests.e2e.cli import MakeFolder, crash
from tests.markets import LENDING, only

STEP_S = 3600
TICKS = 120
ANNUAL = {"WETH": 0.8, "WBTC": 0.3}


@pytest.fixture
async def chain(net: Devnet, tmp_path: Path) -> AsyncIterator[Chain]:
    settings = only(load(net.config, {"KEEPER_DATA_DIR": str(tmp_path)}), *LENDING)
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=True) as opened:
        yield opened


async def live_through(net: Devnet, ticks: int) -> None:
    """An answer of two oracles an hour, at a volatility of their own; in the end they are where they were."""
    rng, start = random.Random(2), await net.prices()
    now_s = int((await net.request("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    for tick in range(1, ticks + 1):
        moves = {symbol: math.exp(rng.gauss(0, year * math.sqrt(STEP_S / YEAR_S))) for symbol, year in ANNUAL.items()}
        await net.set_answers({symbol: int(start[symbol] * (move if tick % 2 else 1)) for symbol, move in moves.items()})
        await net.mine(now_s + tick * STEP_S)


async def test_volatility_comes_from_what_the_oracles_said(net: Devnet, chain: Chain) -> None:
    """Every other answer is back at the start, so a move is made, and unmade, in two hours."""
    await live_through(net, TICKS)
    await chain.catch_up()
    seen = (await outlook(chain)).volatility.moves()
    for market in chain.markets:
        tokens = {symbol: price_factor(market, token) for token, symbol in market.tokens(chain.view).items()}
        measured = {symbol for symbol, factor in tokens.items() if factor in seen.measured}
        assert ANNUAL.keys() <= measured
        assert "LINK" not in measured
        for symbol, year in ANNUAL.items():
            column = seen.factors.index(tokens[symbol])
            assert math.sqrt(seen.covariance[column, column] * YEAR_S) == pytest.approx(year, rel=0.3)


async def test_without_history_the_prior_holds_and_stablecoins_are_calm(chain: Chain) -> None:
    await chain.catch_up()
    seen = (await outlook(chain)).volatility.moves()
    (market, *_) = chain.markets
    volatility = {
        symbol: math.sqrt(seen.covariance[at, at] * YEAR_S)
        for token, symbol in market.tokens(chain.view).items()
        for at in [seen.factors.index(price_factor(market, token))]
    }
    assert volatility["WETH"] == pytest.approx(0.8, rel=0.1)
    assert volatility["USDC"] == pytest.approx(0.05, rel=0.1)
    assert not seen.measured


async def test_the_watch_list_is_in_the_order_of_hazard(chain: Chain) -> None:
    await chain.catch_up()
    rows = prospects(chain, await outlook(chain), 100)
    assert len(rows) > 30
    assert [row["hazard_24h"] for row in rows] == sorted((row["hazard_24h"] for row in rows), reverse=True)
    assert all(0 <= row["hazard_1h"] <= row["hazard_24h"] <= 1 for row in rows)
    assert len(HORIZONS_S) == 2


async def test_the_commands_say_it(folder: MakeFolder, net: Devnet) -> None:
    one = folder("ahead")
    watched, table = await one.keeper("scan", "--watch", "5", "--json"), await one.keeper("scan", "--watch", "5")
    assert [watched.status, table.status, len(watched.rows)] == [0, 0, 5]
    likely: dict[str, Any] = watched.rows[0]
    assert not likely["liquidatable"]
    assert likely["account"] in table.out
    assert likely["liquidated_by"] in table.out
    assert "80 % a year assumed, 5 % if pegged" in table.err
    why = await one.keeper("why", likely["account"], "--json")
    hazard = next(row for row in why.rows if row["kind"] == "hazard")
    assert hazard["hazard_24h"] == pytest.approx(likely["hazard_24h"], abs=1e-3)
    assert {row["symbol"] for row in why.rows if row["kind"] == "greek"} == {row["symbol"] for row in why.rows if row["kind"] == "leg"}
    assert "too little history" in hazard["text"]


async def test_what_has_fallen_is_certain_and_not_on_the_watch_list(folder: MakeFolder, net: Devnet) -> None:
    one = folder("fallen")
    await crash(net)
    fallen = next(row["account"] for row in (await one.keeper("scan", "--json")).rows if row["liquidatable"])
    watched, why = await one.keeper("scan", "--watch", "1000", "--json"), await one.keeper("why", fallen, "--json")
    assert fallen not in {row["account"] for row in watched.rows}
    assert next(row["hazard_1h"] for row in why.rows if row["kind"] == "hazard") == 1.0


async def test_a_watch_list_of_none_is_refused(folder: MakeFolder) -> None:
    status, said = (await folder("none").keeper("scan", "--watch", "0")).failed
    assert status == 2
    assert "--watch" in said
