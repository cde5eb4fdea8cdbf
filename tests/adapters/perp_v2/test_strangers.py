"""What discovery did not find is never guessed: the account is left alone, and one clear word says why."""

from __future__ import annotations

import pytest

from keeper.adapters.perp_v2.codec import topic
from keeper.adapters.perp_v2.mark import index_price
from keeper.book.state import Tables
from keeper.errors import Skip
from keeper.types import Address, Hash, Log
from tests.adapters.perp_v2.curie import member
from tests.adapters.perp_v2.synthetic import BOOK, CASH, DEPLOYMENT, ETHER, MARKET

WHO, NOW_S = member("somebody"), 1_000_000
HASH = Hash("0x" + "0" * 64)
DEPOSITED = topic("Deposited(address,address,uint256)")
FUNDING = topic("FundingPaymentSettled(address,address,int256)")


def log(emitter: Address, topic0: str, *indexed: Address, words: tuple[int, ...] = (), block: int = 5) -> Log:
    topics = (topic0, *("0x" + "0" * 24 + address[2:] for address in indexed))
    data = b"".join((value % 2**256).to_bytes(32) for value in words)
    return Log(emitter, topics, data, block, HASH, NOW_S, HASH, 0, 0)


def applied(*logs: Log) -> Tables:
    tables = Tables({MARKET.name: MARKET.columns})
    for one in logs:
        tables.write(MARKET.apply(one, tables))
    return tables


@pytest.mark.parametrize(
    "stranger",
    [
        log(DEPLOYMENT.vault, DEPOSITED, member("another token"), WHO, words=(7,)),
        log(DEPLOYMENT.clearing_house, FUNDING, WHO, member("another base"), words=(7,)),
    ],
)
def test_an_account_with_something_unknown_is_left_alone(stranger: Log) -> None:
    tables = applied(log(DEPLOYMENT.vault, DEPOSITED, ETHER.token, WHO, words=(10**18,)), stranger)
    assert MARKET.rows(tables, WHO) == ()
    assert not MARKET.health(tables, WHO, NOW_S).liquidatable
    with pytest.raises(Skip, match="unknown_book"):
        MARKET.pairs(tables, WHO, NOW_S)


def test_a_contract_is_believed_in_its_own_role_only() -> None:
    forged = log(DEPLOYMENT.clearing_house, DEPOSITED, CASH.token, WHO, words=(10**12,))
    foreign = log(member("nobody"), DEPOSITED, CASH.token, WHO, words=(10**12,))
    assert list(applied(forged, foreign).cells()) == []


def test_another_price_feed_ends_the_markets_prices_until_a_restart() -> None:
    tables = applied(log(BOOK.base, topic("PriceFeedChanged(address)"), member("another feed")))
    with pytest.raises(Skip, match="restart to discover"):
        index_price(DEPLOYMENT, MARKET.cells, tables, 0, NOW_S, 0)


def test_a_deposit_is_the_accounts_own_and_touches_nobody_else() -> None:
    tables = Tables({MARKET.name: MARKET.columns})
    writes = MARKET.apply(log(DEPLOYMENT.vault, DEPOSITED, CASH.token, WHO, words=(10**9,)), tables)
    assert MARKET.touched(writes) == {WHO}
    undo = tables.write(writes)
    tables.write(undo)
    assert list(tables.cells()) == []


@pytest.mark.parametrize("code", ["CH_EAV", "EX_OPLAS", "OLD", "CH_CLWTISO"])
def test_the_protocols_codes_are_decoded(code: str) -> None:
    data = bytes.fromhex("08c379a0") + (32).to_bytes(32) + len(code).to_bytes(32) + code.encode().ljust(32, b"\0")
    assert MARKET.decode_error(data) == code


def test_what_is_not_the_protocols_is_not_decoded() -> None:
    text = b"ERC20: transfer amount exceeds balance"
    data = bytes.fromhex("08c379a0") + (32).to_bytes(32) + len(text).to_bytes(32) + text
    assert [MARKET.decode_error(found) for found in (b"", b"\0" * 4, data)] == [None, None, None]
