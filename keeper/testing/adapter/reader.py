"""A node's past, asked once: many checks, and many adapters, look at the same blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from keeper.chain.reader import NodeReader
from keeper.chain.rpc import Rpc, RpcError
from keeper.errors import Skip, Transient
from keeper.types import Address, Hash, Head, Log, LogFilter, Read

Block = int | Hash | Literal["latest"]


class PastReader:
    """The Reader port, and what the book asks of it, over blocks that stay. Opened while the node stands on `last`."""

    def __init__(self, rpc: Rpc, last: Head) -> None:
        self._rpc, self._node, self._last = rpc, NodeReader(rpc), last
        self._replies: dict[tuple[Any, ...], bytes | None] = {}
        self._logs: dict[tuple[Any, ...], list[Log]] = {}
        self._block_logs: dict[tuple[Any, ...], tuple[Log, ...]] = {}
        self._codes: dict[Address, bytes] = {}

    # --- the Reader port

    async def call(self, read: Read, block: Block = "latest") -> bytes:
        reply = (await self.calls([read], block))[0]
        if reply is None:
            raise Skip("reverted", f"call of {read.target}")
        return reply

    async def calls(self, reads: Sequence[Read], block: Block = "latest") -> list[bytes | None]:
        return await self.asked(reads, self._last.hash if block == "latest" else block)

    async def code(self, address: Address) -> bytes:
        if address not in self._codes:
            self._codes[address] = await self._node.code(address)
        return self._codes[address]

    async def head(self) -> Head:
        return self._last

    async def logs(self, filters: Sequence[LogFilter], from_block: int, to_block: int) -> list[Log]:
        asked = (tuple(filters), from_block, to_block)
        if to_block > self._last.number:
            return await self._node.logs(filters, from_block, to_block)
        if asked not in self._logs:
            self._logs[asked] = await self._node.logs(filters, from_block, to_block)
        return self._logs[asked]

    # --- the book's

    async def logs_of_block(self, filters: Sequence[LogFilter], head: Head) -> tuple[Log, ...]:
        asked = (tuple(filters), head.hash)
        if asked not in self._block_logs:
            self._block_logs[asked] = await self._node.logs_of_block(filters, head)
        return self._block_logs[asked]

    async def logs_of_blocks(self, filters: Sequence[LogFilter], heads: Sequence[Head]) -> list[tuple[Log, ...]]:
        return [await self.logs_of_block(filters, head) for head in heads]

    async def headers(self, numbers: Sequence[int]) -> list[Head]:
        return [head for head in await self._node.headers(numbers) if head is not None]

    # --- the suite's

    async def asked(self, reads: Sequence[Read], block: Block, at_s: int | None = None) -> list[bytes | None]:
        """Replies on a block's state, if given as if it were `at_s`; None for a call that reverts."""
        missing = [read for read in dict.fromkeys(reads) if (read, block, at_s) not in self._replies]
        where = {"blockHash": block} if isinstance(block, str) else hex(block)
        time = [] if at_s is None else [{}, {"time": hex(at_s)}]
        calls = [("eth_call", [{"to": read.target, "data": "0x" + read.data.hex()}, where, *time]) for read in missing]
        for read, reply in zip(missing, await self._rpc.batch(calls), strict=True):
            self._replies[read, block, at_s] = _bytes(reply)
        return [self._replies[read, block, at_s] for read in reads]


def _bytes(reply: Any) -> bytes | None:
    if not isinstance(reply, RpcError):
        return bytes.fromhex(reply[2:])
    if "revert" in reply.message.lower() or reply.data:
        return None
    raise Transient(f"the suite's node: {reply.message}")
