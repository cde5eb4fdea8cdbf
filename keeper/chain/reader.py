"""Reads a node: calls, headers, and logs in ranges of a size the node accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keeper.chain.block_logs import BlockLogs
from keeper.chain.log_ranges import LogRanges
from keeper.chain.node import Call, Node
from keeper.chain.rpc_errors import RpcError, is_revert, lacks_block
from keeper.chain.wire import BlockId, block_param, from_hex, head_of, hex_bytes
from keeper.errors import Skip, Transient
from keeper.types import Address, Hash, Head, Log, LogFilter, Read


class NodeReader:
    """The `Reader` port over one node, and what the feed asks of it. Raises Transient for a node that is away or lacks the block."""

    def __init__(self, rpc: Node, span_blocks: int = 100_000, max_addresses: int = 500) -> None:
        self._rpc = rpc
        self._ranges = LogRanges(rpc, span_blocks, max_addresses)
        self._block_logs = BlockLogs(rpc, max_addresses)

    # --- calls

    async def call(self, read: Read, block: BlockId = "latest") -> bytes:
        """An eth_call's reply. Raises Skip("reverted")."""
        reply = (await self.calls([read], block))[0]
        if reply is None:
            raise Skip("reverted", f"call of {read.target}")
        return reply

    async def calls(self, reads: Sequence[Read], block: BlockId = "latest") -> list[bytes | None]:
        """One batch; None for a call that reverted."""
        where = block_param(block)
        results = await self._rpc.batch([("eth_call", [{"to": read.target, "data": hex_bytes(read.data)}, where]) for read in reads])
        return [self._reply(result) for result in results]

    async def read_all(self, reads: Sequence[Read], block_hash: Hash) -> list[bytes | None]:
        """All on the state of exactly that block, also when the chain has moved on."""
        return await self.calls(reads, block_hash)

    async def code(self, address: Address) -> bytes:
        return from_hex(await self._ask("eth_getCode", address, "latest"))

    def _reply(self, result: Any) -> bytes | None:
        if not isinstance(result, RpcError):
            return from_hex(result)
        if is_revert(result):
            return None
        raise self._translate(result)

    # --- headers

    async def head(self) -> Head:
        head = await self.header("latest")
        if head is None:
            raise Transient(f"{self._rpc.name}: the node has no latest block")
        return head

    async def header(self, block: BlockId) -> Head | None:
        method, params = _header_call(block)
        return head_of(await self._ask(method, *params))

    async def headers(self, numbers: Sequence[int]) -> list[Head | None]:
        """Canonical headers in one batch; None for a number the node does not have."""
        results = await self._rpc.batch([_header_call(number) for number in numbers])
        return [head_of(self._value(result)) for result in results]

    # --- logs

    async def logs(self, filters: Sequence[LogFilter], from_block: int, to_block: int) -> list[Log]:
        """All wanted logs of the range in (block, log index) order, each once."""
        return await self._ranges.logs(filters, from_block, to_block)

    async def logs_of_block(self, filters: Sequence[LogFilter], head: Head) -> tuple[Log, ...]:
        """The wanted logs of exactly this block, by its hash. Raises Transient when it is on another branch by now."""
        return (await self.logs_of_blocks(filters, [head]))[0]

    async def logs_of_blocks(self, filters: Sequence[LogFilter], heads: Sequence[Head]) -> list[tuple[Log, ...]]:
        """`logs_of_block` of several blocks, in one batch."""
        return await self._block_logs.logs(filters, heads)

    # --- the node

    async def _ask(self, method: str, *params: Any) -> Any:
        try:
            return await self._rpc.request(method, *params)
        except RpcError as error:
            raise self._translate(error) from None

    def _value(self, result: Any) -> Any:
        if isinstance(result, RpcError):
            raise self._translate(result)
        return result

    def _translate(self, error: RpcError) -> RpcError | Transient:
        return Transient(f"{self._rpc.name}: {error.message}") if lacks_block(error) else error


class PastReader(NodeReader):
    """A node on the day on which `newest` was its newest block."""

    def __init__(self, rpc: Node, newest: Head) -> None:
        super().__init__(rpc)
        self._newest = newest

    async def header(self, block: BlockId) -> Head | None:
        if block == "latest" or (isinstance(block, int) and block > self._newest.number):
            return self._newest if block == "latest" else None
        return await super().header(block)

    async def headers(self, numbers: Sequence[int]) -> list[Head | None]:
        return [head if head and head.number <= self._newest.number else None for head in await super().headers(numbers)]


def _header_call(block: BlockId) -> Call:
    if isinstance(block, int):
        return "eth_getBlockByNumber", [hex(block), False]
    return ("eth_getBlockByNumber", ["latest", False]) if block == "latest" else ("eth_getBlockByHash", [block, False])
