"""Fixed-layout words: every event and reply the keeper reads here is whole 32-byte words, so slicing is the whole codec."""

from __future__ import annotations

from eth_hash.auto import keccak

from keeper.types import Address

WORD = 32


def topic(signature: str) -> str:
    """Topic 0 of an event, from its canonical signature."""
    return "0x" + keccak(signature.encode()).hex()


def selector(signature: str) -> bytes:
    """The 4 bytes that call a function."""
    return keccak(signature.encode())[:4]


def hashed(*words: int) -> int:
    """keccak256 of these words: a storage slot, or a market's id."""
    return int.from_bytes(keccak(b"".join(word.to_bytes(WORD) for word in words)))


def word(data: bytes, index: int) -> int:
    """Raises IndexError where there is none."""
    found = data[WORD * index : WORD * index + WORD]
    if len(found) < WORD:
        raise IndexError(index)
    return int.from_bytes(found)


def words(data: bytes, count: int) -> tuple[int, ...]:
    """The first so many. Raises IndexError where there are less."""
    return tuple(word(data, index) for index in range(count))


def signed(value: int) -> int:
    """A 256-bit word read as two's complement."""
    return value - (1 << 256) if value >> 255 else value


def to_address(value: int) -> Address:
    """The low 20 bytes of a word."""
    return Address(f"0x{value & ((1 << 160) - 1):040x}")


def topic_address(value: str) -> Address:
    return Address("0x" + value[-40:])


def call_data(head: bytes, *arguments: int | str) -> bytes:
    """Selector and static arguments; hex text counts as its number."""
    return head + b"".join((int(value, 16) if isinstance(value, str) else value).to_bytes(WORD) for value in arguments)


def reply_word(reply: bytes | None, index: int = 0) -> int | None:
    """A word of a reply; None when the call reverted or answered with less."""
    if reply is None or len(reply) < WORD * (index + 1):
        return None
    return word(reply, index)


def reply_text(reply: bytes | None) -> str:
    """A string reply, or the bytes32 of tokens older than the ABI's string; "" when it is neither."""
    if reply is None or len(reply) < WORD:
        return ""
    raw = reply[2 * WORD : 2 * WORD + word(reply, 1)] if len(reply) >= 2 * WORD else reply.rstrip(b"\0")
    text = raw.decode("utf-8", errors="replace")
    return text if text.isprintable() else ""
