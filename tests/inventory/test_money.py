"""Every change of equity is in the entries, to the unit, and under its name."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.book.state import Overlay, Tables
from keeper.errors import Skip
from keeper.inventory import money
from keeper.inventory.money import Where, deal_of, dealt, drift, total
from keeper.types import CLOSE, DEPOSIT, OPEN, TAKE, WITHDRAW, Address, Entry, Pair, Standing
from keeper.types.holding import EXIT, FEE, FUNDING, HEDGE, INHERITED, OTHER, PAPER, PRICE
from tests.inventory.paper import OURS, USD, WAD, Paper, get, put

MARKETS = {"eth": 2_000 * WAD, "btc": 60_000 * WAD + 1}
WHO = Address("0x" + "11" * 20)
PAPER_PERP = Paper(dict.fromkeys(MARKETS, 10**6 * WAD))
HERE = Where("paper", 7)


def standing(state: Tables | Overlay) -> Standing:
    return PAPER_PERP.standing(state, OURS, 0)


def done(state: Tables, kind: str, target: str, cover: int) -> list[Entry]:
    """A deal of ours, written down. Raises Skip."""
    account = WHO if kind == TAKE else OURS
    pair = Pair(account, USD, USD, (), kind, target, OURS)
    fill, before = PAPER_PERP.fill(state, pair, cover, 0), standing(state)
    trades = kind in {CLOSE, OPEN}
    size = get(state, "size", target, OURS)
    closed = fill.counted if size > 0 else -fill.counted
    fee = PAPER_PERP.exit(state, target, -cover if kind == OPEN else closed, 0).fee if trades else 0
    state.write(fill.writes)
    return dealt(before, standing(state), deal_of(fill, 1, fee), HERE)


def of(entries: list[Entry], kind: str) -> int:
    return total(entry for entry in entries if entry.kind == kind)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_the_entries_of_any_sequence_add_up_to_the_change_of_equity(seed: int, steps: int) -> None:
    rng = Random(seed)
    state = PAPER_PERP.start(MARKETS, 100_000 * WAD, 50_000 * WAD)
    start, entries = standing(state).equity, list[Entry]()
    for _ in range(steps):
        target = rng.choice(list(MARKETS))
        kind = rng.choice([TAKE, CLOSE, OPEN, DEPOSIT, WITHDRAW, "time"])
        value = rng.randrange(1, 20_000 * WAD)
        if kind == "time":
            before = standing(state)
            for which in MARKETS:
                state.write(PAPER_PERP.moved(which, get(state, "mark", which) * rng.randrange(9_000, 11_000) // 10_000))
                state.write(PAPER_PERP.charged(state, OURS, which, rng.randrange(-WAD, WAD), settled=rng.random() < 0.3))
            entries += drift(before, standing(state), HERE)
            continue
        size = value * WAD // get(state, "mark", target)
        state.write(PAPER_PERP.stranger(WHO, target, rng.choice([-size, size])))
        try:
            entries += done(
                state, kind, target, value if kind in {DEPOSIT, WITHDRAW} else rng.choice([-size, size]) if kind == OPEN else size
            )
        except Skip:
            continue
        assert total(entries) == standing(state).equity - start
    assert total(entries) == standing(state).equity - start
    assert of(entries, OTHER) == 0


def test_a_position_taken_kept_and_traded_away_shows_each_share() -> None:
    state = PAPER_PERP.start(MARKETS, 100_000 * WAD)
    state.write(PAPER_PERP.stranger(WHO, "eth", 5 * WAD))
    taken = done(state, TAKE, "eth", 5 * WAD)
    assert of(taken, INHERITED) + of(taken, PAPER) == 10_000 * WAD * 125 // 10_000
    assert 0 < of(taken, INHERITED) < 125 * WAD
    before = standing(state)
    state.write([*PAPER_PERP.moved("eth", 1_990 * WAD), *PAPER_PERP.charged(state, OURS, "eth", 3 * WAD)])
    passed = drift(before, standing(state), HERE)
    assert {(entry.target, entry.kind): entry.amount for entry in passed} == {("eth", PRICE): -50 * WAD, ("eth", FUNDING): -3 * WAD}
    closed = done(state, CLOSE, "eth", 5 * WAD)
    assert of(closed, FEE) == -PAPER_PERP.exit(PAPER_PERP.start({**MARKETS, "eth": 1_990 * WAD}, 0), "eth", 5 * WAD, 0).fee
    assert of(closed, EXIT) < 0
    assert total([*taken, *passed, *closed]) == standing(state).equity - 100_000 * WAD


def test_what_a_hedge_costs_is_told_from_what_it_brings() -> None:
    state = PAPER_PERP.start(MARKETS, 100_000 * WAD)
    opened = done(state, OPEN, "btc", -WAD // 10)
    assert of(opened, HEDGE) < 0
    assert of(opened, FEE) < 0
    before = standing(state)
    state.write(PAPER_PERP.moved("btc", 50_000 * WAD))
    assert of(drift(before, standing(state), HERE), PRICE) == standing(state).equity - before.equity > 0


@pytest.mark.parametrize(("kind", "sign"), [(DEPOSIT, 1), (WITHDRAW, -1)])
def test_margin_that_moves_is_neither_gain_nor_loss(kind: str, sign: int) -> None:
    state = PAPER_PERP.start(MARKETS, 100 * WAD, 100 * WAD)
    (entry,) = done(state, kind, "", 40 * WAD)
    assert (entry.kind, entry.amount) == (kind, sign * 40 * WAD)


@pytest.mark.parametrize(("amount", "kind"), [(7 * WAD, DEPOSIT), (-7 * WAD, WITHDRAW)])
def test_margin_that_somebody_else_moves_is_told_as_such(amount: int, kind: str) -> None:
    state = PAPER_PERP.start(MARKETS, 100 * WAD)
    before = standing(state)
    (entry,) = money.moved(before, replace(before, equity=before.equity + amount), HERE)
    assert (entry.kind, entry.amount, entry.target) == (kind, amount, "")


def test_funding_that_somebody_else_settles_changes_nothing() -> None:
    state = PAPER_PERP.start(MARKETS, 100 * WAD)
    state.write([put("size", WAD, "eth", OURS)])
    state.write(PAPER_PERP.charged(state, OURS, "eth", 3 * WAD))
    before = standing(state)
    assert before.holding("eth").funding
    settled = replace(before, holdings=tuple(replace(held, funding=0) for held in before.holdings))
    assert money.moved(before, settled, HERE) == []


def test_what_the_token_cannot_hold_is_no_deposit() -> None:
    before = replace(standing(PAPER_PERP.start(MARKETS, 100 * WAD)), scale=10**12)
    (entry,) = money.moved(before, replace(before, equity=before.equity + 10**12 - 1), HERE)
    assert entry.kind == OTHER


def test_a_position_that_somebody_else_changes_is_neither_a_deposit_nor_a_move_of_the_mark() -> None:
    state = PAPER_PERP.start(MARKETS, 100 * WAD)
    state.write([put("size", 2 * WAD, "eth", OURS)])
    before = standing(state)
    state.write([put("size", WAD, "eth", OURS)])
    entries = money.moved(before, standing(state), HERE)
    assert total(entries) == standing(state).equity - before.equity == of(entries, OTHER)


def test_money_that_somebody_else_moves_is_told_apart() -> None:
    state = PAPER_PERP.start(MARKETS, 100 * WAD)
    before = standing(state)
    state.write([put("size", WAD, "eth", OURS)])
    (entry,) = drift(before, standing(state), HERE)
    assert (entry.kind, entry.amount) == (OTHER, 2_000 * WAD)
    assert entry.tx == money.NO_TX
