"""A hostile creator of markets whom the config lets in: fake oracle, own tokens, own pools. Whatever he does costs us gas at most."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import pytest

from keeper.config import load
from keeper.devnet import Devnet
from keeper.devnet.artifacts import Contract
from keeper.devnet.genesis import morpho
from keeper.devnet.genesis.chain import GAS_LIMIT
from keeper.devnet.genesis.morpho import Market
from keeper.devnet.names import BENEFICIARY, DEPLOYER, TRADER, derived
from keeper.fixedpoint import MAX_UINT256
from keeper.types import ZERO_ADDRESS, Address, Outcome, Verdict
from tests.e2e.cli import NOBODY, placed
from tests.e2e.test_bad_markets import ENDLESS, ROOM, ZEROS
from tests.e2e.world import Keeper, World, assert_ledger_is_the_chain, balances, keeper_on, ours, paid_wei, step

MARKET = "morpho"
ATTACKER = derived("tests: hostile creator")
ETHER, NEVER_S, FULL = 10**18, 2**32, 887_220
POOL_FEE = 3000
WORTH, OWED = 10**4, 8_500
"""Whole tokens of collateral, each worth a dollar at first, and dollars owed."""

TOLL_SLOT = 3
"""Where the hostile token keeps its toll: its owner raises it."""


@dataclass(frozen=True, slots=True)
class Trap:
    """A market of a collateral of the creator's own, with a position of his that is liquidatable at the price `due`."""

    net: Devnet
    tokens: dict[str, Address]
    market: Market
    due: int

    @property
    def id(self) -> str:
        return morpho.market_id(self.net.addresses, self.market)

    @property
    def token(self) -> Contract:
        return self.net.contract("morpho.token.TOLL")

    async def say(self, price: int) -> None:
        net = self.net
        await net.transact(ATTACKER, net.addresses["morpho.oracle.evil"], net.encode("morpho.oracle.liar", "say", price))

    async def toll(self, bps: int) -> None:
        await self.net.request("anvil_setStorageAt", self.tokens["EVIL"], hex(TOLL_SLOT), f"0x{bps:064x}")


async def own_token(net: Devnet, symbol: str) -> Address:
    """A token of the attacker's, of which he and the trader have plenty."""
    codec = net.contract("morpho.token.TOLL")
    receipt = await net.transact(ATTACKER, None, codec.creation((symbol, 0), {}))
    token = net.addresses[f"token.{symbol}"] = Address(receipt["contractAddress"].lower())
    for holder in (ATTACKER, TRADER):
        await net.transact(ATTACKER, token, codec.encode("mint", (holder, 10**30)))
        for spender in ("morpho.blue", "uniswap.nfpm"):
            await net.transact(holder, token, codec.encode("approve", (net.addresses[spender], MAX_UINT256)))
    return token


async def pool(net: Devnet, one: str, other: str, amounts: dict[str, int]) -> None:
    """Where these are traded, everywhere."""
    first, second = sorted((net.addresses[f"token.{one}"], net.addresses[f"token.{other}"]))
    of = {net.addresses[f"token.{symbol}"]: amount for symbol, amount in amounts.items()}
    root = isqrt((of[second] << 192) // of[first])
    await net.call(TRADER, "uniswap.nfpm", "createAndInitializePoolIfNecessary", first, second, POOL_FEE, root)
    params = (first, second, POOL_FEE, -FULL, FULL, of[first], of[second], 0, 0, TRADER, NEVER_S)
    await net.call(TRADER, "uniswap.nfpm", "mint", params)


async def trap(net: Devnet, loan: str = "USDC", sprung: bool = True) -> Trap:
    """With pools for his tokens, and if it is sprung with his oracle saying that he is due."""
    await net.request("anvil_setBalance", ATTACKER, hex(10**6 * ETHER))
    tokens = {"EVIL": await own_token(net, "EVIL")}
    unit = 10**6 if loan == "USDC" else ETHER
    if loan == "USDC":
        await net.deal("USDC", ATTACKER, 10**6 * unit)
        await net.call(ATTACKER, "token.USDC", "approve", net.addresses["morpho.blue"], MAX_UINT256)
    else:
        tokens[loan] = await own_token(net, loan)
        await pool(net, loan, "WETH", {loan: 25 * 10**5 * unit, "WETH": 1000 * ETHER})
    await pool(net, "EVIL", loan, {"EVIL": 10**6 * ETHER, loan: 10**6 * unit})
    price = 10**36 * unit // ETHER
    feeds = net.addresses["feed.WETH"], net.addresses["feed.USDC"]
    receipt = await net.transact(ATTACKER, None, net.contract("morpho.oracle.liar").creation((*feeds, 10**24, price), {}))
    net.addresses["morpho.oracle.evil"] = Address(receipt["contractAddress"].lower())
    market = Market("EVIL", loan, 8600, 0, oracle="evil")
    params = morpho.params(net.addresses, market)
    for function, *args in (
        ("createMarket",),
        ("supply", 10**5 * unit, 0, ATTACKER, b""),
        ("supplyCollateral", WORTH * ETHER, ATTACKER, b""),
        ("borrow", OWED * unit, 0, ATTACKER, ATTACKER),
    ):
        await net.call(ATTACKER, "morpho.blue", function, params, *args)
    bait = Trap(net, tokens, market, price * 98 // 100)
    if sprung:
        await bait.say(bait.due)
    return bait


@asynccontextmanager
async def lured(net: Devnet, folder: Path, ids: Sequence[str], executor: str = "") -> AsyncIterator[tuple[World, Keeper]]:
    """A keeper whose user lists these markets by their ids, whatever they are made of. With an executor it is live."""
    text = net.config.read_text().replace('dollars = ["', f'markets = [{", ".join(map(repr, ids))}]\ndollars = ["')
    if executor:
        text = text.replace('mode = "dry-run"', 'mode = "live"').replace(
            "[chains.executor]\n", f'[chains.executor]\naddress = "{executor}"\n'
        )
    config = folder / "keeper.toml"
    config.write_text(text)
    config.with_name("operator.key").write_text(net.config.with_name("operator.key").read_text())
    config.with_name("operator.key").chmod(0o600)
    world = World(net, Address(executor) if executor else ZERO_ADDRESS, load(config, ROOM))
    async with keeper_on(world, live=bool(executor)) as keeper:
        yield world, keeper


def of(keeper: Keeper, account: Address = ATTACKER) -> list[Outcome]:
    """Of the newest block, in the hostile creator's markets."""
    return [outcome for outcome in keeper.reports[-1].outcomes if outcome.account == account]


# --- dry: what the simulation sees --------------------------------------------------------------------------------


async def test_without_malice_his_position_is_as_good_as_any(net: Devnet, tmp_path: Path) -> None:
    """So what the other tests show is the malice."""
    bait = await trap(net)
    async with lured(net, tmp_path, [bait.id]) as (world, keeper):
        await step(world, keeper)
        (found,) = of(keeper)
    assert (found.verdict, found.market) == (Verdict.DRY, MARKET)
    assert found.net_wei > 0


@pytest.mark.parametrize("bps", [100, 5000, 10_000])
async def test_a_toll_on_transfers_is_caught_by_the_simulation(net: Devnet, tmp_path: Path, bps: int) -> None:
    bait = await trap(net)
    await bait.toll(bps)
    async with lured(net, tmp_path, [bait.id]) as (world, keeper):
        await step(world, keeper)
        (found,) = of(keeper)
    assert (found.verdict, found.reason) == (Verdict.SKIPPED, "simulation_failed")


@pytest.mark.parametrize("code", [ZEROS, ENDLESS, "0x5f5ffd", "0x"], ids=["returns false", "returns anything", "reverts", "is gone"])
async def test_a_token_that_ceases_to_be_one_is_caught_by_the_simulation(net: Devnet, tmp_path: Path, code: str) -> None:
    bait = await trap(net)
    async with lured(net, tmp_path, [bait.id]) as (world, keeper):
        await step(world, keeper)
        await net.request("anvil_setCode", bait.tokens["EVIL"], code)
        await step(world, keeper)
        (found,) = of(keeper)
    assert (found.verdict, found.reason) == (Verdict.SKIPPED, "simulation_failed")


async def test_gains_in_a_token_that_only_his_own_pools_price_are_worth_nothing(net: Devnet, tmp_path: Path) -> None:
    """Else we would bid ether for what he prints."""
    bait = await trap(net, loan="PRINTED")
    async with lured(net, tmp_path, [bait.id]) as (world, keeper):
        await step(world, keeper)
        (found,) = of(keeper)
    assert (found.verdict, found.reason) == (Verdict.SKIPPED, "unprofitable")


# --- live: what happens behind it ---------------------------------------------------------------------------------


async def test_a_trap_that_springs_behind_the_simulation_costs_the_gas_and_nothing_else(net: Devnet, tmp_path: Path) -> None:
    """His second transaction waits for the block in which ours lands, and is its first."""
    bait, executor = await trap(net, sprung=False), await placed(net)
    before = await balances(net, BENEFICIARY)
    async with lured(net, tmp_path, [bait.id], executor) as (world, keeper):
        await net.send(ATTACKER, net.addresses["morpho.oracle.evil"], net.encode("morpho.oracle.liar", "say", bait.due))
        await net.send(ATTACKER, bait.tokens["EVIL"], bait.token.encode("freeze", (True,)), gas=GAS_LIMIT)
        await step(world, keeper)
        (sent,) = of(keeper)
        assert sent.verdict is Verdict.PENDING
        block = await step(world, keeper)
        written = await assert_ledger_is_the_chain(world)
        await step(world, keeper)
        later = of(keeper)
        receipts = await ours(world)
    (row,) = [row for row in written if row["account"] == ATTACKER]
    assert (row["block"], row["realised_profit"], row["net_eth_wei"]) == (block, 0, -row["gas_paid_wei"])
    assert row["result"] in ("lost", "reverted")
    assert [receipt["status"] for receipt in receipts] == ["0x0"]
    assert sum(map(paid_wei, receipts)) == row["gas_paid_wei"]
    assert await balances(net, BENEFICIARY) == before
    assert set((await balances(net, Address(executor))).values()) == {0}
    assert [(outcome.verdict, outcome.reason) for outcome in later] == [(Verdict.SKIPPED, "simulation_failed")]


# --- parameters ---------------------------------------------------------------------------------------------------

ODD = {"0x" + "d0" * 20: "0x5f5f5260205ff3", "0x" + "d7" * 20: "0x604d5f5260205ff3", "0x" + "df" * 20: ENDLESS, NOBODY: "0x"}
"""Tokens that say all they are asked is 0, is 77, is endless, and one that is no contract."""


async def odd_markets(net: Devnet) -> list[str]:
    """One market for each parameter that the contract lets anyone choose, as far out as it goes. Returns their ids."""
    usdc, weth, oracle, irm = (net.addresses[name] for name in ("token.USDC", "token.WETH", "morpho.oracle.WETH-USDC", "morpho.irm"))
    for token, code in ODD.items():
        await net.request("anvil_setCode", token, code)
    await net.call(DEPLOYER, "morpho.blue", "enableIrm", ZERO_ADDRESS)
    for lltv_wad in (0, 10**18 - 1):
        await net.call(DEPLOYER, "morpho.blue", "enableLltv", lltv_wad)
    lltv_wad = 86 * 10**16
    chosen = [
        *((usdc, token, oracle, irm, lltv_wad) for token in ODD),
        *((token, weth, oracle, irm, lltv_wad) for token in ODD),
        (usdc, usdc, oracle, irm, lltv_wad),
        (usdc, weth, ZERO_ADDRESS, irm, lltv_wad),
        (usdc, weth, NOBODY, irm, lltv_wad),
        (usdc, weth, usdc, irm, lltv_wad),
        (usdc, weth, oracle, ZERO_ADDRESS, lltv_wad),
        (usdc, weth, oracle, ZERO_ADDRESS, 0),
        (usdc, weth, oracle, ZERO_ADDRESS, 10**18 - 1),
    ]
    codec = net.contract("morpho.blue")
    txs = [await net.send(DEPLOYER, net.addresses["morpho.blue"], codec.encode("createMarket", (params,))) for params in chosen]
    await net.mine()
    receipts = [await net.request("eth_getTransactionReceipt", tx) for tx in txs]
    return [receipt["logs"][0]["topics"][1] for receipt in receipts if receipt["status"] == "0x1"]


async def fallen(world: World, keeper: Keeper) -> set[tuple[str, str, str]]:
    prices = await world.net.prices()
    await step(world, keeper, {symbol: prices[symbol] * 88 // 100 for symbol in ("WETH", "wstETH", "WBTC", "LINK")})
    return {(outcome.market, outcome.account, outcome.reason) for outcome in keeper.reports[-1].outcomes}


async def test_markets_of_the_oddest_parameters_change_no_outcome_of_anybody_else(net: Devnet, tmp_path: Path) -> None:
    ids, found = await odd_markets(net), []
    assert len(ids) >= 14
    for name, listed in (("with", ids), ("without", ids[-1:])):
        (tmp_path / name).mkdir()
        snapshot = await net.snapshot()
        async with lured(net, tmp_path / name, listed) as (world, keeper):
            found.append(await fallen(world, keeper))
        await net.revert(snapshot)
    assert found[0] == found[1]
    assert {market for market, _, reason in found[0] if reason == "dry_run"} >= {"aave-v36", "aave-v302", "morpho", "yield"}
