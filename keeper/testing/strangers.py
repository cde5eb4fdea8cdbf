"""A place where anyone may open markets, and strangers who open hostile ones: their logs and replies, for benchmarks and tests.

Their tokens are known ones and only their oracles are fakes, so that no rule can tell before it has asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from keeper.adapters.morpho_blue.cells import Deployment, Policy
from keeper.adapters.morpho_blue.codec import hashed, topic
from keeper.adapters.morpho_blue.events import CREATE_MARKET
from keeper.adapters.morpho_blue.market import MorphoBlueMarket
from keeper.book.book import Book
from keeper.types import Address, Head, Log

NAME = "anyone"
PLACE = Address("0x" + "b1" * 20)
TOKENS = Address("0x" + "a1" * 20), Address("0x" + "a2" * 20)
FEEDS = Address("0x" + "f1" * 20), Address("0x" + "f2" * 20)
ORACLES, OWNERS, IRM = 0x0FAC1E << 128, 0xBAD << 128, 0x1B
LLTV_WAD = 86 * 10**16
ANSWER = (8).to_bytes(32)
"""Of a feed, to whatever it is asked."""

SECURED = topic("SupplyCollateral(bytes32,address,address,uint256)")
BORROWED = topic("Borrow(bytes32,address,address,address,uint256,uint256)")


def anyones() -> MorphoBlueMarket:
    """A market of markets, of which a rule follows those of two tokens with a feed each."""
    feeds = {token: frozenset({feed}) for token, feed in zip(TOKENS, FEEDS, strict=True)}
    return MorphoBlueMarket(Deployment(NAME, PLACE, 0, Policy(feeds=feeds)))


def opened(number: int, head: Head) -> Log:
    """A hostile market begins."""
    loan, collateral = (int(token, 16) for token in TOKENS)
    return _log(CREATE_MARKET, number, head, (), (loan, collateral, ORACLES + number, IRM, LLTV_WAD))


def used(number: int, head: Head, owner: int = 0) -> Iterator[Log]:
    """Somebody gives security in it and borrows; what its oracle says from then on, no event tells."""
    who = f"0x{OWNERS + owner:064x}"
    yield _log(SECURED, number, head, (who, who), (10**18,))
    yield _log(BORROWED, number, head, (who, who), (OWNERS + owner, 10**9, 10**15))


def looked_at(book: Book, market: MorphoBlueMarket) -> None:
    """What no event tells, at the head: the known feeds say something, and every oracle that is asked is a fake, and gives no answer."""
    replies = [ANSWER if read.target in FEEDS else None for read in market.reads(book.tables)]
    book.amend(market.absorb(replies, book.tables))


def _log(topic0: str, number: int, head: Head, topics: tuple[str, ...], words: tuple[int, ...]) -> Log:
    data = b"".join(word.to_bytes(32) for word in words)
    return Log(PLACE, (topic0, f"0x{hashed(number):064x}", *topics), data, head.number, head.hash, head.timestamp_s, head.hash, 0, 0)
