"""The executor contract from outside: calldata in, errors and events out.

Pure, and encoded by hand: this is on the path between a block and a transaction, where a general ABI coder costs milliseconds.
The layouts are tested against eth_abi.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from eth_hash.auto import keccak

from keeper.chain.codec import selector, word
from keeper.contracts import load
from keeper.execution.words import address, addresses, listed, padded, require, signed, sized
from keeper.types import ZERO_ADDRESS, Action, Address, Callback, Guard, Hash, Log, Read, Step

MAX_STEPS = 16
MAX_STEPS_SIZE = 4096
MAX_PATCHED = 420
MAX_TOKENS = 6
MAX_MEMBERS = 8
MAX_CALL = MAX_STEPS_SIZE + 900
MAX_OPERATORS = 16
MAX_QUESTION = 132
MAX_WORD = 15

BATCH_GAS = 35_000
"""Intrinsic cost of a batch, and what it does for itself. Measured, as is the next."""

MEMBER_GAS = 5_000

CALLDATA_GAS, CALLDATA_FLOOR_GAS = 4, 10
"""Of a zero byte; another counts as four. A transaction's limit may not be below the floor (EIP-7623)."""

OPTIONAL, PATCHED, CHECK = 1, 2, 4
CALLBACKS = {Callback.NONE: 0, Callback.PUSH: 8, Callback.PULL: 16}
EXECUTE_TYPES = ("(address,bytes,uint256,uint256,uint256)", "bytes", "address", "uint256", "address[]")
BATCH_TYPES = ("(uint256,bytes)[]", "uint256")


def topic(signature: str) -> str:
    return "0x" + keccak(signature.encode()).hex()


EXECUTE = selector(f"execute({','.join(EXECUTE_TYPES)})")
EXECUTE_BATCH = selector(f"execute_batch({','.join(BATCH_TYPES)})")
SETTLED = topic("Settled(address,uint256)")
MEMBER_FAILED = topic("MemberFailed(uint256,bytes)")
TRANSFER = topic("Transfer(address,address,uint256)")

_ADD_OPERATOR = selector("add_operator(address)")
_REVOKE_OPERATOR = selector("revoke_operator(address)")
_SWEEP = selector("sweep(address)")
_OPERATORS = selector("operators(address)")
_OWNER = selector("owner()")
_BENEFICIARY = selector("beneficiary()")

_PLAIN_ERRORS = ("Healthy", "Unauthorized", "UnexpectedCallback", "NoCallback", "TransferFailed", "Forbidden")
_ERRORS = {selector(f"{name}()"): name for name in _PLAIN_ERRORS}
_NUMBERED_ERRORS = {selector(f"{name}(uint256)"): name for name in ("Unprofitable", "CheckFailed", "TooFew", "LimitPassed")}
_REASON = selector("Error(string)")
_PANIC = selector("Panic(uint256)")
_PANICS = {0x01: "assertion", 0x11: "overflow", 0x12: "division by zero", 0x31: "empty array", 0x32: "index out of range"}


# --- calldata -----------------------------------------------------------------------------------------------------


class Member(NamedTuple):
    """One call of `execute` in a batch, and the most gas it may use."""

    call: bytes
    gas: int


def encode_execute(guard: Guard, actions: Sequence[Action], profit_token: Address, min_profit: int, tokens: Sequence[Address]) -> bytes:
    """Calldata of `execute`. A guard whose target is the zero address guards nothing. Raises Skip("unencodable") beyond the contract's
    bounds."""
    _check_question("guard", guard)
    require(len(tokens) <= MAX_TOKENS, f"{len(tokens)} tokens to forward, at most {MAX_TOKENS}")
    parts = (_guard(guard), sized(encode_steps(actions)), addresses(tokens))
    head_size = 5 * 32
    offsets = (head_size, head_size + len(parts[0]), head_size + len(parts[0]) + len(parts[1]))
    head = (word(offsets[0]), word(offsets[1]), address(profit_token), word(min_profit), word(offsets[2]))
    return b"".join((EXECUTE, *head, *parts))


def encode_batch(members: Sequence[Member], least: int) -> bytes:
    """Calldata of `execute_batch`: at least so many must succeed. Raises Skip("unencodable") beyond the contract's bounds."""
    require(len(members) <= MAX_MEMBERS, f"{len(members)} members of a batch, at most {MAX_MEMBERS}")
    for number, member in enumerate(members):
        require(len(member.call) <= MAX_CALL, f"member {number} has {len(member.call)} bytes of calldata, at most {MAX_CALL}")
    parts = [word(member.gas) + word(64) + sized(member.call) for member in members]
    return b"".join((EXECUTE_BATCH, word(64), word(least), listed(parts)))


def batch_gas(members: Sequence[Member]) -> int:
    """A gas limit with which every member gets its share, whatever those before it burn: a call is given at most 63/64 of what is left."""
    data, shares = encode_batch(members, 0), [member.gas for member in members]
    weight = 4 * len(data) - 3 * data.count(0)
    execution = sum(shares) + MEMBER_GAS * len(members) + max(shares, default=0) // 63
    return BATCH_GAS + max(execution + CALLDATA_GAS * weight, CALLDATA_FLOOR_GAS * weight)


def encode_steps(actions: Sequence[Action]) -> bytes:
    """The packed list that the contract describes, padded to whole words. Raises Skip("unencodable") beyond the contract's bounds."""
    require(len(actions) <= MAX_STEPS, f"{len(actions)} steps, at most {MAX_STEPS}")
    packed = b"".join([_check(n, action) if isinstance(action, Guard) else _step(n, action) for n, action in enumerate(actions)])
    require(len(packed) <= MAX_STEPS_SIZE, f"steps of {len(packed)} bytes, at most {MAX_STEPS_SIZE}")
    return padded(packed)


def deploy_data(owner: Address, beneficiary: Address, operators: Sequence[Address]) -> bytes:
    """Creation code with its arguments. An eth_call of it without `to` returns the runtime code, immutables filled in."""
    require(len(operators) <= MAX_OPERATORS, f"{len(operators)} operators, at most {MAX_OPERATORS} at deployment")
    return b"".join((load().bytecode, address(owner), address(beneficiary), word(96), addresses(operators)))


def add_operator_data(operator: Address) -> bytes:
    return _ADD_OPERATOR + address(operator)


def revoke_operator_data(operator: Address) -> bytes:
    return _REVOKE_OPERATOR + address(operator)


def sweep_data(token: Address) -> bytes:
    """The owner's call that sends a stray balance to the beneficiary; the zero address means ETH."""
    return _SWEEP + address(token)


def operator_slot(operator: Address) -> Hash:
    """The storage slot that holds 1 for an operator: what a state override sets to act as one without a deployment."""
    return Hash("0x" + keccak(word(load().operators_slot) + address(operator)).hex())


def is_operator(executor: Address, operator: Address) -> Read:
    return Read(executor, _OPERATORS + address(operator))


def owner(executor: Address) -> Read:
    return Read(executor, _OWNER)


def beneficiary(executor: Address) -> Read:
    return Read(executor, _BENEFICIARY)


# --- what came of it ----------------------------------------------------------------------------------------------


def decode_error(data: bytes) -> str | None:
    """Our contracts' own errors and Solidity's two standard ones as text; None for anything else (a protocol's own, or nothing)."""
    selector, body = data[:4], data[4:]
    if selector in _ERRORS and not body:
        return _ERRORS[selector]
    if selector == _REASON:
        return _reason(body)
    if len(body) != 32:
        return None
    number = int.from_bytes(body)
    if selector in _NUMBERED_ERRORS:
        return f"{_NUMBERED_ERRORS[selector]}({number})"
    return f"Panic({number:#04x}: {_PANICS.get(number, 'see the Solidity manual')})" if selector == _PANIC else None


def settled(logs: Sequence[Log], executor: Address) -> tuple[Address, int] | None:
    """Profit token and profit of a receipt's first `Settled` event; None when this executor emitted none."""
    return next((_settled(log) for log in logs if _is_settled(log, executor)), None)


def gains(logs: Sequence[Log], executor: Address, beneficiary: Address) -> dict[Address, int]:
    """Token → amount that the executor forwarded to the beneficiary, from ERC-20 Transfer logs."""
    total: dict[Address, int] = {}
    for log in _transfers(logs):
        if (_topic_address(log.topics[1]), _topic_address(log.topics[2])) == (executor, beneficiary):
            total[log.address] = total.get(log.address, 0) + int.from_bytes(log.data[:32])
    return total


class Result(NamedTuple):
    """What became of one member of a batch: its own logs, or the start of what it reverted with."""

    logs: tuple[Log, ...]
    reason: bytes | None = None


def results(logs: Sequence[Log], executor: Address) -> list[Result]:
    """Of every member of a batch that landed, in their order. A member's last log is the executor's own word on it."""
    found: list[Result] = []
    begin = 0
    for place, log in enumerate(logs):
        if _is_settled(log, executor):
            found.append(Result(tuple(logs[begin : place + 1])))
        elif log.address == executor and log.topics[:1] == (MEMBER_FAILED,):
            found.append(Result((), log.data[64 : 64 + int.from_bytes(log.data[32:64])]))
        else:
            continue
        begin = place + 1
    return found


def _is_settled(log: Log, executor: Address) -> bool:
    return log.address == executor and log.topics[:1] == (SETTLED,) and len(log.topics) == 2


def _settled(log: Log) -> tuple[Address, int]:
    return _topic_address(log.topics[1]), int.from_bytes(log.data[:32])


# --- words --------------------------------------------------------------------------------------------------------


def _check_question(name: str, guard: Guard) -> None:
    require(len(guard.data) <= MAX_QUESTION, f"{name} has {len(guard.data)} bytes of data, at most {MAX_QUESTION}")
    require(0 <= guard.word <= MAX_WORD, f"{name} reads word {guard.word}, at most {MAX_WORD}")
    require(guard.least <= guard.below, f"{name} asks for at least {guard.least} and below {guard.below}")


def _check_step(name: str, step: Step) -> None:
    if step.amount_token != ZERO_ADDRESS:
        size = len(step.data)
        require(size <= MAX_PATCHED, f"{name} patches {size} bytes of data, at most {MAX_PATCHED}")
        fits = 0 <= step.amount_offset <= size - 32
        require(fits, f"{name} patches 32 bytes at {step.amount_offset}, beyond its {size} bytes of data")
    if step.callback is Callback.NONE:
        require(not step.inner, f"{name} has inner steps, but no callback to run them")
    else:
        require(step.amount_token in {ZERO_ADDRESS, step.owed}, f"{name} patches in one token and owes another")


def _guard(guard: Guard) -> bytes:
    bounds = signed(guard.least), signed(guard.below)
    return b"".join((address(guard.target), word(160), word(32 * guard.word), *bounds, sized(guard.data)))


def _check(number: int, guard: Guard) -> bytes:
    _check_question(f"step {number}", guard)
    data = signed(guard.below) + guard.data
    return _head(CHECK, 32 * guard.word, 0, len(data), guard.target) + signed(guard.least) + data


def _step(number: int, step: Step) -> bytes:
    _check_step(f"step {number}", step)
    patched = step.amount_token != ZERO_ADDRESS
    flags = OPTIONAL * step.optional | PATCHED * patched | CALLBACKS[step.callback]
    if step.callback is Callback.NONE:
        return _head(flags, step.amount_offset, 0, len(step.data), step.target) + address(step.amount_token) + step.data
    inner = encode_steps(step.inner)
    data = step.data + word(len(inner)) + inner
    return _head(flags, step.amount_offset, len(inner), len(data), step.target) + address(step.owed) + data


def _head(flags: int, place: int, inner_size: int, size: int, target: Address) -> bytes:
    numbers = (flags.to_bytes(1), place.to_bytes(2), inner_size.to_bytes(2), size.to_bytes(2))
    return b"".join((*numbers, bytes(5), address(target)[12:]))


def _reason(body: bytes) -> str | None:
    size = int.from_bytes(body[32:64])
    if len(body) < 64 + size:
        return None
    text = body[64 : 64 + min(size, 200)].decode(errors="replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _topic_address(topic: str) -> Address:
    return Address("0x" + topic[-40:])


def _transfers(logs: Sequence[Log]) -> Iterator[Log]:
    return (log for log in logs if len(log.topics) == 3 and log.topics[0] == TRANSFER)
