"""What a stolen operator key may call: nothing but what the owner permitted, word for word."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_abi.abi import encode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.execution import account as codec
from keeper.execution.executor import add_operator_data, encode_execute
from keeper.types import ZERO_ADDRESS, Address, Permission, Step
from tests.contracts.chain import NO_GUARD, OPERATOR, OWNER, STRANGER, Chain, abi_call, selector
from tests.contracts.custody import APPROVE, TAKE, TRANSFER, allow, approval, fund, number, operate

BALANCE = selector("balanceOf(address)")
DEPOSIT = selector("deposit(address,uint256)")
VAULT = Address("0x" + "0a" * 20)
"""No code: any call of it goes through."""

OTHER = Address("0x" + "0b" * 20)
SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def approve(token: Address, spender: Address, amount: int) -> Step:
    return Step(token, abi_call("approve(address,uint256)", spender, amount))


def deposit(token: Address, amount: int) -> bytes:
    return abi_call("deposit(address,uint256)", token, amount)


async def permitted(chain: Chain, account: Address, step: Step) -> bool:
    read = codec.permits_call(account, step)
    return bool(int.from_bytes(await chain.call(STRANGER, read.target, read.data)))


# --- one call against the permissions -----------------------------------------------------------------------------


async def test_without_a_permit_nothing_is_called(chain: Chain, account: Address, token: Address) -> None:
    for step in (Step(VAULT, b"four"), Step(token, BALANCE + bytes(32)), approve(token, STRANGER, 0), Step(account, b"four")):
        assert await chain.error(OPERATOR, account, operate(step)) == "Forbidden"


small = st.integers(0, 2)
calls = st.builds(
    lambda target, called, words: (target, called, words), st.sampled_from([VAULT, OTHER]), small, st.tuples(small, small, small)
)


@SOME
@given(allowed=st.lists(calls, max_size=4), tried=calls, pins=st.sets(small), owed=st.sampled_from([ZERO_ADDRESS, OTHER]))
async def test_a_call_is_made_just_when_target_selector_and_pinned_words_are_those_of_one_form(
    chain: Chain, account: Address, allowed: list[tuple[Address, int, tuple[int, ...]]], tried: tuple[Address, int, tuple[int, ...]],
    pins: set[int], owed: Address,
) -> None:  # fmt: skip
    named = sorted(pins)
    snapshot = await chain.net.snapshot()
    forms = [Permission(target, called.to_bytes(4), tuple((n, words[n]) for n in named), owed) for target, called, words in allowed]
    await allow(chain, account, *dict.fromkeys(forms))
    target, called, words = tried
    step = Step(target, called.to_bytes(4) + encode(["uint256"] * 3, words))
    match = any((t, c, [w[n] for n in named]) == (target, called, [words[n] for n in named]) for t, c, w in allowed)
    expected = match and owed == ZERO_ADDRESS
    assert await permitted(chain, account, step) == expected
    if expected:
        assert await chain.call(OPERATOR, account, operate(step)) == b""
    else:
        assert await chain.error(OPERATOR, account, operate(step)) == "Forbidden"
    await chain.net.revert(snapshot)


@SOME
@given(place=st.integers(0, 7), bit=st.integers(0, 255), words=st.lists(st.integers(0, 2**256 - 1), min_size=8, max_size=8))
async def test_no_bit_of_a_pinned_word_may_differ(chain: Chain, account: Address, place: int, bit: int, words: list[int]) -> None:
    """The unused bits before an address, too."""
    snapshot = await chain.net.snapshot()
    await allow(chain, account, Permission(VAULT, DEPOSIT, tuple(enumerate(words))))
    turned = [word ^ (1 << bit if n == place else 0) for n, word in enumerate(words)]
    right, wrong = (Step(VAULT, DEPOSIT + encode(["uint256"] * 8, each)) for each in (words, turned))
    assert await chain.call(OPERATOR, account, operate(right)) == b""
    assert await chain.error(OPERATOR, account, operate(wrong)) == "Forbidden"
    await chain.net.revert(snapshot)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 35, 67])
async def test_calldata_that_ends_before_a_pinned_word_does_is_refused(chain: Chain, account: Address, token: Address, size: int) -> None:
    """Where a callee would read zeros."""
    await allow(chain, account, Permission(VAULT, DEPOSIT, ((1, 0),)), Permission(VAULT, bytes(4)))
    data = deposit(token, 0)[:size]
    call = encode([f"{codec.CALL_TYPE}[]"], [[(VAULT, ZERO_ADDRESS, ZERO_ADDRESS, 0, data)]])
    assert await chain.revert(OPERATOR, account, codec.OPERATE + call) == b""
    assert (await chain.send(OPERATOR, account, operate(Step(VAULT, deposit(token, 0))))).ok


async def test_one_selector_permitted_of_one_target_says_nothing_of_another(chain: Chain, account: Address) -> None:
    """Be it that names collide: `transfer` of one contract may be another word in the next."""
    await allow(chain, account, Permission(VAULT, TRANSFER), Permission(OTHER, DEPOSIT))
    for step in (Step(OTHER, TRANSFER + bytes(64)), Step(VAULT, DEPOSIT + bytes(64))):
        assert await chain.error(OPERATOR, account, operate(step)) == "Forbidden"


async def test_what_a_permitted_target_passes_on_is_not_done_in_our_name(chain: Chain, account: Address, token: Address) -> None:
    """A proxy, or one that makes any call it is asked to."""
    await fund(chain, token, account, 77)
    proxy = await chain.puppet()
    await chain.program(proxy, b"call", (token, abi_call("transfer(address,uint256)", STRANGER, 77)))
    await allow(chain, account, Permission(proxy, b"call"))
    assert (await chain.send(OPERATOR, account, operate(Step(proxy, b"call")))).ok
    assert await chain.balance(token, account) == 77


# --- tokens -------------------------------------------------------------------------------------------------------


async def test_a_thief_gets_no_allowance_and_moves_nothing(chain: Chain, account: Address, token: Address) -> None:
    await fund(chain, token, account, 77)
    await allow(chain, account, approval(token, VAULT))
    theft = [
        approve(token, STRANGER, 77),
        Step(token, abi_call("transfer(address,uint256)", STRANGER, 77)),
        Step(token, TAKE + encode(["address", "address", "uint256"], [account, STRANGER, 77])),
        Step(token, abi_call("increaseAllowance(address,uint256)", STRANGER, 77)),
    ]
    for step in theft:
        assert await chain.error(OPERATOR, account, operate(approve(token, VAULT, 77), step)) == "Forbidden"
    assert await chain.revert(STRANGER, token, abi_call("transferFrom(address,address,uint256)", account, STRANGER, 1)) == b""


async def test_the_spender_that_is_permitted_takes_what_is_approved_of_a_token_without_return_values(
    chain: Chain, account: Address, token: Address
) -> None:
    """All that is there, as the last 32 bytes of the approval and the deposit are told."""
    await fund(chain, token, account, 77)
    vault = await chain.puppet()
    await chain.program(vault, DEPOSIT, (token, abi_call("transferFrom(address,address,uint256)", account, vault, 77)))
    await allow(chain, account, approval(token, vault), Permission(vault, DEPOSIT, ((0, number(token)), (1, 77))))
    steps = Step(token, approve(token, vault, 0).data, token, 36), Step(vault, deposit(token, 0), token, 36)
    assert (await chain.send(OPERATOR, account, operate(*steps))).ok
    assert [await chain.balance(token, who) for who in (account, vault)] == [0, 77]


async def test_two_spenders_are_two_forms_of_one_permit(chain: Chain, account: Address, token: Address) -> None:
    await allow(chain, account, approval(token, VAULT), approval(token, OTHER))
    assert (await chain.send(OPERATOR, account, operate(approve(token, VAULT, 1), approve(token, OTHER, 2)))).ok
    assert await chain.error(OPERATOR, account, operate(approve(token, STRANGER, 0))) == "Forbidden"


@pytest.mark.parametrize("place", [4, 3, 5, 0])
async def test_a_patch_does_not_reach_a_pinned_word_unseen(chain: Chain, account: Address, token: Address, place: int) -> None:
    """A token of the thief's says that our balance is his address: the spender, before it, after it or over the selector."""
    forged = await chain.puppet()
    await chain.program(forged, BALANCE, reply=encode(["address"], [STRANGER]))
    await allow(chain, account, approval(token, VAULT))
    step = Step(token, approve(token, VAULT, 77).data, forged, place)
    assert await chain.error(OPERATOR, account, operate(step)) == "Forbidden"


async def test_a_patch_makes_a_call_permitted_only_by_what_is_then_called(chain: Chain, account: Address, token: Address) -> None:
    forged = await chain.puppet()
    await chain.program(forged, BALANCE, reply=encode(["address"], [VAULT]))
    await allow(chain, account, approval(token, VAULT))
    step = Step(token, approve(token, STRANGER, 77).data, forged, 4)
    assert (await chain.send(OPERATOR, account, operate(step))).ok
    asked = await chain.call(STRANGER, token, abi_call("allowance(address,address)", account, VAULT))
    assert int.from_bytes(asked) == 77


@pytest.mark.parametrize("place", [37, 68, 2**16, 2**256 - 32, 2**256 - 1])
async def test_a_patch_beyond_its_call_is_refused(chain: Chain, account: Address, token: Address, place: int) -> None:
    await allow(chain, account, approval(token, VAULT))
    call = encode([f"{codec.CALL_TYPE}[]"], [[(token, ZERO_ADDRESS, token, place, approve(token, VAULT, 0).data)]])
    assert await chain.revert(OPERATOR, account, codec.OPERATE + call) == b""


# --- our own contracts as targets ---------------------------------------------------------------------------------


async def test_the_account_has_no_rights_over_itself_even_where_the_owner_lets_it_call(
    chain: Chain, account: Address, token: Address
) -> None:
    attempts = (
        (codec.permit_data([Permission(token, TRANSFER)]), None),
        (codec.limits_data([]), None),
        (codec.rescue_data(token, b"four"), None),
        (operate(), None),
        (codec.withdraw_data(token, 0), None),
        (add_operator_data(STRANGER), "Unauthorized"),
        (abi_call("uniswapV3SwapCallback(int256,int256,bytes)", 1, 1, b""), "UnexpectedCallback"),
    )
    await allow(chain, account, *[Permission(account, data[:4]) for data, _ in attempts])
    for data, why in attempts:
        assert await chain.error(OPERATOR, account, operate(Step(account, data))) == why


async def test_the_executor_takes_no_orders_from_the_account(chain: Chain, executor: Address, account: Address, token: Address) -> None:
    data = encode_execute(NO_GUARD, [], token, 0, [])
    await allow(chain, account, Permission(executor, data[:4]))
    assert await chain.error(OPERATOR, account, operate(Step(executor, data))) == "Unauthorized"


# --- all or none --------------------------------------------------------------------------------------------------


async def test_a_call_that_fails_undoes_those_before_it_and_its_reason_comes_out_through_the_executor(
    chain: Chain, executor: Address, account: Address, token: Address
) -> None:
    await allow(chain, account, approval(token, VAULT))
    own = codec.wrapped(account, [approve(token, VAULT, 1), approve(token, VAULT, 2)])
    assert await chain.error(OPERATOR, executor, encode_execute(NO_GUARD, [own], token, 0, [])) == "reset first"
    forbidden = codec.wrapped(account, [approve(token, VAULT, 1), approve(token, STRANGER, 1)])
    assert await chain.error(OPERATOR, executor, encode_execute(NO_GUARD, [forbidden], token, 0, [])) == "Forbidden"
    assert int.from_bytes(await chain.call(STRANGER, token, abi_call("allowance(address,address)", account, VAULT))) == 0


# --- permits replaced ---------------------------------------------------------------------------------------------


async def test_a_permit_takes_the_place_of_all_that_was_permitted_of_the_selector(chain: Chain, account: Address, token: Address) -> None:
    await allow(chain, account, approval(token, VAULT))
    await allow(chain, account, approval(token, OTHER))
    assert await chain.error(OPERATOR, account, operate(approve(token, VAULT, 0))) == "Forbidden"
    assert (await chain.send(OPERATOR, account, operate(approve(token, OTHER, 0)))).ok


async def test_what_was_forbidden_does_not_come_back_with_another_permit(chain: Chain, account: Address, token: Address) -> None:
    """Not even when the same words are pinned again, after others or none were."""
    await allow(chain, account, approval(token, VAULT))
    await allow(chain, account, Permission(token, APPROVE, ((1, 5),)))
    assert (await chain.send(OWNER, account, codec.forbid_data([(token, APPROVE)]))).ok
    for step in (approve(token, VAULT, 0), approve(token, VAULT, 5)):
        assert await chain.error(OPERATOR, account, operate(step)) == "Forbidden"
    await allow(chain, account, approval(token, OTHER))
    assert await chain.error(OPERATOR, account, operate(approve(token, VAULT, 5))) == "Forbidden"


Raw = Callable[[Address], tuple[Address, bytes, int, list[tuple[Address, list[bytes]]]]]


@pytest.mark.parametrize(
    ("permit", "why"),
    [
        (lambda token: (token, APPROVE, 1, [(ZERO_ADDRESS, [])]), "a word for each pinned"),
        (lambda token: (token, APPROVE, 1, [(ZERO_ADDRESS, [bytes(32)] * 2)]), "a word for each pinned"),
        (lambda token: (token, APPROVE, 0, [(ZERO_ADDRESS, [bytes(32)])]), "a word for each pinned"),
        (lambda token: (token, APPROVE, 256, [(ZERO_ADDRESS, [bytes(32)])]), "pinned beyond the words"),
        (lambda token: (token, APPROVE, 2**255, []), "pinned beyond the words"),
    ],
)
async def test_a_permit_that_contradicts_itself_is_refused(chain: Chain, account: Address, token: Address, permit: Raw, why: str) -> None:
    data = codec.PERMIT + encode([f"{codec.PERMIT_TYPE}[]"], [[permit(token)]])
    assert await chain.error(OWNER, account, data) == why


async def test_every_permit_is_told_in_full(chain: Chain, account: Address, token: Address) -> None:
    receipt = await chain.send(OWNER, account, codec.permit_data([approval(token, VAULT)]))
    (log,) = receipt.logs
    assert log.topics[1:] == ("0x" + encode(["address"], [token]).hex(), "0x" + encode(["bytes4"], [APPROVE]).hex())
    assert log.data == encode(["uint256", "(address,bytes32[])[]"], [1, [(ZERO_ADDRESS, [encode(["address"], [VAULT])])]])
