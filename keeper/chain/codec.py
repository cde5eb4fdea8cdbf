"""ABI at the level of words: what the hot path and the tests need without a full coder.

Pure. Source: Solidity ABI specification, EIP-55.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from keeper.types import Address

ERROR_SELECTOR = bytes.fromhex("08c379a0")  # Error(string)
PANIC_SELECTOR = bytes.fromhex("4e487b71")  # Panic(uint256)

PANICS = {
    0x01: "assertion failed",
    0x11: "arithmetic overflow",
    0x12: "division by zero",
    0x21: "invalid enum value",
    0x22: "bad storage encoding",
    0x31: "pop of an empty array",
    0x32: "index out of range",
    0x41: "out of memory",
    0x51: "call of a zero function",
}


def selector(signature: str) -> bytes:
    """The 4 bytes that name a function or a custom error: `selector("transfer(address,uint256)")`."""
    return keccak(signature.encode())[:4]


def topic(signature: str) -> str:
    """The topic 0 of an event, as lower-case 0x-hex."""
    return "0x" + keccak(signature.encode()).hex()


def word(value: int) -> bytes:
    """One 32-byte word; a negative number as two's complement. Raises OverflowError outside 256 bits."""
    return value.to_bytes(32, "big", signed=value < 0)


def words(*values: int) -> bytes:
    return b"".join(map(word, values))


def address_word(address: Address) -> bytes:
    return bytes(12) + bytes.fromhex(address[2:])


def to_address(value: int | bytes) -> Address:
    """The low 20 bytes of a word, of a topic's bytes or of an integer."""
    low = value % 2**160 if isinstance(value, int) else int.from_bytes(value[-20:], "big")
    return Address(f"0x{low:040x}")


def checksum(address: str) -> str:
    """The EIP-55 mixed-case form, for people; inside the keeper addresses are lower-case."""
    digits = address[2:].lower()
    mask = keccak(digits.encode()).hex()
    return "0x" + "".join(c.upper() if int(m, 16) >= 8 else c for c, m in zip(digits, mask, strict=False))


def decode_revert(data: bytes) -> str | None:
    """The text of Error(string) or the meaning of Panic(uint256); None for anything else, also when malformed."""
    if data[:4] == ERROR_SELECTOR:
        return _error_text(data[4:])
    if data[:4] == PANIC_SELECTOR and len(data) >= 36:
        code = int.from_bytes(data[4:36], "big")
        return f"panic: {PANICS.get(code, hex(code))}"
    return None


def _error_text(body: bytes) -> str | None:
    if len(body) < 64:
        return None
    start = int.from_bytes(body[:32], "big")
    length = int.from_bytes(body[start : start + 32], "big")
    text = body[start + 32 : start + 32 + length]
    return text.decode(errors="replace") if len(text) == length else None
