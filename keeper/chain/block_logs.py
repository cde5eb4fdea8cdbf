"""One block's logs, pinned to the block's hash so that no reorg can mix two branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keeper.chain.logs import Query, Wanted, in_order
from keeper.chain.node import Call, Node
from keeper.chain.rpc_errors import RpcError, lacks_block, lacks_method, too_many_addresses
from keeper.chain.wire import log_of
from keeper.errors import Transient
from keeper.types import Head, Log, LogFilter

INVALID_PARAMS = -32602


class BlockLogs:
    """By block hash (EIP-234); by number, with a look at the header after, where the node does not know that."""

    def __init__(self, rpc: Node, max_addresses: int) -> None:
        self._rpc = rpc
        self._max_addresses = max_addresses
        self._by_hash = True
        self._filters: tuple[LogFilter, ...] = ()
        self._wanted = Wanted(())

    async def logs(self, filters: Sequence[LogFilter], heads: Sequence[Head]) -> list[tuple[Log, ...]]:
        wanted = self._wanted_by(tuple(filters))
        while True:
            try:
                return await self._fetch(wanted, heads)
            except _Smaller:
                self._max_addresses = max(1, self._max_addresses // 2)
            except _NotByHash:
                self._by_hash = False

    def _wanted_by(self, filters: tuple[LogFilter, ...]) -> Wanted:
        """The same from block to block, until a contract is announced."""
        if filters != self._filters:
            self._filters, self._wanted = filters, Wanted(filters)
        return self._wanted

    async def _fetch(self, wanted: Wanted, heads: Sequence[Head]) -> list[tuple[Log, ...]]:
        queries = [wanted.query_of_block(head.number, self._max_addresses) for head in heads]
        calls = [[self._call(head, query) for query in part] for head, part in zip(heads, queries, strict=True)]
        results = iter(await self._rpc.batch([call for part in calls for call in part]))
        blocks = [self._block(wanted, head, [next(results) for _ in part]) for head, part in zip(heads, calls, strict=True)]
        if not self._by_hash:
            await self._look_again(heads)
        return blocks

    def _call(self, head: Head, query: Query) -> Call:
        number = hex(head.number)
        where = {"blockHash": head.hash} if self._by_hash else {"fromBlock": number, "toBlock": number}
        return "eth_getLogs", [query.param(**where)]

    def _block(self, wanted: Wanted, head: Head, results: Sequence[Any]) -> tuple[Log, ...]:
        parts = [self._checked(result) for result in results]
        logs = [log_of(raw, head.timestamp_s) for part in parts for raw in part if not raw.get("removed")]
        if any(log.block_hash != head.hash for log in logs):
            raise self._replaced(head)
        return tuple(in_order(log for log in logs if log in wanted))

    async def _look_again(self, heads: Sequence[Head]) -> None:
        """A request of its own: nodes may run the calls of a batch side by side."""
        looks = await self._rpc.batch([("eth_getBlockByNumber", [hex(head.number), False]) for head in heads])
        for head, look in zip(heads, looks, strict=True):
            if not isinstance(look, dict) or look["hash"].lower() != head.hash:
                raise self._replaced(head)

    def _replaced(self, head: Head) -> Transient:
        return Transient(f"{self._rpc.name}: block {head.number} was replaced while its logs were read")

    def _checked(self, result: Any) -> Any:
        if not isinstance(result, RpcError):
            return result
        if lacks_block(result):
            raise Transient(f"{self._rpc.name}: {result.message}")
        if too_many_addresses(result) and self._max_addresses > 1:
            raise _Smaller
        if self._by_hash and (lacks_method(result) or result.code == INVALID_PARAMS):
            raise _NotByHash
        raise result


class _Smaller(Exception):
    """Fewer addresses per query."""


class _NotByHash(Exception):
    """The node does not take a block hash."""
