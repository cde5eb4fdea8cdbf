"""Price reports in the shape of Chainlink's OCR2 (report layout: libocr, OCR2Aggregator.sol)."""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

ORACLES = 4
SPREAD_BPS = 5
CONFIG_DIGEST = keccak(text="keeper devnet: config digest")
SIGNATURES = [bytes([i + 1]) * 32 for i in range(2)]  # not checked by the aggregator; as long as real ones
REPORT = ("uint32", "bytes32", "int192[]", "int192")


def report(answer: int, timestamp_s: int, epoch: int) -> tuple[Any, ...]:
    """The arguments of `transmit` that make `answer` the median of four oracles' sorted observations."""
    spread = answer * SPREAD_BPS // 10**4
    observations = [max(answer - spread, 1), max(answer - spread // 2, 1), answer, answer + spread]
    observers = bytes(range(ORACLES)).ljust(32, b"\0")
    body = encode(REPORT, (timestamp_s, observers, observations, 10**18))
    context = [CONFIG_DIGEST, (epoch << 8 | 1).to_bytes(32, "big"), b"\0" * 32]
    return context, body, SIGNATURES, SIGNATURES, b"\0" * 32
