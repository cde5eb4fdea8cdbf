"""The executor contract from outside: calldata in, errors and events out.

Pure, and encoded by hand: this is on the path between a block and a transaction, where a general ABI coder costs milliseconds.
The layouts are tested against eth_abi.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from eth_hash.auto import keccak

from keeper.contracts import load
from keeper.errors import Skip
from keeper.types import ZERO_ADDRESS, Address, Funding, FundingKind, Guard, Hash, Log, Read, Step

MAX_STEPS = 8
MAX_STEP_DATA = 352
MAX_TOKENS = 6
MAX_OPERATORS = 16
MAX_GUARD_DATA = 68
MAX_GUARD_WORD = 15
MAX_INT256 = 2**255 - 1

_KINDS = {FundingKind.NONE: 0, FundingKind.FLASH_LOAN: 1, FundingKind.FLASH_SWAP: 2}
EXECUTE_TYPES = ("(address,bytes,uint256,uint256)", "(uint256,address,address,uint256,bool)", "bytes", "address", "uint256", "address[]")


def _selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


def topic(signature: str) -> str:
    return "0x" + keccak(signature.encode()).hex()


EXECUTE = _selector(f"execute({','.join(EXECUTE_TYPES)})")
SETTLED = topic("Settled(address,uint256)")
TRANSFER = topic("Transfer(address,address,uint256)")

_ADD_OPERATOR = _selector("add_operator(address)")
_REVOKE_OPERATOR = _selector("revoke_operator(address)")
_SWEEP = _selector("sweep(address)")
_OPERATORS = _selector("operators(address)")
_OWNER = _selector("owner()")
_BENEFICIARY = _selector("beneficiary()")

_PLAIN_ERRORS = ("Healthy", "Unauthorized", "UnexpectedCallback", "NotFunded", "TransferFailed")
_ERRORS = {_selector(f"{name}()"): name for name in _PLAIN_ERRORS}
_UNPROFITABLE = _selector("Unprofitable(uint256)")
_REASON = _selector("Error(string)")
_PANIC = _selector("Panic(uint256)")
_PANICS = {0x01: "assertion", 0x11: "overflow", 0x12: "division by zero", 0x31: "empty array", 0x32: "index out of range"}


# --- calldata -----------------------------------------------------------------------------------------------------


def encode_execute(
    guard: Guard,
    funding: Funding,
    zero_for_one: bool,
    steps: Sequence[Step],
    profit_token: Address,
    min_profit: int,
    tokens: Sequence[Address],
) -> bytes:
    """Calldata of `execute`. `zero_for_one` is the direction of a flash swap (ignored otherwise).

    A guard whose target is the zero address guards nothing. Raises Skip("unencodable") beyond the contract's bounds."""
    _check_bounds(guard, funding, steps, tokens)
    parts = (_guard(guard), _bytes(encode_steps(steps)), _addresses(tokens))
    head_size = 10 * 32
    offsets = (head_size, head_size + len(parts[0]), head_size + len(parts[0]) + len(parts[1]))
    head = (
        _word(offsets[0]),
        _funding(funding, zero_for_one),
        _word(offsets[1]),
        _address(profit_token),
        _word(min_profit),
        _word(offsets[2]),
    )
    return b"".join((EXECUTE, *head, *parts))


def encode_steps(steps: Sequence[Step]) -> bytes:
    """`abi.encode(Step[])`: how the steps travel through the lender."""
    encoded = [_step(step) for step in steps]
    offset = 32 * len(encoded)
    offsets = []
    for item in encoded:
        offsets.append(_word(offset))
        offset += len(item)
    return b"".join((_word(32), _word(len(encoded)), *offsets, *encoded))


def deploy_data(owner: Address, beneficiary: Address, operators: Sequence[Address]) -> bytes:
    """Creation code with its arguments. An eth_call of it without `to` returns the runtime code, immutables filled in."""
    _require(len(operators) <= MAX_OPERATORS, f"{len(operators)} operators, at most {MAX_OPERATORS} at deployment")
    return b"".join((load().bytecode, _address(owner), _address(beneficiary), _word(96), _addresses(operators)))


def add_operator_data(operator: Address) -> bytes:
    return _ADD_OPERATOR + _address(operator)


def revoke_operator_data(operator: Address) -> bytes:
    return _REVOKE_OPERATOR + _address(operator)


def sweep_data(token: Address) -> bytes:
    """The owner's call that sends a stray balance to the beneficiary; the zero address means ETH."""
    return _SWEEP + _address(token)


def operator_slot(operator: Address) -> Hash:
    """The storage slot that holds 1 for an operator: what a state override sets to act as one without a deployment."""
    return Hash("0x" + keccak(_word(load().operators_slot) + _address(operator)).hex())


def is_operator(executor: Address, operator: Address) -> Read:
    return Read(executor, _OPERATORS + _address(operator))


def owner(executor: Address) -> Read:
    return Read(executor, _OWNER)


def beneficiary(executor: Address) -> Read:
    return Read(executor, _BENEFICIARY)


# --- what came of it ----------------------------------------------------------------------------------------------


def decode_error(data: bytes) -> str | None:
    """The executor's own errors and Solidity's two standard ones as text; None for anything else (a protocol's own, or nothing)."""
    selector, body = data[:4], data[4:]
    if selector in _ERRORS and not body:
        return _ERRORS[selector]
    if selector == _REASON:
        return _reason(body)
    if len(body) != 32:
        return None
    number = int.from_bytes(body)
    if selector == _UNPROFITABLE:
        return f"Unprofitable({number})"
    return f"Panic({number:#04x}: {_PANICS.get(number, 'see the Solidity manual')})" if selector == _PANIC else None


def settled(logs: Sequence[Log], executor: Address) -> tuple[Address, int] | None:
    """Profit token and profit of a receipt's `Settled` event; None when this executor emitted none."""
    for log in logs:
        if log.address == executor and log.topics[:1] == (SETTLED,) and len(log.topics) == 2:
            return _topic_address(log.topics[1]), int.from_bytes(log.data[:32])
    return None


def gains(logs: Sequence[Log], executor: Address, beneficiary: Address) -> dict[Address, int]:
    """Token → amount that the executor forwarded to the beneficiary, from ERC-20 Transfer logs."""
    total: dict[Address, int] = {}
    for log in _transfers(logs):
        if (_topic_address(log.topics[1]), _topic_address(log.topics[2])) == (executor, beneficiary):
            total[log.address] = total.get(log.address, 0) + int.from_bytes(log.data[:32])
    return total


# --- words --------------------------------------------------------------------------------------------------------


def _check_bounds(guard: Guard, funding: Funding, steps: Sequence[Step], tokens: Sequence[Address]) -> None:
    _require(len(guard.data) <= MAX_GUARD_DATA, f"guard has {len(guard.data)} bytes of data, at most {MAX_GUARD_DATA}")
    _require(0 <= guard.word <= MAX_GUARD_WORD, f"guard reads word {guard.word}, at most {MAX_GUARD_WORD}")
    _require(0 <= funding.amount <= MAX_INT256, f"funding amount {funding.amount} must fit int256")
    _require(len(tokens) <= MAX_TOKENS, f"{len(tokens)} tokens to forward, at most {MAX_TOKENS}")
    _require(len(steps) <= MAX_STEPS, f"{len(steps)} steps, at most {MAX_STEPS}")
    for number, step in enumerate(steps):
        _check_step(number, step)


def _check_step(number: int, step: Step) -> None:
    size = len(step.data)
    _require(size <= MAX_STEP_DATA, f"step {number} has {size} bytes of data, at most {MAX_STEP_DATA}")
    if step.amount_token != ZERO_ADDRESS:
        fits = 0 <= step.amount_offset <= size - 32
        _require(fits, f"step {number} patches 32 bytes at {step.amount_offset}, beyond its {size} bytes of data")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise Skip("unencodable", message)


def _word(value: int) -> bytes:
    return value.to_bytes(32)


@lru_cache(maxsize=1 << 12)
def _address(address: Address) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


def _bytes(data: bytes) -> bytes:
    return _word(len(data)) + data + bytes(-len(data) % 32)


def _addresses(addresses: Sequence[Address]) -> bytes:
    return _word(len(addresses)) + b"".join(map(_address, addresses))


def _guard(guard: Guard) -> bytes:
    return b"".join((_address(guard.target), _word(128), _word(guard.word), _word(guard.below), _bytes(guard.data)))


def _funding(funding: Funding, zero_for_one: bool) -> bytes:
    numbers = _word(funding.amount), _word(zero_for_one)
    return b"".join((_word(_KINDS[funding.kind]), _address(funding.source), _address(funding.token), *numbers))


def _step(step: Step) -> bytes:
    return b"".join((_address(step.target), _word(128), _address(step.amount_token), _word(step.amount_offset), _bytes(step.data)))


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
