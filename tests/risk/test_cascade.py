"""The cascade ends, loses no debt on the way, follows pools by its share, and touches nothing of what it looks at."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from keeper.app import ChainState
from keeper.book.state import Overlay
from keeper.commands.stress_report import cascade_of
from keeper.devnet import Devnet
from keeper.planning.planner import Planner
from keeper.risk.cascade import Cascade, Round
from keeper.risk.stress import PPM, positions, shocked
from keeper.types import Address
from tests.risk.test_stress import lenders, named, opened

UNIT = 100
"""Of the base currency: the worth of the smallest unit of a token with six decimals. A repayment may round by one."""

CRASH = {"WETH": -30, "wstETH": -30, "WBTC": -25, "LINK": -35}


def run(chain: ChainState, moves: dict[Address, int], feedback: float) -> tuple[Cascade, Overlay, list[Round]]:
    books = [positions(market, chain.view, chain.landing(chain.head).timestamp_s) for market in chain.markets]
    cascade = cascade_of(chain, books, moves, feedback)
    state = shocked(chain.markets, chain.venues, chain.view, moves)
    return cascade, state, list(cascade.rounds(state))


def all_debt(chain: ChainState, state: Overlay) -> dict[str, int]:
    at_s = chain.landing(chain.head).timestamp_s
    return {m.name: sum(m.health(state, account, at_s).debt for account in m.accounts(state)) for m in chain.markets}


async def test_debt_is_repaid_written_off_or_still_there(devnet: Devnet, tmp_path: Path) -> None:
    moves = named(devnet, **CRASH)
    async with lenders(devnet, tmp_path) as chain:
        before = all_debt(chain, shocked(chain.markets, chain.venues, chain.view, moves))
        _, state, rounds = run(chain, moves, 0.0)
        after = all_debt(chain, state)
        for market in chain.markets:
            mine = [tally for each in rounds for tally in each.tallies if tally.market == market.name]
            repaid, written_off = sum(tally.repaid for tally in mine), sum(tally.bad_debt for tally in mine)
            burnt = written_off if market.bearer(chain.view) == "deficit" else 0
            assert repaid > 0
            assert before[market.name] - after[market.name] == pytest.approx(repaid + burnt, abs=UNIT * sum(tally.calls for tally in mine))
    assert {market.bearer(chain.view) for market in chain.markets} == {"deficit", "suppliers"}
    assert sum(tally.bad_debt for each in rounds for tally in each.tallies) > 0


async def test_it_ends_only_when_the_planner_itself_finds_nobody_else(devnet: Devnet, tmp_path: Path) -> None:
    """Asked about everybody, also those that the cascade no longer shows it."""
    async with opened(devnet, tmp_path) as chain:
        for feedback in (0.0, 0.6):
            cascade, state, rounds = run(chain, named(devnet, **CRASH), feedback)
            landing, planner = chain.landing(chain.head), Planner(chain.predictor, chain.settings.bidding.min_priority_fee_wei, 10**9)
            more, rejected = planner.block(cascade.eligible(state), state, landing)
            left = cascade.left(state)
            assert list(more) == []
            assert len(rounds) >= 1
            assert {each.account for each in left} <= {rejection.candidate.account for rejection in rejected}
            assert {each.reason for each in left} <= {rejection.reason for rejection in rejected}


async def test_without_feedback_oracles_stay_and_with_it_they_follow_by_their_share(devnet: Devnet, tmp_path: Path) -> None:
    moves = named(devnet, **CRASH)
    weth = devnet.addresses["token.WETH"]
    async with lenders(devnet, tmp_path) as chain:
        _, _, still = run(chain, moves, 0.0)
        _, _, moved = run(chain, moves, 0.5)
    assert {each.prices[weth] for each in still} == {2500 * 10**8 * 7 // 10}
    assert len(moved) > len(still)
    shocked_price = still[0].prices[weth]
    pool = shocked_price  # pools stood at the oracle when the first round began
    for now, after in pairwise(moved):
        fell = (now.traded[weth] - pool) / pool
        assert after.prices[weth] == pytest.approx(now.prices[weth] * (1 + fell / 2), rel=1e-4)
        assert after.prices[weth] < now.prices[weth]
        pool = now.traded[weth]


async def test_more_feedback_leaves_more_bad_debt_in_a_deep_crash(devnet: Devnet, tmp_path: Path) -> None:
    moves = named(devnet, **CRASH)
    lost = []
    async with lenders(devnet, tmp_path) as chain:
        for feedback in (0.0, 1.0):
            cascade, state, rounds = run(chain, moves, feedback)
            written_off = sum(tally.bad_debt for each in rounds for tally in each.tallies)
            lost.append(written_off + sum(left.at_risk for left in cascade.left(state)))
    assert lost[1] > lost[0] > 0


async def test_what_is_sold_brings_less_than_it_is_worth_and_pools_fall(devnet: Devnet, tmp_path: Path) -> None:
    weth = devnet.addresses["token.WETH"]
    async with lenders(devnet, tmp_path) as chain:
        _, _, rounds = run(chain, named(devnet, **CRASH), 0.0)
    first = rounds[0]
    assert first.traded[weth] < first.prices[weth]
    assert all(0 < tally.slippage_bps < 1000 for tally in first.tallies)
    assert all(0 < tally.sold <= tally.seized for tally in first.tallies)


async def test_the_view_below_is_never_touched(devnet: Devnet, tmp_path: Path) -> None:
    async with opened(devnet, tmp_path) as chain:
        before = sorted(chain.book.tables.cells())
        run(chain, named(devnet, **CRASH), 0.5)
        assert sorted(chain.book.tables.cells()) == before


async def test_a_small_shock_of_a_healthy_book_has_no_rounds(devnet: Devnet, tmp_path: Path) -> None:
    async with lenders(devnet, tmp_path) as chain:
        cascade, state, rounds = run(chain, {devnet.addresses["token.WETH"]: -PPM // 10_000}, 1.0)
        assert rounds == []
        assert cascade.left(state) == []
