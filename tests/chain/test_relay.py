from __future__ import annotations

from collections.abc import Callable

import pytest
from eth_account import Account

from keeper.chain.relay import DryRelay, PublicRelay
from keeper.chain.rpc import Rpc
from keeper.chain.send_replies import classify
from keeper.devnet import Devnet
from keeper.testing.faults import Fault, FaultProxy
from keeper.types import Hash, SendResult, Sent

PHRASES = [
    ("already known", SendResult.ACCEPTED, "already_known"),  # Geth, Reth
    ("known transaction: 8b2a1f", SendResult.ACCEPTED, "already_known"),  # old Geth, Besu
    ("ALREADY_EXISTS: already known", SendResult.ACCEPTED, "already_known"),  # Erigon
    ("INTERNAL_ERROR: existing tx with same hash", SendResult.ACCEPTED, "already_known"),  # Erigon
    ("AlreadyKnown", SendResult.ACCEPTED, "already_known"),  # Nethermind
    ("transaction already imported", SendResult.ACCEPTED, "already_known"),  # anvil
    ("Transaction with the same hash was already imported.", SendResult.ACCEPTED, "already_known"),  # OpenEthereum
    ("nonce too low: address 0xab, tx: 3 state: 5", SendResult.REFUSED, "nonce_too_low"),
    ("nonce too low: next nonce 5, tx nonce 3", SendResult.REFUSED, "nonce_too_low"),  # Reth
    ("OldNonce", SendResult.REFUSED, "nonce_too_low"),  # Nethermind
    ("Transaction nonce is too low. Try incrementing the nonce.", SendResult.REFUSED, "nonce_too_low"),
    ("nonce too high", SendResult.REFUSED, "nonce_too_high"),
    ("gapped-nonce tx from delegated accounts", SendResult.REFUSED, "nonce_too_high"),
    ("replacement transaction underpriced", SendResult.REFUSED, "replacement_underpriced"),
    ("INTERNAL_ERROR: could not replace existing tx", SendResult.REFUSED, "replacement_underpriced"),  # Erigon
    (
        "Transaction gas price is too low. There is another transaction with same nonce.",
        SendResult.REFUSED,
        "replacement_underpriced",
    ),
    ("transaction underpriced: gas tip cap 1, minimum needed 1000000", SendResult.REFUSED, "underpriced"),
    ("FeeTooLow, MaxFeePerGas too low", SendResult.REFUSED, "underpriced"),
    ("insufficient funds for gas * price + value: balance 0, tx cost 5", SendResult.REFUSED, "insufficient_funds"),
    ("Insufficient funds for gas * price + value", SendResult.REFUSED, "insufficient_funds"),
    ("Upfront cost exceeds account balance", SendResult.REFUSED, "insufficient_funds"),  # Besu
    ("max fee per gas less than block base fee: address 0xab, maxFeePerGas: 1, baseFee: 7", SendResult.REFUSED, "fee_below_base_fee"),
    ("gasPrice is less than the current BaseFee", SendResult.REFUSED, "fee_below_base_fee"),  # Besu
    ("max priority fee per gas higher than max fee per gas", SendResult.REFUSED, "tip_above_max_fee"),
    ("tx fee (1.50 ether) exceeds the configured cap (1.00 ether)", SendResult.REFUSED, "node_fee_cap"),
    ("intrinsic gas too low: gas 20000, minimum needed 21000", SendResult.REFUSED, "intrinsic_gas"),
    ("exceeds block gas limit", SendResult.REFUSED, "gas_limit"),
    ("intrinsic gas too high -- tx.gas_limit > env.block.gas_limit", SendResult.REFUSED, "gas_limit"),
    ("transaction gas limit too high (cap: 16777216, tx: 20000000)", SendResult.REFUSED, "gas_limit"),
    ("txpool is full", SendResult.REFUSED, "pool_full"),
    ("in-flight transaction limit reached for delegated accounts", SendResult.REFUSED, "pool_full"),
    ("invalid chain id for signer: have 1 want 31337", SendResult.REFUSED, "wrong_chain"),
    ("only replay-protected (EIP-155) transactions allowed over RPC", SendResult.REFUSED, "wrong_chain"),
    ("invalid sender", SendResult.REFUSED, "bad_signature"),
    ("rlp: expected input list for types.LegacyTx", SendResult.REFUSED, "malformed"),
    ("Failed to decode transaction", SendResult.REFUSED, "malformed"),
    ("oversized data: transaction size 200000, limit 131072", SendResult.REFUSED, "too_big"),
    ("the method eth_sendRawTransaction does not exist/is not available", SendResult.REFUSED, "not_supported"),
]

Signed = tuple[bytes, Hash]
Sign = Callable[..., Signed]


@pytest.fixture
async def sign(net: Devnet) -> Sign:
    """Transactions of a fresh account that can pay for them."""
    account = Account.create("relay")
    await net.request("anvil_setBalance", account.address, hex(10**18))

    def signed(nonce: int = 0, max_fee_wei: int = 10**11, value: int = 0, chain_id: int = net.chain_id) -> Signed:
        fields = {"maxFeePerGas": max_fee_wei, "maxPriorityFeePerGas": 0, "gas": 21_000, "to": "0x" + "11" * 20, "value": value}
        tx = account.sign_transaction({**fields, "nonce": nonce, "chainId": chain_id, "type": 2})
        return bytes(tx.raw_transaction), Hash("0x" + tx.hash.hex())

    return signed


@pytest.mark.parametrize(("message", "result", "label"), PHRASES)
def test_each_nodes_words_are_understood(message: str, result: SendResult, label: str) -> None:
    assert classify(message) == Sent(result, label)


@pytest.mark.parametrize("message", ["internal error", "request timed out", "context deadline exceeded", "", "something new"])
def test_words_nobody_knows_leave_it_open(message: str) -> None:
    assert classify(message).result is SendResult.UNKNOWN


async def test_a_transaction_that_is_taken_lands(net: Devnet, rpc: Rpc, sign: Sign) -> None:
    raw, tx = sign()
    assert await PublicRelay(rpc).send(raw, tx) == Sent(SendResult.ACCEPTED)
    await net.mine()
    assert (await net.request("eth_getTransactionReceipt", tx))["status"] == "0x1"


async def test_sending_the_same_again_is_accepted(rpc: Rpc, sign: Sign) -> None:
    raw, tx = sign()
    relay = PublicRelay(rpc)
    await relay.send(raw, tx)
    assert await relay.send(raw, tx) == Sent(SendResult.ACCEPTED, "already_known")


async def test_the_real_nodes_refusals_are_labelled(net: Devnet, rpc: Rpc, sign: Sign) -> None:
    relay = PublicRelay(rpc)
    assert await relay.send(*sign(value=10**30)) == Sent(SendResult.REFUSED, "insufficient_funds")
    assert await relay.send(*sign(max_fee_wei=1)) == Sent(SendResult.REFUSED, "fee_below_base_fee")
    assert await relay.send(*sign(chain_id=1)) == Sent(SendResult.REFUSED, "wrong_chain")
    assert await relay.send(b"\x02\x01", Hash("0x")) == Sent(SendResult.REFUSED, "malformed")
    await relay.send(*sign())
    assert await relay.send(*sign(value=1)) == Sent(SendResult.REFUSED, "replacement_underpriced")
    await net.mine()
    assert await relay.send(*sign(value=1)) == Sent(SendResult.REFUSED, "nonce_too_low")


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.HANG, Fault.STATUS, Fault.BAD_JSON])
async def test_a_broken_answer_is_unknown_and_sent_once(faulty: Rpc, proxy: FaultProxy, sign: Sign, fault: Fault) -> None:
    proxy.fail(fault)
    sent = await PublicRelay(faulty).send(*sign())
    assert sent.result is SendResult.UNKNOWN
    assert proxy.requests["eth_sendRawTransaction"] == 1


async def test_a_lost_answer_is_unknown_though_the_transaction_lands(net: Devnet, faulty: Rpc, proxy: FaultProxy, sign: Sign) -> None:
    raw, tx = sign()
    proxy.fail(Fault.DROP_REPLY)
    assert (await PublicRelay(faulty).send(raw, tx)).result is SendResult.UNKNOWN
    await net.mine()
    assert (await net.request("eth_getTransactionReceipt", tx))["status"] == "0x1"


async def test_a_rate_limited_send_is_unknown(faulty: Rpc, proxy: FaultProxy, sign: Sign) -> None:
    proxy.fail(Fault.ERROR, code=429, message="Too Many Requests")
    assert (await PublicRelay(faulty).send(*sign())).result is SendResult.UNKNOWN
    assert proxy.requests["eth_sendRawTransaction"] == 1


async def test_a_dry_relay_sends_nothing(net: Devnet, sign: Sign) -> None:
    raw, tx = sign()
    assert await DryRelay().send(raw, tx) == Sent(SendResult.REFUSED, "dry_run")
    assert await net.request("eth_getTransactionByHash", tx) is None
