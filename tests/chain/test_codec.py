from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.codec import address_word, checksum, decode_revert, selector, to_address, topic, word, words
from keeper.types import Address


def test_selectors_and_topics_are_the_known_ones() -> None:
    assert selector("transfer(address,uint256)").hex() == "a9059cbb"
    assert topic("Transfer(address,address,uint256)") == "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@given(st.integers(-(2**255), 2**255 - 1))
def test_a_word_is_what_the_abi_coder_writes(value: int) -> None:
    assert word(value) == encode(["int256"], [value])


def test_a_number_of_more_than_256_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        word(2**256)


def test_words_follow_one_another() -> None:
    assert words(1, 2**256 - 1) == encode(["uint256", "uint256"], [1, 2**256 - 1])


@given(st.binary(min_size=20, max_size=20))
def test_an_address_survives_word_integer_and_checksum(raw: bytes) -> None:
    address = Address("0x" + raw.hex())
    assert address_word(address) == encode(["address"], [address])
    assert to_address(address_word(address)) == to_address(int.from_bytes(raw, "big")) == address
    assert checksum(address) == to_checksum_address(address)


@given(st.text(max_size=200))
def test_a_revert_with_text_is_read_back(text: str) -> None:
    assert decode_revert(selector("Error(string)") + encode(["string"], [text])) == text


def test_a_panic_says_what_it_means() -> None:
    assert decode_revert(selector("Panic(uint256)") + word(0x11)) == "panic: arithmetic overflow"
    assert decode_revert(selector("Panic(uint256)") + word(0x99)) == "panic: 0x99"


@given(st.binary(max_size=120))
def test_malformed_revert_data_is_never_an_error(tail: bytes) -> None:
    for start in (b"", selector("Error(string)"), selector("Panic(uint256)")):
        assert isinstance(decode_revert(start + tail), (str, type(None)))


def test_other_revert_data_is_not_claimed() -> None:
    assert decode_revert(selector("Unauthorized()")) is None
