"""Pools of every shape on the devnet's own Uniswap, somebody who trades in them, and the venue that follows their logs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.book.state import Overlay
from keeper.concentrated import MAX_TICK, sqrt_ratio_at_tick
from keeper.devnet import Devnet
from keeper.errors import Skip
from keeper.ports import Reader
from keeper.types import Address, LogFilter, PoolKey, Write
from keeper.venues.uniswap_v3 import SwapHop, UniswapV3Venue
from keeper.venues.uniswap_v3.tables import TOKENS

Call = tuple[Address, bytes]
Swap = tuple[SwapHop, bool]
"""A hop, and whether its input was given (else its output)."""

SPACINGS = {100: 1, 500: 10, 3000: 60, 10000: 200}
PAIRS = (("LINK", "DAI"), ("WBTC", "LINK"), ("LINK", "USDC"), ("wstETH", "DAI"), ("wstETH", "LINK"))
SYMBOLS = ("DAI", "LINK", "USDC", "WBTC", "wstETH")
STRANGER = Address("0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc")
PURSE, WETH_PURSE = 2**128, 10**29
ACT_GAS = 58_000_000
CALLS_PER_TX = 12
"""Few enough for a block, were they all to create pools or to cross hundreds of words."""


@cache
def actor_code() -> bytes:
    from vyper.compiler import compile_code

    source = Path(__file__).with_name("actor.vy").read_text()
    return bytes.fromhex(compile_code(source, output_formats=["bytecode"])["bytecode"][2:])


def calldata(signature: str, *args: object) -> bytes:
    types = signature[signature.index("(") + 1 : -1].split(",")
    return keccak(text=signature)[:4] + encode(types, args)


@dataclass
class Position:
    pool: PoolKey
    lower: int
    upper: int
    liquidity: int


@dataclass
class World:
    net: Devnet
    venue: UniswapV3Venue
    reader: Reader
    actor: Address
    view: Overlay
    dice: random.Random
    positions: list[Position] = field(default_factory=list)
    _next_block: int = 0
    _followed: set[Address] = field(default_factory=set)

    def branch(self, seed: int) -> World:
        """The same world with a view of its own: what happens in a test stays there."""
        positions = [Position(p.pool, p.lower, p.upper, p.liquidity) for p in self.positions]
        dice = random.Random(seed)
        view = Overlay(self.view)
        return World(self.net, self.venue, self.reader, self.actor, view, dice, positions, self._next_block, set(self._followed))

    @property
    def pools(self) -> tuple[PoolKey, ...]:
        return self.venue.pools(self.view)

    def cell(self, table: str, *key: int | str) -> int:
        return self.view.get(f"{self.venue.name}.{table}", key)

    # --- the chain

    async def act(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """Do all of it; returns the logs."""
        logs: list[dict[str, Any]] = []
        for start in range(0, len(calls), CALLS_PER_TX):
            data = calldata_of_act(calls[start : start + CALLS_PER_TX])
            receipt = await self.net.transact(STRANGER, self.actor, data, gas=ACT_GAS)
            logs += receipt["logs"]
        return logs

    async def sync(self) -> None:
        """Apply the logs since the last time; a pool heard of for the first time is followed from its creation."""
        head = (await self.reader.head()).number
        await self._apply([f for f in self.venue.filters(self.view) if f.address in self._followed], self._next_block, head)
        while new := [f for f in self.venue.filters(self.view) if f.address not in self._followed]:
            self._followed |= {f.address for f in new}
            await self._apply(new, min(f.since_block for f in new), head)
        self._next_block = head + 1

    async def _apply(self, filters: list[LogFilter], first: int, last: int) -> None:
        for log in await self.reader.logs(filters, first, last) if filters else []:
            self.view.write(self.venue.apply(log, self.view))

    async def read(self, pool: PoolKey, function: str, *args: object) -> tuple[Any, ...]:
        return (await self.reads([(pool, function, args)]))[0]

    async def reads(self, wanted: Sequence[tuple[PoolKey, str, tuple[object, ...]]]) -> list[tuple[Any, ...]]:
        codec = self.net.contract("pool")
        calls: list[tuple[str, list[Any]]] = [
            ("eth_call", [{"to": pool.address, "data": "0x" + codec.encode(f, args).hex()}, "latest"]) for pool, f, args in wanted
        ]
        replies = await self.net.batch(calls)
        return [codec.decode(f, len(args), bytes.fromhex(reply[2:])) for (_, f, args), reply in zip(wanted, replies, strict=True)]

    # --- what may be done

    def mint(self, pool: PoolKey) -> Call:
        lower, upper = self._range(pool)
        position = Position(pool, lower, upper, int(10 ** self.dice.uniform(12, 22)))
        self.positions.append(position)
        args = self.actor, lower, upper, position.liquidity, b""
        return pool.address, calldata("mint(address,int24,int24,uint128,bytes)", *args)

    def burn(self) -> Call:
        """All or a part of a position, or none of it (a poke)."""
        position = self.dice.choice([p for p in self.positions if p.liquidity])
        amount = self.dice.choice([position.liquidity, self.dice.randint(0, position.liquidity), 0])
        position.liquidity -= amount
        return position.pool.address, calldata("burn(int24,int24,uint128)", position.lower, position.upper, amount)

    def swap(self, view: Overlay) -> Swap | None:
        """A random swap; None if its pool cannot serve it."""
        pool, dice = self.dice.choice(self.pools), self.dice
        token_in, exact_in = dice.choice((pool.token0, pool.token1)), dice.random() < 0.5
        swap = self.venue.swap_in if exact_in else self.venue.swap_out
        try:
            return swap(view, pool, token_in, int(10 ** dice.uniform(0, 25))), exact_in
        except Skip:
            return None

    def _range(self, pool: PoolKey) -> tuple[int, int]:
        """Everywhere, around the price, beside it, or anywhere."""
        spacing, dice = SPACINGS[pool.fee_pips], self.dice
        last = MAX_TICK // spacing
        here = self.cell("tick", pool.address) // spacing
        shapes = (
            (-last, last),
            (here - dice.randint(0, 30), here + dice.randint(1, 30)),
            (here + dice.randint(1, 400), here + dice.randint(401, 800)),
            (here - dice.randint(401, 800), here - dice.randint(1, 400)),
            (dice.randint(-last, -1), dice.randint(0, last)),
        )
        lower, upper = dice.choices(shapes, (1, 4, 2, 2, 1))[0]
        lower, upper = max(lower, -last), min(upper, last)
        return (lower * spacing, upper * spacing) if lower < upper else (-last * spacing, last * spacing)


def calldata_of_act(calls: Sequence[Call]) -> bytes:
    return keccak(text="act((address,bytes)[])")[:4] + encode(["(address,bytes)[]"], [list(calls)])


async def build(net: Devnet, venue: UniswapV3Venue, reader: Reader) -> World:
    """Twenty pools more, of all fees and at prices from one end to the other, each with a few positions."""
    actor = Address((await net.transact(STRANGER, None, actor_code()))["contractAddress"].lower())
    for symbol in SYMBOLS:
        await net.deal(symbol, actor, PURSE)
    await net.request("anvil_setBalance", STRANGER, hex(2 * WETH_PURSE))
    await net.call(STRANGER, "token.WETH", "deposit", value=WETH_PURSE)
    await net.call(STRANGER, "token.WETH", "transfer", actor, WETH_PURSE)
    world = World(net, venue, reader, actor, Overlay(_tokens(net)), random.Random(1))
    await world.sync()
    await world.act([(venue.factory, calldata("createPool(address,address,uint24)", *key)) for key in _wanted(net)])
    await world.sync()
    await world.act([_initialize(world, pool) for pool in world.venue.filters(world.view)[1:] if not world.cell("price", pool.address)])
    await world.sync()
    own = [pool for pool in world.pools if (pool.token0, pool.token1, pool.fee_pips) in set(_wanted(net))]
    await world.act([world.mint(pool) for pool in own for _ in range(5)])
    await world.sync()
    return world


def _tokens(net: Devnet) -> Any:
    from keeper.book.state import Tables

    tables = Tables()
    tables.write(_listed(net))
    return tables


def _listed(net: Devnet) -> list[Write]:
    return [(TOKENS, (address,), 19) for name, address in net.addresses.items() if name.startswith("token.")]


def _wanted(net: Devnet) -> list[tuple[Address, Address, int]]:
    pairs = [sorted(net.addresses[f"token.{symbol}"] for symbol in pair) for pair in PAIRS]
    return [(token0, token1, fee) for token0, token1 in pairs for fee in SPACINGS]


def _initialize(world: World, pool: LogFilter) -> Call:
    spread = world.dice.choice((100, 10_000, 300_000, MAX_TICK - 1))
    price = sqrt_ratio_at_tick(world.dice.randint(-spread, spread)) + world.dice.choice((0, world.dice.randint(0, 1000)))
    return pool.address, calldata("initialize(uint160)", price)


def swap_call(world: World, swap: Swap) -> Call:
    """The pool call of a swap, as the executor would make it with that much of the token; or the same trade by its output."""
    hop, exact_in = swap
    step = world.venue.encode(hop, world.actor)
    start, end = step.amount_offset, step.amount_offset + 32
    exact_input = step.data[:start] + hop.amount_in.to_bytes(32) + step.data[end:]
    head = exact_input if exact_in else world.venue.encode_flash(hop, world.actor)
    return step.target, head + (32).to_bytes(32) + int(hop.token_in, 16).to_bytes(32)
