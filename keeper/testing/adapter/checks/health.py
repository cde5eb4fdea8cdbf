"""Accounts: who there is, what they are worth at any time, and who may be liquidated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from keeper.testing.adapter.attempt import offered
from keeper.testing.adapter.case import Case, State
from keeper.testing.adapter.expect import enough, require, same
from keeper.testing.adapter.run import admits
from keeper.testing.adapter.standing import differences, everybody
from keeper.types import Address, Pair, Read, Row

AHEAD_S = (1, 3_600, 30 * 86_400)


class Healths:
    async def test_health_equals_the_chain_at_any_later_time(self, case: Case) -> None:
        """The same block's state, a second, an hour and a month later."""
        compared = 0
        for state in (await case.states())[::2]:
            for ahead_s in AHEAD_S:
                count, wrong = await differences(case, state, state.head.timestamp_s + ahead_s)
                require(not wrong, f"at block {state.head.number}, {ahead_s} s later: {'; '.join(wrong[:3])}")
                compared += count
        enough(compared, 3 * case.deployment.blocks, "audited words")

    async def test_the_guard_stops_whoever_is_healthy(self, case: Case) -> None:
        """Of every deal that was ever offered, at every state."""
        seen, deals = 0, await _deals(case)
        for state in await case.states():
            past = [deal for deal in deals if not state.market.health(state.view, deal.account, state.landing_s).liquidatable]
            for deal, passes in await _guarded(case, state, past):
                require(not passes, f"the guard lets pass the healthy account of {deal} at block {state.head.number}")
                seen += 1
        enough(seen, 5, "deals that are gone")

    async def test_the_guard_lets_pass_whatever_is_offered(self, case: Case) -> None:
        seen = 0
        for state in await case.states():
            for deal, passes in await _guarded(case, state, _offers(state)):
                require(passes, f"the guard keeps {deal} from being made at block {state.head.number}")
                seen += 1
        enough(seen, case.deployment.blocks // 4, "deals offered")

    async def test_everybody_who_owes_is_among_the_accounts_once(self, case: Case) -> None:
        for state in await case.states():
            listed = list(state.market.accounts(state.view))
            same(len(listed), len(set(listed)), f"accounts listed at block {state.head.number}")
            for account in set(everybody(case, state)) - set(listed):
                debt = state.market.health(state.view, account, state.head.timestamp_s).debt
                require(not debt, f"account {account} owes {debt} at block {state.head.number} and is not among the accounts")

    async def test_touched_names_every_account_whose_rows_have_changed(self, case: Case) -> None:
        changed = 0
        before: dict[Address, tuple[Row, ...]] | None = None
        for state in await case.states():
            rows = {account: state.market.rows(state.view, account) for account in everybody(case, state)}
            touched = state.market.touched(state.changed)
            for account, row in rows.items() if before is not None else ():
                if row != (before or {}).get(account, ()):
                    require(account in touched, f"block {state.head.number} changed the rows of {account}, and touched does not name it")
                    changed += 1
            before = rows
        enough(changed, case.deployment.blocks // 2, "changes of an account's rows")

    async def test_what_an_account_holds_adds_up_to_its_health(self, case: Case) -> None:
        """Legs of the same side and unit: the debts sum up to the debt, and their tokens are listed, or at least have a price."""
        for state in await case.states():
            tokens = state.market.tokens(state.view)
            for account in sorted(state.market.accounts(state.view)):
                health = state.market.health(state.view, account, state.landing_s)
                same((health.account, health.timestamp_s), (account, state.landing_s), "account and time of a health")
                for leg in health.legs:
                    known = leg.token in tokens or state.market.price(state.view, leg.token) is not None
                    require(known, f"{account} holds {leg.token}, which is none of the market's tokens")
                    require(leg.side in {"collateral", "debt"}, f"a leg of {account} is of side {leg.side!r}")
                    require(leg.amount >= 0 and leg.price >= 0, f"a leg of {account} has amount {leg.amount} at price {leg.price}")


def _offers(state: State) -> list[Pair]:
    market, accounts = state.market, sorted(state.market.accounts(state.view))
    return [pair for account in accounts for pair in offered(market, state.view, account, state.landing_s)]


async def _deals(case: Case) -> list[Pair]:
    """All that were ever offered, each once: whatever their amounts."""
    found = {replace(pair, amounts=()): pair for state in await case.states() for pair in _offers(state)}
    return list(found.values())


async def _guarded(case: Case, state: State, deals: Sequence[Pair]) -> list[tuple[Pair, bool]]:
    """Whether the guards let them pass in the block after this state."""
    guards = [state.market.guard(deal) for deal in deals]
    reads = [Read(guard.target, guard.data) for guard in guards]
    replies = await case.reader.asked(reads, state.head.hash, state.landing_s)
    return [(deal, admits(guard, reply)) for deal, guard, reply in zip(deals, guards, replies, strict=True)]
