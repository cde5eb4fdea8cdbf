"""Fixed-layout words. Ids of vaults (12 bytes), series and assets (6 bytes) stand on the left of theirs."""

from __future__ import annotations

from eth_hash.auto import keccak

from keeper.types import ZERO_ADDRESS, Address, Log

WORD = 32
SIGN_BIT = 1 << 255
ID_SHIFT = 256 - 48


def topic(signature: str) -> str:
    """Topic 0 of an event, from its canonical signature."""
    return "0x" + keccak(signature.encode()).hex()


def selector(signature: str) -> bytes:
    """The 4 bytes that call a function or name a custom error."""
    return keccak(signature.encode())[:4]


def word(data: bytes, index: int) -> int:
    return int.from_bytes(data[WORD * index : WORD * index + WORD])


def log_word(log: Log, index: int) -> int:
    """Of its data. Raises IndexError where there is none."""
    if len(log.data) < WORD * (index + 1):
        raise IndexError(index)
    return word(log.data, index)


def log_id(log: Log, index: int) -> int:
    return log_word(log, index) >> ID_SHIFT


def signed(value: int) -> int:
    """A word read as two's complement."""
    return value - (1 << 256) if value & SIGN_BIT else value


def unsigned(value: int) -> int:
    """The word of a two's complement."""
    return value % (1 << 256)


def to_address(value: int) -> Address:
    """The low 20 bytes of a word."""
    return Address(f"0x{value & ((1 << 160) - 1):040x}")


def topic_address(value: str) -> Address:
    return Address("0x" + value[-40:])


def topic_id(value: str) -> int:
    """Of a series or an asset."""
    return int(value[2:14], 16)


def word_id(data: bytes, index: int) -> int:
    return word(data, index) >> ID_SHIFT


def account_of(vault: str) -> Address:
    """A vault's id, the first 12 bytes of this hex, in the shape of an address."""
    return Address(vault[:26].ljust(42, "0"))


def vault_word(account: Address) -> int:
    """The vault's id as an argument."""
    return int(account, 16) << 96


def id_word(number: int) -> int:
    """The id of a series or an asset as an argument."""
    return number << ID_SHIFT


def call_data(head: bytes, *arguments: int | str) -> bytes:
    """Selector and static arguments; an address argument is its hex text."""
    return head + b"".join((int(value, 16) if isinstance(value, str) else value).to_bytes(WORD) for value in arguments)


def reply_word(reply: bytes | None, index: int = 0) -> int | None:
    """A word of a reply; None when the call reverted or answered with less."""
    if reply is None or len(reply) < WORD * (index + 1):
        return None
    return word(reply, index)


def reply_address(reply: bytes | None, index: int = 0) -> Address | None:
    """None when it is no address or the zero address."""
    value = reply_word(reply, index)
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
