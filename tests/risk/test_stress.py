"""A shock is an overlay, the curve is what integers say, and nobody is missed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from keeper.app import Chain, open_chain
from keeper.commands.stress import parse_shock, resolve
from keeper.config import load
from keeper.devnet import Devnet
from keeper.errors import ConfigError
from keeper.risk.stress import PPM, curve, drawn_out, positions, shocked
from keeper.types import Address
from tests.markets import LENDING, only

SHARES = (0.0, 0.1, 0.35, 0.7, 1.0, 1.25)


@asynccontextmanager
async def opened(net: Devnet, folder: Path, *markets: str) -> AsyncIterator[Chain]:
    """With these markets, or all."""
    settings = load(net.config, {"KEEPER_DATA_DIR": str(folder)})
    settings = only(settings, *markets) if markets else settings
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=False) as chain:
        await chain.catch_up()
        yield chain


def lenders(net: Devnet, folder: Path) -> AbstractAsyncContextManager[Chain]:
    return opened(net, folder, *LENDING)


def named(net: Devnet, **percent: int) -> dict[Address, int]:
    return {net.addresses[f"token.{symbol}"]: PPM * move // 100 for symbol, move in percent.items()}


SHOCKS = {
    "fall": {"WETH": -30, "wstETH": -30, "WBTC": -20},
    "rise": {"WETH": 40},
    "depeg": {"USDC": -6, "DAI": 3},
    "staked": {"wstETH": -8},
}


@pytest.mark.parametrize("shock", SHOCKS)
async def test_the_curve_and_the_nominated_are_what_integers_say_of_every_account(devnet: Devnet, tmp_path: Path, shock: str) -> None:
    moves = named(devnet, **SHOCKS[shock])
    hits = 0
    async with opened(devnet, tmp_path) as chain:
        at_s = chain.head.timestamp_s
        for market in chain.markets:
            book = positions(market, chain.view, at_s)
            for point in curve(book, moves, SHARES):
                state = shocked(chain.markets, chain.venues, chain.view, drawn_out(moves, point.share))
                healths = [market.health(state, account, at_s) for account in market.accounts(state)]
                under = {health.account: health.debt for health in healths if health.liquidatable}
                assert {c.account: c.health.debt for c in book.eligible(state, at_s)} == under
                several = {account for account in book.accounts if len(market.rows(chain.view, account)) > 1}
                assert 0 <= len(under) - point.accounts <= len(several & under.keys())
                if not several & under.keys():
                    assert point.debt == pytest.approx(sum(under.values()), rel=1e-6)
                hits += len(under)
    assert hits >= 10


async def test_a_shock_moves_oracles_by_the_integer_and_every_pool_along_and_nothing_below(devnet: Devnet, tmp_path: Path) -> None:
    moves = named(devnet, WETH=-30, WBTC=10)
    async with opened(devnet, tmp_path) as chain:
        market, (venue,) = chain.markets[0], chain.venues
        before = {token: market.price(chain.view, token) for token in market.tokens(chain.view)}
        unshocked = {pool.address: await sqrt_price(devnet, pool.address) for pool in venue.pools(chain.view)}
        state = shocked(chain.markets, chain.venues, chain.view, moves)
        for token, price in before.items():
            assert price
            assert market.price(state, token) == price * (PPM + moves.get(token, 0)) // PPM
        for pool in venue.pools(chain.view):
            ratio = (PPM + moves.get(pool.token0, 0)) / (PPM + moves.get(pool.token1, 0))
            now = state.get(f"{venue.name}.price", (pool.address,)) / unshocked[pool.address]
            assert now**2 == pytest.approx(ratio, rel=1e-9)
            assert chain.view.get(f"{venue.name}.price", (pool.address,)) == unshocked[pool.address]
        assert {token: market.price(chain.view, token) for token in before} == before


async def sqrt_price(net: Devnet, pool: Address) -> int:
    name = next(name for name, address in net.addresses.items() if address == pool)
    return int((await net.read(name, "slot0"))[0])


async def test_trade_moves_a_pool_as_far_as_one_real_swap_with_a_price_limit_does(net: Devnet, tmp_path: Path) -> None:
    """The devnet's own hand: it swaps every pool to where the oracles are."""
    moves = named(net, WETH=-23, LINK=-41, wstETH=-25)
    async with opened(net, tmp_path) as chain:
        (venue,) = chain.venues
        state = shocked(chain.markets, chain.venues, chain.view, moves)
        pools = venue.pools(chain.view)
    prices = await net.prices()
    factors = {symbol: PPM + moves.get(net.addresses[f"token.{symbol}"], 0) for symbol in prices}
    await net.set_prices({symbol: price * factors[symbol] // PPM for symbol, price in prices.items()})
    await net.mine()
    for pool in pools:
        real = await sqrt_price(net, pool.address)
        assert state.get("uniswap.price", (pool.address,)) == pytest.approx(real, rel=1e-9)
        name = next(name for name, address in net.addresses.items() if address == pool.address)
        assert state.get("uniswap.liquidity", (pool.address,)) == (await net.read(name, "liquidity"))[0]


def test_a_price_never_falls_to_nothing_however_far_a_shock_is_drawn_out() -> None:
    token = Address("0x" + "1" * 40)
    assert drawn_out({token: -900_000}, 1.25) == {token: -999_000}
    assert drawn_out({token: -900_000}, 0.5) == {token: -450_000}
    assert drawn_out({token: 900_000}, 2.0) == {token: 1_800_000}


async def test_reading_accounts_tells_how_far_it_is(devnet: Devnet, tmp_path: Path) -> None:
    told: list[int] = []
    async with opened(devnet, tmp_path) as chain:
        book = positions(chain.markets[0], chain.view, chain.head.timestamp_s, told.append)
    assert told == list(range(1, len(book.accounts) + 1))
    assert np.all(book.surplus <= book.collateral - book.debt)


# --- what the user may say ----------------------------------------------------------------------------------------

WETH, STETH, LINK, LINK2 = (Address("0x" + digit * 40) for digit in "1234")
SYMBOLS = {WETH: "WETH", STETH: "wstETH", LINK: "LINK", LINK2: "link"}


@pytest.mark.parametrize(
    ("text", "name", "ppm"), [("ETH=-30%", "ETH", -300_000), (" x = +2.5 % ", "x", 25_000), ("0xAb=-99.99%", "0xAb", -999_900)]
)
def test_a_shock_is_a_name_and_a_change(text: str, name: str, ppm: int) -> None:
    shock = parse_shock(text)
    assert (shock.name, shock.move_ppm) == (name, ppm)


@pytest.mark.parametrize(
    "text", ["ETH", "ETH=30", "=-3%", "ETH=-3", "ETH=x%", "ETH=-1e3%", "ETH=nan%", "ETH=-100%", "ETH=-100.01%", "ETH=0%"]
)
def test_what_is_no_shock_is_said_with_what_was_given(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_shock(text)


def test_tokens_are_found_by_symbol_by_address_and_by_the_coin_they_are_forms_of() -> None:
    asked = [parse_shock(text) for text in ("eth=-1%", "WSTETH=-2%", f"{LINK}=3%")]
    assert resolve(asked, SYMBOLS) == {WETH: -10_000, STETH: -20_000, LINK: 30_000}
    virtual = Address("0x" + "5" * 40)
    assert resolve(asked[:1], SYMBOLS | {virtual: "vETH"}) == {WETH: -10_000, virtual: -10_000}
    assert resolve([parse_shock("vETH=-1%")], SYMBOLS | {virtual: "vETH"}) == {virtual: -10_000}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["DOGE=-1%"], "no market lists DOGE: there are LINK, WETH, link, wstETH"),
        (["link=-1%"], f"several tokens are called LINK: name one by its address: {LINK}, {LINK2}"),
        (["ETH=-1%", "WETH=-2%"], "names WETH twice"),
        ([f"0x{'9' * 40}=-1%"], f"no market lists 0x{'9' * 40}"),
    ],
)
def test_a_name_that_says_nothing_or_too_much_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve([parse_shock(text) for text in texts], SYMBOLS)
