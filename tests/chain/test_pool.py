"""Two nodes of one chain asked as one: each is the real node behind a proxy of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from eth_account import Account

from keeper.chain.heads import AnyHeads, Mailbox
from keeper.chain.pool import Pool
from keeper.chain.reader import NodeReader
from keeper.chain.relay import Broadcast, PublicRelay
from keeper.chain.rpc import Rpc, RpcError
from keeper.devnet import Devnet
from keeper.errors import Transient
from keeper.testing.faults import Fault, FaultProxy
from keeper.testing.lies import ElsewhereBound, Frozen, LogsTwice, Nonsense
from keeper.types import Address, Hash, Head, SendResult, Sent
from tests.chain.emitter import Emitter, pings

HEAD = ("eth_getBlockByNumber", ["0x1", False])


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Two:
    first: FaultProxy
    second: FaultProxy
    pool: Pool
    clock: Clock

    def problems(self) -> list[str]:
        return [status.problem for status in self.pool.statuses()]


@pytest.fixture
async def two(net: Devnet) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(FaultProxy(net.rpc, net.ws)) for _ in range(2)]
        chain_id, clock = int(await net.request("eth_chainId"), 16), Clock()
        nodes = [Rpc(proxy.url, name, timeout_s=5.0, retries=0) for proxy, name in zip(proxies, ("one", "two"), strict=True)]
        pool = Pool(nodes, "nodes", chain_id, retries=2, backoff_s=0.001, now_s=clock)
        stack.push_async_callback(pool.close)
        yield Two(proxies[0], proxies[1], pool, clock)


async def test_while_the_first_is_well_nobody_else_is_asked(two: Two) -> None:
    for _ in range(3):
        await two.pool.batch([HEAD])
    assert (two.first.requests["eth_getBlockByNumber"], two.second.requests) == (3, {})


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.STATUS, Fault.BAD_JSON, Fault.DROP_REPLY])
async def test_when_the_first_fails_the_next_answers_and_is_asked_until_the_first_may_be_back(two: Two, fault: Fault) -> None:
    two.first.fail(fault)
    assert await two.pool.batch([HEAD])
    assert [bool(problem) for problem in two.problems()] == [True, False]
    before = two.first.requests.copy()
    await two.pool.batch([HEAD])
    assert two.first.requests == before
    two.clock.now_s += 0.6
    await two.pool.batch([HEAD])
    assert (two.first.requests["eth_getBlockByNumber"], two.problems()) == (2, ["", ""])


async def test_each_failure_in_a_row_keeps_it_away_for_longer_up_to_half_a_minute(two: Two) -> None:
    two.first.fail(Fault.CUT, times=1000)
    waited = []
    for _ in range(8):
        await two.pool.batch([HEAD])
        start = two.clock.now_s
        while two.problems()[0]:
            two.clock.now_s += 0.25
        waited.append(two.clock.now_s - start)
    assert waited == [0.5, 1, 2, 4, 8, 16, 30, 30]


async def test_one_that_takes_long_is_not_waited_for(two: Two) -> None:
    for _ in range(3):
        await two.pool.batch([HEAD])
    two.first.fail(Fault.HANG)
    async with asyncio.timeout(3):
        assert await two.pool.batch([HEAD])
    assert two.problems()[0] == "slow to answer eth_getBlockByNumber"


async def test_one_that_comes_back_on_another_chain_is_not_believed(two: Two) -> None:
    await two.pool.batch([HEAD])
    two.first.fail(Fault.CUT)
    await two.pool.batch([HEAD])
    two.first.lie(ElsewhereBound())
    two.clock.now_s += 1
    await two.pool.batch([HEAD])
    assert "is not on chain" in two.problems()[0]
    two.first.heal()
    two.clock.now_s += 2
    await two.pool.batch([HEAD])
    assert two.problems() == ["", ""]


async def test_the_newest_block_is_the_highest_that_any_has_and_who_lags_is_asked_last(net: Devnet, two: Two, emitter: Emitter) -> None:
    reader = NodeReader(two.pool)
    two.first.lie(Frozen(int(await net.request("eth_blockNumber"), 16)))
    contract = await emitter.place()
    for _ in range(3):
        await net.mine()
    newest = await reader.head()
    assert newest.number == int(await net.request("eth_blockNumber"), 16)
    assert two.pool.statuses()[0].behind > 2
    asked = two.first.requests.copy()
    assert await reader.code(contract)
    assert two.first.requests == asked
    two.first.heal()
    await reader.head()
    await reader.code(contract)
    assert two.first.requests["eth_getCode"] == 1


async def test_a_block_that_the_first_lacks_is_read_from_the_next_in_the_same_question(
    net: Devnet, two: Two, emitter: Emitter, reader: NodeReader
) -> None:
    await two.pool.batch([HEAD])
    contract = await emitter.place()
    two.first.lie(Frozen(int(await net.request("eth_blockNumber"), 16)))
    await emitter.emit(contract, 7)
    await net.mine()
    head = await reader.head()
    logs = await NodeReader(two.pool).logs_of_block([pings(contract)], head)
    assert [int.from_bytes(log.data, "big") for log in logs] == [7]


async def test_what_no_node_has_is_said_by_the_node_that_lacks_it(two: Two) -> None:
    with pytest.raises(Transient, match="node"):
        await NodeReader(two.pool).logs_of_block([pings(Address("0x" + "11" * 20))], _no_such_block())
    assert two.problems() == ["", ""]


async def test_with_nobody_there_it_is_transient_after_a_few_rounds(two: Two) -> None:
    two.first.fail(Fault.CUT, times=100)
    two.second.fail(Fault.STATUS, times=100)
    with pytest.raises(Transient, match=r"cannot be reached|HTTP 503"):
        await two.pool.batch([HEAD])
    assert two.first.requests["eth_chainId"] == 3
    with pytest.raises(Transient):
        await NodeReader(two.pool).head()


@pytest.mark.parametrize("seed", range(3))
async def test_answers_that_are_none_change_nothing(net: Devnet, two: Two, emitter: Emitter, reader: NodeReader, seed: int) -> None:
    contract = await emitter.place()
    read, pooled = list[int](), NodeReader(two.pool)
    two.first.lie(Nonsense(seed))
    two.second.lie(LogsTwice())
    for value in range(20):
        await emitter.emit(contract, value)
        await net.mine()
        head = await reader.head()
        two.clock.now_s += 40
        assert await pooled.header(head.hash) == head
        read += [int.from_bytes(log.data, "big") for log in await pooled.logs_of_block([pings(contract)], head)]
    assert read == list(range(20)), f"seed {seed}"


async def test_what_sends_goes_to_one_node_alone(two: Two) -> None:
    with pytest.raises(RpcError):
        await two.pool.request("eth_sendRawTransaction", "0x00")
    assert (two.first.requests["eth_sendRawTransaction"], two.second.requests) == (1, {})


async def test_a_public_transaction_goes_to_all_and_one_that_hangs_is_not_waited_for(net: Devnet, two: Two, emitter: Emitter) -> None:
    nodes = [Rpc(proxy.url, "node", timeout_s=1.0, retries=0) for proxy in (two.first, two.second)]
    two.first.fail(Fault.HANG, "eth_sendRawTransaction")
    raw, tx = await signed(net)
    async with asyncio.timeout(0.9):
        assert await Broadcast([PublicRelay(node) for node in nodes]).send(raw, tx) == Sent(SendResult.ACCEPTED)
    assert two.first.requests["eth_sendRawTransaction"] == two.second.requests["eth_sendRawTransaction"] == 1
    for node in nodes:
        await node.close()


async def test_of_several_answers_the_best_counts() -> None:
    class Says:
        def __init__(self, sent: Sent | Exception) -> None:
            self._sent = sent

        async def send(self, raw: bytes, tx: Hash) -> Sent:
            if isinstance(self._sent, Exception):
                raise self._sent
            return self._sent

    no, unknown = Sent(SendResult.REFUSED, "underpriced"), Sent(SendResult.UNKNOWN, "TimeoutError")
    assert await Broadcast([Says(no), Says(no)]).send(b"", Hash("0x")) == no
    assert await Broadcast([Says(no), Says(TimeoutError())]).send(b"", Hash("0x")) == unknown
    assert (await Broadcast([Says(unknown), Says(Sent(SendResult.ACCEPTED))]).send(b"", Hash("0x"))).result is SendResult.ACCEPTED


async def test_the_same_news_from_several_sources_is_told_once() -> None:
    def head(number: int) -> Head:
        return Head(number, Hash(f"0x{number:064x}"), Hash(f"0x{number - 1:064x}"), number, 1, 1, 1)

    class Source:
        def __init__(self, told: list[Head | None]) -> None:
            self._told = told

        async def run(self, mailbox: Mailbox) -> None:
            for item in self._told:
                mailbox.put(item)

    class Counting(Mailbox):
        def __init__(self) -> None:
            super().__init__()
            self.put_heads: list[Head | None] = []

        def put(self, head: Head | None) -> None:
            self.put_heads.append(head)

    mailbox = Counting()
    await AnyHeads([Source([head(1)]), Source([head(1), None, head(2)])]).run(mailbox)
    assert mailbox.put_heads == [head(1), None, head(2)]


def _no_such_block() -> Head:
    return Head(1, Hash("0x" + "ab" * 32), Hash("0x" + "cd" * 32), 1, 1, 1, 1)


async def signed(net: Devnet) -> tuple[bytes, Hash]:
    account = Account.create("broadcast")
    await net.request("anvil_setBalance", account.address, hex(10**18))
    fields = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 0, "gas": 21_000, "to": account.address, "value": 0, "nonce": 0}
    tx = account.sign_transaction({**fields, "chainId": net.chain_id, "type": 2})
    return bytes(tx.raw_transaction), Hash("0x" + tx.hash.hex())
