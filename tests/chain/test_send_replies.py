"""Every reply to a transaction that the nodes' own sources know, and what it means for the nonce.

The tables are read from the files that `keeper.chain.send_replies` names; where a node adds figures, with some.
"""

from __future__ import annotations

import pytest

from keeper.chain.send_replies import KNOWN, REFUSALS, classify
from keeper.types import SendResult

TAKEN, NOBODY_KNOWS = "already_known", ""

NETHERMIND = {
    TAKEN: ["already known"],
    "bad_signature": ["failed to recover sender", "InvalidTxSignature: Signature is invalid."],
    "gas_limit": ["gas limit reached", "TxGasLimitCapExceeded: Gas limit 20000000 exceeded cap of 16777216."],
    "insufficient_funds": ["insufficient funds for gas * price + value"],
    "intrinsic_gas": ["intrinsic gas too low"],
    "malformed": [
        "transaction cost overflow",
        "transaction invalid",
        "unsupported transaction type",
        "InvalidTxType: Transaction type in Berlin is not supported.",
    ],
    "node_not_ready": ["node is syncing"],
    "nonce_too_high": ["nonce too high", "nonce too far in future", "delegation nonce gap"],
    "nonce_too_low": ["nonce too low"],
    "replacement_underpriced": ["replacement transaction underpriced"],
    "sender_conflict": ["pending transaction type conflict", "delegation authority has pending transaction"],
    "sender_not_eoa": ["sender not an eoa"],
    "tip_above_max_fee": ["InvalidMaxPriorityFeePerGas: Cannot be higher than maxFeePerGas."],
    "too_big": ["transaction too large"],
    "underpriced": ["transaction underpriced"],
    "wrong_chain": ["InvalidTxChainId: Expected 1, got 31337."],
}
ERIGON = {
    TAKEN: ["existing txn with same hash", "already known"],
    "bad_signature": ["invalid sender"],
    "gas_limit": ["gas limit is too high"],
    "insufficient_funds": ["insufficient funds"],
    "intrinsic_gas": ["IntrinsicGas"],
    "malformed": ["negative value", "GasUintOverflow", "fork supporting this transaction type is not activated yet"],
    "nonce_too_low": ["nonce too low"],
    "pool_full": ["spammer", "pending sub-pool is full", "baseFee sub-pool is full", "queued sub-pool is full"],
    "replacement_underpriced": ["replacement transaction underpriced", "could not replace existing tx"],
    "sender_conflict": ["EIP-7702 transaction with authority already reserved"],
    "too_big": ["oversized data", "RLPTooLong", "initcode too large"],
    "underpriced": ["underpriced", "fee too low"],
    NOBODY_KNOWS: ["mined", "replaced by transaction with higher tip"],
}
RETH = {
    TAKEN: ["already known"],
    "bad_signature": ["invalid sender", "invalid transaction signature"],
    "fee_below_base_fee": ["max fee per gas less than block base fee"],
    "gas_limit": ["intrinsic gas too high", "gas limit too high", "exceeds max transaction gas limit", "exceeds block gas limit"],
    "insufficient_funds": ["insufficient funds for transfer", "insufficient funds for gas * price + value: have 1 want 2"],
    "intrinsic_gas": ["intrinsic gas too low"],
    "malformed": [
        "nonce has max value",
        "gas uint64 overflow",
        "transaction type not supported",
        "max priority fee per gas higher than 2^256-1",
        "max fee per gas higher than 2^256-1",
        "negative value",
        "failed to decode signed transaction",
    ],
    "node_fee_cap": ["tx fee (5 wei) exceeds the configured cap (3 wei)"],
    "nonce_too_high": ["nonce too high"],
    "nonce_too_low": ["nonce too low: next nonce 5, tx nonce 3"],
    "pool_full": ["txpool is full"],
    "sender_conflict": ["address already reserved"],
    "sender_not_eoa": ["sender is not an EOA"],
    "tip_above_max_fee": ["max priority fee per gas higher than max fee per gas"],
    "too_big": ["oversized data: transaction size 5, limit 4", "max initcode size exceeded"],
    "underpriced": ["transaction priority fee below minimum required priority fee 5"],
    "wrong_chain": ["invalid chain ID"],
    NOBODY_KNOWS: ["gas required exceeds allowance (2)", "Batch transaction sender channel closed"],
}
BESU = {
    TAKEN: ["Known transaction"],
    "bad_signature": ["Invalid signature"],
    "blocked": ["Sender account not authorized to send transactions", "Plugin has marked the transaction as invalid"],
    "fee_below_base_fee": ["Gas price below current base fee"],
    "gas_limit": ["Transaction gas limit exceeds block gas limit"],
    "insufficient_funds": ["Upfront cost exceeds account balance"],
    "intrinsic_gas": ["Intrinsic gas exceeds gas limit"],
    "malformed": ["Invalid transaction type"],
    "node_fee_cap": ["Transaction fee cap exceeded"],
    "node_not_ready": [
        "Transaction pool not enabled. (Either txpool explicitly disabled, or node not yet in sync).",
        "Initial sync is still in progress",
    ],
    "nonce_too_high": [
        "Nonce too high",
        "Transaction nonce is too distant from current sender nonce",
        "An invalid transaction with a lower nonce exists",
    ],
    "nonce_too_low": ["Nonce too low"],
    "replacement_underpriced": ["Replacement transaction underpriced"],
    "tip_above_max_fee": ["Max priority fee per gas exceeds max fee per gas"],
    "underpriced": ["Gas price below configured minimum gas price"],
    "wrong_chain": ["Wrong chainId", "ChainId not supported", "ChainId is required"],
    NOBODY_KNOWS: ["Internal error", "Timeout expired"],
}
ANVIL = {
    TAKEN: ["transaction already imported"],
    "fee_below_base_fee": ["max fee per gas less than block base fee"],
    "gas_limit": [
        "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit",
        "Transaction gas limit is greater than the block gas limit, gas_limit: 3, cap: 2",
    ],
    "insufficient_funds": ["insufficient funds for transfer", "Insufficient funds for gas * price + value"],
    "intrinsic_gas": ["intrinsic gas too low"],
    "malformed": ["nonce has max value", "Empty transaction data", "Failed to decode transaction"],
    "nonce_too_high": ["Nonce too high"],
    "nonce_too_low": ["nonce too low"],
    "replacement_underpriced": ["replacement transaction underpriced"],
    "sender_not_eoa": ["sender not an eoa"],
    "tip_above_max_fee": [
        "max priority fee per gas higher than max fee per gas",
        "Invalid input: `max_priority_fee_per_gas` greater than `max_fee_per_gas`",
    ],
    "wrong_chain": ["invalid chain id for signer", "Incompatible EIP-155 transaction, signed for another chain"],
    NOBODY_KNOWS: ["Cyclic transaction detected"],
}
GETH = {
    TAKEN: ["already known"],
    "bad_signature": ["invalid sender", "invalid transaction v, r, s values"],
    "gas_limit": ["exceeds block gas limit", "transaction gas limit too high (cap: 16777216, tx: 20000000)"],
    "insufficient_funds": [
        "insufficient funds for gas * price + value: balance 0, tx cost 1, overshot 1",
        "insufficient funds for gas * price + value: balance 0, queued cost 1, tx cost 2, overshot 3",
    ],
    "intrinsic_gas": [
        "intrinsic gas too low: gas 1, minimum needed 2",
        "insufficient gas for floor data gas cost: gas 1, minimum needed 2",
    ],
    "malformed": [
        "negative value",
        "max priority fee per gas higher than 2^256-1",
        "transaction type not supported: tx type 5 not supported by this pool",
        "transaction type not supported: type 2 rejected, pool not yet in London",
        "typed transaction too short",
    ],
    "node_fee_cap": ["tx fee (1.50 ether) exceeds the configured cap (1.00 ether)"],
    "nonce_too_high": ["gapped-nonce tx from delegated accounts", "nonce too high: tx nonce 9, gapped nonce 7"],
    "nonce_too_low": ["nonce too low: next nonce 5, tx nonce 3", "nonce too low: address 0xab, tx: 3 state: 5"],
    "pool_full": [
        "account limit exceeded",
        "txpool is full",
        "in-flight transaction limit reached for delegated accounts",
        "account limit exceeded: pooled 64 txs",
    ],
    "replacement_underpriced": ["replacement transaction underpriced"],
    "sender_conflict": [
        "future transaction tries to replace pending",
        "address already reserved",
        "authority already reserved",
        "authority nonce too low",
    ],
    "too_big": ["oversized data", "max initcode size exceeded: code size 1, limit 2"],
    "underpriced": [
        "transaction underpriced",
        "gas tip cap 1, minimum needed 2",
        "transaction gas price below minimum: gas tip cap 1, minimum needed 2",
    ],
    "wrong_chain": ["invalid chain id for signer: have 1 want 2", "only replay-protected (EIP-155) transactions allowed over RPC"],
}

NODES = {"geth": GETH, "nethermind": NETHERMIND, "erigon": ERIGON, "reth": RETH, "besu": BESU, "anvil": ANVIL}
REPLIES = [(node, label, words) for node, table in NODES.items() for label, replies in table.items() for words in replies]


@pytest.mark.parametrize(("node", "label", "words"), REPLIES)
def test_every_reply_of_every_node_means_one_thing_for_the_nonce(node: str, label: str, words: str) -> None:
    """As it stands, behind a gateway's prefix, and in capitals."""
    expected = {TAKEN: SendResult.ACCEPTED, NOBODY_KNOWS: SendResult.UNKNOWN}.get(label, SendResult.REFUSED)
    for said in (words, f"INTERNAL_ERROR: {words}", words.upper()):
        sent = classify(said)
        assert sent.result is expected, said
        assert sent.detail == (label or said[:200])


def test_what_nobody_has_heard_of_keeps_its_nonce() -> None:
    for words in ("", "internal error", "request timed out", "header not found", "upstream connect error", "gateway time-out"):
        assert classify(words).result is SendResult.UNKNOWN


def test_a_transaction_that_is_in_the_pool_is_never_taken_for_a_refused_one() -> None:
    """Some refusal's words may stand beside it: being known comes first."""
    for known in KNOWN:
        for _, phrases in REFUSALS:
            assert classify(f"{phrases[0]}: {known}").result is SendResult.ACCEPTED
