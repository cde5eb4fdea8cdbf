"""What the executor does between entry and exit: guard, steps, profit, forwarding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.execution import executor as codec
from keeper.execution.executor import encode_execute
from keeper.types import ZERO_ADDRESS, Action, Address, Callback, Guard, Step
from tests.contracts.chain import BENEFICIARY, NO_GUARD, OPERATOR, OWNER, STRANGER, Chain, abi_call, compiled, selector

ANY_TARGET = Address("0x" + "ab" * 20)
OTHER = Address("0x" + "cd" * 20)
CONSTANT_ZERO = "0x60206000f3"
"""Runtime code that answers every call with one zero word."""

LEVEL = selector("level()")


def mint(token: Address, to: Address, amount: int) -> Step:
    return Step(token, abi_call("mint(address,uint256)", to, amount))


def transfer(token: Address, to: Address, amount: int) -> Step:
    return Step(token, abi_call("transfer(address,uint256)", to, amount))


def run(
    actions: Sequence[Action], profit_token: Address, min_profit: int = 0, tokens: tuple[Address, ...] = (), guard: Guard = NO_GUARD
) -> bytes:
    return encode_execute(guard, actions, profit_token, min_profit, tokens)


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
    data = draw(st.binary(min_size=32, max_size=codec.MAX_PATCHED))
    return data, draw(st.integers(0, len(data) - 32)), draw(st.integers(0, 2**256 - 1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=patched_steps())
async def test_the_own_balance_lands_at_any_offset_and_nothing_else_changes(
    chain: Chain, executor: Address, token: Address, case: tuple[bytes, int, int]
) -> None:
    data, offset, balance = case
    cell = codec.operator_slot(executor)  # the token's balances are its first mapping, as the executor's operators are
    overrides = {token: {"stateDiff": {cell: "0x" + balance.to_bytes(32).hex()}}}
    call = encode_execute(NO_GUARD, [Step(ANY_TARGET, data, token, offset)], OTHER, 0, [])
    seen = await calls_made(chain, executor, call, overrides | {OTHER: {"code": CONSTANT_ZERO}})
    assert seen == [data[:offset] + balance.to_bytes(32) + data[offset + 32 :]]


def fits(payloads: list[bytes]) -> bool:
    return sum(64 + len(payload) for payload in payloads) <= codec.MAX_STEPS_SIZE


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads=st.lists(st.binary(max_size=150) | st.binary(min_size=1400, max_size=1500), max_size=codec.MAX_STEPS).filter(fits))
async def test_steps_run_in_order_with_their_data_untouched(chain: Chain, executor: Address, token: Address, payloads: list[bytes]) -> None:
    data = run([Step(ANY_TARGET, payload) for payload in payloads], token)
    assert await calls_made(chain, executor, data, {}) == payloads


@pytest.mark.parametrize("steps", [1, codec.MAX_STEPS])
async def test_the_largest_call_the_codec_allows_is_accepted(chain: Chain, executor: Address, token: Address, steps: int) -> None:
    gauge = await chain.puppet()
    await chain.program(gauge, b"\xff" * 4, reply=bytes(32))
    payloads = [b"\xff" * (codec.MAX_STEPS_SIZE // steps - 64)] * steps
    guard = Guard(gauge, b"\xff" * codec.MAX_QUESTION, 0, 1)
    data = run([Step(ANY_TARGET, payload) for payload in payloads], token, 0, (token,) * codec.MAX_TOKENS, guard)
    assert await calls_made(chain, executor, data, {}) == payloads


def raw(token: Address, steps: bytes) -> bytes:
    return codec.EXECUTE + encode(codec.EXECUTE_TYPES, [(ZERO_ADDRESS, b"", 0, 0, 0), steps, token, 0, []])


async def test_the_contract_refuses_what_the_codec_refuses(chain: Chain, executor: Address, token: Address) -> None:
    step = codec.encode_steps([Step(ANY_TARGET, b"")])
    assert await chain.error(OPERATOR, executor, raw(token, step * 17)) == "too many steps"
    assert await chain.revert(OPERATOR, executor, raw(token, bytes(codec.MAX_STEPS_SIZE + 32))) == b""


async def test_a_step_that_reaches_beyond_the_list_is_refused(chain: Chain, executor: Address, token: Address) -> None:
    step = codec.encode_steps([Step(ANY_TARGET, bytes(64))])
    assert await chain.revert(OPERATOR, executor, raw(token, step[:-1])) == b""


async def test_inner_steps_longer_than_their_call_are_refused(chain: Chain, executor: Address, token: Address) -> None:
    step = bytearray(codec.encode_steps([Step(ANY_TARGET, bytes(32), callback=Callback.PULL, owed=token)]))
    step[3:5] = (65).to_bytes(2)
    assert await chain.revert(OPERATOR, executor, raw(token, bytes(step))) == b""


async def test_a_patch_beyond_its_call_is_refused(chain: Chain, executor: Address, token: Address) -> None:
    step = bytearray(codec.encode_steps([Step(ANY_TARGET, bytes(64), token, 32)]))
    step[1:3] = (33).to_bytes(2)
    assert await chain.revert(OPERATOR, executor, raw(token, bytes(step))) == b""


# --- optional steps -----------------------------------------------------------------------------------------------


async def test_an_optional_step_may_fail_and_nothing_of_it_stays(chain: Chain, executor: Address, token: Address) -> None:
    target = await chain.puppet()
    await chain.program(target, selector("go()"), (token, abi_call("mint(address,uint256)", executor, 7)), fails=True)
    steps = [mint(token, executor, 100), Step(target, selector("go()"), optional=True), mint(token, executor, 10)]
    receipt = await chain.send(OPERATOR, executor, run(steps, token, 110))
    assert codec.settled(receipt.logs, executor) == (token, 110)


async def test_an_optional_step_that_works_counts(chain: Chain, executor: Address, token: Address) -> None:
    receipt = await chain.send(OPERATOR, executor, run([replace(mint(token, executor, 100), optional=True)], token, 100))
    assert codec.settled(receipt.logs, executor) == (token, 100)


# --- checks among the steps ---------------------------------------------------------------------------------------


async def test_a_check_sees_what_the_steps_before_it_did(chain: Chain, executor: Address, token: Address) -> None:
    ask = abi_call("balanceOf(address)", executor)
    check = Guard(token, ask, 0, below=11, least=10)
    assert (await chain.send(OPERATOR, executor, run([mint(token, executor, 10), check, mint(token, executor, 1)], token, 11))).ok
    assert await chain.error(OPERATOR, executor, run([check, mint(token, executor, 10)], token)) == "CheckFailed(0)"
    assert await chain.error(OPERATOR, executor, run([mint(token, executor, 11), check], token)) == "CheckFailed(11)"


signed, unsigned, small = st.integers(-(2**255), 2**255 - 1), st.integers(0, 2**256 - 1), st.integers(-3, 3)
three_numbers = st.one_of([st.tuples(numbers, numbers, numbers) for numbers in (signed, unsigned, small)])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=three_numbers, word=st.integers(0, codec.MAX_WORD))
async def test_guard_and_check_hold_from_least_to_below_signed_or_not(
    chain: Chain, executor: Address, token: Address, numbers: tuple[int, int, int], word: int
) -> None:
    found, (least, below) = numbers[0], sorted(numbers[1:])
    code = "0x7f" + (found % 2**256).to_bytes(32).hex() + f"61{32 * word:04x}5261{32 * word + 32:04x}5ff3"  # answers with it at that word
    places: dict[str, Any] = {ANY_TARGET: {"code": code}}
    question = Guard(ANY_TARGET, b"", word, below, least)
    for data, refusal in ((run([], token, guard=question), "Healthy"), (run([question], token), f"CheckFailed({found % 2**256})")):
        if least <= found < below:
            assert await chain.call(OPERATOR, executor, data, places) == b""
        else:
            assert codec.decode_error(await chain.revert(OPERATOR, executor, data, places)) == refusal


async def test_a_check_cannot_change_anything(chain: Chain, executor: Address, token: Address) -> None:
    check = Guard(token, abi_call("mint(address,uint256)", OPERATOR, 1), 0, 2**256 - 1)
    assert await chain.revert(OPERATOR, executor, run([check], token)) == b""


async def test_a_check_without_an_answer_stops_everything(chain: Chain, executor: Address, token: Address) -> None:
    assert await chain.revert(OPERATOR, executor, run([Guard(ANY_TARGET, b"", 0, 2**256 - 1)], token)) == b""


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
