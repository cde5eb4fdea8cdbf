from __future__ import annotations

from collections.abc import Iterable

import pytest

from keeper.chain import block_logs
from keeper.chain.codec import to_address, word
from keeper.chain.logs import Wanted
from keeper.chain.reader import NodeReader
from keeper.chain.rpc import Rpc
from keeper.devnet import Devnet
from keeper.errors import Skip, Transient
from keeper.testing.faults import Fault, FaultProxy
from keeper.types import Address, Hash, Head, LogFilter, Read
from tests.chain.emitter import PING, PONG, Emitter, pings

NOWHERE = Hash("0x" + "77" * 32)
NOBODY = Address("0x" + "77" * 20)


async def emit_blocks(net: Devnet, emitter: Emitter, blocks: int) -> tuple[LogFilter, list[int]]:
    """One log a block; the filter and the block numbers."""
    address = await emitter.place()
    numbers = []
    for value in range(blocks):
        await emitter.emit(address, value)
        numbers.append(await net.mine())
    return pings(address), numbers


# --- calls


async def test_a_call_gives_the_contracts_reply(net: Devnet, reader: NodeReader) -> None:
    read = Read(net.addresses["token.USDC"], net.encode("token.USDC", "decimals"))
    assert await reader.call(read) == word(6)


async def test_a_call_that_reverts_is_a_skip_and_none_in_a_batch(net: Devnet, reader: NodeReader) -> None:
    good = Read(net.addresses["token.USDC"], net.encode("token.USDC", "decimals"))
    bad = Read(net.addresses["token.USDC"], b"\xde\xad\xbe\xef")
    with pytest.raises(Skip, match="reverted"):
        await reader.call(bad)
    assert await reader.calls([good, bad, good]) == [word(6), None, word(6)]


async def test_reads_at_a_block_see_the_state_of_that_block(net: Devnet, reader: NodeReader) -> None:
    user = net.borrowers[0]
    read = Read(net.addresses["token.USDC"], net.encode("token.USDC", "balanceOf", user))
    await net.mine()
    before = await reader.head()
    [held] = await reader.read_all([read], before.hash)
    await net.deal("USDC", user, 10**6)
    assert await reader.read_all([read], before.hash) == [held]
    assert await reader.call(read, before.number) == held
    assert held is not None
    assert int.from_bytes(await reader.call(read), "big") == int.from_bytes(held, "big") + 10**6


async def test_a_block_the_node_lacks_is_transient_not_a_revert(net: Devnet, reader: NodeReader) -> None:
    read = Read(net.addresses["token.USDC"], net.encode("token.USDC", "decimals"))
    for block in (10**9, NOWHERE):
        with pytest.raises(Transient):
            await reader.calls([read], block)


async def test_code_is_empty_where_there_is_no_contract(net: Devnet, reader: NodeReader) -> None:
    assert len(await reader.code(net.addresses["token.USDC"])) > 100
    assert await reader.code(to_address(0xDEAD)) == b""


# --- headers


async def test_headers_are_found_by_number_and_hash_and_none_where_there_is_none(reader: NodeReader) -> None:
    head = await reader.head()
    assert await reader.header(head.number) == head
    assert await reader.header(head.hash) == head
    assert await reader.header(NOWHERE) is None
    parent, same, none = await reader.headers([head.number - 1, head.number, head.number + 1])
    assert parent is not None
    assert (parent.hash, same, none) == (head.parent_hash, head, None)


# --- one block's logs


async def test_a_blocks_logs_are_those_wanted_with_their_time(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    mine, other = await emitter.place(0), await emitter.place(1)
    for address, value, topic0 in ((mine, 1, PING), (other, 2, PING), (mine, 3, PONG), (mine, 4, PING)):
        await emitter.emit(address, value, topic0)
    await net.mine()
    head = await reader.head()
    logs = await reader.logs_of_block([pings(mine)], head)
    assert [(log.data, log.log_index, log.timestamp_s, log.block_hash) for log in logs] == [
        (word(1), 0, head.timestamp_s, head.hash),
        (word(4), 3, head.timestamp_s, head.hash),
    ]


async def test_a_log_older_than_its_filter_is_left_out(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    f, [number] = await emit_blocks(net, emitter, 1)
    head = await reader.head()
    assert await reader.logs_of_block([LogFilter(f.address, f.topics, number + 1)], head) == ()
    assert len(await reader.logs_of_block([LogFilter(f.address, f.topics, number + 1), f], head)) == 1


async def test_what_is_wanted_is_worked_out_again_only_when_it_has_changed(
    net: Devnet, reader: NodeReader, emitter: Emitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked_out: list[LogFilter] = []

    class Heard(Wanted):
        def __init__(self, filters: Iterable[LogFilter]) -> None:
            worked_out.extend(asked := list(filters))
            super().__init__(asked)

    monkeypatch.setattr(block_logs, "Wanted", Heard)
    pinged, _ = await emit_blocks(net, emitter, 1)
    head, elsewhere = await reader.head(), LogFilter(NOBODY, pinged.topics, 0)
    filters = [pinged]
    assert len(await reader.logs_of_block(filters, head)) == len(await reader.logs_of_block((pinged,), head)) > 0
    filters[0] = elsewhere
    assert await reader.logs_of_block(filters, head) == ()
    assert worked_out == [pinged, elsewhere]


async def test_the_logs_of_a_block_left_behind_are_transient(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    f, _ = await emit_blocks(net, emitter, 1)
    head = await reader.head()
    await net.request("anvil_reorg", 1, [])
    with pytest.raises(Transient):
        await reader.logs_of_block([f], head)


async def test_without_filters_a_block_has_no_logs_and_the_node_is_not_asked(faulty: Rpc, proxy: FaultProxy) -> None:
    reader = NodeReader(faulty)
    head = await reader.head()
    assert await reader.logs_of_blocks([], [head, head]) == [(), ()]
    assert "eth_getLogs" not in proxy.requests


async def test_a_node_that_takes_no_block_hash_is_asked_by_number(net: Devnet, faulty: Rpc, proxy: FaultProxy, emitter: Emitter) -> None:
    f, _ = await emit_blocks(net, emitter, 2)
    reader = NodeReader(faulty)
    head = await reader.head()
    proxy.fail(Fault.ERROR, "eth_getLogs", code=-32602, message="invalid argument 0: unknown field blockHash")
    assert [log.data for log in await reader.logs_of_block([f], head)] == [word(1)]
    stranger = Head(head.number, NOWHERE, head.parent_hash, head.timestamp_s, 0, 0, 0)
    with pytest.raises(Transient, match="replaced"):
        await reader.logs_of_block([f], stranger)
    with pytest.raises(Transient, match="replaced"):
        await reader.logs_of_block([pings(to_address(1))], stranger)


async def test_too_many_addresses_for_the_node_are_asked_in_parts(net: Devnet, faulty: Rpc, proxy: FaultProxy, emitter: Emitter) -> None:
    places = [await emitter.place(index) for index in range(8)]
    for value, address in enumerate(places):
        await emitter.emit(address, value)
    number = await net.mine()
    reader = NodeReader(faulty)
    filters = [pings(address) for address in places]
    proxy.fail(Fault.ERROR, "eth_getLogs", code=-32602, message="exceed max addresses or topics per search position")
    by_block = await reader.logs_of_block(filters, await reader.head())
    proxy.fail(Fault.ERROR, "eth_getLogs", code=-32000, message="too many addresses in filter")
    by_range = await reader.logs(filters, number, number)
    assert [log.data for log in by_block] == [log.data for log in by_range] == [word(value) for value in range(8)]
