"""Sends a phase of transactions blindly and mines them as one block: addresses are computed, so nothing waits for anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keeper.address import created
from keeper.devnet.artifacts import Artifacts
from keeper.devnet.names import DEPLOYER, artifact_of
from keeper.devnet.rpc import Rpc
from keeper.errors import KeeperError
from keeper.types import Address

BLOCK_S = 12
MAX_FEE_WEI = 100 * 10**9
TIP_WEI = 10**9
CALL_GAS = 3_000_000
DEPLOY_GAS = 8_000_000


@dataclass
class Builder:
    """`addresses` grows by name; `time_s` is the timestamp of the last block."""

    rpc: Rpc
    artifacts: Artifacts
    time_s: int
    addresses: dict[str, Address] = field(default_factory=dict)
    _nonces: dict[Address, int] = field(default_factory=dict)
    _queue: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def deploy(
        self, name: str, *args: Any, artifact: str = "", libraries: Mapping[str, Address] | None = None, sender: Address = DEPLOYER
    ) -> Address:
        """Queue a deployment; its address is known at once and named `name`."""
        contract = self.artifacts[artifact or artifact_of(name)]
        nonce = self._queue_tx(sender, None, contract.creation(args, libraries or {}), DEPLOY_GAS, 0, f"deploy {name}")
        self.addresses[name] = created(sender, nonce)
        return self.addresses[name]

    def call(self, name: str, function: str, *args: Any, sender: Address = DEPLOYER, value: int = 0, gas: int = CALL_GAS) -> None:
        """Queue a call of a named contract."""
        data = self.artifacts[artifact_of(name)].encode(function, args)
        self._queue_tx(sender, self.addresses[name], data, gas, value, f"{name}.{function}")

    async def read(self, name: str, function: str, *args: Any) -> tuple[Any, ...]:
        """Call a view of a named contract at the latest block."""
        contract = self.artifacts[artifact_of(name)]
        call = {"to": self.addresses[name], "data": "0x" + contract.encode(function, args).hex()}
        return contract.decode(function, len(args), bytes.fromhex((await self.rpc.request("eth_call", call, "latest"))[2:]))

    async def fund(self, accounts: Sequence[Address], wei: int) -> None:
        await self.rpc.batch([("anvil_setBalance", [account, hex(wei)]) for account in accounts])

    async def mine(self, step_s: int = BLOCK_S) -> None:
        """Mine everything queued as one block `step_s` later. Raises KeeperError naming the first failed transaction."""
        queued, self._queue = self._queue, []
        hashes = await self.rpc.batch([("eth_sendTransaction", [tx]) for _, tx in queued])
        self.time_s += step_s
        await self.rpc.request("evm_mine", {"timestamp": hex(self.time_s)})
        receipts = {r["transactionHash"]: r for r in await self.rpc.request("eth_getBlockReceipts", "latest")}
        for (label, _), tx in zip(queued, hashes, strict=True):
            if tx not in receipts or receipts[tx]["status"] != "0x1":
                raise KeeperError(f"building the devnet: {label} failed")

    def _queue_tx(self, sender: Address, to: Address | None, data: bytes, gas: int, value: int, label: str) -> int:
        nonce = self._nonces.get(sender, 0)
        self._nonces[sender] = nonce + 1
        self._queue.append((label, transaction(sender, to, data, value, gas) | {"nonce": hex(nonce)}))
        return nonce


def transaction(sender: Address, to: Address | None, data: bytes, value: int, gas: int) -> dict[str, str]:
    """The parameters of `eth_sendTransaction`, nonce left to the node."""
    tx = {"from": sender, "data": "0x" + data.hex(), "value": hex(value), "gas": hex(gas)}
    fees = {"maxFeePerGas": hex(MAX_FEE_WEI), "maxPriorityFeePerGas": hex(TIP_WEI)}
    return tx | fees | ({"to": to} if to else {})
