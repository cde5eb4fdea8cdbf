"""Two calls where one may not take enough: on the real contracts, in one transaction, exactly as predicted."""

from __future__ import annotations

import json

from keeper.types import LIQUIDATE, TWICE
from tests.e2e.world import assert_ledger_is_the_chain, drop, keeper_on, query, settle_down, step, world

SEED = 3
ACCOUNTS = 60


async def test_accounts_just_below_health_are_liquidated_by_two_calls_that_land_as_one() -> None:
    async with world(ACCOUNTS, SEED) as here:
        async with keeper_on(here) as keeper:
            for _ in range(3):
                await step(here, keeper, await drop(here, percent=2))
                await settle_down(here, keeper)
        written = {row["tx"]: row for row in await assert_ledger_is_the_chain(here)}
        kinds = {
            tx: json.loads(plan)["plan"]["kind"] for tx, plan in query(here, "select tx, plan_json from outbox where state = 'included'")
        }
    assert set(kinds.values()) == {LIQUIDATE, TWICE}
    twice = [written[tx] for tx, kind in kinds.items() if kind == TWICE]
    assert len(twice) >= 3
    assert {row["market"] for row in twice} == {"aave-v302", "aave-v36"}
    assert all(row["result"] == "won" and row["predicted_profit"] == row["realised_profit"] > 0 for row in twice)
