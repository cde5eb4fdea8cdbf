"""Logs of a range of blocks, from nodes that all limit it differently: by blocks, results, time or addresses."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from keeper.chain.logs import Query, Span, Wanted, in_order
from keeper.chain.node import Call, Node
from keeper.chain.rpc_errors import RpcError, TimedOut, lacks_block, range_too_wide, too_many_addresses, too_much
from keeper.chain.wire import log_of, stated_time
from keeper.errors import Transient
from keeper.types import Hash, Log, LogFilter

AT_ONCE = 4
"""Ranges asked for at the same time, by all who ask."""

REMEMBERED_TIMES = 100_000


class LogRanges:
    """Splits and reassembles. What a node once refused is remembered."""

    def __init__(self, rpc: Node, span_blocks: int, max_addresses: int) -> None:
        self._rpc = rpc
        self._span = Span(span_blocks)
        self._max_addresses = max_addresses
        self._times: OrderedDict[Hash, int] = OrderedDict()
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def logs(self, filters: Sequence[LogFilter], from_block: int, to_block: int) -> list[Log]:
        wanted = Wanted(filters)
        found: list[Log] = []
        while from_block <= to_block:
            ranges = self._next_ranges(from_block, to_block)
            parts = await asyncio.gather(*(self._range(wanted, first, last) for first, last in ranges))
            found += [log for part in parts for log in part]
            from_block = ranges[-1][1] + 1
        if len({log.block_number for log in found}) != len({log.block_hash for log in found}):
            raise Transient(f"{self._rpc.name}: blocks were replaced while their logs were read")
        return in_order(found)

    def _next_ranges(self, first: int, to_block: int) -> list[tuple[int, int]]:
        size = self._span.blocks
        starts = range(first, min(first + AT_ONCE * size, to_block + 1), size)
        return [(start, min(start + size - 1, to_block)) for start in starts]

    async def _range(self, wanted: Wanted, first: int, last: int) -> list[Log]:
        """One range, in as many pieces as it takes."""
        try:
            async with self._turn:
                asked_at_s = asyncio.get_running_loop().time()
                raw = await self._fetch(wanted, first, last)
                self._span.served(last - first + 1, asyncio.get_running_loop().time() - asked_at_s)
        except _Smaller:
            middle = (first + last) // 2
            return [*await self._range(wanted, first, middle), *await self._range(wanted, middle + 1, last)]
        except _FewerAddresses:
            return await self._range(wanted, first, last)
        times = await self._times_of(raw)
        return [log for log in (log_of(entry, times[entry["blockHash"]]) for entry in raw) if log in wanted]

    async def _fetch(self, wanted: Wanted, first: int, last: int) -> list[dict[str, Any]]:
        queries = wanted.queries(last, self._max_addresses)
        if not queries:
            return []
        results = await self._ask(queries, first, last)
        failed = next((result for result in results if isinstance(result, RpcError)), None)
        if failed is not None:
            raise self._refusal(failed, first, last, max(len(query.addresses) for query in queries))
        height, *parts = results
        if int(height, 16) < last:
            raise Transient(f"{self._rpc.name}: the node is at block {int(height, 16)}, logs were asked for up to {last}")
        return [entry for part in parts for entry in part if not entry.get("removed")]

    async def _ask(self, queries: Sequence[Query], first: int, last: int) -> list[Any]:
        """The node's height comes with the logs: a node that lags answers with an empty list, not with an error."""
        calls: list[Call] = [("eth_getLogs", [_range_param(query, first, last)]) for query in queries]
        try:
            return await self._rpc.batch([("eth_blockNumber", []), *calls])
        except TimedOut:
            if first == last:
                raise
            self._span.refused(last - first + 1, for_good=False)
            raise _Smaller from None

    def _refusal(self, error: RpcError, first: int, last: int, addresses: int) -> Exception:
        """What to do about an error: ask for less, or give up."""
        if lacks_block(error):
            return Transient(f"{self._rpc.name}: {error.message}")
        if too_much(error) and first < last and not too_many_addresses(error):
            self._span.refused(last - first + 1, for_good=range_too_wide(error))
            return _Smaller()
        if (too_much(error) or too_many_addresses(error)) and addresses > 1:
            self._max_addresses = min(self._max_addresses, addresses // 2)
            return _FewerAddresses()
        return error

    async def _times_of(self, entries: Sequence[dict[str, Any]]) -> dict[str, int]:
        """Block hash → timestamp, from the logs themselves or from headers."""
        times = {entry["blockHash"]: stated for entry in entries if (stated := stated_time(entry)) is not None}
        await self._learn_times({entry["blockHash"] for entry in entries} - times.keys())
        return times | {entry["blockHash"]: self._times[entry["blockHash"]] for entry in entries if entry["blockHash"] not in times}

    async def _learn_times(self, hashes: Iterable[str]) -> None:
        while len(self._times) > REMEMBERED_TIMES:
            self._times.popitem(last=False)
        unknown = [Hash(h) for h in hashes if h not in self._times]
        headers = await self._rpc.batch([("eth_getBlockByHash", [h, False]) for h in unknown])
        for block_hash, header in zip(unknown, headers, strict=True):
            if not isinstance(header, dict):
                raise Transient(f"{self._rpc.name}: a block was replaced while its logs were read")
            self._times[block_hash] = int(header["timestamp"], 16)


def _range_param(query: Query, first: int, last: int) -> dict[str, Any]:
    return query.param(fromBlock=hex(max(first, min(query.since_block, last))), toBlock=hex(last))


class _Smaller(Exception):
    """Fewer blocks per query."""


class _FewerAddresses(Exception):
    """Fewer addresses per query."""
