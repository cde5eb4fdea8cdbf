"""What became of our transactions, asked of a node: the engine's `ChainReader`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from keeper.chain.node import Node
from keeper.chain.rpc_errors import RpcError
from keeper.chain.wire import log_of, stated_time
from keeper.errors import Transient
from keeper.execution.submission import Receipt
from keeper.types import Address, Hash


class NodeReceipts:
    """Raises Transient for a node that is away or cannot tell yet."""

    def __init__(self, rpc: Node) -> None:
        self._rpc = rpc

    async def nonce(self, address: Address, tag: Literal["latest", "pending"] = "latest") -> int:
        """Number of transactions the chain has from this address."""
        try:
            return int(await self._rpc.request("eth_getTransactionCount", address, tag), 16)
        except (RpcError, TypeError, ValueError) as error:
            raise Transient(f"{self._rpc.name}: no transaction count ({type(error).__name__})") from None

    async def receipt(self, tx: Hash) -> Receipt | None:
        return (await self.receipts([tx]))[0]

    async def receipts(self, txs: Sequence[Hash]) -> list[Receipt | None]:
        """One batch, in order; None for a transaction that no block holds. `timestamp_s` of a log is 0 where the node leaves it out."""
        results = await self._rpc.batch([("eth_getTransactionReceipt", [tx]) for tx in txs])
        return [self._receipt(result) for result in results]

    def _receipt(self, result: Any) -> Receipt | None:
        if isinstance(result, RpcError):
            raise Transient(f"{self._rpc.name}: no receipt: {result.message}")
        try:
            return None if result is None else parse_receipt(result)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Transient(f"{self._rpc.name}: sent a receipt that is not one") from None


def parse_receipt(raw: Mapping[str, Any]) -> Receipt:
    return Receipt(
        tx=Hash(raw["transactionHash"].lower()),
        ok=int(raw["status"], 16) == 1,
        block_number=int(raw["blockNumber"], 16),
        block_hash=Hash(raw["blockHash"].lower()),
        tx_index=int(raw["transactionIndex"], 16),
        gas_used=int(raw["gasUsed"], 16),
        effective_gas_price_wei=int(raw["effectiveGasPrice"], 16),
        logs=tuple(log_of(log, stated_time(log) or 0) for log in raw["logs"]),
    )
