"""A Uniswap v3 factory and its pools, followed by their logs and priced by their own arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isqrt

from keeper.errors import Skip
from keeper.ports import Apply, View
from keeper.types import Address, Callback, Hop, Log, LogFilter, PoolKey, PoolPrice, Read, Step, Write
from keeper.venues.uniswap_v3 import events
from keeper.venues.uniswap_v3.pool import HIGHEST_PRICE, LOWEST_PRICE, Walk, walk
from keeper.venues.uniswap_v3.tables import TOKENS, Names, liquidity_writes
from keeper.venues.uniswap_v3.twap import testimony, ticked

SWAP_SELECTOR = bytes.fromhex("128acb08")
AMOUNT_OFFSET = 4 + 2 * 32
MAX_AMOUNT = 2**255 - 1

SWAP_GAS = 83_000
"""A swap within one tick range, its two token transfers and the callback included. Measured, as are the next two."""

CROSSING_GAS = 41_000
WORD_GAS = 7_100
GENERATION_MODULUS = 2**160


@dataclass(frozen=True, slots=True)
class SwapHop(Hop):
    """A hop that remembers what makes its gas."""

    words: int
    crossings: int


class UniswapV3Venue:
    """Implements `Venue`. Pools whose tokens are not both of interest are remembered, but not followed."""

    columns: tuple[str, ...] = ()

    def __init__(self, name: str, factory: Address, first_block: int) -> None:
        self.name = name
        self.factory = factory
        self._first_block = first_block
        self._names = Names.of(name)
        self._generation = f"{name}.generation"
        self._shape = frozenset({TOKENS, self._generation})
        self._seen: tuple[frozenset[tuple[int | str, ...]], int] | None = None
        self._followed: tuple[PoolKey, ...] = ()

    @property
    def first_block(self) -> int:
        return self._first_block

    # --- the log source

    def filters(self, view: View) -> tuple[LogFilter, ...]:
        created = self._names.created
        pools = (LogFilter(p.address, events.POOL_TOPICS, view.get(created, (p.address,))) for p in self._following(view))
        return LogFilter(self.factory, frozenset({events.POOL_CREATED}), self._first_block), *pools

    def apply(self, log: Log, view: View) -> list[Write]:
        if log.address == self.factory:
            return self._created(log, view) if log.topics[0] == events.POOL_CREATED else []
        if not view.get(self._names.spacing, (log.address,)):
            return []
        return self._moved(log, view)

    def applier(self, view: View) -> Apply:
        return self.apply

    def reshapes(self, writes: Iterable[Write]) -> bool:
        return not self._shape.isdisjoint([table for table, _, _ in writes])

    def reads(self, view: View) -> tuple[Read, ...]:
        return ()

    def absorb(self, replies: object, view: View) -> list[Write]:
        return []

    def _created(self, log: Log, view: View) -> list[Write]:
        token0, token1, fee, spacing, pool = events.pool_created(log)
        number, names = int(pool, 16), self._names
        writes: list[Write] = [
            (names.pools, (token0, token1, fee), number),
            (names.spacing, (pool,), spacing),
            (names.created, (pool,), log.block_number),
        ]
        if view.get(TOKENS, (token0,)) and view.get(TOKENS, (token1,)):
            generation = (3 * view.get(self._generation, ()) + number) % GENERATION_MODULUS
            writes.append((self._generation, (), generation))
        return writes

    def _moved(self, log: Log, view: View) -> list[Write]:
        names, key, topic = self._names, (log.address,), log.topics[0]
        if topic == events.SWAP:
            price, tick, liquidity = events.swapped(log)
            knots = ticked(view, names, log.address, tick, log.timestamp_s)
            return [(names.price, key, price), (names.tick, key, tick), (names.liquidity, key, liquidity), *knots]
        if topic == events.INITIALIZE:
            price, tick = events.initialized(log)
            knots = ticked(view, names, log.address, tick, log.timestamp_s)
            return [(names.price, key, price), (names.tick, key, tick), *knots]
        if topic not in (events.MINT, events.BURN):
            return []
        lower, upper, delta = events.liquidity_changed(log)
        return liquidity_writes(view, names, log.address, lower, upper, delta) if delta else []

    def _following(self, view: View) -> tuple[PoolKey, ...]:
        """Pools of two tokens of interest, by address. Kept while neither the tokens nor the pools among them have changed."""
        seen = frozenset(view.keys(TOKENS)), view.get(self._generation, ())
        if seen != self._seen:
            self._followed = tuple(sorted(self._among(view), key=lambda pool: pool.address))
            self._seen = seen
        return self._followed

    def _among(self, view: View) -> list[PoolKey]:
        pools = []
        for key in view.keys(self._names.pools):
            token0, token1, fee = key
            if view.get(TOKENS, (token0,)) and view.get(TOKENS, (token1,)):
                address = Address(f"0x{view.get(self._names.pools, key):040x}")
                pools.append(PoolKey(self.name, address, Address(str(token0)), Address(str(token1)), int(fee)))
        return pools

    # --- the venue

    def pools(self, view: View) -> tuple[PoolKey, ...]:
        """Followed pools that have a price."""
        return tuple([pool for pool in self._following(view) if view.get(self._names.price, (pool.address,))])

    def swap_in(self, view: View, pool: PoolKey, token_in: Address, amount_in: int) -> SwapHop:
        """Exact input. Raises Skip: "illiquid" if the pool cannot take all of it, "no_pool" if it has no price or not that token."""
        end = self._walk(view, pool, token_in, amount_in, True)
        return self._hop(pool, token_in, amount_in, end.other, end)

    def swap_out(self, view: View, pool: PoolKey, token_in: Address, amount_out: int) -> SwapHop:
        """Exact output. Raises Skip as `swap_in`, "illiquid" if the pool cannot give all of it."""
        end = self._walk(view, pool, token_in, amount_out, False)
        return self._hop(pool, token_in, end.other, amount_out, end)

    def _walk(self, view: View, pool: PoolKey, token_in: Address, amount: int, exact_in: bool) -> Walk:
        address = pool.address
        if token_in not in (pool.token0, pool.token1) or not view.get(self._names.price, (address,)):
            raise Skip("no_pool", f"{address} has no price for {token_in}")
        if not 0 < amount <= MAX_AMOUNT:
            raise Skip("illiquid", f"a swap of {amount} through {address}")
        end = walk(view, self._names, address, pool.fee_pips, token_in == pool.token0, amount, exact_in)
        if end.left:
            raise Skip("illiquid", f"{address} leaves {end.left} of {amount} unswapped")
        return end

    def _hop(self, pool: PoolKey, token_in: Address, amount_in: int, amount_out: int, end: Walk) -> SwapHop:
        names, key = self._names, (pool.address,)
        token_out = pool.token1 if token_in == pool.token0 else pool.token0
        writes = ((names.price, key, end.price), (names.tick, key, end.tick), (names.liquidity, key, end.liquidity))
        return SwapHop(pool, token_in, token_out, amount_in, amount_out, writes, end.words, end.crossings)

    def shifted(self, view: View, pool: PoolKey, up: int, down: int) -> tuple[Write, ...]:
        """By one swap without an end but its price limit, as an arbitrageur makes it."""
        names, key = self._names, (pool.address,)
        price = view.get(names.price, key)
        target = min(max(isqrt(price * price * up // down), LOWEST_PRICE), HIGHEST_PRICE)
        if not price or target == price:
            return ()
        end = walk(view, names, pool.address, pool.fee_pips, target < price, MAX_AMOUNT, True, target)
        return (names.price, key, end.price), (names.tick, key, end.tick), (names.liquidity, key, end.liquidity)

    def testimony(self, view: View, pool: PoolKey, at_s: int, window_s: int) -> PoolPrice | None:
        """As a `Witness`: the pool's own arithmetic mean tick (what its `observe` gives), its price now, and its depth."""
        return testimony(view, self._names, pool.address, at_s, window_s)

    def encode(self, hop: Hop, executor: Address) -> Step:
        data = _swap(hop, executor, hop.amount_in)
        return Step(hop.pool.address, data, hop.token_in, AMOUNT_OFFSET, callback=Callback.PUSH, owed=hop.token_in)

    def encode_flash(self, hop: Hop, executor: Address) -> bytes:
        return _swap(hop, executor, -hop.amount_out)

    def gas(self, hop: Hop) -> int:
        """Gas of the pool's swap call; of one within a tick range if the hop is not this venue's own."""
        if not isinstance(hop, SwapHop):
            return SWAP_GAS
        return SWAP_GAS + CROSSING_GAS * hop.crossings + WORD_GAS * hop.words


def _swap(hop: Hop, executor: Address, amount: int) -> bytes:
    """swap(recipient, zeroForOne, amountSpecified, sqrtPriceLimitX96, data) up to its data. A negative amount is of what comes out."""
    down = hop.token_in == hop.pool.token0
    words = (int(executor, 16), int(down), amount % 2**256, LOWEST_PRICE if down else HIGHEST_PRICE, 5 * 32)
    return SWAP_SELECTOR + b"".join(word.to_bytes(32) for word in words)
