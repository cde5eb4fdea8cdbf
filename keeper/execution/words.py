"""The ABI beyond single words: bytes and lists, as the encoders of our own contracts put them together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from keeper.chain.codec import address_word, word
from keeper.errors import Skip
from keeper.types import Address


def require(condition: bool, message: str) -> None:
    """Raises Skip("unencodable")."""
    if not condition:
        raise Skip("unencodable", message)


def signed(value: int) -> bytes:
    return (value % 2**256).to_bytes(32)


@lru_cache(maxsize=1 << 12)
def address(value: Address) -> bytes:
    return address_word(value)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 32)


def sized(data: bytes) -> bytes:
    """Of the type `bytes`: its length, then itself."""
    return word(len(data)) + padded(data)


def addresses(values: Sequence[Address]) -> bytes:
    return word(len(values)) + b"".join(map(address, values))


def listed(items: Sequence[bytes]) -> bytes:
    """Of dynamic items: their number, where each begins, the items."""
    return word(len(items)) + joined([], items)


def joined(head: Sequence[bytes], tails: Sequence[bytes]) -> bytes:
    """Words, then where each of the dynamic ones begins, then these."""
    begins, at = [], 32 * (len(head) + len(tails))
    for tail in tails:
        begins.append(word(at))
        at += len(tail)
    return b"".join((*head, *begins, *tails))
