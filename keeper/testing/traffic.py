"""A busy chain out of nothing: a lending market, a venue, and the logs of their days as a node sends them, for benchmarks of the book.

traffic = Traffic(accounts=10_000, seed=1)
book = traffic.book()
for head, raw in traffic.blocks(events=50_000):
    book.commit(book.stage(Block(head, tuple(log_of(entry, head.timestamp_s) for entry in raw))))
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from keeper.adapters.aave_v3.cells import Deployment, Era
from keeper.adapters.aave_v3.codec import topic
from keeper.adapters.aave_v3.market import AaveV3Market
from keeper.adapters.aave_v3.versions import V3_6
from keeper.book.book import TOKENS, Book, followed, unfollowed
from keeper.fixedpoint import RAY
from keeper.types import Address, Hash, Head, Write
from keeper.venues.uniswap_v3.events import SWAP
from keeper.venues.uniswap_v3.tables import Names
from keeper.venues.uniswap_v3.venue import UniswapV3Venue

MARKET, VENUE = "market", "venue"
BALANCE, MOST_MOVED = 10**24, 10**18
"""Scaled balances at the start, and what one event moves at most: nobody's is ever used up."""

FIRST_TIMESTAMP_S, BLOCK_TIME_S = 1_700_000_000, 12

MINT, BURN = (topic(f"{name}(address,address,uint256,uint256,uint256)") for name in ("Mint", "Burn"))
UPDATED = topic("ReserveDataUpdated(address,uint256,uint256,uint256,uint256,uint256)")
ENABLED, DISABLED = (topic(f"ReserveUsedAsCollateral{word}(address,address)") for word in ("Enabled", "Disabled"))
TRANSFER = topic("BalanceTransfer(address,address,uint256,uint256)")
ANSWER = topic("AnswerUpdated(int256,uint256,uint256)")

Emitted = tuple[Address, Sequence[str], Sequence[int]]
"""(contract, topics, words of the data)"""


class Traffic:
    """70 % of the logs are the market's, 20 % swaps, 10 % oracle answers. The same seed gives the same logs."""

    def __init__(self, accounts: int = 10_000, reserves: int = 30, pools: int = 60, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._accounts = [self._address() for _ in range(accounts)]
        self._assets, self._atokens, self._vtokens, self._sources, self._aggregators = (
            [self._address() for _ in range(reserves)] for _ in range(5)
        )
        self._pools = [self._address() for _ in range(pools)]
        self._pool, self._oracle = self._address(), self._address()
        eras = (Era((0, 0), V3_6),)
        self.market = AaveV3Market(Deployment(MARKET, self._address(), self._pool, self._address(), 0, eras, "usd-8"))
        self.venue = UniswapV3Venue(VENUE, self._address(), 0)
        self._kinds: dict[Callable[[], Emitted], int] = {
            self._minted: 26,
            self._burnt: 18,
            self._updated: 20,
            self._flagged: 4,
            self._transferred: 2,
            self._swapped: 20,
            self._answered: 10,
        }

    # --- the state it starts from

    def book(self) -> Book:
        """Both sources, everybody's balances, and every contract followed from block 0 on."""
        book = Book((self.market, self.venue))
        book.start(self._head(0), (), self.cells())
        book.start(self._head(0), (), followed(unfollowed(book.sources, book.tables)))
        return book

    def cells(self) -> Iterator[Write]:
        cells = self.market.cells
        yield cells.market, ("oracle",), int(self._oracle, 16)
        for reserve in range(len(self._assets)):
            yield from self._reserve(reserve)
        for number, account in enumerate(self._accounts):
            yield from self._position(number, account)
        for number, pool in enumerate(self._pools):
            yield from self._created(number, pool)

    def _reserve(self, reserve: int) -> Iterator[Write]:
        cells, asset, source = self.market.cells, self._assets[reserve], self._sources[reserve]
        atoken, vtoken = self._atokens[reserve], self._vtokens[reserve]
        yield cells.slot, (reserve,), int(asset, 16)
        yield cells.id, (asset,), reserve + 1
        yield cells.token, (atoken,), 2 * reserve + 1
        yield cells.token, (vtoken,), 2 * reserve + 2
        for field, value in {"atoken": int(atoken, 16), "vtoken": int(vtoken, 16), "active": 1, "lt": 8000, "bonus": 10500}.items():
            yield cells.reserve, (reserve, field), value
        for field, value in {"li": RAY, "bi": RAY, "ts": FIRST_TIMESTAMP_S}.items():
            yield cells.index, (reserve, field), value
        for field, value in {"decimals": 18, "price": 10**8, "source": int(source, 16)}.items():
            yield cells.asset, (asset, field), value
        yield cells.aggregator, (source,), int(self._aggregators[reserve], 16)
        yield TOKENS, (asset,), 1

    def _position(self, number: int, account: Address) -> Iterator[Write]:
        """Two collaterals and two debts."""
        cells, reserves = self.market.cells, len(self._assets)
        supplied, owed = ((number + step) % reserves for step in (0, 1)), ((number + step) % reserves for step in (2, 3))
        bits = 0
        for reserve in supplied:
            bits |= 2 << 2 * reserve
            yield cells.supply, (reserve, account), BALANCE
        for reserve in owed:
            bits |= 1 << 2 * reserve
            yield cells.debt, (reserve, account), BALANCE
        yield cells.bits, (0, account), bits

    def _created(self, number: int, pool: Address) -> Iterator[Write]:
        names, one = Names.of(VENUE), number % len(self._assets)
        tokens = sorted((self._assets[one], self._assets[one - 1 - number // len(self._assets)]))
        yield names.pools, (*tokens, 500), int(pool, 16)
        for table, value in ((names.spacing, 10), (names.price, 2**96), (names.liquidity, 10**20)):
            yield table, (pool,), value

    # --- what happens

    def blocks(self, events: int, per_block: int = 200) -> Iterator[tuple[Head, list[dict[str, Any]]]]:
        """Blocks 1, 2, …, each with its logs in order."""
        kinds, shares = list(self._kinds), list(self._kinds.values())
        for number, first in enumerate(range(0, events, per_block), start=1):
            drawn = self._rng.choices(kinds, shares, k=min(per_block, events - first))
            head = self._head(number)
            yield head, [self._raw(head, index, kind()) for index, kind in enumerate(drawn)]

    def _position_of(self, shift: int) -> tuple[Address, int]:
        """Somebody, and one of the two reserves of that side."""
        number = self._rng.randrange(len(self._accounts))
        return self._accounts[number], (number + shift + self._rng.randrange(2)) % len(self._assets)

    def _token(self) -> tuple[Address, Address]:
        side = self._rng.randrange(2)
        account, reserve = self._position_of(2 * side)
        return account, (self._vtokens if side else self._atokens)[reserve]

    def _minted(self) -> Emitted:
        account, token = self._token()
        return token, (MINT, _topic(account), _topic(account)), (*self._moved(), RAY + self._rng.randrange(RAY))

    def _burnt(self) -> Emitted:
        account, token = self._token()
        return token, (BURN, _topic(account), _topic(account)), (*self._moved(), RAY + self._rng.randrange(RAY))

    def _moved(self) -> tuple[int, int]:
        """(value, the interest in it)"""
        amount = self._rng.randrange(1, MOST_MOVED)
        return amount, amount // 1000

    def _transferred(self) -> Emitted:
        sender, reserve = self._position_of(0)
        topics = (TRANSFER, _topic(sender), _topic(self._rng.choice(self._accounts)))
        return self._atokens[reserve], topics, (self._rng.randrange(MOST_MOVED), RAY)

    def _updated(self) -> Emitted:
        rates = (self._rng.randrange(RAY // 20), 0, self._rng.randrange(RAY // 10))
        indexes = (RAY + self._rng.randrange(RAY), RAY + self._rng.randrange(RAY))
        return self._pool, (UPDATED, _topic(self._rng.choice(self._assets))), (*rates, *indexes)

    def _flagged(self) -> Emitted:
        account, reserve = self._position_of(0)
        return self._pool, (self._rng.choice((ENABLED, DISABLED)), _topic(self._assets[reserve]), _topic(account)), ()

    def _swapped(self) -> Emitted:
        someone, tick = _topic(self._rng.choice(self._accounts)), self._rng.randrange(-10_000, 10_000)
        amounts = (self._rng.randrange(10**20), -self._rng.randrange(10**20))
        state = (int(1.0001 ** (tick / 2) * 2**96), self._rng.randrange(10**22), tick)
        return self._rng.choice(self._pools), (SWAP, someone, someone), (*amounts, *state)

    def _answered(self) -> Emitted:
        topics = (ANSWER, _word(self._rng.randrange(10**7, 10**11)), _word(self._rng.randrange(10**6)))
        return self._rng.choice(self._aggregators), topics, (FIRST_TIMESTAMP_S,)

    # --- as a node says it

    def _address(self) -> Address:
        return Address(f"0x{self._rng.getrandbits(160):040x}")

    def _head(self, number: int) -> Head:
        timestamp_s = FIRST_TIMESTAMP_S + BLOCK_TIME_S * number
        return Head(number, Hash(_word(number + 1)), Hash(_word(number)), timestamp_s, 10**9, 30_000_000, 15_000_000)

    def _raw(self, head: Head, index: int, emitted: Emitted) -> dict[str, Any]:
        address, topics, words = emitted
        return {
            "address": address,
            "topics": list(topics),
            "data": "0x" + "".join(_word(word)[2:] for word in words),
            "blockNumber": hex(head.number),
            "blockHash": head.hash,
            "blockTimestamp": hex(head.timestamp_s),
            "transactionHash": _word(1000 * head.number + index),
            "transactionIndex": hex(index),
            "logIndex": hex(index),
            "removed": False,
        }


def _word(value: int) -> str:
    return f"0x{value % 2**256:064x}"


def _topic(address: Address) -> str:
    return "0x" + "0" * 24 + address[2:]
