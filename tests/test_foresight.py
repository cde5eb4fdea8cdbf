"""Between heads, on a real chain: prices are measured and survive a restart, certificates are made off the loop, who may pay is planned."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from keeper import foresight as module
from keeper.app import Chain, open_chain
from keeper.config import load
from keeper.devnet import Devnet
from keeper.fixedpoint import YEAR_S
from keeper.foresight import NEAREST, SCALE_S, Foresight
from keeper.outlook import Outlook, is_pegged, measured, price_factor
from keeper.ports import Market, View
from keeper.risk import engine
from keeper.risk.block import Block
from keeper.risk.factors import Floats
from keeper.risk.layer import Rows
from keeper.risk.recentring import Recentring
from keeper.risk.volatility import PRIOR, Volatility
from keeper.risk.watch import Candidate
from keeper.types import Address, Hash, Health, Landing
from tests.markets import LENDING, only

STEP_S = 3 * 3600
WILD = 6.0
"""A volatility per year that this chain never saw."""

FALLING = {"WETH": 90, "wstETH": 90, "WBTC": 92, "LINK": 90}


@asynccontextmanager
async def opened(net: Devnet, folder: Path) -> AsyncIterator[Chain]:
    """In step with the node, and scanned once."""
    settings = only(load(net.config, {"KEEPER_DATA_DIR": str(folder)}), *LENDING)
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=True) as chain:
        await follow(chain)
        yield chain


@pytest.fixture
async def chain(net: Devnet, tmp_path: Path) -> AsyncIterator[Chain]:
    async with opened(net, tmp_path / "data") as found:
        yield found


async def follow(chain: Chain) -> None:
    await chain.catch_up()
    chain.watch.tick(chain.view, chain.landing(chain.head))


async def later(net: Devnet, chain: Chain, percent: int) -> None:
    """Some hours on, ether's oracle says another price."""
    prices = await net.prices()
    await net.set_answers({"WETH": prices["WETH"] * percent // 100})
    await net.mine(chain.head.timestamp_s + STEP_S)
    await follow(chain)


def quiet(chain: Chain) -> Outlook:
    """What is known of prices nobody has seen move."""
    return Outlook(measured(chain.markets, chain.view, (), chain.head.timestamp_s))


def wild(chain: Chain) -> Volatility:
    """Ether has been seen to move by `WILD` a year for a month."""
    found, now_s = Volatility(), chain.head.timestamp_s
    for market in chain.markets:
        for feed in market.feeds(chain.view):
            found.add(price_factor(market, feed.token), is_pegged(feed))
            for hours in range(720, 0, -1):
                move = WILD * math.sqrt(3600 / YEAR_S) * (hours % 2) if feed.symbol == "WETH" else 0.0
                found.observe(price_factor(market, feed.token), feed.price * math.exp(move), now_s - 3600 * hours)
    return found


def scale_of(chain: Chain, symbol: str) -> set[float]:
    """The engine's yardsticks of this token's price, as a volatility per year."""
    factors, found = chain.watch.engine.factors, set()
    for market in chain.markets:
        symbols = market.tokens(chain.view)
        for column, name in enumerate(factors.names):
            token = market.token_of(chain.view, name) if name[:1] == (market.name,) else None
            if token and symbols.get(token) == symbol:
                found.add(round(factors.scale[column] / math.sqrt(SCALE_S / YEAR_S), 6))
    return found


# --- volatility


async def test_every_heads_prices_are_measured(net: Devnet, chain: Chain, tmp_path: Path) -> None:
    seen, expected = quiet(chain), quiet(chain).volatility
    foresight = Foresight(chain, seen, tmp_path / "volatility.json")
    for percent in (104, 97, 105, 96):
        await later(net, chain, percent)
        await foresight.prepare(chain.head)
        prices = await net.prices()
        for market in chain.markets:
            for token, symbol in market.tokens(chain.view).items():
                expected.observe(price_factor(market, token), prices[symbol], chain.head.timestamp_s)
    ether = price_factor(chain.markets[0], net.addresses["token.WETH"])
    assert seen.volatility.annual(ether) == expected.annual(ether)
    assert seen.volatility.annual(ether) > 1.2 * PRIOR.volatility


async def test_what_is_measured_is_the_engines_yardstick(chain: Chain, tmp_path: Path) -> None:
    await Foresight(chain, Outlook(wild(chain)), tmp_path / "volatility.json").prepare(chain.head)
    (ether, *more), (dollar, *_), (link, *_) = (sorted(scale_of(chain, symbol)) for symbol in ("WETH", "USDC", "LINK"))
    assert more == []
    assert ether == pytest.approx(WILD, rel=0.1)
    assert dollar < PRIOR.pegged
    assert PRIOR.pegged < link < PRIOR.volatility


async def test_what_is_new_is_taken_for_what_it_looks_like(chain: Chain, tmp_path: Path) -> None:
    """A token listed since the file was written."""
    await Foresight(chain, Outlook(Volatility()), tmp_path / "volatility.json").prepare(chain.head)
    assert scale_of(chain, "USDC").pop() == pytest.approx(PRIOR.pegged, rel=0.01)
    assert scale_of(chain, "LINK").pop() == pytest.approx(PRIOR.volatility, rel=0.01)


async def test_what_was_measured_survives_a_restart(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "volatility.json"
    monkeypatch.setattr(module, "HEADS_A_SAVE", 1)
    await Foresight(chain, Outlook(wild(chain)), path).prepare(chain.head)
    chain.watch.rebuild(chain.view)
    chain.watch.tick(chain.view, chain.landing(chain.head))
    await (await Foresight.open(chain, path)).prepare(chain.head)
    assert scale_of(chain, "WETH").pop() == pytest.approx(WILD, rel=0.1)
    assert [path for path, _, files in os.walk(tmp_path) if "volatility.new" in files] == []


def cut(state: bytes) -> bytes:
    return state[: len(state) // 2]


def without_tables(state: bytes) -> bytes:
    return orjson.dumps(orjson.loads(state) | {"tables": {}})


def one_factor_less(state: bytes) -> bytes:
    whole = orjson.loads(state)
    return orjson.dumps(whole | {"factors": whole["factors"][1:]})


@pytest.mark.parametrize("spoil", [cut, without_tables, one_factor_less, lambda _: b"", lambda _: b"[1]", lambda _: b"null", None])
async def test_a_file_that_tells_nothing_is_as_good_as_none(
    net: Devnet, chain: Chain, tmp_path: Path, spoil: Callable[[bytes], bytes] | None
) -> None:
    """Then it is measured from what the node remembers."""
    for percent in (110, 91, 110, 91, 110, 91):
        await later(net, chain, percent)
    path = tmp_path / "volatility.json"
    if spoil:
        path.write_bytes(spoil(orjson.dumps(wild(chain).state())))
    await (await Foresight.open(chain, path)).prepare(chain.head)
    assert 1.2 * PRIOR.volatility < scale_of(chain, "WETH").pop() < WILD / 1.2


@pytest.mark.parametrize("place", ["no/such/folder/volatility.json", "taken"])
async def test_where_nothing_can_be_written_it_goes_on(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    (tmp_path / "taken").mkdir()
    monkeypatch.setattr(module, "HEADS_A_SAVE", 1)
    foresight = await Foresight.open(chain, tmp_path / place)
    assert await foresight.prepare(chain.head)
    assert await foresight.prepare(chain.head)


# --- certificates


async def test_certificates_are_made_in_a_thread_and_trusted(
    net: Devnet, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After them a tick looks at next to nothing, and still finds everybody."""
    threads: list[threading.Thread] = []
    run = Recentring.run

    def watched_run(self: Recentring, give_way: Callable[[], None]) -> Recentring:
        threads.append(threading.current_thread())
        return run(self, give_way)

    monkeypatch.setattr(Recentring, "run", watched_run)
    monkeypatch.setattr(engine, "WATCHED", 0)
    before = chain.watch.engine.watched
    assert await Foresight(chain, quiet(chain), tmp_path / "volatility.json").prepare(chain.head)
    assert threads
    assert threading.main_thread() not in threads
    assert chain.watch.engine.watched < before / 2
    prices = await net.prices()
    await net.set_prices({symbol: prices[symbol] * percent // 100 for symbol, percent in FALLING.items()})
    await net.mine()
    await chain.catch_up()
    landing = chain.landing(chain.head)
    found = {(c.market_name, c.account) for c in chain.watch.candidates(chain.view, landing)}
    assert len(found) >= 5
    assert found == worth_it(chain, landing)


def worth_it(chain: Chain, landing: Landing) -> set[tuple[str, Address]]:
    """Everybody whom the integers call liquidatable and who owes what could pay."""
    chain.watch.rebuild(chain.view)
    return {(c.market_name, c.account) for c in chain.watch.candidates(chain.view, landing)}


# --- plans ahead


def worth(chain: Chain, outlook: Outlook, candidate: Candidate) -> float:
    """Probability within the hour × bonus, in the market's unit."""
    ((hour, _),) = outlook.hazards(candidate.market, chain.view, [candidate.health])
    return hour * candidate.health.debt * candidate.market.margin(chain.view)


async def test_who_is_most_likely_to_pay_is_planned_first(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outlook, order = quiet(chain), spied(chain, monkeypatch)
    assert await Foresight(chain, outlook, tmp_path / "volatility.json").prepare(chain.head)
    landing = chain.landing(chain.head)
    nearest = chain.watch.nearest(chain.view, landing.timestamp_s, NEAREST)
    assert {c.account for c in order} == {c.account for c in nearest}
    values = [worth(chain, outlook, candidate) for candidate in order]
    assert values == pytest.approx(sorted(values, reverse=True), rel=1e-3)
    assert [candidate.account for candidate in order] != [candidate.account for candidate in nearest]
    assert sum(bool(chain.prewarmer.known(c.market_name, c.account)) for c in order) >= len(order) / 2


async def test_all_accounts_are_looked_at_in_a_thread(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, nearest = list[threading.Thread](), Block.nearest

    def looked(self: Block, value: Floats, scale: Floats, count: int) -> tuple[Rows, Floats]:
        threads.append(threading.current_thread())
        return nearest(self, value, scale, count)

    monkeypatch.setattr(Block, "nearest", looked)
    order = spied(chain, monkeypatch)
    await Foresight(chain, quiet(chain), tmp_path / "volatility.json").prepare(chain.head)
    assert order
    assert threads
    assert threading.main_thread() not in threads


async def test_who_has_become_liquidatable_or_free_of_debt_since_the_look_is_not_planned_ahead(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foresight, order = Foresight(chain, quiet(chain), tmp_path / "volatility.json"), spied(chain, monkeypatch)
    await foresight.prepare(chain.head)
    market, (due, free, *_) = order[0].market, [candidate.account for candidate in order if candidate.market is order[0].market]
    health = type(market).health

    def changed(self: Market, view: View, account: Address, at_s: int) -> Health:
        found = health(self, view, account, at_s)
        return replace(found, health_factor_wad=10**18 - 1) if account == due else replace(found, debt=0) if account == free else found

    monkeypatch.setattr(type(market), "health", changed)
    before = {(candidate.market_name, candidate.account) for candidate in order}
    order.clear()
    await foresight.prepare(chain.head)
    assert before - {(c.market_name, c.account) for c in order} == {(market.name, due), (market.name, free)}


async def test_only_the_likeliest_are_kept(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foresight, order = Foresight(chain, quiet(chain), tmp_path / "volatility.json"), spied(chain, monkeypatch)
    await foresight.prepare(chain.head)
    monkeypatch.setattr(module, "WARMED", 3)
    await foresight.prepare(chain.head)
    kept, dropped = order[:3], order[3 : len(order) - 3]
    assert [bool(chain.prewarmer.known(c.market_name, c.account)) for c in dropped] == [False] * len(dropped)
    assert any(chain.prewarmer.known(c.market_name, c.account) for c in kept)


async def test_a_new_head_ends_the_planning_of_the_old_one(
    net: Devnet, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await net.mine()
    await follow(chain)
    head = chain.head
    await net.mine()
    async with aclosing(chain.feed.updates()) as updates:
        update = await anext(updates)
    coming: list[asyncio.Task[None]] = []
    order = spied(chain, monkeypatch, lambda: coming.append(asyncio.create_task(chain.advance(update))) if len(order) == 3 else None)
    assert not await Foresight(chain, quiet(chain), tmp_path / "volatility.json").prepare(head)
    await asyncio.gather(*coming)
    assert chain.head.number == head.number + 1
    assert len(order) == 3


async def test_nothing_is_planned_for_a_head_that_is_gone(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is forgotten for it."""
    foresight, order = Foresight(chain, quiet(chain), tmp_path / "volatility.json"), spied(chain, monkeypatch)
    assert await foresight.prepare(chain.head)
    known = {(c.market_name, c.account): chain.prewarmer.known(c.market_name, c.account) for c in order}
    monkeypatch.setattr(module, "WARMED", 3)
    assert not await foresight.prepare(replace(chain.head, hash=Hash("0x" + "00" * 32)))
    assert len(order) == len(known)
    assert {(c.market_name, c.account): chain.prewarmer.known(c.market_name, c.account) for c in order} == known


def spied(chain: Chain, monkeypatch: pytest.MonkeyPatch, then: Callable[[], None] = lambda: None) -> list[Candidate]:
    """Whom the real prewarmer is given, in order."""
    warm, order = chain.prewarmer.warm, list[Candidate]()

    def heard(candidate: Candidate, view: View, landing: Landing) -> None:
        warm(candidate, view, landing)
        order.append(candidate)
        then()

    monkeypatch.setattr(chain.prewarmer, "warm", heard)
    return order
