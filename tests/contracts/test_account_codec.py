"""The account's calldata against eth_abi, and what cannot be said in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from keeper.contracts import load
from keeper.errors import Skip
from keeper.execution import account as codec
from keeper.types import ZERO_ADDRESS, Action, Address, Callback, Guard, Permission, Step
from tests.contracts.chain import BENEFICIARY, OPERATOR, OWNER, selector

ACCOUNT = Address("0x" + "ac" * 20)
TOKEN = Address("0x" + "70" * 20)
POOL = Address("0x" + "90" * 20)

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex()))
words = st.integers(0, 2**256 - 1)
signed = st.integers(-(2**255), 2**255 - 1)
selectors = st.binary(min_size=4, max_size=4)
plain = st.builds(Step, addresses, st.binary(min_size=4, max_size=codec.MAX_DATA))
paid = st.builds(
    lambda target, data, token: Step(target, data, callback=Callback.PUSH, owed=token),
    addresses,
    st.binary(min_size=4, max_size=codec.MAX_DATA - 32),
    addresses.filter(lambda token: token != ZERO_ADDRESS),
)


@st.composite
def patched(draw: st.DrawFn) -> Step:
    data = draw(st.binary(min_size=32, max_size=codec.MAX_DATA))
    return Step(draw(addresses), data, draw(addresses), draw(st.integers(0, len(data) - 32)))


@st.composite
def kinds(draw: st.DrawFn) -> list[Permission]:
    """All permissions of one target and selector."""
    target, called = draw(addresses), draw(selectors)
    places = sorted(draw(st.sets(st.integers(0, codec.MAX_WORDS - 1))))
    forms = draw(st.lists(st.tuples(addresses, st.lists(words, min_size=len(places), max_size=len(places))), min_size=1, max_size=4))
    return [Permission(target, called, tuple(zip(places, pins, strict=True)), owed) for owed, pins in forms]


permissions = st.lists(kinds(), max_size=4, unique_by=lambda kind: (kind[0].target, kind[0].selector))


@st.composite
def bounded(draw: st.DrawFn) -> Guard:
    least, below = sorted(draw(st.lists(signed, min_size=2, max_size=2, unique=True)))
    return Guard(draw(addresses), draw(st.binary(max_size=132)), draw(st.integers(0, 15)), below, least)


limits = st.lists(bounded(), max_size=codec.MAX_LIMITS)


def told(permissions: list[list[Permission]]) -> list[object]:
    return [
        (
            forms[0].target,
            forms[0].selector,
            sum(1 << place for place, _ in forms[0].pinned),
            [(form.owed, [word.to_bytes(32) for _, word in form.pinned]) for form in forms],
        )
        for forms in permissions
    ]


def told_limits(limits: Iterable[Guard]) -> list[object]:
    return [(limit.target, limit.data, 32 * limit.word, limit.least, limit.below) for limit in limits]


def flat(permissions: list[list[Permission]]) -> list[Permission]:
    return [form for forms in permissions for form in forms]


@given(st.lists(plain | paid | patched(), max_size=codec.MAX_CALLS))
def test_calls_are_encoded_as_eth_abi_does(steps: list[Step]) -> None:
    made = [(s.target, s.owed, s.amount_token, s.amount_offset, s.data + bytes(32 * (s.callback is Callback.PUSH))) for s in steps]
    assert codec.operate_data(steps) == codec.OPERATE + encode([f"{codec.CALL_TYPE}[]"], [made])
    assert codec.wrapped(ACCOUNT, steps) == Step(ACCOUNT, codec.operate_data(steps))


@given(permissions)
def test_permissions_are_encoded_as_eth_abi_does(wanted: list[list[Permission]]) -> None:
    assert codec.permit_data(flat(wanted)) == codec.PERMIT + encode([f"{codec.PERMIT_TYPE}[]"], [told(wanted)])


@given(st.lists(st.tuples(addresses, selectors), max_size=4, unique=True))
def test_what_is_forbidden_is_a_permit_without_forms(kinds: list[tuple[Address, bytes]]) -> None:
    expected = encode([f"{codec.PERMIT_TYPE}[]"], [[(target, called, 0, []) for target, called in kinds]])
    assert codec.forbid_data(kinds) == codec.PERMIT + expected


@given(limits)
def test_limits_are_encoded_as_eth_abi_does(wanted: list[Guard]) -> None:
    assert codec.limits_data(wanted) == codec.SET_LIMITS + encode([f"{codec.LIMIT_TYPE}[]"], [told_limits(wanted)])


@given(st.lists(addresses, max_size=16), permissions, limits)
def test_a_deployment_is_encoded_as_eth_abi_does(operators: list[Address], allowed: list[list[Permission]], bounds: list[Guard]) -> None:
    arguments = OWNER, BENEFICIARY, operators, told(allowed), told_limits(bounds)
    expected = load("account").bytecode + encode(codec.DEPLOY_TYPES, arguments)
    assert codec.deploy_data(OWNER, BENEFICIARY, operators, flat(allowed), bounds) == expected


@given(addresses, words, st.binary(max_size=codec.MAX_RESCUE))
def test_withdrawals_and_rescues_are_encoded_as_eth_abi_does(target: Address, amount: int, data: bytes) -> None:
    assert codec.withdraw_data(target, amount) == codec.WITHDRAW + encode(["address", "uint256"], [target, amount])
    expected = codec.RESCUE + encode(["address", "bytes", "uint256"], [target, data, amount])
    assert codec.rescue_data(target, data, amount) == expected


@given(plain | paid)
def test_the_question_whether_a_call_is_permitted_is_encoded_as_eth_abi_does(step: Step) -> None:
    data = step.data + bytes(32 * (step.callback is Callback.PUSH))
    expected = selector("permits_call(address,address,bytes)") + encode(["address", "address", "bytes"], [step.target, step.owed, data])
    asked = codec.permits_call(ACCOUNT, step)
    assert (asked.target, asked.data) == (ACCOUNT, expected)


ONE = Step(POOL, b"four")
LONG = b"x" * (codec.MAX_DATA + 1)


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        ([ONE] * 9, "9 calls"),
        ([Guard(POOL, b"", 0, 1)], "call 0 is a check"),
        ([ONE, Step(POOL, b"", optional=False)], "call 1 has 0 bytes"),
        ([Step(POOL, LONG)], "call 0 has 421 bytes"),
        ([Step(POOL, b"four", optional=True)], "may fail"),
        ([Step(POOL, b"four", callback=Callback.PULL, owed=TOKEN)], "allowance"),
        ([Step(POOL, b"four", callback=Callback.PUSH, owed=TOKEN, inner=(ONE,))], "inner"),
        ([Step(POOL, b"four", callback=Callback.PUSH)], "owe a token"),
        ([Step(POOL, b"four", owed=TOKEN)], "owe a token"),
        ([Step(POOL, b"x" * 32, TOKEN, 1)], "patches 32 bytes at 1"),
        ([Step(POOL, b"x" * 32, TOKEN, -1)], "patches 32 bytes at -1"),
    ],
)
def test_what_an_account_cannot_do_is_refused_and_named(steps: list[Action], why: str) -> None:
    with pytest.raises(Skip, match=why) as caught:
        codec.wrapped(ACCOUNT, steps)
    assert caught.value.reason == "unencodable"


def pinning(*pinned: tuple[int, int]) -> Permission:
    return Permission(POOL, b"swap", pinned)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: codec.permit_data([pinning((0, n)) for n in range(5)]), "5 forms"),
        (lambda: codec.permit_data([pinning((0, 1)), pinning((1, 1))]), "same words"),
        (lambda: codec.permit_data([pinning((1, 1), (0, 1))]), "ascending"),
        (lambda: codec.permit_data([pinning((8, 1))]), "below 8"),
        (lambda: codec.permit_data([Permission(POOL, b"abc")]), "4 bytes"),
        (lambda: codec.permit_data([Permission(POOL, n.to_bytes(4)) for n in range(17)]), "17 permits"),
        (lambda: codec.limits_data([Guard(POOL, b"", 0, 1)] * 5), "5 limits"),
        (lambda: codec.limits_data([Guard(POOL, bytes(133), 0, 1)]), "133 bytes"),
        (lambda: codec.limits_data([Guard(POOL, b"", 16, 1)]), "word 16"),
        (lambda: codec.limits_data([Guard(POOL, b"", 0, 1, 1)]), "from 1 to below 1"),
        (lambda: codec.limits_data([Guard(POOL, b"", 0, 2**255)]), "signed"),
        (lambda: codec.deploy_data(OWNER, BENEFICIARY, [OPERATOR] * 17), "17 operators"),
        (lambda: codec.rescue_data(POOL, bytes(4097)), "4097 bytes"),
    ],
)
def test_what_an_owner_cannot_say_is_refused_and_named(made: Callable[[], bytes], why: str) -> None:
    with pytest.raises(Skip, match=why):
        made()
