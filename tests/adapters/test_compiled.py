"""All rows at once are the rows one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.adapters.aave_v3.versions import VERSIONS, RuleSet
from keeper.types import Address, Row
from tests.adapters.synthetic import NAME, State, market_of

RESERVES = 70


def random_state(rules: RuleSet, rng: random.Random) -> State:
    """Accounts of all sizes, over more reserves than a page has, some of them dropped; balances without bits and bits without balances."""
    state = State(market_of(rules))
    cells = state.cells_of
    for reserve in range(RESERVES):
        state.reserve(reserve, rng.randrange(1, 10**12), rng.choice([6, 8, 18]), emode=rng.choice([0, 1]))
    state.emode(1, 9700, 10100, rng.getrandbits(RESERVES))
    for number in range(300):
        account = Address(f"0x{number + 1:040x}")
        bits = 0
        for reserve in rng.sample(range(RESERVES), rng.choice([1, 2, 2, 3, 4, 9, 40])):
            for table, bit in ((cells.supply, 2), (cells.debt, 1)):
                if rng.random() < 0.7:
                    state.write([(table, (reserve, account), rng.choice([1, 10**6, 10**18, 2**70, rng.getrandbits(90)]))])
                bits |= bit << 2 * reserve if rng.random() < 0.8 else 0
        state.write([(cells.bits, (page, account), bits >> 128 * page & (1 << 128) - 1) for page in (0, 1)])
        state.write([(cells.category, (account,), rng.choice([0, 0, 1, 255]))])
    state.write([(cells.slot, (reserve,), 0) for reserve in (3, 66)])
    return state


def compiled_rows(market: AaveV3Market, state: State, slots: NDArray[np.int32] | None = None) -> dict[Address, Row]:
    found: dict[Address, Row] = {}
    for block in market.compiled(state, slots):
        for number, slot in enumerate(block.slot.tolist()):
            used = [(block.factors[c], w) for c, w in zip(block.column[number], block.weight[number], strict=True) if w]
            found[state.account(NAME, slot)] = Row(dict(used), float(block.constant[number]), float(block.slack[number]))
    return found


@pytest.mark.parametrize("rules", VERSIONS, ids=lambda row: row.version)
def test_compiled_rows_are_the_rows_of_every_account_that_owes(rules: RuleSet) -> None:
    market = market_of(rules)
    state = random_state(rules, random.Random(5))
    found = compiled_rows(market, state)
    accounts = [state.account(NAME, slot) for slot in range(state.slots(NAME))]
    expected = {account: rows[0] for account in accounts if (rows := market.rows(state, account))}
    assert found.keys() == expected.keys()
    assert len(expected) > 200
    for account, row in expected.items():
        own = found[account]
        assert (own.constant, own.slack) == (row.constant, row.slack)
        assert own.weights == pytest.approx({factor: weight for factor, weight in row.weights.items() if weight}, rel=1e-14)


@pytest.mark.parametrize("rules", VERSIONS, ids=lambda row: row.version)
def test_some_accounts_compiled_are_the_same_rows_and_no_others(rules: RuleSet) -> None:
    market, rng = market_of(rules), random.Random(6)
    state = random_state(rules, rng)
    everyone = compiled_rows(market, state)
    for count in (1, 7, 150):
        slots = np.array(sorted(rng.sample(range(state.slots(NAME)), count)), np.int32)
        accounts = {state.account(NAME, slot) for slot in slots.tolist()}
        assert compiled_rows(market, state, slots) == {account: row for account, row in everyone.items() if account in accounts}
    assert compiled_rows(market, state, np.zeros(0, np.int32)) == {}
