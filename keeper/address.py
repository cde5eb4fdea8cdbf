"""Addresses as people write them: any case, but a mixed-case one must carry a right EIP-55 checksum."""

from __future__ import annotations

import re

from keeper.types import Address

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def parse_address(text: str) -> Address:
    """Lower-case form of a hex address. Raises ValueError with what is wrong, in words that follow the name of the value."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"must be an address, 0x and 40 hex digits, was {_shape(text)}")
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and text != checksum(text):
        raise ValueError(f"has a wrong checksum, so a character is mistyped: {text} (EIP-55; lower case carries no checksum)")
    return Address(text.lower())


def checksum(address: str) -> str:
    """EIP-55 spelling of an address."""
    from eth_hash.auto import keccak

    digits = address[2:].lower()
    nibbles = keccak(digits.encode()).hex()
    return "0x" + "".join(c.upper() if int(n, 16) >= 8 else c for c, n in zip(digits, nibbles, strict=False))


def created(creator: Address, nonce: int) -> Address:
    """Where CREATE puts the `nonce`-th contract of `creator`."""
    from eth_hash.auto import keccak

    digits = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    number = digits if 0 < nonce < 0x80 else bytes([0x80 + len(digits)]) + digits
    body = b"\x94" + bytes.fromhex(creator[2:]) + number
    return Address("0x" + keccak(bytes([0xC0 + len(body)]) + body)[-20:].hex())  # of their RLP


def _shape(text: str) -> str:
    """The text if it is short; a longer one may be a private key, so only its length."""
    return repr(text) if len(text) <= 42 else f"{len(text)} characters"
