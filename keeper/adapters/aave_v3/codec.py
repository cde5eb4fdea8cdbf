"""Fixed-layout words: every Aave v3 event and reply the keeper reads is whole 32-byte words, so slicing is the whole codec."""

from __future__ import annotations

from eth_hash.auto import keccak

from keeper.types import ZERO_ADDRESS, Address

WORD = 32
SIGN_BIT = 1 << 255


def topic(signature: str) -> str:
    """Topic 0 of an event, from its canonical signature."""
    return "0x" + keccak(signature.encode()).hex()


def selector(signature: str) -> bytes:
    """The 4 bytes that call a function or name a custom error."""
    return keccak(signature.encode())[:4]


def word(data: bytes, index: int) -> int:
    """Raises IndexError where there is none."""
    found = data[WORD * index : WORD * index + WORD]
    if len(found) < WORD:
        raise IndexError(index)
    return int.from_bytes(found)


def three_words(data: bytes) -> tuple[int, int, int]:
    """The first three. Raises IndexError where there are less."""
    if len(data) < 3 * WORD:
        raise IndexError(2)
    from_bytes = int.from_bytes
    return from_bytes(data[:32]), from_bytes(data[32:64]), from_bytes(data[64:96])


def signed(value: int) -> int:
    """A 256-bit word read as two's complement."""
    return value - (1 << 256) if value & SIGN_BIT else value


def to_address(value: int) -> Address:
    """The low 20 bytes of a word."""
    return Address(f"0x{value & ((1 << 160) - 1):040x}")


def address_word(data: bytes, index: int) -> Address:
    return to_address(word(data, index))


def topic_address(value: str) -> Address:
    return Address("0x" + value[-40:])


def call_data(head: bytes, *arguments: int | str) -> bytes:
    """Selector and static arguments; an address argument is its hex text."""
    return head + b"".join(_argument(value) for value in arguments)


def _argument(value: int | str) -> bytes:
    return (int(value, 16) if isinstance(value, str) else value).to_bytes(WORD)


def reply_word(reply: bytes | None, index: int = 0) -> int | None:
    """A word of a reply; None when the call reverted or answered with less."""
    if reply is None or len(reply) < WORD * (index + 1):
        return None
    return word(reply, index)


def reply_address(reply: bytes | None) -> Address | None:
    """The address a reply consists of; None when it is no address or the zero address."""
    value = reply_word(reply)
    if value is None or value >> 160 or to_address(value) == ZERO_ADDRESS:
        return None
    return to_address(value)


def reply_text(reply: bytes | None) -> str:
    """A string reply, or the bytes32 of tokens older than the ABI's string; "" when it is neither."""
    if reply is None or len(reply) < WORD:
        return ""
    raw = reply[2 * WORD : 2 * WORD + word(reply, 1)] if len(reply) >= 2 * WORD else reply.rstrip(b"\0")
    text = raw.decode("utf-8", errors="replace")
    return text if text.isprintable() else ""
