"""The logs that move a pool's state, cut at their fixed offsets."""

from __future__ import annotations

from keeper.types import Address, Log

POOL_CREATED = "0x783cca1c0412dd0d695e784568c96da2e9c22ff989357a2e8b1d9b2b4e6b7118"
OWNER_CHANGED = "0xb532073b38c83145e3e5135377a08bf9aab55bc0fd7c1179cd4fb995d2a5159c"
INITIALIZE = "0x98636036cb66a9c19a37435efc1e90142190214e8abeb821bdba3f2990dd4c95"
MINT = "0x7a53080ba414158be7ec69b987b5fb7d07dee101fe85488f0853ae16239d0bde"
BURN = "0x0c396cd989a39f4459b5fa1aed6a9a8dcdbc45908acfd67e028cd568da98982c"
SWAP = "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67"

POOL_TOPICS = frozenset({INITIALIZE, MINT, BURN, SWAP})


def word(data: bytes, index: int) -> int:
    return int.from_bytes(data[32 * index : 32 * index + 32], "big")


def signed_word(data: bytes, index: int) -> int:
    return int.from_bytes(data[32 * index : 32 * index + 32], "big", signed=True)


def pool_created(log: Log) -> tuple[Address, Address, int, int, Address]:
    """(token0, token1, fee in pips, tick spacing, pool)"""
    token0, token1, fee = log.topics[1:4]
    pool = Address("0x" + log.data[44:64].hex())
    return Address("0x" + token0[26:]), Address("0x" + token1[26:]), int(fee, 16), signed_word(log.data, 0), pool


def initialized(log: Log) -> tuple[int, int]:
    """(price, tick)"""
    return word(log.data, 0), signed_word(log.data, 1)


def swapped(log: Log) -> tuple[int, int, int]:
    """(price, tick, liquidity) that the swap left"""
    return word(log.data, 2), signed_word(log.data, 4), word(log.data, 3)


def liquidity_changed(log: Log) -> tuple[int, int, int]:
    """(lower tick, upper tick, liquidity added; negative: removed) of a Mint or a Burn"""
    lower, upper = _signed_topic(log.topics[2]), _signed_topic(log.topics[3])
    return lower, upper, word(log.data, 1) if log.topics[0] == MINT else -word(log.data, 0)


def _signed_topic(topic: str) -> int:
    value = int(topic, 16)
    return value - (1 << 256) if value >> 255 else value
