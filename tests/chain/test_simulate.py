from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from keeper.chain.codec import selector, to_address, word, words
from keeper.chain.fees import landing
from keeper.chain.reader import NodeReader
from keeper.chain.rpc import Rpc, RpcError
from keeper.chain.simulate import NodeSimulator
from keeper.chain.wire import AccountOverride
from keeper.devnet import Devnet
from keeper.errors import Transient
from keeper.testing.faults import Fault, FaultProxy
from keeper.types import Address, Landing, Log
from tests.chain.emitter import CODE, PING

EXECUTOR = to_address(0xE0EC)
OPERATOR = to_address(0x0FE12A708)
UNAUTHORIZED = selector("Unauthorized()")

EMIT = bytes.fromhex(CODE[2:])
WHERE = bytes.fromhex("425f52436020525f3560405260605fa000")
"""Logs (timestamp, number, first word of calldata)."""
COUNT = bytes.fromhex("5f5460010180" + "5f555f5260205fa000")
"""Adds one to slot 0 and logs what it is then."""
ECHO_REVERT = bytes.fromhex("365f5f37365ffd")
"""Reverts with its calldata."""
BURN = bytes.fromhex("5b5f56")


def names(data: bytes) -> str | None:
    return "Unauthorized" if data == UNAUTHORIZED else None


def profit(logs: Sequence[Log]) -> int:
    return int.from_bytes(logs[-1].data[:32], "big") if logs else 0


def simulator(rpc: Rpc, code: bytes, gas: int = 500_000, storage: Mapping[int, int] | None = None) -> NodeSimulator:
    """Nothing is deployed: the executor's code and storage and the operator's balance are said to be there."""
    said = {EXECUTOR: AccountOverride(code=code, storage=storage or {}), OPERATOR: AccountOverride(balance_wei=10**18)}
    return NodeSimulator(rpc, EXECUTOR, OPERATOR, names, profit, gas, said)


@pytest.fixture
async def at(reader: NodeReader) -> Landing:
    return landing(await reader.head(), 12)


@pytest.fixture
async def old_node(net: Devnet, faulty: Rpc, proxy: FaultProxy) -> Rpc:
    """A node without eth_simulateV1."""
    proxy.fail(Fault.ERROR, "eth_simulateV1", times=1000, code=-32601, message="the method eth_simulateV1 does not exist/is not available")
    return faulty


def ping(value: int) -> bytes:
    return bytes.fromhex(PING[2:]) + word(value)


async def test_a_call_that_succeeds_has_its_gas_its_logs_and_its_profit(rpc: Rpc, at: Landing) -> None:
    [found] = await simulator(rpc, EMIT).simulate([ping(7)], at)
    assert (found.ok, found.error, found.profit) == (True, "", 7)
    assert [(log.address, log.topics, log.data, log.timestamp_s) for log in found.logs] == [(EXECUTOR, (PING,), word(7), at.timestamp_s)]
    assert 21_000 < found.gas_used < 30_000


async def test_the_gas_is_what_the_transaction_then_uses(net: Devnet, rpc: Rpc, at: Landing) -> None:
    [found] = await simulator(rpc, EMIT).simulate([ping(7)], at)
    await net.request("anvil_setCode", EXECUTOR, CODE)
    receipt = await net.transact(net.borrowers[0], EXECUTOR, ping(7), gas=200_000)
    assert found.gas_used == int(receipt["gasUsed"], 16)


async def test_the_call_sees_the_landing_blocks_number_and_time(rpc: Rpc, at: Landing) -> None:
    [found] = await simulator(rpc, WHERE).simulate([word(5)], at)
    assert found.logs[0].data == words(at.timestamp_s, at.number, 5)


async def test_each_call_sees_what_the_one_before_it_left(rpc: Rpc, at: Landing) -> None:
    found = await simulator(rpc, COUNT, storage={0: 40}).simulate([b"", b"", b""], at)
    assert [one.profit for one in found] == [41, 42, 43]


async def test_many_calls_with_large_gas_limits_fit_into_one_simulation(rpc: Rpc, at: Landing) -> None:
    found = await simulator(rpc, COUNT, gas=8_000_000).simulate([b""] * 64, at)
    assert [one.profit for one in found] == list(range(1, 65))


@pytest.mark.parametrize("old", [False, True])
async def test_a_revert_is_named_and_the_calls_after_it_still_run(rpc: Rpc, old_node: Rpc, at: Landing, old: bool) -> None:
    node = old_node if old else rpc
    calls = [
        UNAUTHORIZED,
        selector("Error(string)") + words(32, 4) + b"oops".ljust(32, b"\0"),
        selector("Panic(uint256)") + word(0x11),
        b"\x01\x02",
        b"",
    ]
    found = await simulator(node, ECHO_REVERT).simulate(calls, at)
    assert [one.ok for one in found] == [False] * 5
    assert [one.error for one in found[:4]] == ["Unauthorized", "oops", "panic: arithmetic overflow", "0x0102"]
    assert found[4].error


@pytest.mark.parametrize("old", [False, True])
async def test_the_gas_limit_ends_a_call(rpc: Rpc, old_node: Rpc, at: Landing, old: bool) -> None:
    [found] = await simulator(old_node if old else rpc, BURN, gas=100_000).simulate([b""], at)
    assert not found.ok
    assert found.error


async def test_no_calls_ask_nothing(faulty: Rpc, proxy: FaultProxy, at: Landing) -> None:
    assert await simulator(faulty, EMIT).simulate([], at) == []
    assert proxy.bodies == []


@pytest.mark.parametrize(
    ("code", "message"), [(-32601, "Method not found"), (-32602, "data did not match any variant of untagged enum EthRpcCall")]
)
async def test_a_node_without_simulate_is_asked_by_eth_call_and_that_is_remembered(
    faulty: Rpc, proxy: FaultProxy, at: Landing, code: int, message: str
) -> None:
    proxy.fail(Fault.ERROR, "eth_simulateV1", times=1000, code=code, message=message)
    asked = simulator(faulty, WHERE)
    for _ in range(2):
        [found] = await asked.simulate([word(5)], at)
        assert (found.ok, found.error, found.profit) == (True, "", 0)
        assert 21_000 < found.gas_used < 500_000
    assert not asked.sequential
    assert proxy.requests["eth_simulateV1"] == 1


async def test_eth_call_runs_in_the_landing_block_too(old_node: Rpc, at: Landing) -> None:
    only_then = bytes.fromhex(f"4263{at.timestamp_s:08x}14600b57005b5f5ffd")  # reverts at that very time
    [found] = await simulator(old_node, only_then).simulate([b""], at)
    assert not found.ok


@pytest.mark.parametrize("old", [False, True])
async def test_a_node_that_lacks_the_parent_is_transient(rpc: Rpc, old_node: Rpc, at: Landing, old: bool) -> None:
    ahead = Landing(at.number + 5, at.timestamp_s, at.base_fee_wei)
    with pytest.raises(Transient):
        await simulator(old_node if old else rpc, EMIT).simulate([ping(1)], ahead)


async def test_a_node_that_is_away_is_transient_and_one_that_objects_is_an_error(faulty: Rpc, proxy: FaultProxy, at: Landing) -> None:
    asked = simulator(faulty, EMIT)
    proxy.fail(Fault.CUT, times=100)
    with pytest.raises(Transient):
        await asked.simulate([ping(1)], at)
    proxy.heal()
    proxy.fail(Fault.ERROR, "eth_simulateV1", code=-38014, message="insufficient funds")
    with pytest.raises(RpcError, match="insufficient funds"):
        await asked.simulate([ping(1)], at)
    assert asked.sequential


async def test_storage_overrides_leave_the_other_slots_alone(net: Devnet, rpc: Rpc, at: Landing) -> None:
    await net.request("anvil_setCode", EXECUTOR, "0x" + COUNT.hex())
    await net.request("anvil_setStorageAt", EXECUTOR, "0x0", "0x" + word(9).hex())
    said: dict[Address, AccountOverride] = {EXECUTOR: AccountOverride(storage={77: 1})}
    [found] = await NodeSimulator(rpc, EXECUTOR, OPERATOR, names, profit, 500_000, said).simulate([b""], at)
    assert found.profit == 10
