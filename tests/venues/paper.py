"""Pools that exist as logs only: for properties that need many of them. What their swaps give is proven against the chain elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from eth_abi.abi import encode

from keeper.book.state import Tables
from keeper.concentrated import sqrt_ratio_at_tick
from keeper.types import Address, Hash, Log, PoolKey
from keeper.venues.uniswap_v3 import UniswapV3Venue, events
from keeper.venues.uniswap_v3.tables import TOKENS

FACTORY = Address("0x" + "fa" * 20)
NOBODY = "0x" + "00" * 32
SPACINGS = {100: 1, 500: 10, 3000: 60, 10000: 200}


def token(number: int) -> Address:
    return Address(f"0x{number:040x}")


def log(address: Address, topics: Sequence[str], types: Sequence[str], values: Sequence[object], block: int = 1) -> Log:
    return Log(address, tuple(topics), encode(types, values), block, Hash("0x" + "b1" * 32), 0, Hash("0x" + "aa" * 32), 0, 0)


def topic(kind: str, value: object) -> str:
    return "0x" + encode([kind], [value]).hex()


class Paper:
    """A venue and the state its logs have made."""

    def __init__(self, tokens: Sequence[Address], name: str = "uni") -> None:
        self.venue = UniswapV3Venue(name, FACTORY, 0)
        self.view = Tables()
        self.list(tokens)

    def list(self, tokens: Sequence[Address]) -> None:
        self.view.write([(TOKENS, (address,), 19) for address in tokens])

    def apply(self, *logs: Log) -> None:
        for one in logs:
            self.view.write(self.venue.apply(one, self.view))

    def create(self, a: Address, b: Address, fee: int, block: int = 1) -> PoolKey:
        token0, token1 = sorted((a, b))
        address = Address(f"0x{(int(token0, 16) << 80 | int(token1, 16) << 40 | fee) % 2**160:040x}")
        topics = (events.POOL_CREATED, topic("address", token0), topic("address", token1), topic("uint24", fee))
        self.apply(log(FACTORY, topics, ["int24", "address"], [SPACINGS[fee], address], block))
        return PoolKey(self.venue.name, address, token0, token1, fee)

    def price(self, pool: PoolKey, tick: int) -> None:
        price = sqrt_ratio_at_tick(tick)
        self.apply(log(pool.address, (events.INITIALIZE,), ["uint160", "int24"], [price, tick]))

    def mint(self, pool: PoolKey, lower: int, upper: int, liquidity: int) -> None:
        topics = (events.MINT, NOBODY, topic("int24", lower), topic("int24", upper))
        self.apply(log(pool.address, topics, ["address", "uint128", "uint256", "uint256"], [token(1), liquidity, 0, 0]))

    def burn(self, pool: PoolKey, lower: int, upper: int, liquidity: int) -> None:
        topics = (events.BURN, NOBODY, topic("int24", lower), topic("int24", upper))
        self.apply(log(pool.address, topics, ["uint128", "uint256", "uint256"], [liquidity, 0, 0]))

    def pool(self, a: Address, b: Address, fee: int, tick: int, *positions: tuple[int, int, int]) -> PoolKey:
        """A pool with a price and positions (lower, upper, liquidity)."""
        made = self.create(a, b, fee)
        self.price(made, tick)
        for position in positions:
            self.mint(made, *position)
        return made
