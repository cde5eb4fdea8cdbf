"""A running devnet: the node, the protocols by name, and the hands that move time and prices."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keeper.devnet.anvil import CHAIN_ID, Node, anvil
from keeper.devnet.artifacts import Abi, Contract
from keeper.devnet.basefee import next_base_fee, traffic
from keeper.devnet.configfile import write_config
from keeper.devnet.genesis.builder import BLOCK_S, transaction
from keeper.devnet.genesis.tokens import MAX_ANSWER, MIN_ANSWER
from keeper.devnet.names import DEPLOYER, OPERATOR_KEY, artifact_of
from keeper.devnet.prices import Prices
from keeper.devnet.rpc import Rpc, RpcError
from keeper.devnet.state import Borrower, Saved, saved
from keeper.devnet.tools import Report
from keeper.errors import KeeperError
from keeper.types import Address, Hash

__all__ = ["OPERATOR_KEY", "Devnet", "DevnetOptions"]

SEND_GAS = 5_000_000


@dataclass(frozen=True, slots=True)
class DevnetOptions:
    """`accounts` borrowers drawn from `seed`; `port` 0: a free one; `block_time_s` None: blocks only when told, else one every so many
    wall seconds; `timestamp_step_s`: chain seconds between blocks; `traffic`: foreign transactions hold the base fee near 1 gwei (None:
    only where blocks come on their own)."""

    accounts: int = 40
    seed: int = 1
    port: int = 0
    block_time_s: float | None = None
    timestamp_step_s: int = BLOCK_S
    traffic: bool | None = None


def quiet(step: str) -> None:
    """The default progress report: none."""


class Devnet:
    """Start with `async with Devnet.start(options) as net`."""

    def __init__(self, saved: Saved, options: DevnetOptions, node: Node, folder: Path, rpc: Rpc) -> None:
        self.rpc = f"http://127.0.0.1:{node.port}"
        self.ws = f"ws://127.0.0.1:{node.port}"
        self.ipc = str(folder / "anvil.ipc")
        self.chain_id = CHAIN_ID
        self.pid = node.pid
        self.addresses = dict(saved.addresses)
        self.population: tuple[Borrower, ...] = saved.borrowers
        self.isolated: tuple[Borrower, ...] = saved.isolated
        self.vaults: tuple[Borrower, ...] = saved.vaults
        self.traders: tuple[Borrower, ...] = saved.traders
        self.borrowers: tuple[Address, ...] = tuple(b.address for b in saved.borrowers)
        self.config = write_config(folder, self.rpc, self.ws, options.timestamp_step_s, self.addresses)
        self._artifacts = saved.artifacts
        self._step_s = options.timestamp_step_s
        self._node = node
        self._rpc = rpc
        self._block_time_s = options.block_time_s
        self._traffic = options.block_time_s is not None if options.traffic is None else options.traffic
        self._next_block: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._clock = asyncio.Lock()
        self._snapshots: dict[str, dict[str, Address]] = {}
        self._prices = Prices(self, options.timestamp_step_s)

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, options: DevnetOptions | None = None, report: Report = quiet) -> AsyncIterator[Devnet]:
        """A devnet of its own, gone when the context ends. `report` hears of slow steps ("installing contracts", "compiling",
        "deploying"). Raises KeeperError when node, npm or anvil are missing or fail."""
        options = options or DevnetOptions()
        chain = await saved(options.accounts, options.seed, report)
        with tempfile.TemporaryDirectory(prefix="keeper-devnet-") as name:
            folder = Path(name)
            flags = ("--load-state", str(chain.state), "--slots-in-an-epoch", "1", "--ipc", str(folder / "anvil.ipc"))
            async with (
                anvil(chain.anvil, options.port, *flags) as node,
                Rpc(f"http://127.0.0.1:{node.port}") as rpc,
            ):
                await rpc.request("anvil_setLoggingEnabled", False)
                net = cls(chain, options, node, folder, rpc)
                async with net._mining():
                    yield net

    # --- the node -------------------------------------------------------------------------------------------------

    async def request(self, method: str, *params: Any) -> Any:
        """Raw JSON-RPC. Raises RpcError on an error reply."""
        return await self._rpc.request(method, *params)

    async def batch(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Many calls at once; the node is free to run them side by side. Raises RpcError for the first error reply."""
        return await self._rpc.batch(calls)

    async def mine(self, timestamp_s: int | None = None) -> int:
        """Mine one block with what is in the mempool, at `timestamp_s` or one step after the last; returns its number."""
        async with self._clock:
            latest = await self.request("eth_getBlockByNumber", "latest", False)
            if self._traffic:
                await self.batch([("eth_sendTransaction", [tx]) for tx in traffic(int(latest["baseFeePerGas"], 16))])
            last_s = int(latest["timestamp"], 16)
            # any use of the pending block moves anvil's own clock on, past which it refuses to mine
            await self.request("anvil_setTime", hex(last_s))
            await self.request("evm_mine", {"timestamp": hex(last_s + self._step_s if timestamp_s is None else timestamp_s)})
            return self._announce(int(latest["number"], 16) + 1)

    async def next_block(self) -> int:
        """Wait for the next block where they come on their own, else mine it; returns its number. Raises KeeperError once they ceased."""
        return await (asyncio.shield(self._next_block) if self._block_time_s else self.mine())

    async def failure(self) -> None:
        """Returns never; raises KeeperError when the node dies."""
        await self._node.failure()

    async def send(self, sender: Address, to: Address | None, data: bytes, value: int = 0, gas: int = SEND_GAS) -> Hash:
        """Put a transaction into the mempool; anyone may be the sender. `to` None deploys."""
        return Hash(await self.request("eth_sendTransaction", transaction(sender, to, data, value, gas)))

    async def transact(self, sender: Address, to: Address | None, data: bytes, value: int = 0, gas: int = SEND_GAS) -> dict[str, Any]:
        """Send, mine, and return the receipt. Raises RpcError, with the revert data, when it failed."""
        tx = await self.send(sender, to, data, value, gas)
        await self.mine()
        receipt: dict[str, Any] = await self.request("eth_getTransactionReceipt", tx)
        if receipt["status"] != "0x1":
            trace = await self.request("debug_traceTransaction", tx, {"tracer": "callTracer"})
            raise RpcError("transaction", {"message": trace.get("error", "reverted"), "data": trace.get("output", "0x"), "code": 3})
        return receipt

    async def snapshot(self) -> str:
        """Remember this state; `revert` takes the id once."""
        name = str(await self.request("evm_snapshot"))
        self._snapshots[name] = dict(self.addresses)
        return name

    async def revert(self, snapshot: str) -> None:
        """Return to a remembered state and empty the mempool."""
        await self.request("evm_revert", snapshot)
        await self.request("anvil_dropAllTransactions")
        latest = await self.request("eth_getBlockByNumber", "latest", False)
        fee = next_base_fee(*(int(latest[key], 16) for key in ("baseFeePerGas", "gasUsed", "gasLimit")))
        await self.request("anvil_setNextBlockBaseFeePerGas", hex(fee))  # anvil goes on from the undone blocks' fee
        self.addresses.clear()
        self.addresses.update(self._snapshots.pop(snapshot))

    # --- contracts by name ----------------------------------------------------------------------------------------

    def contract(self, name: str) -> Contract:
        """The codec of a named contract, e.g. "aave_v36.pool", "token.WETH", "pool.WETH-USDC-500"."""
        return self._artifacts[artifact_of(name)]

    def abi(self, name: str) -> Abi:
        """The ABI of a named contract."""
        return self.contract(name).abi

    def encode(self, name: str, function: str, *args: Any) -> bytes:
        """Calldata for a named contract; a full signature chooses between overloads."""
        return self.contract(name).encode(function, args)

    async def read(
        self, name: str, function: str, *args: Any, block: str | int = "latest", time: int | None = None, sender: Address | None = None
    ) -> tuple[Any, ...]:
        """What a call of a named contract returns, at a block and, if given, as if it were `time`. Raises RpcError on a revert."""
        call = {"to": self.addresses[name], "data": "0x" + self.encode(name, function, *args).hex()}
        call |= {"from": sender} if sender else {}
        overrides: list[Any] = [] if time is None else [{}, {"time": hex(time)}]
        reply = await self.request("eth_call", call, hex(block) if isinstance(block, int) else block, *overrides)
        return self.contract(name).decode(function, len(args), bytes.fromhex(reply[2:]))

    async def call(self, sender: Address, name: str, function: str, *args: Any, value: int = 0) -> dict[str, Any]:
        """`transact` with a named contract."""
        return await self.transact(sender, self.addresses[name], self.encode(name, function, *args), value)

    async def deal(self, symbol: str, to: Address, amount: int) -> None:
        """Put `amount` more of a token into an account; mines a block."""
        if symbol == "WETH":
            await self.call(DEPLOYER, "token.WETH", "transfer", to, amount)
        else:
            await self.call(DEPLOYER, f"token.{symbol}", "mint(address,uint256)", to, amount)

    # --- prices ---------------------------------------------------------------------------------------------------

    async def prices(self) -> dict[str, int]:
        """Every token's price in USD with 8 decimals, at the latest block."""
        return await self._prices.read("latest")

    async def set_prices(self, prices: Mapping[str, int]) -> None:
        """Put into the mempool what moves oracles and pools to these prices (USD, 8 decimals); the next block has them."""
        async with self._clock:  # never some of it in one block and the rest in the next
            await self._prices.move(prices)

    async def arbitrage(self) -> None:
        """Put into the mempool what moves markets that may not follow their oracle at once a step further towards it."""
        async with self._clock:
            await self._prices.arbitrage()

    async def set_answers(self, prices: Mapping[str, int]) -> None:
        """As `set_prices`, but the pools stay where they are: oracles that err."""
        async with self._clock:
            await self._prices.answer(prices)

    async def change_phase(self, symbol: str, least: int = MIN_ANSWER, most: int = MAX_ANSWER) -> Address:
        """Put a new aggregator behind a token's feed, with the same price and these limits; mines blocks. Returns it."""
        return await self._prices.change_phase(symbol, least, most)

    # --- blocks on their own --------------------------------------------------------------------------------------

    def _announce(self, block: int) -> int:
        self._next_block.set_result(block)
        self._next_block = asyncio.get_running_loop().create_future()
        return block

    @contextlib.asynccontextmanager
    async def _mining(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._mine_every(self._block_time_s)) if self._block_time_s else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _mine_every(self, block_time_s: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + block_time_s, loop.time())
            await asyncio.sleep(due - loop.time())
            try:
                await self.mine()
            except KeeperError as error:
                self._next_block.set_exception(error)
                return
