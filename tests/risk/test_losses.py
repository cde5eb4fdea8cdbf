"""Paths move as asked, losses are what a plain loop over paths and accounts says, and pools absorb what they can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keeper.app import Chain
from keeper.book.state import Overlay
from keeper.devnet import Devnet
from keeper.fixedpoint import YEAR_S
from keeper.risk.capacity import absorbed, capacities
from keeper.risk.losses import STEPS, Losses, Prior, at_risk, blended, families, pegged, prior_moves, simulate, walks
from keeper.risk.moves import DAY_S, Floats, Moves
from keeper.risk.stress import Positions, positions
from keeper.types import Address
from tests.risk.test_stress import lenders

SEED = 7
A, B, USD = (Address("0x" + digit * 40) for digit in "123")
PRIOR = Prior()


def moves_of(**changes: float) -> Moves:
    return prior_moves({A: "kin", B: "kin", USD: "usd"}, frozenset({USD}), Prior(**changes))


# --- paths --------------------------------------------------------------------------------------------------------


def test_paths_have_the_variance_and_the_correlation_asked_for_and_go_nowhere_on_average() -> None:
    moves, days = prior_moves({A: "a", B: "b", USD: "usd"}, frozenset({USD}), Prior()), 30
    relatives = np.concatenate(list(walks(moves, days * DAY_S, 40_000, np.random.default_rng(SEED), 10_000)), axis=1)
    assert relatives.shape == (3, 40_000, STEPS)
    last = np.log(relatives[:, :, -1])
    assert last.var(axis=1) == pytest.approx(np.diag(moves.total) * days * DAY_S, rel=0.05)
    assert np.corrcoef(last)[0, 1] == pytest.approx(0.7, abs=0.02)
    assert np.corrcoef(last)[0, 2] == pytest.approx(0.0, abs=0.02)
    spread = relatives[:, :, -1].std(axis=1) / 200
    assert np.all(np.abs(relatives[:, :, -1].mean(axis=1) - 1) < 4 * spread + 0.002)


def test_jumps_make_tails_that_a_normal_has_not() -> None:
    def kurtosis(moves: Moves) -> float:
        (relatives,) = walks(moves, DAY_S, 40_000, np.random.default_rng(SEED), 40_000)
        x = np.log(relatives[0, :, -1])
        return float(((x - x.mean()) ** 4).mean() / x.var() ** 2)

    assert kurtosis(moves_of(jumps=0.0)) == pytest.approx(3, abs=0.15)
    assert kurtosis(moves_of()) > 4


def test_kin_move_together_and_pegged_tokens_hardly_move() -> None:
    moves = moves_of()
    deviation = np.sqrt(np.diag(moves.covariance) * YEAR_S)
    assert deviation == pytest.approx([PRIOR.volatility, PRIOR.volatility, PRIOR.pegged])
    assert moves.covariance[0, 1] / moves.covariance[0, 0] == pytest.approx(PRIOR.kin)
    assert moves.covariance[0, 2] == 0


def test_what_was_measured_counts_and_the_prior_fills_in_for_the_rest() -> None:
    prior, year = moves_of(), YEAR_S
    seen = Moves(prior.factors, np.zeros(3), np.array([[0.09, 0.01, 0], [0.01, 0.25, 0], [0, 0, 1.0]]) / year, 1 / DAY_S, np.eye(3) / 100)
    assert blended(prior, seen) is prior
    found = blended(prior, replace(seen, measured=frozenset(prior.factors[:1])))
    deviation = np.sqrt(np.diag(found.covariance) * year)
    assert deviation == pytest.approx([0.3, PRIOR.volatility, PRIOR.pegged])
    assert found.covariance[0, 1] * year == pytest.approx(PRIOR.kin * 0.3 * PRIOR.volatility)
    both = blended(prior, replace(seen, measured=frozenset(prior.factors[:2])))
    assert both.covariance[:2, :2] * year == pytest.approx(np.array([[0.09, 0.01], [0.01, 0.25]]))
    assert (found.jump_rate, found.measured) == (1 / DAY_S, frozenset(prior.factors[:1]))


def test_the_same_seed_gives_the_same_paths_however_many_are_made_at_once() -> None:
    once = np.concatenate(list(walks(moves_of(), DAY_S, 50, np.random.default_rng(3), 50)), axis=1)
    again = np.concatenate(list(walks(moves_of(), DAY_S, 50, np.random.default_rng(3), 50)), axis=1)
    other = np.concatenate(list(walks(moves_of(), DAY_S, 50, np.random.default_rng(4), 50)), axis=1)
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


# --- losses -------------------------------------------------------------------------------------------------------


def slow(
    books: list[tuple[Positions, float]], relatives: Floats, tokens: list[Address], room: dict[Address, float]
) -> list[tuple[float, ...]]:
    """(lost, seized, stuck) of each path, one account at a time."""
    found: list[tuple[float, ...]] = []
    for path in range(relatives.shape[1]):
        falls = []
        for book, margin in books:
            for row in range(len(book.accounts)):
                x = np.array([relatives[tokens.index(token), path] for token in book.tokens])
                k = next((k for k in range(STEPS) if book.surplus[row] @ x[:, k] < 0), None)
                if k is not None:
                    held, owed = book.collateral[row] @ x[:, k], book.debt[row] @ x[:, k]
                    seized = min(held, owed * (1 + margin))
                    share = dict(zip(book.tokens, book.collateral[row] * (seized / held if held else 0), strict=True))
                    falls.append((book, row, margin, held, owed, seized, share, x[:, -1]))
        wanted = {token: sum(fall[6].get(token, 0.0) for fall in falls) for token in tokens}
        excess = {token: max(wanted[token] - room.get(token, 0.0), 0.0) for token in tokens}
        lost = stuck = 0.0
        for book, row, margin, held, owed, seized, share, end in falls:
            waits = sum(s * excess[t] / wanted[t] for t, s in share.items() if s) / (sum(share.values()) or 1)
            later = max(book.debt[row] @ end - book.collateral[row] @ end, 0.0)
            lost += (1 - waits) * max(owed - held / (1 + margin), 0.0) + waits * later
            stuck += waits * seized
        found.append((lost, sum(fall[5] for fall in falls), stuck))
    return found


async def books_of(chain: Chain) -> list[tuple[Positions, float]]:
    view, at_s = chain.view, chain.head.timestamp_s
    return [(positions(market, view, at_s), market.margin(view)) for market in chain.markets]


async def test_losses_are_what_a_plain_loop_says(devnet: Devnet, tmp_path: Path) -> None:
    horizon_s, paths = 90 * DAY_S, 60
    async with lenders(devnet, tmp_path) as chain:
        books = await books_of(chain)
        kin = families(chain.markets[0], chain.view)
    moves = prior_moves(kin, pegged(books[0][0]), Prior(kin=0.9))
    room = dict.fromkeys(list(kin)[:3], 2e13)
    found = simulate(books, moves, room, horizon_s, paths, np.random.default_rng(SEED))
    relatives = np.concatenate(list(walks(moves, horizon_s, paths, np.random.default_rng(SEED), paths)), axis=1)
    expected = np.array(slow(books, relatives, list(kin), room)).T
    assert np.array([found.lost, found.seized, found.stuck]) == pytest.approx(expected, rel=1e-9)
    assert np.count_nonzero(found.lost) > 5
    assert np.count_nonzero(found.stuck) > 5


async def test_deeper_pools_leave_less_stuck_and_calm_prices_lose_nothing(devnet: Devnet, tmp_path: Path) -> None:
    async with lenders(devnet, tmp_path) as chain:
        books = await books_of(chain)
        kin = families(chain.markets[0], chain.view)

    def losses(capacity: float, volatility: float) -> Losses:
        moves = prior_moves(kin, pegged(books[0][0]), Prior(volatility=volatility))
        return simulate(books, moves, dict.fromkeys(kin, capacity), 7 * DAY_S, 200, np.random.default_rng(SEED))

    shut, deep, calm = losses(0.0, 0.8), losses(1e30, 0.8), losses(0.0, 0.001)
    assert shut.stuck == pytest.approx(shut.seized)
    assert not deep.stuck.any()
    assert np.array_equal(deep.seized, shut.seized)
    assert not calm.lost.any()


def test_at_risk_is_what_one_path_in_twenty_exceeds() -> None:
    values = np.random.default_rng(SEED).permutation(np.arange(1.0, 101.0))
    assert at_risk(values) == 95
    assert np.mean(values > at_risk(values)) == pytest.approx(0.05)


# --- what the market and its pools say ----------------------------------------------------------------------------


async def test_families_and_pegs_are_those_of_the_market(devnet: Devnet, tmp_path: Path) -> None:
    token = {symbol: devnet.addresses[f"token.{symbol}"] for symbol in ("WETH", "wstETH", "WBTC", "USDC", "DAI", "LINK")}
    async with lenders(devnet, tmp_path) as chain:
        for market in chain.markets:
            kin = families(market, chain.view)
            assert set(kin) == set(token.values())
            assert kin[token["WETH"]] == kin[token["wstETH"]] != kin[token["WBTC"]]
            assert pegged(positions(market, chain.view, chain.head.timestamp_s)) == {token["USDC"], token["DAI"]}


async def test_pools_absorb_up_to_the_slippage_and_not_a_piece_more(devnet: Devnet, tmp_path: Path) -> None:
    weth, usdc, most = devnet.addresses["token.WETH"], devnet.addresses["token.USDC"], 10**6 * 10**18
    async with lenders(devnet, tmp_path) as chain:
        market, view, quote = chain.markets[0], chain.view, chain.predictor.router.best_in
        found = [absorbed(quote, market, view, weth, usdc, most, slippage) for slippage in (0.0, 0.01, 0.05, 0.2)]
        assert found[0] == 0 < found[1] < found[2] < found[3] < most
        state = Overlay(view)
        for _ in range(100):  # the same sale by hundredths: at its end the price is where the slippage allows no more
            hops = quote(state, weth, usdc, found[2] // 100)
            state.write(write for hop in hops for write in hop.writes)
        last = hops[-1].amount_out / 10**6 / (found[2] // 100 / 10**18) / 2500
        assert 0.94 < last < 0.965


async def test_capacity_is_asked_of_what_accounts_have_and_never_more(devnet: Devnet, tmp_path: Path) -> None:
    told: list[int] = []
    async with lenders(devnet, tmp_path) as chain:
        books = [book for book, _ in await books_of(chain)]
        found = capacities(books, chain.predictor.router.best_in, chain.view, 0.05, told.append)
    held = {token: sum(float(book.collateral[:, book.tokens.index(token)].sum()) for book in books) for token in found}
    assert all(0 < found[token] <= held[token] * (1 + 1e-9) for token in found)
    assert found[devnet.addresses["token.LINK"]] < held[devnet.addresses["token.LINK"]] / 2  # its only pool is thin
    assert told == list(range(1, len(found) + 1))
