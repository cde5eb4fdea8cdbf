"""Names of the protocol's reverts: the Witch's custom errors, and reason strings of the others."""

from __future__ import annotations

from keeper.adapters.yield_v2.codec import selector, word

_SIGNATURES = (
    "VaultAlreadyUnderAuction(bytes12,address)",
    "VaultNotLiquidatable(bytes6,bytes6)",
    "AuctionIsCorrect(bytes12)",
    "AuctioneerRewardTooHigh(uint256,uint256)",
    "WitchIsDead()",
    "CollateralLimitExceeded(uint256,uint256)",
    "NotUnderCollateralised(bytes12)",
    "UnderCollateralised(bytes12)",
    "VaultNotUnderAuction(bytes12)",
    "NotEnoughBought(uint256,uint256)",
    "JoinNotFound(bytes6)",
    "UnrecognisedParam(bytes32)",
    "LeavesDust(uint256,uint256)",
)
ERRORS = {selector(signature): signature.partition("(")[0] for signature in _SIGNATURES}
ERROR_STRING = selector("Error(string)")
REASONS = {
    "Access denied": "AccessDenied",
    "Min debt not reached": "MinDebtNotReached",
    "Vault not found": "VaultNotFound",
    "Source not found": "SourceNotFound",
    "Chainlink price <= 0": "NoPrice",
    "Incomplete round": "IncompleteRound",
    "Stale price": "StalePrice",
    "Accumulated rate is zero": "NoRate",
    "Result below zero": "ResultBelowZero",
}


def decode(data: bytes) -> str | None:
    """The rule that was broken; None when it is not one of the protocol's."""
    if data[:4] == ERROR_STRING and len(data) >= 4 + 64:
        text = data[4 + 64 : 4 + 64 + word(data[4:], 1)].decode("utf-8", errors="replace")
        return REASONS.get(text)
    return ERRORS.get(data[:4])
