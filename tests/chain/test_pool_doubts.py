"""What one node says, fails to say, or says too late, beside what another does. Found by a reviewer who wanted the pool to fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from keeper.chain.node import Call
from keeper.chain.pool import Pool
from keeper.chain.reader import NodeReader
from keeper.chain.relay import Broadcast, PublicRelay
from keeper.chain.rpc import Rpc
from keeper.chain.rpc_errors import RpcError, TimedOut
from keeper.errors import Transient
from keeper.types import Address, Hash, LogFilter, SendResult
from tests.chain.paper import PaperNode, head

NEWEST: Call = ("eth_getBlockByNumber", ["latest", False])
CALL: Call = ("eth_call", [{}, "latest"])
NONCE: Call = ("eth_getTransactionCount", ["0x", "latest"])
ONE, TWO = "0x" + "11" * 32, "0x" + "22" * 32
FILTERS = (LogFilter(Address("0x" + "11" * 20), frozenset({"0x" + "22" * 32}), 0),)
AT_ONCE_S = 1.2


def pool_of(*nodes: PaperNode, retries: int = 5, now_s: Callable[[], float] = time.monotonic) -> Pool:
    return Pool(nodes, "nodes", 1, retries=retries, backoff_s=0.001, now_s=now_s)


def once(problem: Exception, answer: Any) -> Callable[..., Any]:
    """The problem, and from then on the answer."""
    problems = [problem]
    return lambda *_: problems.pop() if problems else answer


async def soon(answer: Any) -> Any:
    async with asyncio.timeout(AT_ONCE_S):
        return await answer


@pytest.mark.parametrize("message", ["internal error", "invalid project id", "daily request limit reached", "method not found"])
async def test_an_error_of_one_is_no_answer_while_another_has_one(message: str) -> None:
    failing = PaperNode("one", eth_getLogs=RpcError("eth_getLogs", -32603, message))
    assert await NodeReader(pool_of(failing, PaperNode("two", eth_getLogs=[]))).logs_of_block(FILTERS, head(100)) == ()


async def test_a_revert_is_an_answer() -> None:
    second = PaperNode("two", eth_call="0x01")
    (result,) = await pool_of(PaperNode("one", eth_call=RpcError("eth_call", 3, "execution reverted")), second).batch([CALL])
    assert isinstance(result, RpcError)
    assert "eth_call" not in second.asked


@pytest.mark.parametrize("odd", [TypeError("list indices"), KeyError("x"), ValueError("no hex")])
async def test_whatever_goes_wrong_in_one_stays_there(odd: Exception) -> None:
    pool = pool_of(PaperNode("one", eth_call=odd, eth_getBlockByNumber=odd), PaperNode("two", eth_call="0x01"))
    watching = asyncio.create_task(pool.watch(0.01))
    assert await pool.batch([CALL]) == ["0x01"]
    assert not watching.done()
    watching.cancel()
    await pool.close()


async def test_where_one_has_nothing_one_that_hangs_is_waited_for_no_longer_than_others_are() -> None:
    hanging = PaperNode("two")
    hanging.delay_s["eth_getTransactionReceipt"] = 30.0
    assert await soon(pool_of(PaperNode("one"), hanging).batch([("eth_getTransactionReceipt", [ONE])])) == [None]


async def test_each_call_s_answer_is_taken_from_whoever_has_it() -> None:
    one = PaperNode("one", eth_getTransactionReceipt=lambda tx: {"of": tx} if tx == ONE else None)
    two = PaperNode("two", eth_getTransactionReceipt=lambda tx: {"of": tx} if tx == TWO else None)
    got = await pool_of(one, two).batch([("eth_getTransactionReceipt", [tx]) for tx in (ONE, TWO, "0x")])
    assert got == [{"of": ONE}, {"of": TWO}, None]


async def test_nothing_is_not_believed_of_one_that_is_behind_when_the_others_fail_once() -> None:
    ahead = PaperNode("two", 1010, eth_getTransactionReceipt=once(Transient("cut"), {"of": ONE}))
    pool = pool_of(PaperNode("one", 1000), ahead)
    await pool.batch([NEWEST])
    assert await pool.batch([("eth_getTransactionReceipt", [ONE])]) == [{"of": ONE}]


# --- who lags -----------------------------------------------------------------------------------------------------


async def test_a_head_that_is_known_to_be_old_is_not_told_because_the_other_takes_its_time() -> None:
    stopped, ahead = PaperNode("one", 1000), PaperNode("two", 1000)
    reader = NodeReader(pool_of(stopped, ahead))
    ahead.number = 1030
    assert (await reader.head()).number == 1030
    ahead.delay_s["eth_getBlockByNumber"] = 1.3
    assert (await reader.head()).number == 1030


async def test_one_slow_answer_does_not_put_one_that_is_far_behind_first() -> None:
    ahead = PaperNode("one", 1100, eth_getTransactionCount="0x9", eth_call="0x01")
    behind = PaperNode("two", 100, eth_getTransactionCount="0x5", eth_call="0x01")
    pool = pool_of(ahead, behind)
    await pool.batch([NEWEST])
    for _ in range(20):
        await pool.batch([CALL])
    ahead.delay_s["eth_call"] = 0.2
    await pool.batch([CALL])
    assert await pool.batch([NONCE]) == ["0x9"]


async def test_who_was_ahead_and_is_gone_for_good_makes_nobody_late() -> None:
    now = [0.0]
    dead, lagging, well = (PaperNode(name, number) for name, number in (("dead", 10**9), ("lagging", 100), ("well", 1100)))
    lagging.answers["eth_getTransactionCount"], well.answers["eth_getTransactionCount"] = "0x5", "0x9"
    pool = pool_of(dead, lagging, well, now_s=lambda: now[0])
    await pool.batch([NEWEST])
    dead.answers |= {"eth_getBlockByNumber": Transient("x"), "eth_getTransactionCount": Transient("x"), "eth_chainId": Transient("x")}
    for _ in range(5):
        now[0] += 60
        await pool.look()
    assert await pool.batch([NONCE]) == ["0x9"]


async def test_one_whose_chain_changes_without_a_failure_is_found_out_at_the_next_look() -> None:
    changed, well = PaperNode("one", 100), PaperNode("two", 100)
    reader = NodeReader(pool_of(changed, well))
    await reader.head()
    changed.answers["eth_chainId"], changed.number = "0x539", 105
    assert (await reader.head()).number == 100


# --- who is slow --------------------------------------------------------------------------------------------------


async def test_a_question_that_is_heavy_for_everybody_is_nobody_s_fault() -> None:
    nodes = [PaperNode(name, eth_call="0x01") for name in ("one", "two", "three")]
    pool = pool_of(*nodes)
    for _ in range(20):
        await pool.batch([CALL])
    for node in nodes:
        node.delay_s["eth_call"] = 0.06
    for _ in range(5):
        await pool.batch([CALL])
    assert [status.problem for status in pool.statuses()[1:]] == ["", ""]


async def test_one_that_hangs_costs_less_and_less() -> None:
    hanging, well = PaperNode("one", eth_simulateV1=[]), PaperNode("two", eth_simulateV1=[])
    pool, took_s = pool_of(hanging, well), list[float]()
    for _ in range(5):
        await pool.batch([("eth_simulateV1", [])])
    hanging.delay_s["eth_simulateV1"] = 60.0
    for _ in range(10):
        await pool.look()
        started_s = time.monotonic()
        await pool.batch([("eth_simulateV1", [])])
        took_s.append(time.monotonic() - started_s)
    await pool.close()
    assert max(took_s[1:]) < took_s[0] + 0.05
    assert sum(taken < 0.04 for taken in took_s) >= 6


async def test_one_that_hangs_is_not_waited_for_at_every_look() -> None:
    well, hanging = PaperNode("one"), PaperNode("two")
    pool, took_s = pool_of(well, hanging), list[float]()
    for _ in range(5):
        await pool.batch([NEWEST])
    hanging.delay_s |= {"eth_getBlockByNumber": 10.0, "eth_chainId": 10.0}
    for _ in range(8):
        started_s = time.monotonic()
        await pool.batch([NEWEST])
        took_s.append(time.monotonic() - started_s)
    await pool.close()
    assert max(took_s) < 0.3


# --- the rest -----------------------------------------------------------------------------------------------------


async def test_logs_that_take_too_long_are_asked_once_and_said_to() -> None:
    nodes = PaperNode("one", eth_getLogs=TimedOut("slow")), PaperNode("two", eth_getLogs=Transient("HTTP 504"))
    with pytest.raises(TimedOut):
        await pool_of(*nodes).batch([("eth_getLogs", [{}])])
    assert nodes[0].asked.count("eth_getLogs") == 1


async def test_what_is_still_being_asked_ends_with_the_pool() -> None:
    one, two = PaperNode("one"), PaperNode("two")
    two.delay_s["eth_chainId"] = 0.2
    pool = pool_of(one, two)
    looking = asyncio.create_task(pool.look())
    await asyncio.sleep(0.05)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    await pool.close()
    await asyncio.sleep(0.3)
    assert two.asked_closed == 0


async def test_what_sends_goes_to_the_first_of_the_list_whoever_is_ahead() -> None:
    builder, plain = PaperNode("one", 100, eth_cancelBundle="0x1"), PaperNode("two", 101)
    pool = pool_of(builder, plain)
    await pool.batch([NEWEST])
    assert await pool.request("eth_cancelBundle", {}) == "0x1"


async def test_one_that_cannot_be_reached_casts_no_doubt_on_what_the_others_refuse() -> None:
    refusing = PaperNode("one", eth_sendRawTransaction=RpcError("eth_sendRawTransaction", -32000, "insufficient funds for gas"))
    dead = Rpc("http://127.0.0.1:9", "dead", retries=0)
    sent = await Broadcast([PublicRelay(refusing), PublicRelay(dead)]).send(b"", Hash("0x"))
    alone = await PublicRelay(dead).send(b"", Hash("0x"))
    await dead.close()
    assert (sent.result, alone.result) == (SendResult.REFUSED, SendResult.UNKNOWN)
