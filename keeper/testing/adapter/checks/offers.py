"""Liquidations: what is offered is what the chain does, and nothing is offered that it does not do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from keeper.book.state import Overlay
from keeper.errors import Skip
from keeper.testing.adapter.attempt import Attempt, attempt, offered
from keeper.testing.adapter.case import Case, State
from keeper.testing.adapter.deployment import Transaction
from keeper.testing.adapter.expect import Nonconformity, alike, enough, require, same
from keeper.testing.adapter.follower import Follower
from keeper.testing.adapter.life import LIQUIDATOR, More
from keeper.types import Address, Fill, Head, Pair, Step

WORD = re.compile(r"[a-z][a-z_]*")
GAS_FACTOR = 3
HAIR, ROUNDING = 10_000, 2
"""An offer may stay so little below what would just be legal: it has to be legal in the block it lands in."""

LONGEST_WAIT = 40
"""Blocks until somebody is liquidatable, at most."""


class Offers:
    async def test_every_liquidation_offered_moves_exactly_what_it_says(self, case: Case) -> None:
        """The steps succeed, and move `repaid` and `seized` and nothing else of these tokens."""
        for one in await _some(case):
            require(not one.error, f"{one.what}: offered, and the chain refuses it: {one.error}")
            alike(one.moved, _expected(one.fill), f"{one.what}: what the liquidator got of each token")

    async def test_a_fills_writes_are_the_state_it_leaves(self, case: Case) -> None:
        """Beside what the logs of the call, and the reads after it, make of the state before it."""
        for one in await _succeeded(case):
            before = {(table, key): one.view.get(table, key) for table, key, _ in (*one.fill.writes, *one.after.writes())}
            told = before | {(table, key): value for table, key, value in one.after.writes()}
            foretold = before | {(table, key): value for table, key, value in one.fill.writes}
            settled = [cell for cell in before if not case.deployment.unsettled(cell)]
            alike({cell: foretold[cell] for cell in settled}, {cell: told[cell] for cell in settled}, f"{one.what}: the state it leaves")

    async def test_nothing_is_offered_for_a_healthy_account(self, case: Case) -> None:
        healthy = 0
        for state in await case.states():
            for account in sorted({*case.deployment.accounts, *state.market.accounts(state.view)}):
                if not state.market.health(state.view, account, state.landing_s).liquidatable:
                    same(offered(state.market, state.view, account, state.landing_s), (), f"offered for the healthy account {account}")
                    healthy += 1
        enough(healthy, case.deployment.blocks, "healthy accounts")

    async def test_a_deal_is_refused_once_its_account_is_healthy(self, case: Case) -> None:
        refused = 0
        for one in await _some(case):
            for state in _healthy(await case.states(), one.fill.account)[:1]:
                _refused(state, one)
                refused += 1
        enough(refused, 1, "accounts that were liquidatable at one state and healthy at another")

    async def test_one_unit_over_the_most_is_capped_or_refused_but_never_exceeded(self, case: Case) -> None:
        """The last amount is the most the rules allow: the chain agrees with what the market makes of a larger one."""
        seen = 0
        for one in _last(await _some(case)):
            for cover in (one.pair.amounts[-1] + 1, 2 * one.pair.amounts[-1]):
                try:
                    fill = one.market.fill(one.view, one.pair, cover, one.at_s)
                except Skip:
                    continue
                over = await attempt(case.life, one.market, one.view, one.head, one.at_s, one.pair, fill)
                require(not over.error, f"{over.what}: over the most offered, not refused by the market, but by the chain: {over.error}")
                alike(over.moved, _expected(fill), f"{over.what}: over the most offered; what the liquidator got of each token")
                most = one.fill.repaid + one.fill.repaid // HAIR + ROUNDING
                require(fill.repaid <= most, f"{over.what}: {most} was the most, and this repays {fill.repaid}")
            seen += 1
        enough(seen, 3, "largest amounts")

    async def test_bad_debt_is_flagged_exactly_where_it_remains(self, case: Case) -> None:
        """It remains where all collateral is gone and not all debt was repaid. Of accounts with a single trigger: the health of others is
        that of the worst."""
        flagged = 0
        for one in await _succeeded(case):
            if len(one.market.rows(one.view, one.fill.account)) != 1:
                continue
            health = one.market.health(one.view, one.fill.account, one.at_s)
            after = one.market.health(one.after, one.fill.account, one.at_s)
            secured = any(leg.value for leg in after.legs if leg.side == "collateral")
            owed = sum(leg.amount for leg in health.legs if leg.side == "debt") - one.fill.repaid
            same(one.fill.bad_debt, owed > 0 and not secured, f"{one.what}: bad debt, with {owed} left of the debt and {after.legs} held")
            flagged += one.fill.bad_debt
        enough(flagged, 1, "liquidations that leave bad debt")

    async def test_the_steps_name_the_account_and_no_other(self, case: Case) -> None:
        everybody = {_own_bytes(account) for account in case.deployment.accounts}
        for one in await _some(case):
            data = b"".join(step.data for step in one.steps)
            own = _own_bytes(one.fill.account)
            require(own in data, f"{one.what}: no step names the account")
            others = [other.hex() for other in everybody - {own} if other in data]
            require(not others, f"{one.what}: a step names {others}")

    async def test_only_the_account_that_is_liquidated_changes(self, case: Case) -> None:
        for one in await _succeeded(case):
            for account in set(case.deployment.accounts) - {one.fill.account}:
                rows = one.market.rows(one.view, account)
                same(one.market.rows(one.after, account), rows, f"{one.what}: the rows of {account}, whom it is not about")

    async def test_gas_is_estimated_within_a_factor_of_three(self, case: Case) -> None:
        for one in await _succeeded(case):
            estimate = one.market.gas(one.fill)
            require(one.gas < GAS_FACTOR * estimate < GAS_FACTOR**2 * one.gas, f"{one.what}: gas estimated {estimate}, used {one.gas}")

    async def test_a_fill_says_what_it_was_asked_for(self, case: Case) -> None:
        """The deal and the amount come back; funds reach; kinds are plain words, the same at every state."""
        for one in await _some(case):
            fill, pair = one.fill, one.pair
            wanted = (pair.account, pair.debt_token, pair.collateral_token, pair.kind, pair.target)
            same((fill.account, fill.debt_token, fill.collateral_token, fill.kind, fill.target), wanted, f"{one.what}: the deal")
            require(fill.repaid <= fill.funds, f"{one.what}: repays {fill.repaid} of {fill.funds} funds")
            require(0 <= fill.counted <= fill.cover, f"{one.what}: of its cover, {fill.counted} count")
            require(min(fill.repaid, fill.seized, fill.protocol_fee) >= 0, f"{one.what}: moves less than nothing: {fill}")
            require(list(pair.amounts) == sorted(set(pair.amounts)) and pair.amounts[0] >= 0, f"{one.what}: amounts {pair.amounts}")
            require(bool(WORD.fullmatch(fill.kind)), f"{one.what}: kind {fill.kind!r} is not a plain word")
            tokens = one.market.tokens(one.view)
            require({fill.debt_token, fill.collateral_token} <= tokens.keys(), f"{one.what}: a token is not among the market's")

    async def test_no_liquidation_earns_more_than_the_margin(self, case: Case) -> None:
        """At the market's own prices, per unit of debt; but for rounding."""
        seen = 0
        for one in await _some(case):
            paid, got = (one.market.value(one.view, token, amount) for token, amount in _sides(one.fill))
            if paid and got is not None and paid > 10**6:
                most = one.market.margin(one.view)
                require(got - paid <= paid * (most + 1e-4), f"{one.what}: earns {got - paid} on {paid}, over the margin {most}")
                seen += 1
        enough(seen, 3, "liquidations large enough")

    async def test_a_mined_liquidation_is_indexed_as_it_was_foretold(self, case: Case) -> None:
        """Encoded, sent by the liquidator, mined, and read back from the chain by the book."""
        (*_, last) = await case.states()
        async with case.life.more() as more:
            state = await _due(case, last, more)
            one = await _first(case, state)
            head = await more.block([Transaction(LIQUIDATOR, step.target, step.data) for step in one.steps if isinstance(step, Step)])
            follower = Follower(await case.open(), case.reader, state.head, state.view.cells())
            await follower.advance([head])
            foretold = Overlay(state.view, one.fill.writes)
            what = f"{one.what}: health after it was mined"
            health = follower.market.health(follower.view, one.fill.account, head.timestamp_s)
            same(health, state.market.health(foretold, one.fill.account, head.timestamp_s), what)
            same(follower.market.rows(follower.view, one.fill.account), state.market.rows(foretold, one.fill.account), f"{one.what}: rows")

    async def test_nothing_is_offered_while_the_chain_refuses_everything(self, case: Case) -> None:
        """After `pause()`; the offers of the block before it are refused by the chain."""
        (*_, last) = await case.states()
        async with case.life.more() as more:
            state = await _due(case, last, more)
            one = await _first(case, state)
            head = await more.block(case.deployment.pause())
            paused = await _next(case, state, head)
            late = await attempt(case.life, state.market, paused.view, head, paused.landing_s, one.pair, one.fill)
            require(bool(late.error), f"{one.what}: pause() does not keep the chain from it")
            for account in sorted(paused.market.accounts(paused.view)):
                found = offered(paused.market, paused.view, account, paused.landing_s)
                same(found, (), f"offered for {account} while the chain refuses everything")
            _refused(paused, one)


# --- parts --------------------------------------------------------------------------------------------------------


async def _some(case: Case) -> list[Attempt]:
    found = await case.attempts()
    enough(len(found), case.deployment.blocks // 4, "liquidations offered")
    return found


async def _succeeded(case: Case) -> list[Attempt]:
    found = [one for one in await case.attempts() if not one.error]
    enough(len(found), case.deployment.blocks // 4, "liquidations the chain took")
    return found


def _last(attempts: Sequence[Attempt]) -> list[Attempt]:
    return [one for one in attempts if one.fill.cover == one.pair.amounts[-1]]


def _healthy(states: Sequence[State], account: Address) -> list[State]:
    return [state for state in states if not state.market.health(state.view, account, state.landing_s).liquidatable]


def _refused(state: State, one: Attempt) -> None:
    try:
        fill = state.market.fill(state.view, one.pair, one.fill.cover, state.landing_s)
    except Skip as skip:
        require(bool(WORD.fullmatch(skip.reason)), f"the reason {skip.reason!r} is not a plain word")
        return
    raise Nonconformity(f"{one.what}: illegal at block {state.head.number}, and fill answers {fill}")


def _sides(fill: Fill) -> tuple[tuple[Address, int], tuple[Address, int]]:
    return (fill.debt_token, fill.repaid), (fill.collateral_token, fill.seized)


def _expected(fill: Fill) -> dict[Address, int]:
    moved = Counter({fill.debt_token: -fill.repaid})
    moved[fill.collateral_token] += fill.seized
    return dict(moved)


def _own_bytes(account: Address) -> bytes:
    """Without the zeros that fill up a shorter id."""
    return bytes.fromhex(account[2:]).rstrip(b"\0")


# --- further blocks -----------------------------------------------------------------------------------------------


async def _due(case: Case, last: State, more: More) -> State:
    """The first state from the last on at which a liquidation is offered that can be made."""
    rng, state = case.rng("due"), last
    for _ in range(LONGEST_WAIT):
        if next(_makeable(case, state), None):
            return state
        state = await _next(case, state, await more.block(await case.deployment.happens(case.life.node, rng)))
    raise Nonconformity(f"nothing was offered in {LONGEST_WAIT} blocks: let the deployment's actions() bring somebody down")


def _makeable(case: Case, state: State) -> Iterator[tuple[Pair, Fill]]:
    """What is offered, at its largest amount, but for what is refused for a reason that passes."""
    for account in sorted(state.market.accounts(state.view)):
        for pair in offered(state.market, state.view, account, state.landing_s):
            try:
                yield pair, state.market.fill(state.view, pair, pair.amounts[-1], state.landing_s)
            except Skip as skip:
                require(skip.reason in case.deployment.passing, f"{pair} is offered, and fill refuses it: {skip}")


async def _next(case: Case, state: State, head: Head) -> State:
    follower = Follower(state.market, case.reader, state.head, state.view.cells())
    changed = await follower.advance([head])
    return State(state.market, follower.view, head, tuple(changed))


async def _first(case: Case, state: State) -> Attempt:
    """A liquidation offered at this state, which the chain takes."""
    pair, fill = next(_makeable(case, state))
    one = await attempt(case.life, state.market, state.view, state.head, state.landing_s, pair, fill)
    require(not one.error, f"{one.what}: offered, and the chain refuses it: {one.error}")
    return one
