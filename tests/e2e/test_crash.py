"""A market crash with the keeper running: every wei is explained, and nothing is left to earn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from keeper.devnet.names import BENEFICIARY
from keeper.devnet.paths import path
from keeper.types import Address
from tests.e2e.checker import check, moved, prices_of, worth_wei
from tests.e2e.world import TIP_WEI, Keeper, World, assert_ledger_is_the_chain, balances, fall, keeper_on, ours, settle_down, tx_of, world

SEED = 1
GAS_TOLERANCE_PERCENT = 3

Rows = Sequence[Mapping[str, Any]]


async def test_in_a_crash_every_prediction_comes_true_and_nothing_profitable_is_left() -> None:
    async with world(accounts=60, seed=SEED) as here:
        had = await balances(here.net, BENEFICIARY)
        async with keeper_on(here) as keeper:
            await fall(here, keeper, path("crash", 8, SEED, await here.net.prices()))
            await settle_down(here, keeper)
            assert_ready(keeper)
        written = await assert_ledger_is_the_chain(here)
        assert len(written) >= 30
        assert {row["market"] for row in written} == {"aave-v36", "aave-v302"}
        assert_as_predicted(written)
        await assert_money_arrived(here, had)
        await assert_net_adds_up(here, written)
        report = await check(here.net, here.executor, TIP_WEI)
    assert report.profitable == []
    assert report.moves, "nothing was left to judge"


def assert_ready(keeper: Keeper) -> None:
    """Nearly everybody was planned before the price came."""
    planned, warm = (sum(getattr(report, name) for report in keeper.reports) for name in ("planned", "warm"))
    print(f"{warm} of {planned} plans were warm")
    assert planned >= 30
    assert warm >= 0.95 * planned


def assert_as_predicted(written: Rows) -> None:
    """To the wei; gas within the tolerance; nobody else was there."""
    assert Counter(row["result"] for row in written) == {"won": len(written)}
    assert [row for row in written if row["predicted_profit"] != row["realised_profit"]] == []
    off = [(row["gas_paid_wei"] - row["gas_predicted_wei"], row["gas_predicted_wei"]) for row in written]
    assert [(by, gas) for by, gas in off if 100 * abs(by) > GAS_TOLERANCE_PERCENT * gas] == []
    assert [row["foreign"] for row in written if row["foreign"]] == []


async def assert_money_arrived(here: World, had: Mapping[Address, int]) -> None:
    """What the executor's transfers say is what the beneficiary has, and the executor has nothing."""
    sent: Counter[Address] = Counter()
    for receipt in await ours(here):
        sent.update(moved(receipt["logs"], sender=here.executor, to=BENEFICIARY))
    have = await balances(here.net, BENEFICIARY)
    assert {token: amount - had[token] for token, amount in have.items() if amount != had[token]} == dict(sent)
    assert set((await balances(here.net, here.executor)).values()) == {0}
    assert await here.net.request("eth_getBalance", here.executor, "latest") == "0x0"


async def assert_net_adds_up(here: World, written: Rows) -> None:
    """`net_eth_wei`: what was forwarded, at the market's prices before the block (the driver moves them after us), less the gas."""
    receipts = {tx_of(receipt): receipt for receipt in await ours(here)}
    for row in written:
        prices = await prices_of(here.net, row["market"].replace("-", "_"), row["block"] - 1)
        gains = moved(receipts[row["tx"]]["logs"], sender=here.executor, to=BENEFICIARY)
        assert row["net_eth_wei"] == worth_wei(here.net, prices, gains) - row["gas_paid_wei"]
