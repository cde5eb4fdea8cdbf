"""The hand-made signer against eth_account."""

from __future__ import annotations

import copy
import pickle

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.errors import ConfigError
from keeper.execution.signer import Signer, Tx1559, decode
from keeper.secret import Secret
from keeper.types import Address

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEYS = st.integers(1, ORDER - 1).map(lambda key: f"{key:064x}")
UINT64 = st.integers(0, 2**64 - 1)
TXS = st.builds(
    Tx1559,
    chain_id=st.integers(1, 2**32),
    nonce=st.integers(0, 2**63),
    priority_fee_wei=UINT64,
    max_fee_wei=UINT64,
    gas_limit=st.integers(21_000, 2**40),
    to=st.binary(min_size=20, max_size=20).map(lambda raw: Address("0x" + raw.hex())),
    value_wei=st.integers(0, 2**96),
    data=st.one_of(st.binary(max_size=80), st.binary(min_size=250, max_size=300)),
)


@settings(max_examples=150, deadline=None)
@given(KEYS, TXS)
def test_the_bytes_and_the_hash_are_those_of_eth_account(key: str, tx: Tx1559) -> None:
    theirs = Account.sign_transaction(
        {
            "type": 2,
            "chainId": tx.chain_id,
            "nonce": tx.nonce,
            "maxPriorityFeePerGas": tx.priority_fee_wei,
            "maxFeePerGas": tx.max_fee_wei,
            "gas": tx.gas_limit,
            "to": bytes.fromhex(tx.to[2:]),
            "value": tx.value_wei,
            "data": tx.data,
        },
        "0x" + key,
    )
    raw, hash_ = Signer(Secret(key)).sign(tx)
    assert raw == theirs.raw_transaction
    assert hash_ == "0x" + bytes(theirs.hash).hex()
    assert decode(raw) == tx


@given(KEYS)
@settings(max_examples=20, deadline=None)
def test_the_address_is_that_of_eth_account_in_lower_case(key: str) -> None:
    assert Signer(Secret("0x" + key)).address == Account.from_key(key).address.lower()


@pytest.mark.parametrize("text", ["", "0x", "12" * 31, "zz" * 32, "00" * 32, f"{ORDER:064x}", "12" * 33])
def test_a_bad_key_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ConfigError, match="private key") as caught:
        Signer(Secret(text))
    assert not text.removeprefix("0x") or text.removeprefix("0x") not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nothing_shows_or_copies_the_key() -> None:
    key = "c0ffee" + "11" * 29
    signer = Signer(Secret(key))
    assert key not in repr(signer) + str(signer) + f"{signer}"
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="private key"):
            way(signer)
