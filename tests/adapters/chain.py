"""A node reader and an in-memory indexer: what the keeper's own chain and book packages do, at its smallest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import aiohttp
import orjson

from keeper.book.state import Tables
from keeper.errors import Skip
from keeper.ports import Market
from keeper.types import Address, Hash, Head, Log, LogFilter, Read, Write

Block = int | Hash | Literal["latest"]
BATCH = 200


class NodeReader:
    """The Reader port over HTTP batches, with the block's time overridden on demand."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self.session = session

    async def call(self, read: Read, block: Block = "latest") -> bytes:
        reply = (await self.calls([read], block))[0]
        if reply is None:
            raise Skip("reverted")
        return reply

    async def calls(self, reads: Sequence[Read], block: Block = "latest", at_s: int | None = None) -> list[bytes | None]:
        override = [] if at_s is None else [{}, {"time": hex(at_s)}]
        tag = hex(block) if isinstance(block, int) else block
        requests = [
            ("eth_call", [{"to": read.target, "data": "0x" + read.data.hex(), "gas": hex(30_000_000)}, tag, *override]) for read in reads
        ]
        replies = await self.batch(requests)
        return [bytes.fromhex(reply["result"][2:]) if "result" in reply else None for reply in replies]

    async def code(self, address: Address) -> bytes:
        return bytes.fromhex((await self.request("eth_getCode", address, "latest"))[2:])

    async def head(self) -> Head:
        raw = await self.request("eth_getBlockByNumber", "latest", False)
        numbers = (int(raw[name], 16) for name in ("timestamp", "baseFeePerGas", "gasLimit", "gasUsed"))
        return Head(int(raw["number"], 16), Hash(raw["hash"]), Hash(raw["parentHash"]), *numbers)

    async def logs(self, filters: Sequence[LogFilter], from_block: int, to_block: int) -> list[Log]:
        wanted = {f.address: f.topics for f in filters}
        topics = sorted(frozenset().union(*wanted.values()))
        query = {"fromBlock": hex(from_block), "toBlock": hex(to_block), "address": sorted(wanted), "topics": [topics]}
        raw = await self.request("eth_getLogs", query)
        found = [_log(entry) for entry in raw if entry["topics"][0] in wanted[entry["address"]]]
        return sorted(found, key=lambda log: (log.block_number, log.log_index))

    async def request(self, method: str, *params: Any) -> Any:
        reply = (await self.batch([(method, list(params))]))[0]
        assert "result" in reply, reply
        return reply["result"]

    async def batch(self, calls: Sequence[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for start in range(0, len(calls), BATCH):
            part = calls[start : start + BATCH]
            body = [{"jsonrpc": "2.0", "id": i, "method": method, "params": params} for i, (method, params) in enumerate(part)]
            async with self.session.post(self._url, data=orjson.dumps(body), headers={"content-type": "application/json"}) as reply:
                found += sorted(orjson.loads(await reply.read()), key=lambda answer: int(answer["id"]))
        return found


class Indexer:
    """Follows one market from its first block: logs with filter growth, then the reads of the head."""

    def __init__(self, reader: NodeReader, market: Market) -> None:
        self.reader = reader
        self.market = market
        self.tables = Tables()
        self.head: Head | None = None
        self._undo: list[list[Write]] = []
        self._next = market.first_block

    async def sync(self) -> Head:
        head = await self.reader.head()
        while self._next <= head.number:
            await self._advance(head.number)
        for _ in range(4):  # a source is learned first, then the aggregator behind it
            before = self._questions()
            await self._absorb()
            if self._questions() == before:
                break
        self.head = head
        return head

    def mark(self) -> tuple[int, int]:
        """A position `rewind` returns to, as for a reverted snapshot."""
        return len(self._undo), self._next

    def rewind(self, mark: tuple[int, int]) -> None:
        size, self._next = mark
        while len(self._undo) > size:
            self.tables.write(self._undo.pop())

    def _questions(self) -> tuple[object, object]:
        return self.market.filters(self.tables), self.market.reads(self.tables)

    async def _advance(self, to_block: int) -> None:
        """Applies blocks until one makes the filters grow; that block is taken again with all of them."""
        filters = self.market.filters(self.tables)
        logs = await self.reader.logs(filters, self._next, to_block)
        for number in sorted({log.block_number for log in logs}):
            size = len(self._undo)
            self._apply(log for log in logs if log.block_number == number)
            if {f.address for f in self.market.filters(self.tables)} - {f.address for f in filters}:
                filters = self.market.filters(self.tables)
                self.rewind((size, number))
                self._apply(await self.reader.logs(filters, number, number))
                self._next = number + 1
                return
        self._next = to_block + 1

    def _apply(self, logs: Iterable[Log]) -> None:
        for log in logs:
            self._undo.append(self.tables.write(self.market.apply(log, self.tables)))

    async def _absorb(self) -> None:
        replies = await self.reader.calls(self.market.reads(self.tables))
        self._undo.append(self.tables.write(self.market.absorb(replies, self.tables)))


def _log(raw: dict[str, Any]) -> Log:
    block, timestamp, tx_index, index = (int(raw[name], 16) for name in ("blockNumber", "blockTimestamp", "transactionIndex", "logIndex"))
    topics, data = tuple(raw["topics"]), bytes.fromhex(raw["data"][2:])
    block_hash, tx_hash = Hash(raw["blockHash"]), Hash(raw["transactionHash"])
    return Log(Address(raw["address"]), topics, data, block, block_hash, timestamp, tx_hash, tx_index, index)
