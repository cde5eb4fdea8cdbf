"""What a node's error reply to eth_sendRawTransaction means for the nonce: taken, surely not taken, or nobody knows.

The words are those of the nodes' own sources: ethereum/go-ethereum (core/txpool/errors.go, core/txpool/validation.go, core/error.go,
internal/ethapi/api.go), NethermindEth/nethermind (Nethermind.TxPool/TxPoolErrorMessages.cs, Nethermind.Core/Messages/TxErrorMessages.cs;
AcceptTxResult.cs for the names of older ones), erigontech/erigon (txnprovider/txpool/txpoolcfg/txpoolcfg.go), paradigmxyz/reth
(crates/rpc/rpc-eth-types/src/error/mod.rs), hyperledger/besu (RpcErrorType.java), foundry-rs/foundry (crates/anvil/src/eth/error.rs),
openethereum/openethereum.
"""

from __future__ import annotations

from keeper.types import SendResult, Sent

KNOWN = (
    "already known",
    "alreadyknown",
    "already imported",
    "known transaction",
    "existing tx with same hash",
    "existing txn with same hash",
    "already exists",
    "already in mempool",
    "already in the pool",
)

REFUSALS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "node_not_ready",
        ("node is syncing", "initial sync", "not yet in sync", "transaction pool not enabled"),
    ),
    (
        "sender_conflict",  # with the sender's own others, or with a delegation of his account
        (
            "authority already reserved",
            "authority nonce too low",
            "authority has pending",
            "address already reserved",
            "transaction type conflict",
            "tries to replace pending",
        ),
    ),
    ("nonce_too_low", ("nonce too low", "nonce is too low", "oldnonce", "nonce below", "stale nonce", "nonce has already been used")),
    (
        "nonce_too_high",
        (
            "nonce too high",
            "nonce is too high",
            "noncegap",
            "nonce gap",
            "nonce too distant",
            "nonce is too distant",
            "nonce too far",
            "gapped",
            "nonceinthefuture",
            "transaction with a lower nonce exists",
        ),
    ),
    (
        "replacement_underpriced",
        (
            "replacement transaction underpriced",
            "replacement fee too low",
            "replacementnotallowed",
            "underpriced replacement",
            "another transaction with same nonce",
            "could not replace existing",
            "to replace existing transaction",
        ),
    ),
    (
        "insufficient_funds",
        (
            "insufficient funds",
            "insufficientfunds",
            "insufficient balance",
            "upfront cost exceeds",
            "overdraws from account",
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
            "`max_priority_fee_per_gas` greater than",
            "priority fee per gas cannot be higher",
            "invalidmaxpriorityfeepergas",
            "max priority fee per gas exceeds max fee",
        ),
    ),
    (
        "pool_full",
        ("txpool is full", "txpool full", "pool is full", "pool size constraints", "account limit", "too many transactions", "spammer"),
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
            "below configured minimum",
            "below chain minimum",
            "gas price below",
            "gas tip cap",
        ),
    ),
    ("node_fee_cap", ("exceeds the configured cap", "fee cap exceeded")),
    (
        "intrinsic_gas",
        (
            "intrinsic gas too low",
            "intrinsic gas exceeds",
            "gas is too low",
            "below intrinsic gas",
            "floor data gas",
            "intrinsicgas",
        ),
    ),
    (
        "gas_limit",
        (
            "exceeds block gas limit",
            "exceeds block's gas limit",
            "greater than the block gas limit",
            "intrinsic gas too high",
            "gas limit too high",
            "gas limit is too high",
            "gas limit reached",
            "gaslimitexceeded",
            "gaslimitcapexceeded",
            "exceeds current gas limit",
            "exceeds gas limit",
            "exceeds max transaction gas limit",
            "gas limit exceeded",
            "gas limit overflow",
            "tx gas limit",
        ),
    ),
    ("pool_full", ("limit reached",)),
    ("wrong_chain", ("chain id", "chainid", "replay-protected", "replay protected", "signed for another chain")),
    (
        "bad_signature",
        (
            "invalid sender",
            "recover sender",
            "invalid signature",
            "invalidsignature",
            "signature is invalid",
            "transaction signature",
            "v, r, s values",
            "unprotected",
        ),
    ),
    (
        "too_big",
        (
            "oversized data",
            "initcode size",
            "max_init_code_size",
            "initcode too large",
            "input data too large",
            "transaction too large",
            "payload too large",
            "size exceeds",
            "rlptoolong",
        ),
    ),
    (
        "malformed",
        (
            "failed to decode",
            "rlp",
            "typed transaction too short",
            "invalid transaction",
            "transaction invalid",
            "transaction type not supported",
            "unsupported transaction type",
            "invalidtxtype",
            "fork supporting this transaction type",
            "malformed",
            "empty transaction data",
            "negative value",
            "uint64 overflow",
            "gasuintoverflow",
            "bigint overflow",
            "cost overflow",
            "higher than 2^256",
            "nonce has max value",
        ),
    ),
    ("sender_not_eoa", ("not an eoa", "sender is contract", "senderiscontract")),
    ("blocked", ("blacklisted", "banned", "not whitelisted", "rejecttransaction", "not authorized to send", "plugin has marked")),
    ("not_supported", ("method not found", "does not exist/is not available", "method does not exist")),
)
"""Label and the words of nodes, first match wins. Left out on purpose, for one of ours may have the nonce: Erigon's "mined" and "replaced
by transaction with higher tip", and what says only that something broke ("internal error", "timeout expired")."""

NOT_ITS_FAULT = frozenset({"nonce_too_low", "pool_full", "node_not_ready", "dry_run"})
"""Refusals that say nothing against the bytes: they may be sent again as they are."""


def classify(message: str) -> Sent:
    """What an error reply to eth_sendRawTransaction means. Words nobody knows are UNKNOWN: the transaction may have been taken."""
    words = message.lower()
    if any(phrase in words for phrase in KNOWN):
        return Sent(SendResult.ACCEPTED, "already_known")
    label = next((label for label, phrases in REFUSALS if any(phrase in words for phrase in phrases)), None)
    return Sent(SendResult.REFUSED, label) if label else Sent(SendResult.UNKNOWN, message[:200])
