"""Rows and factors: floats that never miss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from math import isfinite
from random import Random

import numpy as np
from numpy.typing import NDArray

from keeper.book.state import Overlay, Tables
from keeper.ports import Market, View
from keeper.testing.adapter.case import Case, State
from keeper.testing.adapter.expect import enough, require, same
from keeper.testing.adapter.standing import everybody
from keeper.types import Address, Factor, PriceFeed, Row, Write

FLOAT = 1e-9
AHEAD_S = (0, 12, 3_600, 7 * 86_400)
MOST_MOVED = 0.4
FINENESS = 10**8
"""An oracle need not tell a price finer than that."""


class Rows:
    async def test_rows_bound_what_the_integers_say(self, case: Case) -> None:
        """Above zero at the lower bound is healthy, below zero at the upper one liquidatable: at any prices and any time."""
        sure = [0, 0]
        for state, view, at_s in await _moments(case):
            for account in sorted(state.market.accounts(view)):
                bounds = [_bounds(state.market, view, row, at_s) for row in state.market.rows(view, account)]
                health = state.market.health(view, account, at_s)
                what = f"at block {state.head.number} as of {at_s}, health factor {health.health_factor_wad}, bounds {bounds}"
                missed = health.liquidatable and not any(low < 0 for low, _ in bounds)
                accused = not health.liquidatable and any(high < 0 for _, high in bounds)
                require(not missed, f"{account} is liquidatable, and no row of it is below zero {what}")
                require(not accused, f"{account} is healthy, and a row of it is below zero for sure {what}")
                sure[any(high < 0 for _, high in bounds)] += 1
        enough(min(sure), 5, "accounts surely healthy, or surely liquidatable")

    async def test_bounds_are_close_to_the_contracts_own_surplus(self, case: Case) -> None:
        """Of markets with a single trigger: weighted collateral less debt is between them."""
        for state, view, at_s in await _moments(case):
            for account in sorted(state.market.accounts(view)):
                rows = state.market.rows(view, account)
                if len(rows) != 1:
                    continue
                low, high = _bounds(state.market, view, rows[0], at_s)
                health = state.market.health(view, account, at_s)
                surplus, error = health.weighted_collateral - health.debt, 1 + FLOAT * (health.weighted_collateral + health.debt)
                what = f"surplus of {account} at block {state.head.number} as of {at_s}: expected {low} … {high}, got {surplus}"
                require(low - error <= surplus <= high + error, what)

    async def test_who_owes_has_rows_and_nobody_else(self, case: Case) -> None:
        """Nobody but those who are among the accounts, which may be more than owe something just now."""
        for state in await case.states():
            listed = set(state.market.accounts(state.view))
            for account in everybody(case, state):
                debt = state.market.health(state.view, account, state.head.timestamp_s).debt
                rows = state.market.rows(state.view, account)
                require(bool(rows) or not debt, f"{account} owes {debt} at block {state.head.number} and has no rows")
                same(bool(rows), account in listed, f"{account} at block {state.head.number}: whether it has rows")

    async def test_compiled_rows_are_the_rows(self, case: Case) -> None:
        """All at once, and of some accounts only."""
        rng, compared = case.rng("compiled"), 0
        for state in await case.states():
            market, view = state.market, state.view
            accounts = [view.account(market.name, slot) for slot in range(view.slots(market.name))]
            some = np.array(sorted(rng.sample(range(len(accounts)), len(accounts) // 2)), np.int32)
            for slots, chosen in ((list(range(len(accounts))), None), (some.tolist(), some)):
                found = _compiled(market, view, chosen)
                for slot in slots:
                    expected, own = market.rows(view, accounts[slot]), found.pop(slot, [])
                    what = f"compiled rows of {accounts[slot]} at block {state.head.number}: expected {expected}, got {own}"
                    require(len(own) == len(expected) and all(map(_alike, own, expected)), what)
                    compared += len(expected)
                require(not found, f"compiled rows of slots that were not asked for, or twice in a block: {found}")
        enough(compared, case.deployment.blocks, "compiled rows")

    async def test_every_factor_of_a_row_has_a_value_and_others_have_none(self, case: Case) -> None:
        for state in await case.states():
            wanted = _factors(state)
            quotes = state.market.factors(state.view, state.landing_s, wanted)
            same(sorted(quotes), sorted(wanted), f"factors that have a value at block {state.head.number}")
            for factor, quote in quotes.items():
                require(all(map(isfinite, quote)), f"the value of {factor} is {quote}")
                require(quote.width >= 0 and quote.slack >= 0, f"{factor} has a negative width or slack: {quote}")
                same(factor[0], state.market.name, f"the first word of factor {factor}")
            one = wanted[:1]
            same(sorted(state.market.factors(state.view, state.landing_s, one)), one, "the factors asked for alone")

    async def test_factors_move_only_with_their_drivers_or_time(self, case: Case) -> None:
        """At one and the same time, from block to block and from price to price: where no driver has changed, no value has."""
        seen, still, rng = 0, 0, case.rng("drivers")
        states = await case.states()
        for old, new in zip(states, [*states[1:], states[-1]], strict=True):
            at_s, view = new.landing_s, Overlay(new.view, _repriced(new, rng))
            market, names = new.market, _factors(old)
            before, after = market.factors(old.view, at_s, names), market.factors(view, at_s, names)
            for name in names:
                driven = any(old.view.get(*cell) != view.get(*cell) for cell in market.drivers(old.view, name))
                what = f"{name} went from {before.get(name)} to {after.get(name)} at block {new.head.number} with none of its drivers"
                require(driven or before.get(name) == after.get(name), what)
                seen, still = seen + driven, still + (not driven)
        enough(seen, case.deployment.blocks // 2, "factors that moved")

    async def test_repriced_makes_the_oracle_say_these_prices(self, case: Case) -> None:
        rng = case.rng("repriced")
        for state in await case.states():
            prices = {token: price for token, price in _prices(state, rng).items() if state.market.repriced(state.view, {token: price})}
            require(bool(prices), "no price can be changed")
            told = _told(state, prices)
            for token, price in prices.items():
                near = abs(told.get(token, 0) - price) <= max(1, price // FINENESS)
                require(near, f"the price of {token} after repriced: expected {price}, got {told.get(token)}")
            same(_told(state, told), told, "prices the oracle has told, after repriced to them")
            view = Overlay(state.view, state.market.repriced(state.view, told))
            worth = {token: state.market.value(view, token, 10**feed.decimals) for token, feed in _feeds(state).items() if token in prices}
            same(worth, {token: told[token] for token in worth}, "what a whole token is worth after repriced")


# --- parts --------------------------------------------------------------------------------------------------------


def _told(state: State, prices: Mapping[Address, int]) -> dict[Address, int]:
    """What the oracle says after repriced to these."""
    view = Overlay(state.view, state.market.repriced(state.view, prices))
    return {token: found for token in prices if (found := state.market.price(view, token)) is not None}


def _bounds(market: Market, view: View, row: Row, at_s: int) -> tuple[float, float]:
    quotes = market.factors(view, at_s, row.weights)
    low = row.constant + sum(weight * quotes[factor].value for factor, weight in row.weights.items())
    spread = sum(abs(weight) * quotes[factor].width + quotes[factor].slack for factor, weight in row.weights.items())
    return low, low + row.slack + spread


async def _moments(case: Case) -> list[tuple[State, View, int]]:
    """States as they were, and with other prices, now and later."""
    rng = case.rng("moments")
    found: list[tuple[State, View, int]] = []
    for state in await case.states():
        views: tuple[View, ...] = (state.view, Overlay(state.view, _repriced(state, rng)))
        found += [(state, view, state.head.timestamp_s + rng.choice(AHEAD_S)) for view in views]
    return found


def _prices(state: State, rng: Random) -> dict[Address, int]:
    prices = {token: state.market.price(state.view, token) for token in sorted(state.market.tokens(state.view))}
    return {token: max(1, round(price * rng.uniform(1 - MOST_MOVED, 1 + MOST_MOVED))) for token, price in prices.items() if price}


def _repriced(state: State, rng: Random) -> list[Write]:
    return state.market.repriced(state.view, _prices(state, rng))


def _feeds(state: State) -> dict[Address, PriceFeed]:
    return {feed.token: feed for feed in state.market.feeds(state.view)}


def _factors(state: State) -> list[Factor]:
    rows = (row for account in state.market.accounts(state.view) for row in state.market.rows(state.view, account))
    return sorted({factor for row in rows for factor in row.weights})


def _compiled(market: Market, view: Tables, slots: NDArray[np.int32] | None) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = defaultdict(list)
    for block in market.compiled(view, slots):
        same(len(set(block.slot.tolist())), len(block.slot), "accounts and rows of a block")
        for at, slot in enumerate(block.slot.tolist()):
            used = {block.factors[c]: float(w) for c, w in zip(block.column[at], block.weight[at], strict=True) if w}
            found[slot].append(Row(used, float(block.constant[at]), float(block.slack[at])))
    return found


def _alike(found: Row, expected: Row) -> bool:
    weights = {factor: weight for factor, weight in expected.weights.items() if weight}
    close = all(abs(found.weights.get(factor, 0.0) - weight) <= 1e-12 * abs(weight) for factor, weight in weights.items())
    return close and found.weights.keys() == weights.keys() and (found.constant, found.slack) == (expected.constant, expected.slack)
