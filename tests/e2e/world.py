"""A live keeper on a devnet that moves only when told, and what the chain itself says it did."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeper.commands.ledger import ledger
from keeper.config import Settings, load
from keeper.daemon import Listeners, run
from keeper.devnet import Devnet, DevnetOptions
from keeper.devnet.names import BENEFICIARY, DEPLOYER, OPERATOR
from keeper.ledger.ledger import PAID
from keeper.pipeline import BlockReport
from keeper.types import Address, Hash, Head, Upcoming
from tests.e2e.calls import EXECUTOR
from tests.markets import LENDING, config_of

PATIENCE_S = 30.0
SETTLED = EXECUTOR.topic("Settled")
QUIET_MOST = 8
ETHER_LIKE = {"WETH": 100, "wstETH": 100, "LINK": 100, "WBTC": 50}
TIP_WEI = 10**8
"""The least tip the devnet's config offers: what a builder is taken to ask for."""


@dataclass(frozen=True, slots=True)
class World:
    """A devnet with our executor on it, and a config that is live."""

    net: Devnet
    executor: Address
    settings: Settings
    signers: tuple[Address, ...] = (OPERATOR,)

    @property
    def ledger_file(self) -> Path:
        return self.settings.data_dir / self.settings.chains[0].name / "ledger.sqlite"


@asynccontextmanager
async def world(accounts: int, seed: int, markets: Collection[str] = LENDING) -> AsyncIterator[World]:
    """Blocks only when told, and foreign traffic that keeps gas from becoming free. `markets`: those the keeper looks after."""
    print(f"devnet of {accounts} accounts, seed {seed}")
    async with Devnet.start(DevnetOptions(accounts=accounts, seed=seed, traffic=True)) as net:
        receipt = await net.transact(DEPLOYER, None, EXECUTOR.creation((DEPLOYER, BENEFICIARY, [OPERATOR]), {}))
        executor = Address(receipt["contractAddress"].lower())
        text = config_of(net.config.read_text(), *markets).replace('mode = "dry-run"', 'mode = "live"')
        net.config.write_text(text.replace("[chains.executor]\n", f'[chains.executor]\naddress = "{executor}"\n'))
        yield World(net, executor, load(net.config, {}))


# --- the keeper in this process -----------------------------------------------------------------------------------


class Keeper:
    """The daemon as a task; `worked_on` is the condition tests wait for."""

    def __init__(self, settings: Settings, live: bool = True) -> None:
        self.reports: list[BlockReport] = []
        self._ready = -1
        self._looked: Upcoming | None = None
        self._news = asyncio.Event()
        listeners = Listeners(block=(self._block,), ready=(self._is_ready,), looked=(self._has_looked,))
        self._task = asyncio.create_task(run(settings, live, listeners=listeners))

    def _block(self, chain: str, report: BlockReport) -> None:
        self.reports.append(report)
        self._news.set()

    def _is_ready(self, chain: str, head: Head) -> None:
        self._ready = head.number
        self._news.set()

    def _has_looked(self, chain: str, upcoming: Upcoming | None) -> None:
        self._looked = upcoming
        self._news.set()

    async def looked(self, updates: int, after: Hash) -> None:
        """Until everything is done about so many updates that wait for the block after this one."""
        await self._until(lambda: bool(self._looked and self._looked.parent == after and len(self._looked.before) >= updates))

    async def worked_on(self, block: int, patience_s: float = PATIENCE_S) -> None:
        """Until everything about this block is done: settled what it holds, sent what it calls for. Raises what ended the daemon."""
        await self._until(lambda: any(report.head.number >= block for report in self.reports), patience_s)

    async def ready(self, block: int) -> None:
        """Until all plans are made that can be made ahead."""
        await self._until(lambda: self._ready >= block)

    async def _until(self, done: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(patience_s):
            while not done():
                self._news.clear()
                news = asyncio.ensure_future(self._news.wait())
                await asyncio.wait({news, self._task}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if self._task.done():
                    self._task.result()

    async def stop(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


@asynccontextmanager
async def keeper_on(world: World, live: bool = True) -> AsyncIterator[Keeper]:
    """A running keeper that has worked on the newest block."""
    keeper = Keeper(world.settings, live)
    try:
        await keeper.worked_on(int(await world.net.request("eth_blockNumber"), 16))
        yield keeper
    finally:
        await keeper.stop()


async def step(world: World, keeper: Keeper, prices: Mapping[str, int] | None = None) -> int:
    """One block, with these prices if any, and all that the keeper does about it."""
    if prices:
        await world.net.set_prices(prices)
    block = await world.net.mine()
    await keeper.worked_on(block)
    return block


async def drop(world: World, percent: int) -> dict[str, int]:
    """Prices after ether falls by so many percent."""
    prices = await world.net.prices()
    return {symbol: price * (10_000 - percent * ETHER_LIKE.get(symbol, 0)) // 10_000 for symbol, price in prices.items()}


async def fall(world: World, keeper: Keeper, steps: Sequence[Mapping[str, int]]) -> None:
    """Every step of a price path in a block of its own, with a quiet one after it, and as much time as a block would leave."""
    for prices in steps:
        await keeper.ready(await step(world, keeper, prices))
        await keeper.ready(await step(world, keeper))


async def settle_down(world: World, keeper: Keeper, at_least: int = 0) -> None:
    """Quiet blocks until nothing of ours is in the mempool."""
    for blocks in range(QUIET_MOST):
        if blocks >= at_least and not await waiting(world.net):
            return
        await step(world, keeper)
    raise AssertionError(f"after {QUIET_MOST} quiet blocks there are still transactions of ours in the mempool")


# --- what was written down ----------------------------------------------------------------------------------------


async def rows(world: World) -> list[dict[str, Any]]:
    """The ledger, oldest first."""
    return [row async for row in await ledger(world.settings)]


def query(world: World, sql: str) -> list[tuple[Any, ...]]:
    """The ledger's file, read behind the keeper's back."""
    with closing(sqlite3.connect(f"file:{world.ledger_file}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


# --- what the chain says ------------------------------------------------------------------------------------------


async def waiting(net: Devnet, sender: Address = OPERATOR) -> int:
    """How many transactions of a sender are in the mempool."""
    latest, pending = await net.batch([("eth_getTransactionCount", [sender, tag]) for tag in ("latest", "pending")])
    return int(pending, 16) - int(latest, 16)


async def ours(world: World, since: int = 0) -> list[dict[str, Any]]:
    """Receipts of all transactions of the signers, in the order of the chain, each with its `nonce` and `input`."""
    last = int(await world.net.request("eth_blockNumber"), 16)
    blocks = await world.net.batch([("eth_getBlockByNumber", [hex(number), True]) for number in range(since, last + 1)])
    sent = [tx for block in blocks for tx in block["transactions"] if tx["from"].lower() in world.signers]
    receipts = await world.net.batch([("eth_getTransactionReceipt", [tx["hash"]]) for tx in sent])
    return [receipt | {"nonce": int(tx["nonce"], 16), "input": tx["input"]} for tx, receipt in zip(sent, receipts, strict=True)]


def earned(world: World, receipt: Mapping[str, Any]) -> int:
    """The profit of a receipt's `Settled` event; 0 when there is none."""
    logs = [log for log in receipt["logs"] if log["address"].lower() == world.executor and log["topics"][0] == SETTLED]
    return sum(int(log["data"], 16) for log in logs)


def paid_wei(receipt: Mapping[str, Any]) -> int:
    return int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)


def succeeded(receipt: Mapping[str, Any]) -> bool:
    return int(receipt["status"], 16) == 1


def tx_of(receipt: Mapping[str, Any]) -> Hash:
    return Hash(receipt["transactionHash"].lower())


async def balances(net: Devnet, account: Address) -> dict[Address, int]:
    """Of every token of the devnet."""
    tokens = [(name, address) for name, address in net.addresses.items() if name.startswith("token.")]
    return {address: (await net.read(name, "balanceOf", account))[0] for name, address in tokens}


def _result(world: World, receipt: dict[str, Any]) -> str:
    if receipt["to"].lower() != world.executor:
        return "cancelled" if receipt["to"] == receipt["from"] else "transferred"
    return "won" if succeeded(receipt) else "failed"


async def assert_ledger_is_the_chain(world: World) -> list[dict[str, Any]]:
    """Every transaction of ours on chain has one row with the same result, profit and cost, and there is no other row but of what
    others paid us. Returns the rows."""
    written = [row for row in await rows(world) if row["result"] != PAID]
    landed = [receipt for receipt in await ours(world) if receipt["to"] in {world.executor, BENEFICIARY, *world.signers}]
    by_chain = [(tx_of(r), _result(world, r), int(r["blockNumber"], 16), earned(world, r), paid_wei(r)) for r in landed]
    results = {"won": "won", "lost": "failed", "reverted": "failed", "cancelled": "cancelled", "transferred": "transferred"}
    by_ledger = [(r["tx"], results[r["result"]], r["block"], r["realised_profit"], r["gas_paid_wei"]) for r in written]
    assert sorted(by_ledger) == sorted(by_chain)
    return written
