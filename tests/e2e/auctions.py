"""A live keeper that knows one market, auctions, and a rival who buys there at a margin of his own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eth_utils.crypto import keccak

from keeper.config import load
from keeper.devnet import Devnet
from keeper.devnet.genesis.tokens import BY_SYMBOL
from keeper.devnet.genesis.yields import MARKET, TERMS, account_of, asset_id, series_id, vault_id
from keeper.devnet.names import BENEFICIARY, DEPLOYER, OPERATOR, derived
from keeper.fixedpoint import MAX_UINT256
from keeper.types import Address, Outcome, Verdict
from tests.e2e.calls import EXECUTOR
from tests.e2e.world import Keeper, World, step
from tests.markets import config_of

RIVAL = derived("tests: rival at auctions")
BLOCK_S = 12
MOST = 2**128 - 1
BOUGHT = "0x" + keccak(text="Bought(bytes12,address,uint256,uint256)").hex()
MARGIN = re.compile(r"margin (-?[0-9.]+) % < (?:([0-9.]+) %|any) \((.*)\)")


async def auction_world(net: Devnet, folder: Path, more: str = "") -> World:
    """Our executor on a devnet where only auctions are configured; `more` of the config. Blocks follow each other faster than an audit: the
    node would answer it with the next one's time."""
    receipt = await net.transact(DEPLOYER, None, EXECUTOR.creation((DEPLOYER, BENEFICIARY, [OPERATOR]), {}))
    executor = Address(receipt["contractAddress"].lower())
    text = config_of(net.config.read_text(), MARKET).replace('mode = "dry-run"', 'mode = "live"')
    text = text.replace("[chains.executor]\n", f'{more}\n[chains.executor]\naddress = "{executor}"\n')
    text = text.replace('"operator.key"', f'"{net.config.parent / "operator.key"}"')
    text = text.replace("block_time_s = ", "audit_accounts = 0\nblock_time_s = ")
    config = folder / "keeper.toml"
    config.write_text(text)
    return World(net, executor, load(config, {}))


async def fall(world: World, keeper: Keeper, percent: int, symbols: tuple[str, ...] = ("WETH",)) -> None:
    """Prices fall; the vaults that go under are put up for auction in the next block."""
    prices = await world.net.prices()
    await step(world, keeper, {symbol: prices[symbol] * (100 - percent) // 100 for symbol in symbols})


def model(folder: Path, script: str, answer_ms: int = 10_000) -> str:
    """Of the config: a bidding model with this script."""
    (folder / "model.py").write_text(script)
    return f'[chains.auctions]\nmodel = ["{sys.executable}", "model.py"]\nanswer_ms = {answer_ms}'


async def huge_vault(net: Devnet, dai: int) -> Address:
    """One that owes so much, a hair above the ratio: more collateral than the pools take at once."""
    owner, now_s = (
        derived("tests: owner of a huge vault"),
        int((await net.request("eth_getBlockByNumber", "latest", False))["timestamp"], 16),
    )
    number, price = vault_id(owner, now_s + BLOCK_S), (await net.prices())["WETH"]
    ink, art = dai * 10**26 * TERMS["WETH"].ratio_ppm // 10**6 * 1001 // (1000 * price), dai * 10**18
    await net.request("anvil_setBalance", owner, hex(10**24))
    await net.request("anvil_dealERC20", owner, net.addresses["token.WETH"], hex(ink))
    calls: list[tuple[str, str, tuple[object, ...]]] = [
        ("token.WETH", "approve", (net.addresses["yield.join.WETH"], ink)),
        ("yield.ladle", "build", (series_id("DAI"), asset_id("WETH"), 0)),
        ("yield.ladle", "pour", (bytes.fromhex(number[2:]), owner, ink, art)),
    ]
    for name, function, arguments in calls:
        await net.send(owner, net.addresses[name], net.encode(name, function, *arguments), gas=2_000_000)
    await net.mine(now_s + BLOCK_S)
    return account_of(number)


# --- what the keeper said


@dataclass(frozen=True, slots=True)
class Wait:
    """A block in which a lot was left for later. Margins in basis points; `wanted_bps` None: at no price."""

    block: int
    account: Address
    margin_bps: int
    wanted_bps: int | None
    by: str


def outcomes(keeper: Keeper) -> Iterator[Outcome]:
    return (outcome for report in keeper.reports for outcome in report.outcomes)


def waits(keeper: Keeper, account: Address | None = None) -> list[Wait]:
    found = []
    for outcome in outcomes(keeper):
        if outcome.reason == "waiting" and account in (None, outcome.account):
            match = MARGIN.fullmatch(outcome.detail)
            assert match, outcome.detail
            wanted = round(100 * float(match[2])) if match[2] else None
            found.append(Wait(outcome.block, outcome.account, round(100 * float(match[1])), wanted, match[3]))
    return found


def sent_after_waiting(keeper: Keeper) -> dict[Address, int]:
    """The lots that were waited for and then bought, with the block they were to be bought in."""
    waited = {wait.account for wait in waits(keeper)}
    sent = {o.account: o.block for o in outcomes(keeper) if o.verdict is Verdict.PENDING and o.account in waited}
    return {account: block for account, block in sent.items() if block > max(wait.block for wait in waits(keeper, account))}


# --- the rival


class Rival:
    """Buys whatever is on auction in the first block in which it leaves `margin_bps` of its price at the oracle's word."""

    def __init__(self, net: Devnet, margin_bps: int) -> None:
        self.net, self.margin_bps = net, margin_bps
        self.sent: set[Address] = set()

    async def prepare(self) -> None:
        await self.net.request("anvil_setBalance", RIVAL, hex(10**24))
        for symbol in ("USDC", "DAI"):
            token, join = self.net.addresses[f"token.{symbol}"], self.net.addresses[f"yield.join.{symbol}"]
            await self.net.request("anvil_dealERC20", RIVAL, token, hex(10**9 * BY_SYMBOL[symbol].unit))
            await self.net.request("anvil_setERC20Allowance", RIVAL, join, token, hex(MAX_UINT256))

    async def before_the_block(self, accounts: list[Address]) -> None:
        """Put into the mempool what he buys in the next one."""
        now_s = int((await self.net.request("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
        for account in accounts:
            if account not in self.sent and await self._margin_bps(account, now_s + BLOCK_S) >= self.margin_bps:
                await self.buy(account)
                self.sent.add(account)

    async def buy(self, account: Address, most: int = MOST) -> None:
        data = self.net.encode("yield.witch", "payBase", bytes.fromhex(account[2:26]), RIVAL, 0, most)
        await self.net.send(RIVAL, self.net.addresses["yield.witch"], data, gas=2_000_000)

    async def won(self) -> set[Address]:
        """The lots of which he got something."""
        topics = [BOUGHT, None, "0x" + RIVAL[2:].rjust(64, "0")]
        asked = {"address": self.net.addresses["yield.witch"], "fromBlock": "0x0", "toBlock": "latest", "topics": topics}
        return {account_of(log["topics"][1][:26]) for log in await self.net.request("eth_getLogs", asked)}

    async def auction(self, account: Address) -> tuple[int, int]:
        """(when it started, the debt that is left of it); zeros where there is none."""
        _, started_s, _, _, art, *_ = await self.net.read("yield.witch", "auctions", bytes.fromhex(account[2:26]))
        return started_s, art

    async def _margin_bps(self, account: Address, at_s: int) -> int:
        """At the oracle's word, less than nothing where there is no auction."""
        vault = bytes.fromhex(account[2:26])
        _, started_s, base, _, art, _, ilk, _ = await self.net.read("yield.witch", "auctions", vault)
        if not started_s:
            return -1
        payout, _, asked = await self.net.read("yield.witch", "calcPayout", vault, RIVAL, art, time=at_s)
        pair = ilk.ljust(32, b"\0"), base.ljust(32, b"\0")
        worth, _ = await self.net.read("yield.spot", "peek", *pair, payout)
        return int(worth * 10_000 // asked - 10_000)
