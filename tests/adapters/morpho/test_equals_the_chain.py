"""The whole adapter against the real contract, on random states."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from keeper.adapters.morpho_blue.codec import topic, word
from keeper.adapters.morpho_blue.liquidation import SEIZE
from keeper.adapters.morpho_blue.position import Position
from keeper.book.state import Overlay
from keeper.devnet.genesis import morpho
from keeper.devnet.genesis.morpho import MARKETS
from keeper.errors import Skip
from keeper.types import LIQUIDATE, Address, Fill, Pair, Read
from tests.adapters.morpho import truth
from tests.adapters.morpho.conftest import Followed
from tests.adapters.morpho.world import FEE_RECIPIENT, LIQUIDATOR
from tests.adapters.world import Action

STEPS_S = (0, 1, 12, 12, 12, 600, 86_400, 30 * 86_400)
STATES, PLANNED_STATES = 100, 110
LIQUIDATED = topic("Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)")


def random_actions(run: Followed, move: float) -> list[Action]:
    world = run.world
    actions = [*world.tick(move), *(world.action() for _ in range(world.rng.randrange(2, 9)))]
    return [*actions, *(action for _ in range(world.rng.randrange(4)) for action in world.leverage())]


async def test_sums_positions_and_health_equal_the_contracts_in_every_random_state(followed: Followed) -> None:
    run = followed
    await run.prepare()
    accounts = [*run.world.users, FEE_RECIPIENT]
    for state in range(STATES):
        await run.mine(random_actions(run, 0.08), run.world.rng.choice(STEPS_S))
        run.seen["words"] += await truth.check_markets(run)
        if state % 5 == 0:
            run.seen["words"] += await truth.check_positions(run, accounts)
        later_s = run.now_s + run.world.rng.choice([1, 12, 3_000, 10**7])
        run.seen["words"] += await truth.check_accrual(run, later_s)
        run.seen["liquidatable"] += await truth.check_health(run, accounts, later_s)
        await _audits_agree(run, accounts)
        _rows_hold(run, accounts, later_s)
    assert run.seen["words"] > 10_000
    assert min(run.seen["liquidatable"], run.seen["certainly liquidatable"], run.seen["certainly safe"]) > 100
    assert min(run.seen["succeeded"], run.seen["reverted"]) > 100


async def _audits_agree(run: Followed, accounts: Sequence[Address]) -> None:
    audits = [run.market.audit(run.tables, account, run.now_s) for account in accounts if run.market.worst(run.tables, account, run.now_s)]
    for audit, reply in zip(audits, await run.reader.calls([audit.read for audit in audits]), strict=True):
        assert reply is not None
        assert {at: word(reply, at) for at in audit.words} == audit.words


def _rows_hold(run: Followed, accounts: Sequence[Address], at_s: int) -> None:
    """The contract's surplus is within what its row says, for every position."""
    for account in accounts:
        rows = run.market.rows(run.tables, account)
        positions = run.market.positions(run.tables, account, at_s)
        for row, position in zip(rows, positions, strict=True):
            quotes = run.market.factors(run.tables, at_s, row.weights)
            unit = quotes[next(factor for factor in row.weights if factor[1] == "u")].value
            low = row.constant + sum(weight * quotes[factor].value for factor, weight in row.weights.items())
            high = low + row.slack + sum(abs(w) * quotes[f].width + quotes[f].slack for f, w in row.weights.items())
            assert low <= (position.limit - position.owed) * unit <= high, position
            run.seen["certainly liquidatable"] += high < 0
            run.seen["certainly safe"] += low >= 0


async def test_planned_liquidations_move_exactly_what_the_contract_moves(followed: Followed) -> None:
    run = followed
    await run.prepare()
    for _ in range(PLANNED_STATES):
        await run.mine(random_actions(run, 0.15), run.world.rng.choice(STEPS_S[:5]))
        await _liquidate(run)
    assert run.seen["fills"] > 120
    assert min(run.seen[LIQUIDATE], run.seen[SEIZE]) > 30
    assert min(run.seen["bad debts"], run.seen["one after another"]) > 10


async def _liquidate(run: Followed) -> None:
    """What is planned for the next block, one after another on the state the ones before leave, is what the block does."""
    at_s, state = run.now_s + 12, Overlay(run.tables)
    fills: list[Fill] = []
    actions: list[Action] = []
    for account in run.world.users:
        for pair in _pairs(run, state, account, at_s):
            fill = run.market.fill(
                state, pair, run.world.rng.choice([*pair.amounts, run.world.rng.randrange(1, pair.amounts[-1] + 1)]), at_s
            )
            state.write(fill.writes)
            fills.append(fill)
            actions.append(_action(run, fill))
    receipts = await run.mine(actions)
    assert [receipt["status"] for receipt in receipts] == ["0x1"] * len(fills)
    assert truth.cells_that_differ(state, run.tables) == {}
    for fill, receipt in zip(fills, receipts, strict=True):
        _is_what_happened(run, fill, receipt)


def _pairs(run: Followed, state: Overlay, account: Address, at_s: int) -> Sequence[Pair]:
    """None where nothing is left to seize: dust that a repayment could not clear."""
    try:
        return run.market.pairs(state, account, at_s)
    except Skip as skip:
        run.seen[skip.reason] += 1
        return ()


def _action(run: Followed, fill: Fill) -> Action:
    """The very call that the executor would make."""
    _, liquidate, _ = run.market.encode(fill, LIQUIDATOR)
    sized = (fill.cover, 0) if fill.kind == SEIZE else (0, fill.cover)
    call = run.world.liquidate(run.world.ids[fill.target], fill.account, *sized)
    assert (liquidate.target, liquidate.data) == (call.to, call.data)
    return call


def _is_what_happened(run: Followed, fill: Fill, receipt: dict[str, object]) -> None:
    logs = receipt["logs"]
    assert isinstance(logs, list)
    (log,) = [log for log in logs if log["topics"][0] == LIQUIDATED]
    repaid, _, seized, bad, bad_shares = (word(bytes.fromhex(log["data"][2:]), at) for at in range(5))
    assert (repaid, seized, bool(bad_shares)) == (fill.repaid, fill.seized, fill.bad_debt)
    assert fill.repaid <= fill.funds
    run.seen.update({"fills": 1, fill.kind: 1, "bad debts": bool(bad)})
    run.seen["one after another"] += sum(entry["topics"][0] == LIQUIDATED for entry in logs) == 1 and receipt["transactionIndex"] != "0x0"


@pytest.mark.parametrize("market", [MARKETS[0], MARKETS[1], MARKETS[3]], ids=lambda market: market.name)
async def test_a_position_at_its_limit_falls_due_in_the_very_second_the_contract_says(followed: Followed, market: morpho.Market) -> None:
    run = followed
    await run.prepare()
    user, market_id = run.world.users[-1], morpho.market_id(run.net.addresses, market)
    collateral = morpho.amount(market.collateral, 20_000)
    await run.mine([run.world.call(user, "supplyCollateral", market, collateral, user, b"")])
    limit = collateral * morpho.price(market) // 10**36 * market.lltv_bps // 10**4
    await run.mine([run.world.call(user, "borrow", market, limit * 999_999 // 10**6, 0, user, user)])

    def position(at_s: int) -> Position:
        return next(p for p in run.market.positions(run.tables, user, at_s) if p.params.id == market_id)

    low_s, high_s = run.now_s, run.now_s + 10**7
    assert not position(low_s).liquidatable
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        low_s, high_s = (low_s, middle_s) if position(middle_s).liquidatable else (middle_s, high_s)
    assert await truth.check_health(run, [user], low_s) == 0
    assert await truth.check_health(run, [user], high_s) == 1


async def test_cash_is_what_the_singleton_holds(followed: Followed) -> None:
    run = followed
    await run.prepare()
    await run.mine(random_actions(run, 0.01))
    for token in run.market.tokens(run.tables):
        (reply,) = await run.reader.calls([Read(token, run.net.encode("token.USDC", "balanceOf", run.market.address))])
        assert reply is not None
        held = word(reply, 0)
        assert run.market.quote(run.tables, token, held, run.now_s).fee == 0
        with pytest.raises(Skip, match="flash_cash"):
            run.market.quote(run.tables, token, held + 1, run.now_s)
