"""What `keeper stress` predicts for a shock is what liquidating one by one on the real contracts gives; and the command in clumsy hands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from keeper.app import Chain, open_chain
from keeper.book.state import Overlay
from keeper.commands.stress_report import cascade_of
from keeper.config import load
from keeper.devnet import Devnet
from keeper.devnet.genesis.chain import ETHER
from keeper.devnet.names import BENEFICIARY, DEPLOYER, MARKETS, OPERATOR, derived
from keeper.devnet.uniswap import POOLS
from keeper.risk.cascade import Round
from keeper.risk.stress import PPM, positions, shocked
from keeper.types import Address, Prediction
from tests.e2e.calls import EXECUTOR, FLASH_LOAN, FLASH_SWAP, MAX, NO_FUNDING, Choice, Funding, Hop, execute, liquidation
from tests.e2e.checker import liquidatable
from tests.e2e.cli import MakeFolder, at_once
from tests.markets import ALL, LENDING, only

SHOCK = ("WETH", "wstETH", "WBTC", "LINK")
FALL_PPM = -200_000
DEEP_PPM = -380_000
KINDS = {"none": NO_FUNDING, "flash_loan": FLASH_LOAN, "flash_swap": FLASH_SWAP}
LIQUIDATED = "0x" + keccak(text="LiquidationCall(address,address,address,uint256,uint256,address,bool)").hex()
CALL_GAS = 3_000_000
HAND = derived("tests: one by one")

Receipts = list[dict[str, Any]]


def on_devnet(market: str) -> str:
    """The devnet's name of a market of its config."""
    return market.replace("-", "_")


async def predicted(net: Devnet, folder: Path, fall_ppm: int = FALL_PPM) -> tuple[list[Round], Overlay, set[tuple[str, Address]]]:
    """The cascade without feedback, the state it ends in, and who is liquidatable there."""
    settings = only(load(net.config, {"KEEPER_DATA_DIR": str(folder)}), *LENDING)
    async with open_chain(settings, settings.chains[0], lambda *_: None, owned=False) as chain:
        await chain.catch_up()
        return end_of(chain, {net.addresses[f"token.{symbol}"]: fall_ppm for symbol in SHOCK})


def end_of(chain: Chain, moves: dict[Address, int]) -> tuple[list[Round], Overlay, set[tuple[str, Address]]]:
    books = [positions(market, chain.view, chain.landing(chain.head).timestamp_s) for market in chain.markets]
    cascade = cascade_of(chain, books, moves, 0.0)
    state = shocked(chain.markets, chain.venues, chain.view, moves)
    rounds = list(cascade.rounds(state))
    return rounds, state, {(on_devnet(c.market.name), c.account) for c in cascade.eligible(state)}


async def crash(net: Devnet, fall_ppm: int) -> None:
    """The transmitter and the trader put the shock into the mempool."""
    prices = await net.prices()
    await net.set_prices({s: p * (PPM + fall_ppm) // PPM if s in SHOCK else p for s, p in prices.items()})


async def brute_force(net: Devnet, sender: Address, calls: Sequence[tuple[Address, bytes]], fall_ppm: int = FALL_PPM) -> Receipts:
    """The crash, and then one transaction after another, in the block that was predicted."""
    nonce = int(await net.request("eth_getTransactionCount", sender, "latest"), 16)
    await crash(net, fall_ppm)
    hashes = []
    for number, (to, data) in enumerate(calls):
        tx = {"from": sender, "to": to, "input": "0x" + data.hex(), "gas": hex(CALL_GAS), "nonce": hex(nonce + number)}
        hashes.append(await net.request("eth_sendTransaction", tx))
    await net.mine()
    receipts: Receipts = await net.batch([("eth_getTransactionReceipt", [tx]) for tx in hashes])
    assert len({receipt["blockNumber"] for receipt in receipts}) == 1
    return receipts


def moved(receipt: dict[str, Any]) -> tuple[Address, int, int]:
    """(account, repaid, seized) of the market's own event."""
    (log,) = [log for log in receipt["logs"] if log["topics"][0] == LIQUIDATED]
    words = bytes.fromhex(log["data"][2:])
    return Address("0x" + log["topics"][3][-40:]), int.from_bytes(words[:32]), int.from_bytes(words[32:64])


def choice_of(call: Prediction) -> Choice:
    plan = call.plan
    return Choice(on_devnet(plan.market), plan.account, plan.debt_token, plan.collateral_token, plan.cover)


def as_executed(net: Devnet, executor: Address, call: Prediction) -> tuple[Address, bytes]:
    plan, token, path = call.plan, call.plan.collateral_token, []
    for pool in plan.route:
        other = pool.token1 if token == pool.token0 else pool.token0
        path.append(Hop(pool.address, pool.fee_pips, token, other))
        token = other
    funding = Funding(KINDS[plan.funding.kind], plan.funding.source, plan.funding.amount)
    return executor, execute(net, executor, choice_of(call), funding, tuple(path))


async def test_liquidating_one_by_one_on_both_versions_moves_exactly_what_was_predicted(net: Devnet, tmp_path: Path) -> None:
    """Through the executor, so that every sale into the pools is made, too."""
    receipt = await net.transact(DEPLOYER, None, EXECUTOR.creation((DEPLOYER, BENEFICIARY, [OPERATOR]), {}))
    executor = Address(receipt["contractAddress"].lower())
    rounds, state, left = await predicted(net, tmp_path)
    calls = [call for each in rounds for call in each.calls]
    receipts = await brute_force(net, OPERATOR, [as_executed(net, executor, call) for call in calls])
    assert [moved(receipt) for receipt in receipts] == [(call.plan.account, call.repaid, call.seized) for call in calls]
    per_market = Counter(on_devnet(call.plan.market) for call in calls)
    assert all(per_market[market] >= 8 for market in MARKETS), per_market
    assert await liquidatable(net) == left
    for pool in POOLS:
        sqrt_price = (await net.read(pool.name, "slot0"))[0]
        assert state.get("uniswap.price", (net.addresses[pool.name],)) == pytest.approx(sqrt_price, rel=1e-9)


async def test_a_stranger_with_own_money_who_sells_nothing_seizes_the_same(net: Devnet, tmp_path: Path) -> None:
    await net.request("anvil_setBalance", HAND, hex(10**4 * ETHER))
    for symbol in ("USDC", "DAI", "WETH", "WBTC", "wstETH", "LINK"):
        await net.request("anvil_dealERC20", HAND, net.addresses[f"token.{symbol}"], hex(10**27))
        for market in MARKETS:
            await net.request("anvil_setERC20Allowance", HAND, net.addresses[f"{market}.pool"], net.addresses[f"token.{symbol}"], hex(MAX))
    rounds, _, left = await predicted(net, tmp_path)
    choices = [(call, choice_of(call)) for each in rounds for call in each.calls]
    data = [(net.addresses[f"{choice.market}.pool"], liquidation(net, choice)) for _, choice in choices]
    receipts = await brute_force(net, HAND, data)
    assert [moved(receipt) for receipt in receipts] == [(call.plan.account, call.repaid, call.seized) for call, _ in choices]
    assert await liquidatable(net) == left


async def test_bad_debt_is_the_deficit_or_the_debt_left_that_the_contracts_report(net: Devnet, tmp_path: Path) -> None:
    receipt = await net.transact(DEPLOYER, None, EXECUTOR.creation((DEPLOYER, BENEFICIARY, [OPERATOR]), {}))
    executor = Address(receipt["contractAddress"].lower())
    rounds, _, _ = await predicted(net, tmp_path, DEEP_PPM)
    calls = [call for each in rounds for call in each.calls]
    await brute_force(net, OPERATOR, [as_executed(net, executor, call) for call in calls], DEEP_PPM)
    told = {
        on_devnet(t.market): sum(u.bad_debt for each in rounds for u in each.tallies if u.market == t.market) for t in rounds[0].tallies
    }
    tokens = {name.removeprefix("token."): address for name, address in net.addresses.items() if name.startswith("token.")}
    deficit = 0
    for symbol, token in tokens.items():
        (amount,) = await net.read("aave_v36.pool", "getReserveDeficit", token)
        (price,) = await net.read("aave_v36.oracle", "getAssetPrice", token)
        (decimals,) = await net.read(f"token.{symbol}", "decimals")
        deficit += amount * price // 10**decimals
    emptied = [call.plan.account for call in calls if call.fill.bad_debt and on_devnet(call.plan.market) == "aave_v302"]
    owed = [(await net.read("aave_v302.pool", "getUserAccountData", account))[1] for account in emptied]
    assert told["aave_v36"] > 0 < told["aave_v302"]
    assert told["aave_v36"] == pytest.approx(deficit, abs=1000)
    assert told["aave_v302"] == pytest.approx(sum(owed), abs=1000)


# --- the command --------------------------------------------------------------------------------------------------


async def test_the_command_tells_people_programs_and_reports_the_same_every_time(folder: MakeFolder) -> None:
    one = folder("one")
    asked = ("stress", "--shock", "ETH=-25%", "--shock", "btc=-20%", "--feedback", "0.5", "--paths", "50", "--seed", "3")
    text, first, again, other, drawn = await at_once(
        one.keeper(*asked),
        one.keeper(*asked, "--json"),
        one.keeper(*asked, "--json"),
        one.keeper(*asked[:-1], "4", "--json"),
        one.keeper(*asked, "--plot", str(one.path / "stress.svg")),
    )
    assert {ended.status for ended in (text, first, again, other, drawn)} == {0}
    assert first.out == again.out != other.out
    kinds = Counter(row["kind"] for row in first.rows)
    assert kinds["shock"] == len(ALL)
    assert kinds["curve"] == len(ALL) * 26
    for market in ALL:
        curve = [row for row in first.rows if row["kind"] == "curve" and row["market"] == market]
        assert [int(row["share_bps"]) for row in curve] == list(range(0, 12_501, 500))
    assert kinds["paths"] == len({row["unit"] for row in first.rows if row["kind"] == "shock"}) == 2
    assert kinds["round"] >= 2
    assert all(isinstance(row[key], str) for row in first.rows for key in ("debt", "seized", "value_at_risk", "round") if key in row)
    assert {row["market"]: row["bearer"] for row in first.rows if row["kind"] == "shock"} == {
        "aave-v36": "deficit",
        "aave-v302": "suppliers",
        "morpho": "socialised",
        "perp": "insurance fund",
        "yield": "suppliers",
    }
    assert text.out.startswith("WETH -25 %, vETH -25 %, WBTC -20 %, vBTC -20 %")
    for words in ("Liquidatable debt against the shock", "The cascade", "paths over 1 day, seed 3"):
        assert words in text.out
    assert "<svg" in (one.path / "stress.svg").read_text()


async def test_png_and_pdf_are_drawn_also_when_nobody_is_liquidated(folder: MakeFolder) -> None:
    one = folder("one")
    png, pdf = await at_once(
        one.keeper("stress", "--shock", "ETH=+0.01%", "--plot", str(one.path / "a.png")),
        one.keeper("stress", "--shock", "ETH=-10%", "--plot", str(one.path / "b.pdf")),
    )
    assert (png.status, pdf.status) == (0, 0)
    assert "nobody is liquidated" in png.out
    assert (one.path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (one.path / "b.pdf").read_bytes().startswith(b"%PDF")


async def test_every_mistake_is_one_line_and_status_2(folder: MakeFolder) -> None:
    one = folder("one")
    cases = {
        ("--shock", "ETH"): "must be TOKEN=CHANGE% such as ETH=-30%, was 'ETH'",
        ("--shock", "ETH=-100%"): "a price cannot fall by 100 % or more",
        ("--shock", "DOGE=-3%"): "no market lists DOGE: there are DAI, LINK, USDC, WBTC, WETH, vBTC, vETH, wstETH",
        ("--shock", "ETH=-3%", "--plot", "a.gif"): "--plot must end in .pdf, .png, .svg, was a.gif",
        ("--shock", "ETH=-3%", "--plot", "none/a.png"): "--plot: there is no folder none",
        ("--shock", "ETH=-3%", "--feedback", "1.5"): "--feedback",
        (): "Missing option '--shock'",
    }
    ends = await at_once(*(one.keeper("stress", *arguments) for arguments in cases))
    for ended, said in zip(ends, cases.values(), strict=True):
        assert ended.status == 2
        assert said in ended.said[0]
        assert len(ended.said) == 1


async def test_a_book_without_debt_says_that_there_is_nothing_to_stress(net: Devnet, folder: MakeFolder) -> None:
    """Everybody repays."""
    people = [*net.borrowers, *(address for name, address in net.addresses.items() if name.startswith("lender."))]
    vtokens = [name for name in net.addresses if ".vtoken." in name]
    debts = [(name, person) for name in vtokens for person in people if (await net.read(name, "balanceOf", person))[0]]
    for name, person in debts:
        market, _, symbol = name.split(".")
        token, pool = net.addresses[f"token.{symbol}"], net.addresses[f"{market}.pool"]
        await net.request("anvil_dealERC20", person, token, hex(10**27))
        await net.request("anvil_setERC20Allowance", person, pool, token, hex(MAX))
        await net.transact(person, pool, net.encode(f"{market}.pool", "repay", token, MAX, 2, person))
    ended = await folder("one").only(*LENDING).keeper("stress", "--shock", "ETH=-20%")
    assert ended.failed == (1, "chain devnet: nothing to stress: nobody owes anything in aave-v36, aave-v302")
