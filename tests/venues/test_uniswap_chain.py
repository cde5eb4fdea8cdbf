"""The venue's arithmetic against the real contracts: every number must be theirs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from eth_abi.abi import decode
from eth_utils.crypto import keccak

from keeper.book.state import Overlay
from keeper.concentrated import MAX_SQRT_RATIO, MAX_TICK, MIN_SQRT_RATIO, MIN_TICK, sqrt_ratio_at_tick, tick_at_sqrt_ratio
from keeper.devnet.names import DEPLOYER
from keeper.devnet.rpc import RpcError
from keeper.errors import Skip
from keeper.types import Address, PoolKey
from keeper.venues.uniswap_v3 import SwapHop
from keeper.venues.uniswap_v3.events import INITIALIZE, SWAP
from keeper.venues.uniswap_v3.pool import HIGHEST_PRICE, LOWEST_PRICE
from tests.venues.world import ACT_GAS, SPACINGS, STRANGER, Call, Swap, World, calldata, calldata_of_act, swap_call

QUOTES = 4000
SWAPS = 400
ACTIONS = 400
PRICES = 3000
TOO_MUCH_GAS = 2_500_000
HUGE = 10**30
GAS_SWAPS = 60
WIDE = 16383


def quoter_call(world: World, pool: PoolKey, token_in: Address, amount: int, exact_in: bool) -> tuple[str, list[Any]]:
    token_out = pool.token1 if token_in == pool.token0 else pool.token0
    function = "quoteExactInputSingle" if exact_in else "quoteExactOutputSingle"
    data = world.net.encode("uniswap.quoter", function, (token_in, token_out, amount, pool.fee_pips, 0))
    return "eth_call", [{"to": world.net.addresses["uniswap.quoter"], "data": "0x" + data.hex()}, "latest"]


def quoted(reply: str) -> tuple[int, int, int]:
    """(the other amount, the price after, gas)"""
    other, price, _, gas = decode(["uint256", "uint160", "uint32", "uint256"], bytes.fromhex(reply[2:]))
    return other, price, gas


async def test_quotes_equal_the_quoter_for_random_pools_directions_and_sizes(world: World) -> None:
    swaps = [swap for swap in (world.swap(world.view) for _ in range(QUOTES)) if swap]
    calls = [quoter_call(world, h.pool, h.token_in, h.amount_in if exact_in else h.amount_out, exact_in) for h, exact_in in swaps]
    for (hop, exact_in), reply in zip(swaps, await world.net.batch(calls), strict=True):
        assert quoted(reply)[:2] == (hop.amount_out if exact_in else hop.amount_in, hop.writes[0][2])
    assert len(swaps) > QUOTES // 2
    assert sum(hop.crossings > 1 for hop, _ in swaps) > QUOTES // 20


async def test_what_is_skipped_as_illiquid_the_quoter_cannot_fill_either(world: World) -> None:
    """It reverts, or ends at the last price with input left, or burns too much gas on the way."""
    ends = ((pool, token, exact_in) for pool in world.pools for token in (pool.token0, pool.token1) for exact_in in (True, False))
    skipped = [end for end in ends if not fills(world, *end)]
    for pool, token_in, exact_in in skipped:
        _, price, gas = await asked(world, pool, token_in, exact_in)
        assert price in (LOWEST_PRICE, HIGHEST_PRICE) or gas > TOO_MUCH_GAS
    assert len(skipped) > len(world.pools)


def fills(world: World, pool: PoolKey, token_in: Address, exact_in: bool) -> bool:
    swap = world.venue.swap_in if exact_in else world.venue.swap_out
    try:
        return bool(swap(world.view, pool, token_in, HUGE))
    except Skip:
        return False


async def asked(world: World, pool: PoolKey, token_in: Address, exact_in: bool) -> tuple[int, int, int]:
    """The quoter's answer; its revert counts as an end at the last price."""
    method, params = quoter_call(world, pool, token_in, HUGE, exact_in)
    try:
        return quoted(await world.net.request(method, *params))
    except RpcError:
        return 0, LOWEST_PRICE, 0


async def test_where_256_bits_overflow_the_quoter_agrees_on_the_coarser_formula(world: World) -> None:
    """It takes a price that falls by more than 2**32 within one bitmap word, so a very wide tick spacing."""
    tokens = sorted(world.net.addresses[f"token.{symbol}"] for symbol in ("DAI", "USDC"))
    await world.net.call(DEPLOYER, "uniswap.factory", "enableFeeAmount", 1, WIDE)
    for symbol in ("DAI", "USDC"):
        await world.net.deal(symbol, world.actor, 2**200)
    await world.act([(world.venue.factory, calldata("createPool(address,address,uint24)", *tokens, 1))])
    await world.sync()
    pool = next(f.address for f in world.venue.filters(world.view) if world.cell("spacing", f.address) == WIDE)
    position = world.actor, -50 * WIDE, 54 * WIDE, 2**110, b""
    await world.act([(pool, calldata("initialize(uint160)", sqrt_ratio_at_tick(800_000)))])
    await world.act([(pool, calldata("mint(address,int24,int24,uint128,bytes)", *position))])
    await world.sync()
    key = next(key for key in world.pools if key.address == pool)
    sizes = [2**98 + world.dice.randrange(2**exponent) for exponent in range(60, 150)]
    hops = [world.venue.swap_in(world.view, key, key.token0, size) for size in sizes]
    replies = await world.net.batch([quoter_call(world, key, key.token0, size, True) for size in sizes])
    assert [quoted(reply)[:2] for reply in replies] == [(hop.amount_out, hop.writes[0][2]) for hop in hops]


async def test_swaps_in_sequence_do_what_their_hops_say(world: World) -> None:
    view = Overlay(world.view)
    swaps: list[Swap] = []
    while len(swaps) < SWAPS:
        swap = world.swap(view)
        if swap and swap[0].words < 100:
            view.write(swap[0].writes)
            swaps.append(swap)
    logs = [log for log in await world.act([swap_call(world, swap) for swap in swaps]) if log["topics"][0] == SWAP]
    assert [outcome(log) for log in logs] == [predicted(hop) for hop, _ in swaps]
    await world.sync()
    for pool in world.pools:
        for table in ("price", "tick", "liquidity"):
            assert world.cell(table, pool.address) == view.get(f"uni.{table}", (pool.address,))


def outcome(log: dict[str, Any]) -> tuple[object, ...]:
    """(pool, token 0 paid, token 1 paid, price, tick, liquidity)"""
    amount0, amount1, price, liquidity, tick = decode(["int256", "int256", "uint160", "uint128", "int24"], bytes.fromhex(log["data"][2:]))
    return log["address"].lower(), amount0, amount1, price, tick, liquidity


def predicted(hop: SwapHop) -> tuple[object, ...]:
    amounts = hop.amount_in, -hop.amount_out
    return hop.pool.address, *(amounts if hop.token_in == hop.pool.token0 else reversed(amounts)), *(value for _, _, value in hop.writes)


async def test_gas_is_estimated_within_a_third(world: World) -> None:
    swaps: list[Swap] = []
    while len(swaps) < GAS_SWAPS:
        swap = world.swap(world.view)
        if swap and swap[0].words < 50 and swap[0].amount_out:
            swaps.append(swap)
    for swap in swaps:
        assert 3 / 4 < await burnt(world, swap) / world.venue.gas(swap[0]) < 4 / 3
    assert sum(hop.crossings > 0 for hop, _ in swaps) > GAS_SWAPS // 10


async def burnt(world: World, swap: Swap) -> int:
    """Gas of the pool's call alone."""
    call = {"from": STRANGER, "to": world.actor, "gas": hex(ACT_GAS), "data": "0x" + calldata_of_act([swap_call(world, swap)]).hex()}
    trace = await world.net.request("debug_traceCall", call, "latest", {"tracer": "callTracer"})
    return next(int(inner["gasUsed"], 16) for inner in trace["calls"] if inner["to"] == swap[0].pool.address)


async def test_state_from_logs_equals_the_contracts_after_random_mints_burns_and_swaps(world: World) -> None:
    for _ in range(ACTIONS // 50):
        await world.act(actions(world, 50))
        await world.sync()
    await compare_slots(world)
    await compare_ticks(world)


def actions(world: World, count: int) -> list[Call]:
    """Mints and burns among swaps that stay well within what the pools hold."""
    calls: list[Call] = []
    view = Overlay(world.view)
    minted = world.pools
    while len(calls) < count:
        kind = world.dice.choice(("mint", "burn", "swap"))
        if kind == "mint":
            calls.append(world.mint(world.dice.choice(minted)))
        elif kind == "burn":
            calls.append(world.burn())
        elif (swap := world.swap(view)) and swap[0].words < 20 and swap[0].amount_in < 10**20:
            calls.append(swap_call(world, swap))
    return calls


async def compare_slots(world: World) -> None:
    slots = await world.reads([(pool, "slot0", ()) for pool in world.pools])
    active = await world.reads([(pool, "liquidity", ()) for pool in world.pools])
    for pool, slot, (liquidity,) in zip(world.pools, slots, active, strict=True):
        assert slot[:2] == (world.cell("price", pool.address), world.cell("tick", pool.address))
        assert liquidity == world.cell("liquidity", pool.address)


async def compare_ticks(world: World) -> None:
    """Every tick that was ever touched, and the bitmap word it is in."""
    touched = {(p.pool, tick) for p in world.positions for tick in (p.lower, p.upper)}
    ticks = sorted(touched, key=lambda found: (found[0].address, found[1]))
    infos = await world.reads([(pool, "ticks", (tick,)) for pool, tick in ticks])
    words = [(pool, tick // SPACINGS[pool.fee_pips] >> 8) for pool, tick in ticks]
    marks = await world.reads([(pool, "tickBitmap", (word,)) for pool, word in words])
    for (pool, tick), info, (_, word), (bits,) in zip(ticks, infos, words, marks, strict=True):
        assert info[:2] == (world.cell("gross", pool.address, tick), world.cell("net", pool.address, tick))
        assert bits == world.cell("bitmap", pool.address, word)
        assert bool(bits) == bool(world.cell("words", pool.address, word >> 8) >> (word & 255) & 1)
    assert any(info[0] == 0 for info in infos)


async def test_ticks_of_prices_are_the_contracts_own(world: World) -> None:
    """One simulated `initialize` for each price: at random, and on both sides of tick boundaries."""
    dice = random.Random(3)
    ticks = [*range(MIN_TICK + 1, MIN_TICK + 20), *range(MAX_TICK - 20, MAX_TICK), *range(-20, 20)]
    ticks += [dice.randint(MIN_TICK + 1, MAX_TICK - 1) for _ in range(PRICES // 3)]
    prices = [price for tick in ticks for price in (sqrt_ratio_at_tick(tick), sqrt_ratio_at_tick(tick) - 1)]
    prices += [MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1]
    prices += [int(2 ** dice.uniform(32.1, 159.9)) for _ in range(PRICES // 3)]
    assert [tick_at_sqrt_ratio(price) for price in prices] == await ticks_on_chain(world, prices)


async def ticks_on_chain(world: World, prices: Sequence[int]) -> list[int]:
    """Each price initialises a pool of its own: an empty address that delegates to a pool's code (EIP-1167)."""
    code = "0x363d3d373d3d3d363d73" + world.pools[0].address[2:] + "5af43d82803e903d91602b57fd5bf3"
    places = ["0x" + keccak(text=f"pool {i}")[-20:].hex() for i in range(len(prices))]
    calls = [
        {"to": place, "data": "0x" + calldata("initialize(uint160)", price).hex()} for place, price in zip(places, prices, strict=True)
    ]
    found: list[int] = []
    for start in range(0, len(prices), 250):
        part = slice(start, start + 250)
        overrides = {place: {"code": code} for place in places[part]}
        blocks = await world.net.request(
            "eth_simulateV1", {"blockStateCalls": [{"stateOverrides": overrides, "calls": calls[part]}]}, "latest"
        )
        for call in blocks[0]["calls"]:
            (log,) = call["logs"]
            assert log["topics"] == [INITIALIZE]
            found.append(decode(["uint160", "int24"], bytes.fromhex(log["data"][2:]))[1])
    return found
