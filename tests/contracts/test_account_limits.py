"""The owner's limits on where an operator may bring the account."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.execution import account as codec
from keeper.execution.executor import decode_error
from keeper.types import Address, Guard, Permission, Step
from tests.contracts.chain import BENEFICIARY, OPERATOR, OWNER, STRANGER, Chain, abi_call, selector
from tests.contracts.custody import allow, fund, limit, operate

ASK = b"askk"
PROGRAM = selector("program(bytes4,(address,bytes)[],bytes,bool)")
NOBODY = Address("0x" + "0a" * 20)
EVERY = -(2**255), 2**255 - 1

signed, near = st.integers(*EVERY), st.integers(-3, 3)
numbers = st.one_of([st.tuples(each, each, each, each) for each in (signed, near)])


def tell(puppet: Address, value: int, fails: bool = False) -> Step:
    """From now on it answers so."""
    return Step(puppet, _program(encode(["int256"], [value]), fails))


def _program(reply: bytes, fails: bool = False) -> bytes:
    return abi_call("program(bytes4,(address,bytes)[],bytes,bool)", ASK, [], reply, fails)


@pytest.fixture
async def gauge(chain: Chain, account: Address) -> Address:
    """A view of what operators may set; it says 0."""
    puppet = await chain.puppet()
    await chain.program(puppet, ASK, reply=bytes(32))
    await allow(chain, account, Permission(puppet, PROGRAM))
    return puppet


def outside(found: int, least: int, below: int) -> int:
    return max(least - found, found - below + 1, 0)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=numbers)
async def test_the_word_ends_in_bounds_or_no_further_out_than_it_was(
    chain: Chain, account: Address, gauge: Address, case: tuple[int, int, int, int]
) -> None:
    before, after, (least, below) = case[0], case[1], sorted(case[2:])
    if least == below:
        return
    snapshot = await chain.net.snapshot()
    await chain.send(OWNER, gauge, tell(gauge, before).data)
    await limit(chain, account, Guard(gauge, ASK, 0, below, least))
    call = operate(tell(gauge, after))
    if outside(after, least, below) <= outside(before, least, below):
        assert await chain.call(OPERATOR, account, call) == b""
    else:
        assert await chain.error(OPERATOR, account, call) == "LimitPassed(0)"
    await chain.net.revert(snapshot)


async def test_what_passes_a_limit_is_undone(chain: Chain, account: Address, gauge: Address) -> None:
    await limit(chain, account, Guard(gauge, ASK, 0, below=10, least=-10))
    assert not (await chain.send(OPERATOR, account, operate(tell(gauge, 9), tell(gauge, -11)))).ok
    assert await chain.call(STRANGER, gauge, ASK) == bytes(32)
    assert (await chain.send(OPERATOR, account, operate(tell(gauge, -11), tell(gauge, -10)))).ok


async def test_each_limit_counts_and_the_first_that_is_passed_is_named(chain: Chain, account: Address, gauge: Address) -> None:
    bounds = [Guard(gauge, ASK, 0, below, least) for least, below in (EVERY, (-5, 9), (0, 7), (0, 8))]
    await limit(chain, account, *bounds)
    results = {0: None, 6: None, 7: "LimitPassed(2)", 9: "LimitPassed(1)", -1: "LimitPassed(2)", -6: "LimitPassed(1)"}
    for value, why in results.items():
        if why is None:
            assert await chain.call(OPERATOR, account, operate(tell(gauge, value))) == b""
        else:
            assert await chain.error(OPERATOR, account, operate(tell(gauge, value))) == why


async def test_better_in_one_is_no_excuse_for_worse_in_another(chain: Chain, account: Address, gauge: Address) -> None:
    await limit(chain, account, Guard(gauge, ASK, 0, below=-9, least=-20), Guard(gauge, ASK, 0, below=3, least=0))
    assert await chain.error(OPERATOR, account, operate(tell(gauge, -10))) == "LimitPassed(1)"


async def test_the_word_at_the_place_that_is_named_counts(chain: Chain, account: Address, gauge: Address) -> None:
    await chain.send(OWNER, gauge, _program(encode(["int256"] * 3, [1, 2, 3])))
    await limit(chain, account, *[Guard(gauge, ASK, word, below=word + 2, least=word + 1) for word in range(3)])
    assert await chain.call(OPERATOR, account, operate()) == b""
    swapped = Step(gauge, _program(encode(["int256"] * 3, [1, 3, 3])))
    assert await chain.error(OPERATOR, account, operate(swapped)) == "LimitPassed(1)"


@pytest.mark.parametrize("reply", [b"", bytes(31)])
async def test_a_limit_without_an_answer_stops_everything(chain: Chain, account: Address, gauge: Address, reply: bytes) -> None:
    """Before the calls, and after them; even what would bring the answer back."""
    await limit(chain, account, Guard(gauge, ASK, 0, below=10))
    assert await chain.revert(OPERATOR, account, operate(Step(gauge, _program(reply)))) == b""
    await chain.send(OWNER, gauge, _program(reply))
    for steps in ((), (tell(gauge, 0),)):
        assert await chain.revert(OPERATOR, account, operate(*steps)) == b""


async def test_a_limit_whose_view_reverts_stops_everything_with_its_reason(chain: Chain, account: Address, gauge: Address) -> None:
    await limit(chain, account, Guard(gauge, ASK, 0, below=10))
    assert await chain.revert(OPERATOR, account, operate(tell(gauge, 5, fails=True))) == encode(["int256"], [5])
    await chain.send(OWNER, gauge, tell(gauge, 5, fails=True).data)
    assert await chain.revert(OPERATOR, account, operate()) == encode(["int256"], [5])


async def test_a_limit_whose_contract_is_gone_stops_everything(chain: Chain, account: Address, gauge: Address) -> None:
    await limit(chain, account, Guard(gauge, ASK, 0, below=10))
    gone: dict[str, Any] = {gauge: {"code": "0x"}}
    assert await chain.revert(OPERATOR, account, operate(), gone) == b""


async def test_a_view_cannot_change_anything(chain: Chain, account: Address, gauge: Address, token: Address) -> None:
    mint = abi_call("mint(address,uint256)", STRANGER, 1)
    assert await chain.revert(OWNER, account, codec.limits_data([Guard(token, mint, 0, 1)])) == b""


# --- withdrawals --------------------------------------------------------------------------------------------------


async def test_an_operator_withdraws_within_the_limits_and_the_owner_beyond_them(chain: Chain, account: Address, token: Address) -> None:
    await fund(chain, token, account, 77)
    await limit(chain, account, Guard(token, abi_call("balanceOf(address)", account), 0, below=2**255 - 1, least=70))
    assert (await chain.send(OPERATOR, account, codec.withdraw_data(token, 7))).ok
    assert await chain.error(OPERATOR, account, codec.withdraw_data(token, 1)) == "LimitPassed(0)"
    assert (await chain.send(OWNER, account, codec.withdraw_data(token, 70))).ok
    assert await chain.balance(token, BENEFICIARY) == 77


async def test_a_limit_without_an_answer_locks_operators_out_and_not_the_owner(
    chain: Chain, account: Address, gauge: Address, token: Address
) -> None:
    await fund(chain, token, account, 77)
    await limit(chain, account, Guard(gauge, ASK, 0, below=10))
    await chain.send(OWNER, gauge, _program(b""))
    assert await chain.revert(OPERATOR, account, codec.withdraw_data(token, 77)) == b""
    assert (await chain.send(OWNER, account, codec.withdraw_data(token, 7))).ok
    assert (await chain.send(OWNER, account, codec.rescue_data(token, abi_call("transfer(address,uint256)", OWNER, 70)))).ok
    assert [await chain.balance(token, who) for who in (account, BENEFICIARY, OWNER)] == [0, 7, 70]


# --- limits set ---------------------------------------------------------------------------------------------------


async def test_limits_take_the_place_of_all_there_were(chain: Chain, account: Address, gauge: Address) -> None:
    await limit(chain, account, Guard(gauge, ASK, 0, below=1), Guard(gauge, ASK, 0, below=5))
    await limit(chain, account, Guard(gauge, ASK, 0, below=9))
    assert (await chain.send(OPERATOR, account, operate(tell(gauge, 8)))).ok
    await limit(chain, account)
    assert (await chain.send(OPERATOR, account, operate(tell(gauge, 99)))).ok


@pytest.mark.parametrize("bounds", [(0, 0), (1, 0), (2**255 - 1, -(2**255))])
async def test_a_limit_that_allows_nothing_is_refused(chain: Chain, account: Address, gauge: Address, bounds: tuple[int, int]) -> None:
    data = codec.SET_LIMITS + encode([f"{codec.LIMIT_TYPE}[]"], [[(gauge, ASK, 0, *bounds)]])
    assert await chain.error(OWNER, account, data) == "empty limit"


async def test_a_limit_that_nobody_answers_is_refused(chain: Chain, account: Address, gauge: Address) -> None:
    for bound in (Guard(NOBODY, ASK, 0, 1), Guard(gauge, ASK, 1, 1)):
        assert await chain.revert(OWNER, account, codec.limits_data([bound])) == b""


async def test_a_limit_that_is_passed_already_may_be_set(chain: Chain, account: Address, gauge: Address) -> None:
    """Then operators may only come closer to it."""
    await chain.send(OWNER, gauge, tell(gauge, 12).data)
    await limit(chain, account, Guard(gauge, ASK, 0, below=10))
    assert await chain.error(OPERATOR, account, operate(tell(gauge, 13))) == "LimitPassed(0)"
    assert (await chain.send(OPERATOR, account, operate(tell(gauge, 11)))).ok
    assert decode_error(await chain.revert(OPERATOR, account, operate(tell(gauge, 12)))) == "LimitPassed(0)"
