from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.chain.codec import to_address, word
from keeper.chain.log_ranges import AT_ONCE
from keeper.chain.logs import GROW_AFTER, MOST_PATIENCE, QUICK_S, SLOW_S, Span, Wanted
from keeper.chain.reader import NodeReader
from keeper.chain.rpc import Call, Rpc, RpcError
from keeper.devnet import Devnet
from keeper.errors import Transient
from keeper.testing.faults import Fault, FaultProxy
from keeper.types import LogFilter
from tests.chain.emitter import PING, PONG, Emitter, pings
from tests.chain.test_reader import emit_blocks

REFUSALS = [
    (-32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2]."),
    (-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range"),
    (-32600, "You can make eth_getLogs requests with up to a 500 block range."),
    (-32602, "range 1000000 exceeds limit of 10000"),
    (-32000, "block range is larger than max block range, block range = 5120, max block range = 5000"),
    (-32000, "query timeout exceeded"),
    (-32000, "block range is too wide"),
    (-32005, "limit exceeded"),
    (-32701, "Please specify an address in your request or, to remove restrictions, reduce the range"),
]


async def values(reader: NodeReader, filters: list[LogFilter], first: int, last: int) -> list[int]:
    return [int.from_bytes(log.data, "big") for log in await reader.logs(filters, first, last)]


def asked_ranges(proxy: FaultProxy) -> list[tuple[int, int]]:
    params = [call["params"][0] for body in proxy.bodies if isinstance(body, list) for call in body if call["method"] == "eth_getLogs"]
    return [(int(p["fromBlock"], 16), int(p["toBlock"], 16)) for p in params]


async def test_a_ranges_logs_come_in_order_with_the_time_of_their_block(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    f, numbers = await emit_blocks(net, emitter, 6)
    logs = await reader.logs([f], numbers[1], numbers[4])
    assert [log.data for log in logs] == [word(n) for n in range(1, 5)]
    headers = await reader.headers([log.block_number for log in logs])
    assert [(h.timestamp_s, h.hash) for h in headers if h] == [(log.timestamp_s, log.block_hash) for log in logs]


@pytest.mark.parametrize(("code", "message"), REFUSALS)
async def test_a_range_the_node_refuses_is_split_and_nothing_is_lost_or_doubled(
    net: Devnet, faulty: Rpc, proxy: FaultProxy, emitter: Emitter, code: int, message: str
) -> None:
    f, numbers = await emit_blocks(net, emitter, 9)
    proxy.fail(Fault.ERROR, "eth_getLogs", times=3, code=code, message=message)
    assert await values(NodeReader(faulty), [f], 0, numbers[-1]) == list(range(9))
    sizes = [last - first + 1 for first, last in asked_ranges(proxy)]
    assert sizes[0] == numbers[-1] + 1
    assert sizes[1] <= sizes[0] // 2 + 1
    assert sizes[2] <= sizes[0] // 4 + 1


async def test_a_range_that_times_out_is_halved(net: Devnet, faulty: Rpc, proxy: FaultProxy, emitter: Emitter) -> None:
    f, numbers = await emit_blocks(net, emitter, 4)
    proxy.fail(Fault.HANG, "eth_getLogs")
    assert await values(NodeReader(faulty), [f], numbers[0], numbers[-1]) == [0, 1, 2, 3]
    assert asked_ranges(proxy) == [(numbers[0], numbers[3]), (numbers[0], numbers[1]), (numbers[2], numbers[3])]


async def test_what_the_node_refused_is_not_asked_again(net: Devnet, faulty: Rpc, proxy: FaultProxy, emitter: Emitter) -> None:
    f, numbers = await emit_blocks(net, emitter, 8)
    reader = NodeReader(faulty)
    proxy.fail(Fault.ERROR, "eth_getLogs", message="block range is too wide")
    await reader.logs([f], numbers[0], numbers[-1])
    proxy.bodies.clear()
    assert await values(reader, [f], numbers[0], numbers[-1]) == list(range(8))
    assert asked_ranges(proxy) == [(numbers[0], numbers[3]), (numbers[4], numbers[7])]


async def test_a_single_block_that_is_still_too_much_is_an_error(net: Devnet, faulty: Rpc, proxy: FaultProxy, emitter: Emitter) -> None:
    f, [number] = await emit_blocks(net, emitter, 1)
    proxy.fail(Fault.ERROR, "eth_getLogs", times=1000, code=-32005, message="query returned more than 10000 results")
    with pytest.raises(RpcError, match="more than 10000"):
        await NodeReader(faulty).logs([f], number, number)


class Watched(Rpc):
    """Counts the batches that are under way."""

    now = most = 0

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().batch(calls)
        finally:
            self.now -= 1


async def test_however_many_ask_only_so_many_ranges_are_under_way_at_once(net: Devnet, emitter: Emitter) -> None:
    f, numbers = await emit_blocks(net, emitter, 12)
    rpc = Watched(net.rpc, "node")
    reader = NodeReader(rpc, span_blocks=1)
    found = await asyncio.gather(*(values(reader, [f], numbers[0], numbers[-1]) for _ in range(3)))
    assert found == [list(range(12))] * 3
    assert rpc.most == AT_ONCE
    await rpc.close()


async def test_logs_beyond_the_nodes_head_are_transient_not_an_empty_list(reader: NodeReader) -> None:
    head = await reader.head()
    with pytest.raises(Transient, match="the node is at block"):
        await reader.logs([pings(to_address(1))], head.number, head.number + 1)


async def test_the_time_comes_from_the_header_where_the_log_does_not_say_it(
    net: Devnet, faulty: Rpc, proxy: FaultProxy, emitter: Emitter
) -> None:
    f, numbers = await emit_blocks(net, emitter, 3)
    proxy.leave_out("blockTimestamp")
    reader = NodeReader(faulty)
    for _ in range(2):
        logs = await reader.logs([f], numbers[0], numbers[-1])
        assert [log.timestamp_s for log in logs] == [h.timestamp_s for h in await reader.headers(numbers) if h]
    assert proxy.requests["eth_getBlockByHash"] == 3


async def test_every_contract_has_its_own_topics_and_first_block(net: Devnet, reader: NodeReader, emitter: Emitter) -> None:
    one, two = await emitter.place(1), await emitter.place(2)
    numbers = []
    for value in (10, 20):
        for address in (one, two):
            for offset, topic0 in enumerate((PING, PONG)):
                await emitter.emit(address, value + offset, topic0)
        numbers.append(await net.mine())
    filters = [LogFilter(one, frozenset({PONG}), 0), LogFilter(two, frozenset({PING, PONG}), numbers[1])]
    found = [(log.address, int.from_bytes(log.data, "big")) for log in await reader.logs(filters, numbers[0], numbers[1])]
    assert found == [(one, 11), (one, 21), (two, 20), (two, 21)]


async def test_contracts_without_topics_or_from_later_on_are_not_asked_for(faulty: Rpc, proxy: FaultProxy) -> None:
    filters = [LogFilter(to_address(1), frozenset(), 0), LogFilter(to_address(2), frozenset({PING}), 100)]
    assert await NodeReader(faulty).logs(filters, 0, 99) == []
    assert proxy.bodies == []


# --- pure


@given(limit=st.integers(1, 500), start=st.integers(1, 5000))
def test_a_span_settles_below_a_fixed_limit_and_stays_there(limit: int, start: int) -> None:
    span = Span(start)
    refusals = 0
    for _ in range(60):
        if span.blocks > limit:
            span.refused(span.blocks, for_good=True)
            refusals += 1
        else:
            span.served(span.blocks)
    assert limit // 2 <= span.blocks <= limit or span.blocks == start
    assert refusals <= start.bit_length()


def test_a_span_shrunk_by_a_crowded_stretch_grows_back() -> None:
    span = Span(1000)
    span.refused(1000, for_good=False)
    for _ in range(3):
        span.served(500)
    assert span.blocks == 1000


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_a_node_that_counts_results_refuses_ever_fewer_of_the_questions(density: int, limit: int) -> None:
    """Its limit is not a number of blocks, so it is tried again and again, and less and less often."""
    span, refused = Span(4096), []
    for number in range(1000):
        if span.blocks > 1 and span.blocks * density > limit:
            span.refused(span.blocks, for_good=False)
            refused.append(number)
        else:
            span.served(span.blocks)
    assert len(refused) <= 12 + 1000 // MOST_PATIENCE + (MOST_PATIENCE // GROW_AFTER).bit_length()


def test_a_stretch_that_gets_quiet_is_gone_through_in_ever_larger_steps_again() -> None:
    span = Span(4096)
    for _ in range(300):
        if span.blocks > 8:
            span.refused(span.blocks, for_good=False)
        else:
            span.served(span.blocks)
    asked = 0
    while span.blocks < 4096:
        span.served(span.blocks)
        asked += 1
    assert asked <= MOST_PATIENCE * 2 + GROW_AFTER * 12


def test_slow_answers_are_no_reason_to_ask_for_more_and_very_slow_ones_are_one_to_ask_for_less() -> None:
    span = Span(1000)
    span.refused(1000, for_good=False)
    for _ in range(10):
        span.served(500, QUICK_S + 0.1)
    assert span.blocks == 500
    span.served(500, SLOW_S + 0.1)
    assert span.blocks == 250
    for _ in range(GROW_AFTER):
        span.served(250, 0.1)
    assert span.blocks == 500


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from([PING, PONG]), st.integers(0, 9)), max_size=12), st.integers(1, 3))
def test_queries_ask_for_every_wanted_contract_once(items: list[tuple[int, str, int]], most: int) -> None:
    filters = [LogFilter(to_address(n), frozenset({topic0}), since) for n, topic0, since in items]
    queries = Wanted(filters).queries(5, most)
    asked = [address for query in queries for address in query.addresses]
    assert sorted(asked) == sorted({f.address for f in filters if f.since_block <= 5})
    assert all(len(query.addresses) <= most for query in queries)
