"""What the executor does between entry and exit: guard, steps, profit, forwarding."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.execution import executor as codec
from keeper.execution.executor import encode_execute
from keeper.types import ZERO_ADDRESS, Address, Guard, Step
from tests.contracts.chain import BENEFICIARY, NO_FUNDING, NO_GUARD, OPERATOR, OWNER, STRANGER, Chain, abi_call, compiled, selector

ANY_TARGET = Address("0x" + "ab" * 20)
OTHER = Address("0x" + "cd" * 20)
CONSTANT_ZERO = "0x60206000f3"
"""Runtime code that answers every call with one zero word."""

LEVEL = selector("level()")


def mint(token: Address, to: Address, amount: int) -> Step:
    return Step(token, abi_call("mint(address,uint256)", to, amount))


def transfer(token: Address, to: Address, amount: int) -> Step:
    return Step(token, abi_call("transfer(address,uint256)", to, amount))


def run(steps: list[Step], profit_token: Address, min_profit: int = 0, tokens: tuple[Address, ...] = (), guard: Guard = NO_GUARD) -> bytes:
    return encode_execute(guard, NO_FUNDING, False, steps, profit_token, min_profit, tokens)


# --- guard --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [0, 5, 7])
async def test_the_guard_lets_pass_only_below_its_bound(chain: Chain, executor: Address, token: Address, word: int) -> None:
    gauge = await chain.puppet()
    await chain.program(gauge, LEVEL, reply=bytes(32 * word) + (99).to_bytes(32))
    assert (await chain.send(OPERATOR, executor, run([], token, guard=Guard(gauge, LEVEL, word, 100)))).ok
    assert await chain.error(OPERATOR, executor, run([], token, guard=Guard(gauge, LEVEL, word, 99))) == "Healthy"


async def test_a_guard_word_beyond_the_reply_stops_everything(chain: Chain, executor: Address, token: Address) -> None:
    gauge = await chain.puppet()
    await chain.program(gauge, LEVEL, reply=bytes(64))
    assert await chain.revert(OPERATOR, executor, run([], token, guard=Guard(gauge, LEVEL, 2, 1))) == b""


async def test_a_guard_without_an_answer_stops_everything(chain: Chain, executor: Address, token: Address) -> None:
    guard = Guard(ANY_TARGET, b"", 0, 2**256 - 1)
    assert await chain.revert(OPERATOR, executor, run([mint(token, executor, 1)], token, guard=guard)) == b""


async def test_a_guard_that_reverts_stops_everything_with_its_own_reason(chain: Chain, executor: Address, token: Address) -> None:
    gauge = await chain.puppet()
    await chain.program(gauge, LEVEL, reply=b"paused", fails=True)
    assert await chain.revert(OPERATOR, executor, run([], token, guard=Guard(gauge, LEVEL, 0, 1))) == b"paused"


async def test_a_guard_cannot_change_anything(chain: Chain, executor: Address, token: Address) -> None:
    guard = Guard(token, abi_call("mint(address,uint256)", OPERATOR, 1), 0, 2**256 - 1)
    assert await chain.revert(OPERATOR, executor, run([], token, guard=guard)) == b""


# --- steps --------------------------------------------------------------------------------------------------------


async def test_a_revert_in_a_step_comes_out_unchanged(chain: Chain, executor: Address, token: Address) -> None:
    target = await chain.puppet()
    await chain.program(target, selector("go()"), reply=b"\x93\x0b\xb7\x71", fails=True)
    assert await chain.revert(OPERATOR, executor, run([Step(target, selector("go()"))], token)) == b"\x93\x0b\xb7\x71"


async def test_a_revert_with_a_reason_comes_out_readable(chain: Chain, executor: Address, token: Address) -> None:
    steps = [Step(token, abi_call("approve(address,uint256)", ANY_TARGET, amount)) for amount in (1, 2)]
    assert await chain.error(OPERATOR, executor, run(steps, token)) == "reset first"


async def calls_made(chain: Chain, executor: Address, data: bytes, overrides: dict[str, Any]) -> list[bytes]:
    """Input of every call the executor makes to `ANY_TARGET`."""
    transaction = {"from": OPERATOR, "to": executor, "data": "0x" + data.hex(), "gas": hex(5_000_000)}
    trace = await chain.net.request("debug_traceCall", transaction, "latest", {"tracer": "callTracer", "stateOverrides": overrides})
    assert "error" not in trace, trace
    return [bytes.fromhex(call["input"][2:]) for call in trace["calls"] if call["to"] == ANY_TARGET]


@st.composite
def patched_steps(draw: st.DrawFn) -> tuple[bytes, int, int]:
    data = draw(st.binary(min_size=32, max_size=codec.MAX_STEP_DATA))
    return data, draw(st.integers(0, len(data) - 32)), draw(st.integers(0, 2**256 - 1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=patched_steps())
async def test_the_own_balance_lands_at_any_offset_and_nothing_else_changes(
    chain: Chain, executor: Address, token: Address, case: tuple[bytes, int, int]
) -> None:
    data, offset, balance = case
    cell = codec.operator_slot(executor)  # the token's balances are its first mapping, as the executor's operators are
    overrides = {token: {"stateDiff": {cell: "0x" + balance.to_bytes(32).hex()}}}
    call = encode_execute(NO_GUARD, NO_FUNDING, False, [Step(ANY_TARGET, data, token, offset)], OTHER, 0, [])
    seen = await calls_made(chain, executor, call, overrides | {OTHER: {"code": CONSTANT_ZERO}})
    assert seen == [data[:offset] + balance.to_bytes(32) + data[offset + 32 :]]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads=st.lists(st.binary(max_size=codec.MAX_STEP_DATA), max_size=codec.MAX_STEPS))
async def test_steps_run_in_order_with_their_data_untouched(chain: Chain, executor: Address, token: Address, payloads: list[bytes]) -> None:
    data = run([Step(ANY_TARGET, payload) for payload in payloads], token)
    assert await calls_made(chain, executor, data, {}) == payloads


async def test_the_largest_call_the_codec_allows_is_accepted(chain: Chain, executor: Address, token: Address) -> None:
    gauge = await chain.puppet()
    await chain.program(gauge, b"\xff" * 4, reply=bytes(32))
    steps = [Step(ANY_TARGET, b"\xff" * codec.MAX_STEP_DATA)] * codec.MAX_STEPS
    data = run(steps, token, 0, (token,) * codec.MAX_TOKENS, Guard(gauge, b"\xff" * codec.MAX_GUARD_DATA, 0, 1))
    assert (await chain.send(OPERATOR, executor, data)).ok


@pytest.mark.parametrize("size", [(codec.MAX_STEPS + 1, 0), (1, codec.MAX_STEP_DATA + 1)])
async def test_the_contract_refuses_what_the_codec_refuses(chain: Chain, executor: Address, token: Address, size: tuple[int, int]) -> None:
    steps = encode(["(address,bytes,address,uint256)[]"], [[(ANY_TARGET, bytes(size[1]), ZERO_ADDRESS, 0)] * size[0]])
    guard, funding = (ZERO_ADDRESS, b"", 0, 0), (0, ZERO_ADDRESS, ZERO_ADDRESS, 0, False)
    data = codec.EXECUTE + encode(codec.EXECUTE_TYPES, [guard, funding, steps, token, 0, []])
    assert await chain.revert(OPERATOR, executor, data) == b""


async def test_an_unknown_kind_of_funding_is_refused(chain: Chain, executor: Address, token: Address) -> None:
    funding = (4, ZERO_ADDRESS, ZERO_ADDRESS, 0, False)
    data = codec.EXECUTE + encode(codec.EXECUTE_TYPES, [(ZERO_ADDRESS, b"", 0, 0), funding, codec.encode_steps([]), token, 0, []])
    assert await chain.error(OPERATOR, executor, data) == "unknown funding"


# --- profit -------------------------------------------------------------------------------------------------------


async def test_profit_is_enforced_to_the_unit(chain: Chain, executor: Address, token: Address) -> None:
    steps = [mint(token, executor, 100)]
    assert await chain.error(OPERATOR, executor, run(steps, token, 101)) == "Unprofitable(100)"
    receipt = await chain.send(OPERATOR, executor, run(steps, token, 100))
    assert codec.settled(receipt.logs, executor) == (token, 100)
    assert await chain.balance(token, BENEFICIARY) == 100


async def test_a_loss_counts_as_no_profit(chain: Chain, executor: Address, token: Address) -> None:
    await chain.send(OWNER, token, mint(token, executor, 50).data)
    assert await chain.error(OPERATOR, executor, run([transfer(token, ANY_TARGET, 20)], token, 1)) == "Unprofitable(0)"


async def test_what_was_there_before_is_no_profit_but_is_forwarded(chain: Chain, executor: Address, token: Address) -> None:
    await chain.send(OWNER, token, mint(token, executor, 50).data)
    assert await chain.error(OPERATOR, executor, run([mint(token, executor, 100)], token, 101)) == "Unprofitable(100)"
    receipt = await chain.send(OPERATOR, executor, run([mint(token, executor, 100)], token, 100))
    assert codec.settled(receipt.logs, executor) == (token, 100)
    assert (await chain.balance(token, executor), await chain.balance(token, BENEFICIARY)) == (0, 150)


async def test_every_named_token_is_forwarded_whole(chain: Chain, executor: Address, token: Address) -> None:
    others = [await chain.deploy(compiled("silent")) for _ in range(codec.MAX_TOKENS)]
    steps = [mint(other, executor, 7 + place) for place, other in enumerate(others)]
    assert (await chain.send(OPERATOR, executor, run(steps, token, 0, tuple(others)))).ok
    assert [await chain.balance(other, BENEFICIARY) for other in others] == [7, 8, 9, 10, 11, 12]
    assert [await chain.balance(other, executor) for other in others] == [0] * 6


async def test_a_token_whose_transfer_says_false_reverts_everything(chain: Chain, executor: Address, token: Address) -> None:
    refusing = await chain.puppet()
    await chain.program(refusing, selector("balanceOf(address)"), reply=(1).to_bytes(32))
    await chain.program(refusing, selector("transfer(address,uint256)"), reply=bytes(32))
    assert await chain.error(OPERATOR, executor, run([], token, 0, (refusing,))) == "TransferFailed"


async def test_a_token_that_is_no_contract_reverts_everything(chain: Chain, executor: Address, token: Address) -> None:
    assert await chain.revert(OPERATOR, executor, run([], token, 0, (ANY_TARGET,))) == b""
    assert await chain.revert(OPERATOR, executor, run([], ANY_TARGET)) == b""


async def test_an_operator_s_stolen_key_finds_nothing_between_transactions(chain: Chain, executor: Address, token: Address) -> None:
    await chain.send(OPERATOR, executor, run([mint(token, executor, 100)], token, 100))
    theft = run([Step(token, abi_call("transfer(address,uint256)", STRANGER, 0), token, 36)], token)
    assert (await chain.send(OPERATOR, executor, theft)).ok
    assert (await chain.balance(token, STRANGER), await chain.balance(token, BENEFICIARY)) == (0, 100)
