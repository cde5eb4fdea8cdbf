"""The hands that move an anvil: blocks, time, transactions in anybody's name, and other pasts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from keeper.chain.rpc import Rpc, RpcError
from keeper.types import Address

GAS = 5_000_000
FEE_WEI = 10**12
ETHER_WEI = 10**24


class Sendable(Protocol):
    @property
    def sender(self) -> Address: ...
    @property
    def to(self) -> Address: ...
    @property
    def data(self) -> bytes: ...


class Node:
    """One anvil. It mines when told, and lets anybody be the sender."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str) -> AsyncIterator[Node]:
        rpc = Rpc(url, "the suite's node", timeout_s=60.0, retries=0)
        try:
            node = cls(rpc)
            await node.request("anvil_autoImpersonateAccount", True)
            await node.request("evm_setAutomine", False)
            yield node
        finally:
            await rpc.close()

    async def request(self, method: str, *params: Any) -> Any:
        """Raises RpcError on an error reply."""
        return await self.rpc.request(method, *params)

    async def batch(self, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Raises the first RpcError among the replies."""
        replies = await self.rpc.batch(calls)
        for reply in replies:
            if isinstance(reply, RpcError):
                raise reply
        return replies

    async def enrich(self, accounts: Sequence[Address]) -> None:
        """Ether for gas."""
        await self.batch([("anvil_setBalance", [account, hex(ETHER_WEI)]) for account in accounts])

    async def send(self, actions: Sequence[Sendable]) -> None:
        """Into the mempool, in order."""
        for action in actions:
            call = {"from": action.sender, "to": action.to, "data": "0x" + action.data.hex()}
            await self.request("eth_sendTransaction", call | {"gas": hex(GAS), "gasPrice": hex(FEE_WEI)})

    async def mine(self, step_s: int) -> None:
        """One block with what is in the mempool, so many seconds after the last."""
        latest = await self.request("eth_getBlockByNumber", "latest", False)
        last_s = int(latest["timestamp"], 16)
        await self.request("anvil_setTime", hex(last_s))  # any use of the pending block moves anvil's own clock on
        await self.request("evm_mine", {"timestamp": hex(last_s + step_s)})

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        """Whatever happens inside has not happened afterwards."""
        snapshot = await self.request("evm_snapshot")
        try:
            yield
        finally:
            await self.request("evm_revert", snapshot)
            await self.request("anvil_dropAllTransactions")
