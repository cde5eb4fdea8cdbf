"""The bytes of a transaction from what a node tells of it: who wants it in a bundle must hand it over as its sender signed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak

from keeper.chain.wire import from_hex

LEGACY = ("nonce", "gasPrice", "gas", "to", "value", "input", "v", "r", "s")
FIELDS: Mapping[int, Sequence[str]] = {
    0: LEGACY,
    1: ("chainId", "nonce", "gasPrice", "gas", "to", "value", "input", "accessList", "yParity", "r", "s"),
    2: ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "input", "accessList", "yParity", "r", "s"),
}


def signed_bytes(told: Mapping[str, Any]) -> bytes:
    """Of types 0 to 2 (EIP-155, 2930, 1559). Nothing for another type, and where the outcome is not the transaction of that hash."""
    try:
        kind = int(told.get("type") or "0x0", 16)
        body = rlp.encode([_field(name, told) for name in FIELDS[kind]])
        raw: bytes = body if kind == 0 else bytes([kind]) + body
        return raw if f"0x{keccak(raw).hex()}" == told["hash"].lower() else b""
    except (KeyError, TypeError, ValueError, AttributeError):
        return b""


def _field(name: str, told: Mapping[str, Any]) -> Any:
    if name == "accessList":
        return [[from_hex(item["address"]), [from_hex(key) for key in item["storageKeys"]]] for item in told.get(name) or ()]
    value = told.get(name, told.get("v")) if name == "yParity" else told[name]
    if name in {"to", "input"}:
        return from_hex(value or "0x")
    number = int(value, 16)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
