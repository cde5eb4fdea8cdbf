"""The account contract from outside: what the owner allows, what operators do, as calldata.

Pure, and encoded by hand as the executor's calls are. Roles are set and read as the executor's: `add_operator_data`, `is_operator`, …
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from eth_hash.auto import keccak

from keeper.chain.codec import selector, word
from keeper.contracts import load
from keeper.errors import Skip
from keeper.execution.executor import MAX_OPERATORS, MAX_QUESTION, MAX_WORD
from keeper.execution.words import address, addresses, joined, listed, require, signed, sized
from keeper.types import ZERO_ADDRESS, Action, Address, Callback, Guard, Hash, Permission, Read, Step

MAX_CALLS = 8
MAX_DATA = 420
MAX_PERMITS = 16
MAX_FORMS = 4
MAX_WORDS = 8
MAX_LIMITS = 4
MAX_RESCUE = 4096

CALL_TYPE = "(address,address,address,uint256,bytes)"
PERMIT_TYPE = "(address,bytes4,uint256,(address,bytes32[])[])"
LIMIT_TYPE = "(address,bytes,uint256,int256,int256)"
DEPLOY_TYPES = ("address", "address", "address[]", f"{PERMIT_TYPE}[]", f"{LIMIT_TYPE}[]")

OPERATE = selector(f"operate({CALL_TYPE}[])")
PERMIT = selector(f"permit({PERMIT_TYPE}[])")
SET_LIMITS = selector(f"set_limits({LIMIT_TYPE}[])")
WITHDRAW = selector("withdraw(address,uint256)")
RESCUE = selector("rescue(address,bytes,uint256)")
_PERMITS_CALL = selector("permits_call(address,address,bytes)")

Kind = tuple[Address, bytes]
"""Target and selector of a call."""


def wrapped(account: Address, steps: Sequence[Action]) -> Step:
    """The steps of a deal as one step of the executor: the account makes them. Raises Skip("unencodable") for what it cannot."""
    return Step(account, operate_data(steps))


def operate_data(steps: Sequence[Action]) -> bytes:
    """Calldata of `operate`. Raises Skip("unencodable") beyond the contract's bounds."""
    require(len(steps) <= MAX_CALLS, f"{len(steps)} calls of an account, at most {MAX_CALLS}")
    return OPERATE + word(32) + listed([_call(number, step) for number, step in enumerate(steps)])


def withdraw_data(token: Address, amount: int) -> bytes:
    """An operator's or the owner's call that pays the beneficiary."""
    return WITHDRAW + address(token) + word(amount)


# --- the owner's --------------------------------------------------------------------------------------------------


def deploy_data(
    owner: Address,
    beneficiary: Address,
    operators: Sequence[Address],
    permissions: Sequence[Permission] = (),
    limits: Sequence[Guard] = (),
) -> bytes:
    """Creation code with its arguments. Raises Skip("unencodable") beyond the contract's bounds."""
    require(len(operators) <= MAX_OPERATORS, f"{len(operators)} operators, at most {MAX_OPERATORS} at deployment")
    tails = addresses(operators), _permits(by_kind(permissions)), _limits(limits)
    return load("account").bytecode + joined((address(owner), address(beneficiary)), tails)


def permit_data(permissions: Sequence[Permission]) -> bytes:
    """Of each (target, selector) that is named, these and no others. Raises Skip("unencodable") beyond the contract's bounds."""
    return PERMIT + word(32) + _permits(by_kind(permissions))


def forbid_data(kinds: Iterable[Kind]) -> bytes:
    """Nothing more of these. Raises Skip("unencodable") beyond the contract's bounds."""
    return PERMIT + word(32) + _permits(dict.fromkeys(kinds, ()))


def limits_data(limits: Sequence[Guard]) -> bytes:
    """In place of all there are; bounds are signed. Raises Skip("unencodable") beyond the contract's bounds."""
    return SET_LIMITS + word(32) + _limits(limits)


def rescue_data(target: Address, data: bytes, wei: int = 0) -> bytes:
    """Any call at all. Raises Skip("unencodable") beyond the contract's bounds."""
    require(len(data) <= MAX_RESCUE, f"{len(data)} bytes of data, at most {MAX_RESCUE}")
    return b"".join((RESCUE, address(target), word(96), word(wei), sized(data)))


def by_kind(permissions: Iterable[Permission]) -> dict[Kind, tuple[Permission, ...]]:
    found: dict[Kind, tuple[Permission, ...]] = {}
    for permission in permissions:
        kind = permission.target, permission.selector
        found[kind] = *found.get(kind, ()), permission
    return found


# --- what it says -------------------------------------------------------------------------------------------------


def permits_call(account: Address, step: Step) -> Read:
    """1 where `operate` would make it as it stands."""
    data = _data(step)
    return Read(account, b"".join((_PERMITS_CALL, address(step.target), address(step.owed), word(96), sized(data))))


def operator_slot(operator: Address) -> Hash:
    """The storage slot that holds 1 for an operator: what a state override sets to act as one without a deployment."""
    return Hash("0x" + keccak(word(load("account").operators_slot) + address(operator)).hex())


# --- parts --------------------------------------------------------------------------------------------------------


def _call(number: int, step: Action) -> bytes:
    if isinstance(step, Guard):
        raise Skip("unencodable", f"call {number} is a check, of which an account makes none between its calls")
    data = _data(step)
    _check_call(f"call {number}", step, data)
    heads = address(step.target), address(step.owed), address(step.amount_token), word(step.amount_offset), word(160)
    return b"".join((*heads, sized(data)))


def _data(step: Step) -> bytes:
    """Whoever calls an account back is handed nothing."""
    return step.data if step.callback is Callback.NONE else step.data + word(0)


def _check_call(name: str, step: Step, data: bytes) -> None:
    require(4 <= len(data) <= MAX_DATA, f"{name} has {len(data)} bytes of data, at least 4 and at most {MAX_DATA}")
    require(not step.inner, f"{name} has inner steps")
    require(not step.optional, f"{name} may fail")
    require(step.callback is not Callback.PULL, f"{name} is paid by an allowance")
    awaits, owes = step.callback is Callback.PUSH, step.owed != ZERO_ADDRESS
    require(awaits == owes, f"{name} must owe a token if it awaits a callback, and only then")
    fits = step.amount_token == ZERO_ADDRESS or 0 <= step.amount_offset <= len(data) - 32
    require(fits, f"{name} patches 32 bytes at {step.amount_offset}, beyond its {len(data)} bytes of data")


def _permits(kinds: Mapping[Kind, Sequence[Permission]]) -> bytes:
    require(len(kinds) <= MAX_PERMITS, f"{len(kinds)} permits, at most {MAX_PERMITS}")
    return listed([_permit(kind, forms) for kind, forms in kinds.items()])


def _permit(kind: Kind, forms: Sequence[Permission]) -> bytes:
    target, called = kind
    name = f"{target}.{called.hex()}"
    places = {tuple(place for place, _ in form.pinned) for form in forms}
    require(len(called) == 4, f"{name}: a selector has 4 bytes")
    require(len(forms) <= MAX_FORMS, f"{name} has {len(forms)} forms, at most {MAX_FORMS}")
    require(len(places) <= 1, f"{name} must have the same words pinned in all of its forms")
    pinned = _mask(name, next(iter(places), ()))
    return joined((address(target), called + bytes(28), word(pinned)), (listed([_form(form) for form in forms]),))


def _mask(name: str, places: Sequence[int]) -> int:
    ascending = list(places) == sorted(set(places))
    require(ascending and all(0 <= place < MAX_WORDS for place in places), f"{name} pins words {places}: ascending, below {MAX_WORDS}")
    return sum(1 << place for place in places)


def _form(permission: Permission) -> bytes:
    words = [word(value) for _, value in permission.pinned]
    return b"".join((address(permission.owed), word(64), word(len(words)), *words))


def _limits(limits: Sequence[Guard]) -> bytes:
    require(len(limits) <= MAX_LIMITS, f"{len(limits)} limits, at most {MAX_LIMITS}")
    return listed([_limit(number, limit) for number, limit in enumerate(limits)])


def _limit(number: int, limit: Guard) -> bytes:
    name = f"limit {number}"
    require(len(limit.data) <= MAX_QUESTION, f"{name} has {len(limit.data)} bytes of data, at most {MAX_QUESTION}")
    require(0 <= limit.word <= MAX_WORD, f"{name} reads word {limit.word}, at most {MAX_WORD}")
    inside = -(2**255) <= limit.least < limit.below < 2**255
    require(inside, f"{name} is from {limit.least} to below {limit.below}: signed numbers, one of which must be allowed")
    heads = address(limit.target), word(160), word(32 * limit.word), signed(limit.least), signed(limit.below)
    return b"".join((*heads, sized(limit.data)))
