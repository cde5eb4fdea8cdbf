"""A node's error replies, told apart by code and words: every client phrases them its own way."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from keeper.errors import KeeperError, Transient

EXECUTION = (
    "revert",
    "invalid opcode",
    "out of gas",
    "stack underflow",
    "stack overflow",
    "invalid jump",
    "vm execution error",
    "execution halted",
    "opcodenotfound",
    "evm error",
)
RATE_LIMIT = (
    "rate limit",
    "rate-limit",
    "too many requests",
    "compute units per second",
    "credits limited",
    "request count exceeded",
    "capacity exceeded",
    "throttle",
)
NO_METHOD = (
    "method not found",
    "did not match any variant",
    "unknown method",
    "not supported",
    "unsupported method",
    "does not exist/is not available",
    "not available",
    "not whitelisted",
    "method does not exist",
)
NO_BLOCK = (
    "unknown block",
    "block not found",
    "header not found",
    "resource not found",
    "blockoutofrange",
    "missing trie node",
    "state not available",
    "not canonical",
    "required historical state",
    "state is not available",
    "historical state",
    "header for hash not found",
    "cannot query unfinalized",
    "beyond current head",
    "future block",
    "old data not available",
    "pruned",
)
NO_STATE_CODES = {-32001, 4444}
TOO_MUCH = (
    "query returned more than",
    "too large",
    "too wide",
    "too big",
    "too high",
    "exceed",
    "block range",
    "range limit",
    "limited to",
    "response size",
    "too many logs",
    "too many blocks",
    "timeout",
    "timed out",
    "more than",
    "max results",
    "larger than",
    "greater than",
    "bigger than",
    "reduce",
)
ADDRESS_LIMIT = re.compile(r"(exceed|too many|max|limit).{0,40}address|address.{0,40}(exceed|too many|limit)")


class RpcError(KeeperError):
    """A node's error reply. `data`: the revert's bytes, empty when there are none."""

    def __init__(self, method: str, code: int, message: str, data: bytes = b"", hint: str = "") -> None:
        super().__init__(f"{method}: {message} ({code})")
        self.method = method
        self.code = code
        self.message = message
        self.data = data
        self.words = f"{message} {hint}".lower()


class Unreachable(Transient):
    """No connection: nothing has been asked."""


class TimedOut(Transient):
    """No answer in time."""


def rpc_error(method: str, error: Any, scrub: Callable[[str], str] = str) -> RpcError:
    """From the `error` member of a reply, in whatever shape it has."""
    if not isinstance(error, dict):
        return RpcError(method, 0, scrub(str(error))[:400])
    code = error.get("code")
    raw = error.get("data")
    data = _revert_bytes(raw)
    hint = "" if data or raw is None else scrub(str(raw))[:400]
    return RpcError(method, code if isinstance(code, int) else 0, scrub(str(error.get("message", "")))[:400], data, hint)


def _revert_bytes(raw: Any) -> bytes:
    """Revert data as geth gives it, with Parity's "Reverted 0x…", or nested in an object."""
    if isinstance(raw, dict):
        raw = raw.get("data") or raw.get("result")
    found = re.fullmatch(r"(?:Reverted )?0x((?:[0-9a-fA-F]{2})*)", raw) if isinstance(raw, str) else None
    return bytes.fromhex(found[1]) if found else b""


def _says(error: RpcError, phrases: tuple[str, ...]) -> bool:
    return any(phrase in error.words for phrase in phrases)


def is_revert(error: RpcError) -> bool:
    """The call ran and failed: no other node would say otherwise."""
    return error.code == 3 or bool(error.data) or _says(error, EXECUTION)


def is_rate_limit(error: RpcError) -> bool:
    return error.code in {429, -32012} or _says(error, RATE_LIMIT)


def lacks_method(error: RpcError) -> bool:
    return error.code == -32601 or _says(error, NO_METHOD)


def lacks_block(error: RpcError) -> bool:
    """The node does not have the block, or its state: not yet, not any more, or on another branch."""
    return error.code in NO_STATE_CODES or _says(error, NO_BLOCK)


def too_many_addresses(error: RpcError) -> bool:
    return ADDRESS_LIMIT.search(error.words) is not None


def too_much(error: RpcError) -> bool:
    """The query asked for too many blocks, or found too many logs."""
    return error.code == -32005 or _says(error, TOO_MUCH)


def range_too_wide(error: RpcError) -> bool:
    """The number of blocks alone is the problem, whatever is found in them."""
    return too_much(error) and "range" in error.words and "more than 10000" not in error.words and "response size" not in error.words
