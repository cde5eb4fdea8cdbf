"""Lots whose price falls by the clock: when the keeper takes them, what rivals teach it, and who else may have the word."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from keeper.bidding.auction import ABOVE_BPS, PRIOR_BPS
from keeper.commands.why import why
from keeper.devnet import Devnet
from keeper.devnet.names import BENEFICIARY
from keeper.ledger.ledger import PAID
from keeper.ledger.rewards import TRANSFER
from keeper.types import Address
from tests.bidding.test_auction import promised
from tests.e2e.auctions import Rival, auction_world, fall, huge_vault, model, sent_after_waiting, waits
from tests.e2e.cli import MakeFolder
from tests.e2e.world import Keeper, World, assert_ledger_is_the_chain, keeper_on, rows, settle_down, step
from tests.execution.test_model import alive

pytestmark = pytest.mark.timeout(240)
MOST_BLOCKS = 90
"""In which the price of a lot falls by more than a tenth."""

PATIENCE_S = 20
RIVALS = "margin of rivals"
EXAMPLE = Path(__file__).parents[2] / "docs" / "bidding_model.py"
QUESTIONS = 5
DIES = f"""\
import json, os, sys
with open("lives", "a") as lives: print(os.getpid(), file=lives, flush=True)
for number, line in enumerate(sys.stdin):
    if number == {QUESTIONS}: sys.exit(1)
    print(json.dumps(dict(id=json.loads(line)["id"], price="0")), flush=True)
"""


async def until_bought(world: World, keeper: Keeper, least: int, rival: Rival | None = None) -> dict[Address, int]:
    """Block after block until every lot that was waited for is somebody's, and at least so many were; ours, with the block they were to be
    bought in."""
    for _ in range(MOST_BLOCKS):
        if rival:
            await rival.before_the_block([Address(vault.address) for vault in world.net.vaults])
        await step(world, keeper)
        waited, ours = {wait.account for wait in waits(keeper)}, sent_after_waiting(keeper)
        if len(waited) >= least and waited <= ours.keys() | (rival.sent if rival else set()):
            await settle_down(world, keeper, at_least=1)
            return ours
    raise AssertionError(f"after {MOST_BLOCKS} blocks there are still lots that are waited for")


async def until_waited(world: World, keeper: Keeper) -> Address:
    """The first lot that is left for later."""
    for _ in range(MOST_BLOCKS):
        await step(world, keeper)
        if found := waits(keeper):
            return found[0].account
    raise AssertionError("no lot was left for later")


async def rewards(world: World) -> list[tuple[str, str, int]]:
    """(transaction, token, amount): what the vaults' collateral joins sent to our beneficiary, by the tokens' own logs."""
    joins = ["0x" + address[2:].zfill(64) for name, address in world.net.addresses.items() if name.startswith("yield.join.")]
    topics = [TRANSFER, joins, "0x" + BENEFICIARY[2:].zfill(64)]
    logs = await world.net.request("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "topics": topics})
    return [(log["transactionHash"], log["address"].lower(), int(log["data"], 16)) for log in logs]


async def assert_exact(world: World, bought: dict[Address, int]) -> None:
    """These were won as predicted, to the wei, and the chain says so too."""
    last = {row["account"]: row for row in await assert_ledger_is_the_chain(world) if row["account"] in bought}
    assert {account: row["result"] for account, row in last.items()} == dict.fromkeys(bought, "won")
    assert all(row["predicted_profit"] == row["realised_profit"] > 0 for row in last.values())


async def test_without_a_rival_each_lot_is_bought_in_the_block_that_promises_most(net: Devnet, tmp_path: Path) -> None:
    """Not in the first one that would have paid."""
    world = await auction_world(net, tmp_path)
    async with keeper_on(world) as keeper:
        await fall(world, keeper, 3)
        bought = await until_bought(world, keeper, least=3)
    prior = [(rival_bps, 1) for rival_bps in PRIOR_BPS]
    for account, block in bought.items():
        waited = [wait for wait in waits(keeper, account) if wait.margin_bps > 0]
        assert len(waited) > 3
        assert {wait.by for wait in waited} == {RIVALS}
        assert all(wait.wanted_bps and wait.wanted_bps > wait.margin_bps for wait in waited)
        assert [wait.block for wait in waited] == list(range(waited[0].block, block))
        step_bps = waited[-1].margin_bps - waited[-2].margin_bps
        margins = [wait.margin_bps for wait in waited] + [waited[-1].margin_bps + step_bps]
        for before, now in zip([-ABOVE_BPS, *margins], margins, strict=False):
            worth = [promised(prior, before, now, step_bps, later) for later in range(40)]
            assert (worth[0] >= 0.98 * max(worth)) == (now == margins[-1]), (before, now, step_bps)
    await assert_exact(world, bought)
    assert not (world.ledger_file.parent / "auctions.json").exists(), "our own purchases are not a rival's"


async def test_a_rival_is_learned_and_from_then_on_comes_too_late_even_after_a_restart(net: Devnet, tmp_path: Path) -> None:
    """He buys at 1 %. At first that is not expected."""
    world, rival = await auction_world(net, tmp_path), Rival(net, 100)
    await rival.prepare()
    async with keeper_on(world) as keeper:
        await fall(world, keeper, 3)
        await until_bought(world, keeper, least=3, rival=rival)
        await keeper.ready(keeper.reports[-1].head.number)
    his = await rival.won()
    assert his
    noted = json.loads((world.ledger_file.parent / "auctions.json").read_text())["margins_bps"]["yield"]
    seen = [margin_bps for margin_bps in noted if margin_bps is not None]  # for one of ours
    assert len(seen) == len(his)
    assert all(70 <= margin_bps <= 110 for margin_bps in seen)
    async with keeper_on(world) as keeper:
        await fall(world, keeper, 3)
        bought = await until_bought(world, keeper, least=2, rival=rival)
    assert await rival.won() == his
    assert all(30 <= waits(keeper, account)[-1].margin_bps < 95 for account in bought)
    await assert_exact(world, bought)


async def test_what_a_start_earns_is_booked_whoever_buys_and_once_over_a_restart(net: Devnet, tmp_path: Path) -> None:
    """A rival buys some lots, we the others: of each the starter's share is ours."""
    world, rival = await auction_world(net, tmp_path), Rival(net, 45)
    await rival.prepare()
    async with keeper_on(world) as keeper:
        await fall(world, keeper, 3)
        bought = await until_bought(world, keeper, least=3, rival=rival)
    async with keeper_on(world) as keeper:
        await keeper.ready(await step(world, keeper))
    found = await rows(world)
    starts = {row["tx"] for row in found if row["result"] == "won" and not row["realised_profit"]}
    paid = [row for row in found if row["result"] == PAID]
    assert sorted((row["tx"], row["profit_token"], row["realised_profit"]) for row in paid) == sorted(await rewards(world))
    assert all(row["predicted_profit"] == row["realised_profit"] for row in paid)
    assert {row["account"] for row in paid} == await rival.won() | {*bought}
    assert {row["reason"] for row in paid} <= {f"started by {tx}" for tx in starts}
    assert await rival.won()
    await assert_exact(world, bought)


async def test_what_a_rival_leaves_of_a_lot_is_bought_to_its_end(net: Devnet, tmp_path: Path) -> None:
    world, rival = await auction_world(net, tmp_path), Rival(net, ABOVE_BPS)
    await rival.prepare()
    async with keeper_on(world) as keeper:
        await fall(world, keeper, 3)
        account = await until_waited(world, keeper)
        _, whole = await rival.auction(account)
        await rival.buy(account, whole // 3)
        await step(world, keeper)
        assert await rival.auction(account) == ((await rival.auction(account))[0], whole - whole // 3)
        bought = await until_bought(world, keeper, least=1)
    assert account in bought
    assert await rival.auction(account) == (0, 0)
    await assert_exact(world, bought)


async def test_a_lot_too_large_for_the_pools_is_bought_in_parts_and_to_its_end(net: Devnet, tmp_path: Path) -> None:
    """Others bring the pools back to the price between the blocks."""
    world, rival = await auction_world(net, tmp_path), Rival(net, ABOVE_BPS)
    account = await huge_vault(net, dai=100_000_000)
    async with keeper_on(world) as keeper:
        await fall(world, keeper, 3)
        await step(world, keeper)
        assert (await rival.auction(account))[1] > 0
        for _ in range(MOST_BLOCKS):
            await net.arbitrage()
            await step(world, keeper)
            if await rival.auction(account) == (0, 0):
                break
        assert await rival.auction(account) == (0, 0)
        await settle_down(world, keeper, at_least=1)
    rows = [row for row in await assert_ledger_is_the_chain(world) if row["account"] == account]
    purchases = [row for row in rows if row["realised_profit"]]
    assert len(purchases) > 1
    assert min(row["block"] for row in purchases) > waits(keeper, account)[0].block + 3
    assert {row["result"] for row in rows} == {"won"}
    assert [row["predicted_profit"] for row in rows] == [row["realised_profit"] for row in rows]


async def test_a_lot_that_waits_is_explained_with_its_margins(net: Devnet, tmp_path: Path) -> None:
    world = await auction_world(net, tmp_path)
    async with keeper_on(world) as keeper:
        await fall(world, keeper, 3)
        account = await until_waited(world, keeper)
        told = [row async for row in await why(world.settings, account)]
    (now,) = [row for row in told if row["kind"] == "now"]
    assert (now["decision"], now["reason"]) == ("skip", "waiting")
    assert "would be left alone: waiting: margin " in now["text"]
    decided = [row["text"] for row in told if row["kind"] == "decision"]
    assert decided[-1].startswith("skipped waiting margin ")
    assert decided[-1].endswith(f"({RIVALS})")


# --- another's word


async def test_the_price_of_the_example_in_the_docs_is_obeyed(net: Devnet, tmp_path: Path) -> None:
    """It wants 0.4 %, which without it would not be enough."""
    more = model(tmp_path, EXAMPLE.read_text()).replace('"model.py"', '"model.py", "40"')
    world = await auction_world(net, tmp_path, more)
    async with keeper_on(world) as keeper:
        await fall(world, keeper, 3)
        bought = await until_bought(world, keeper, least=3)
    for account, block in bought.items():
        waited = waits(keeper, account)
        assert waited[-1].block == block - 1
        assert waited[-1].margin_bps < 40 <= 2 * waited[-1].margin_bps - waited[-2].margin_bps + 1
    await assert_exact(world, bought)


async def test_a_model_that_dies_leaves_its_word_to_the_keepers_own_until_it_is_back(net: Devnet, tmp_path: Path) -> None:
    """It wants nothing at any price; the keeper's own, who has seen only rivals in a hurry, takes what pays at once."""
    world, lives = await auction_world(net, tmp_path, model(tmp_path, DIES)), tmp_path / "lives"
    world.ledger_file.parent.mkdir(parents=True, exist_ok=True)
    (world.ledger_file.parent / "auctions.json").write_text(json.dumps({"block": 0, "margins_bps": {"yield": [0] * 30}}))
    deaths = 0
    async with keeper_on(world) as keeper:
        await fall(world, keeper, 3)
        for _ in range(MOST_BLOCKS):
            await lived(lives, deaths + 1)
            bought = len(sent_after_waiting(keeper))
            await step(world, keeper)
            deaths += len(sent_after_waiting(keeper)) > bought
        await assert_exact(world, sent_after_waiting(keeper))
        processes = await lived(lives, deaths + 1)
    assert deaths >= 2
    assert {(wait.by, wait.wanted_bps) for wait in waits(keeper)} == {("model", None)}
    assert len(waits(keeper)) > (QUESTIONS - 1) * deaths
    assert not [pid for pid in processes if alive(pid)]


async def lived(lives: Path, count: int) -> list[int]:
    """Until the model was started so often; the processes."""
    async with asyncio.timeout(PATIENCE_S):
        while len(pids(lives)) < count:  # noqa: ASYNC110 - it looks at another process
            await asyncio.sleep(0)
    return pids(lives)


def pids(lives: Path) -> list[int]:
    return [int(line) for line in lives.read_text().splitlines()] if lives.exists() else []


async def test_a_program_that_is_missing_is_told_in_one_line(folder: MakeFolder) -> None:
    one = folder("missing").swap("[chains.guard]", '[chains.auctions]\nmodel = ["no-such-program"]\n\n[chains.guard]')
    found = (await one.keeper("check", "--json")).bad()["bidding model"]
    assert found["detail"] == "auctions.model: there is no program 'no-such-program' to run"
    assert (await one.keeper("run", "--blocks", "1")).failed == (2, found["detail"])
