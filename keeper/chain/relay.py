"""Sending a signed transaction, and reading what a node's answer means for its nonce."""

from __future__ import annotations

from keeper.chain.rpc import Rpc
from keeper.chain.rpc_errors import RpcError
from keeper.chain.wire import hex_bytes
from keeper.errors import Transient
from keeper.types import Hash, SendResult, Sent

KNOWN = (
    "already known",
    "alreadyknown",
    "already imported",
    "known transaction",
    "existing tx with same hash",
    "already exists",
    "already in mempool",
    "already in the pool",
)

REFUSALS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("nonce_too_low", ("nonce too low", "nonce is too low", "oldnonce", "nonce below", "stale nonce", "nonce has already been used")),
    ("nonce_too_high", ("nonce too high", "nonce is too high", "noncegap", "nonce gap", "nonce too distant", "gapped", "nonceinthefuture")),
    (
        "replacement_underpriced",
        (
            "replacement transaction underpriced",
            "replacement fee too low",
            "replacementnotallowed",
            "underpriced replacement",
            "another transaction with same nonce",
            "could not replace existing",
        ),
    ),
    (
        "insufficient_funds",
        (
            "insufficient funds",
            "insufficientfunds",
            "insufficient balance",
            "upfront cost exceeds",
            "doesn't have enough funds",
            "not enough funds",
        ),
    ),
    (
        "tip_above_max_fee",
        (
            "max priority fee per gas higher than max fee",
            "tip higher than fee cap",
            "max priority fee greater than max fee",
            "priority fee per gas cannot be higher",
            "max priority fee per gas exceeds max fee",
        ),
    ),
    (
        "fee_below_base_fee",
        (
            "less than block base fee",
            "lower than block base fee",
            "below block base fee",
            "less than the current base",
            "lower than the current base",
            "basefee",
            "base fee",
        ),
    ),
    (
        "underpriced",
        (
            "underpriced",
            "feetoolow",
            "fee too low",
            "gas price too low",
            "gas price is too low",
            "below minimum",
            "gas price below",
            "gas tip cap",
        ),
    ),
    ("node_fee_cap", ("exceeds the configured cap",)),
    ("intrinsic_gas", ("intrinsic gas too low", "gas is too low", "below intrinsic gas", "floor data gas", "intrinsicgas")),
    (
        "gas_limit",
        (
            "exceeds block gas limit",
            "intrinsic gas too high",
            "gas limit too high",
            "gaslimitexceeded",
            "exceeds current gas limit",
            "exceeds gas limit",
            "gas limit exceeded",
            "tx gas limit",
        ),
    ),
    (
        "pool_full",
        ("txpool is full", "txpool full", "pool is full", "limit reached", "account limit", "too many transactions"),
    ),
    ("wrong_chain", ("chain id", "chainid", "replay-protected", "replay protected")),
    ("bad_signature", ("invalid sender", "invalid signature", "invalidsignature", "unprotected")),
    ("too_big", ("oversized data", "exceeds max initcode", "too large", "size exceeds")),
    (
        "malformed",
        ("failed to decode", "rlp", "typed transaction too short", "invalid transaction", "transaction type not supported", "malformed"),
    ),
    ("blocked", ("blacklisted", "banned", "not whitelisted", "rejecttransaction")),
    ("not_supported", ("method not found", "does not exist/is not available", "method does not exist")),
)
"""Label and the words of nodes (Geth, Reth, Erigon, Nethermind, Besu, OpenEthereum, anvil), first match wins."""


def classify(message: str) -> Sent:
    """What an error reply to eth_sendRawTransaction means. Words nobody knows are UNKNOWN: the transaction may have been taken."""
    words = message.lower()
    if any(phrase in words for phrase in KNOWN):
        return Sent(SendResult.ACCEPTED, "already_known")
    label = next((label for label, phrases in REFUSALS if any(phrase in words for phrase in phrases)), None)
    return Sent(SendResult.REFUSED, label) if label else Sent(SendResult.UNKNOWN, message[:200])


class PublicRelay:
    """A node's public mempool. Never raises for what a node or a network does, and never sends twice."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        """ACCEPTED with the node's answer; REFUSED with a label; UNKNOWN when nobody can tell."""
        try:
            answer = await self._rpc.request("eth_sendRawTransaction", hex_bytes(raw))
        except RpcError as error:
            return classify(error.words)
        except Transient as away:
            return Sent(SendResult.UNKNOWN, str(away))
        return Sent(SendResult.ACCEPTED) if str(answer).lower() == tx else Sent(SendResult.UNKNOWN, f"the node answered with {answer}")


class DryRelay:
    """Sends nothing."""

    async def send(self, raw: bytes, tx: Hash) -> Sent:
        return Sent(SendResult.REFUSED, "dry_run")
