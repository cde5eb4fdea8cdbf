"""Fixed-layout words: every event and reply the adapter reads is whole 32-byte words, so slicing is the whole codec."""

from __future__ import annotations

from eth_hash.auto import keccak

from keeper.types import ZERO_ADDRESS, Address

WORD = 32


def topic(signature: str) -> str:
    """Topic 0 of an event, from its canonical signature."""
    return "0x" + keccak(signature.encode()).hex()


def selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


def word(data: bytes, index: int) -> int:
    """Raises IndexError where there is none."""
    return int.from_bytes(_whole(data, index))


def signed_word(data: bytes, index: int) -> int:
    """Raises IndexError where there is none."""
    return int.from_bytes(_whole(data, index), signed=True)


def _whole(data: bytes, index: int) -> bytes:
    found = data[WORD * index : WORD * index + WORD]
    if len(found) < WORD:
        raise IndexError(index)
    return found


def signed_topic(value: str) -> int:
    return int.from_bytes(bytes.fromhex(value[2:]), signed=True)


def to_address(value: int) -> Address:
    """The low 20 bytes of a word."""
    return Address(f"0x{value & ((1 << 160) - 1):040x}")


def address_word(data: bytes, index: int) -> Address:
    return to_address(word(data, index))


def topic_address(value: str) -> Address:
    return Address("0x" + value[-40:])


def call_data(head: bytes, *arguments: int | str) -> bytes:
    """Selector and static arguments; an address argument is its hex text, a negative integer two's complement."""
    return head + b"".join((int(value, 16) if isinstance(value, str) else value % 2**256).to_bytes(WORD) for value in arguments)


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
    raw = reply[2 * WORD : 2 * WORD + word(reply, 1)] if len(reply) > WORD else reply.rstrip(b"\0")
    text = raw.decode("utf-8", errors="replace")
    return text if text.isprintable() else ""
