"""Names of the contract's reverts: plain strings. Source: `ErrorsLib.sol` of v1.0.0."""

from __future__ import annotations

from keeper.adapters.morpho_blue.codec import word

ERROR_STRING = bytes.fromhex("08c379a0")
TEXTS = frozenset(
    {
        "IRM not enabled",
        "LLTV not enabled",
        "market already created",
        "no code",
        "market not created",
        "inconsistent input",
        "zero assets",
        "zero address",
        "unauthorized",
        "insufficient collateral",
        "insufficient liquidity",
        "position is healthy",
        "transfer reverted",
        "transfer returned false",
        "transferFrom reverted",
        "transferFrom returned false",
        "max uint128 exceeded",
    }
)


def decode(data: bytes) -> str | None:
    """The text of a revert, None when it is not one of the contract's own."""
    if data[:4] != ERROR_STRING or len(data) < 68:
        return None
    text = data[68 : 68 + word(data[4:], 1)].decode("ascii", errors="replace")
    return text if text in TEXTS else None
