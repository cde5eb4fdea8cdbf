"""What a pool remembers of its price: every number its own oracle can give, and those it could give had anybody paid for the room."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.book.state import Tables
from keeper.concentrated import MAX_TICK, sqrt_ratio_at_tick
from keeper.devnet.rpc import RpcError
from keeper.types import Address, PoolKey
from keeper.venues.uniswap_v3.tables import Names
from keeper.venues.uniswap_v3.twap import MEMORY_S, NEAR_TICKS, cumulative, mean_tick, ticked
from tests.venues.world import Call, World, calldata, swap_call

NAMES = Names.of("uni")
POOL = Address("0x" + "01" * 20)
ROUNDS = 60
ROOM = 200
WINDOWS_S = (1, 7, 60, 300, 1800, MEMORY_S)


# --- against the pool's own oracle --------------------------------------------------------------------------------


async def live(world: World, seed: int, room: int) -> list[PoolKey]:
    """Random swaps, mints and burns in all pools, over blocks of random length; the first half of the pools has room for observations."""
    dice = random.Random(seed)
    pools = list(world.pools)
    roomy = pools[: len(pools) // 2]
    await world.act([(pool.address, calldata("increaseObservationCardinalityNext(uint16)", room)) for pool in roomy])
    for _ in range(ROUNDS):
        calls = [_action(world, dice) for _ in range(dice.randint(1, 6))]
        await world.act([call for call in calls if call])
        await world.sync()
        if dice.random() < 0.5:
            head = await world.reader.head()
            await world.net.mine(head.timestamp_s + dice.choice((1, 5, 30, 200)))
    return roomy


def _action(world: World, dice: random.Random) -> Call | None:
    kind = dice.random()
    if kind < 0.1:
        return world.mint(dice.choice(world.pools))
    if kind < 0.2:
        return world.burn()
    swap = world.swap(world.view)
    return swap_call(world, swap) if swap and swap[0].words < 50 and swap[1] else None


async def observed(world: World, pool: PoolKey, at_s: int, ago_s: int) -> int | None:
    """The pool's own accumulator; None when it is too old for it."""
    codec = world.net.contract("pool")
    call = {"to": pool.address, "data": "0x" + codec.encode("observe", ([ago_s],)).hex()}
    try:
        reply: str = await world.net.request("eth_call", call, "latest", {}, {"time": hex(at_s)})
    except RpcError as error:
        if "OLD" in str(error):
            return None
        raise
    found: tuple[Any, ...] = codec.decode("observe", 1, bytes.fromhex(reply[2:]))
    return int(found[0][0])


async def test_every_accumulator_the_pool_can_give_is_ours_to_the_tick(world: World) -> None:
    await live(world, 7, ROOM)
    head = await world.reader.head()
    compared, beyond = 0, 0
    for pool in world.pools:
        for ago_s in (0, 1, 13, 100, 400, 900, 1500, 2500):
            at_s = head.timestamp_s + 12
            theirs, ours = await observed(world, pool, at_s, ago_s), cumulative(world.view, NAMES, pool.address, at_s - ago_s)
            compared += theirs is not None
            beyond += theirs is None and ours is not None
            assert theirs in (None, ours), (pool, ago_s)
    assert compared > len(world.pools) * 3
    assert beyond > len(world.pools)


async def test_a_pool_with_room_for_one_observation_remembers_as_much_as_the_others(world: World) -> None:
    """As if it had been asked in time: the accumulator is read back at each block, before it is overwritten."""
    slots = await world.reads([(pool, "slot0", ()) for pool in world.pools])
    pool = next(p for p, slot in zip(world.pools, slots, strict=True) if slot[3] == 1 and world.cell("liquidity", p.address) > 10**15)
    dice, seen = random.Random(3), dict[int, int | None]()
    for _ in range(40):
        token = dice.choice((pool.token0, pool.token1))
        hop = world.venue.swap_in(world.view, pool, token, 10 ** dice.randint(6, 15))
        await world.act([swap_call(world, (hop, True))])
        await world.sync()
        at_s = (await world.reader.head()).timestamp_s
        seen[at_s] = await observed(world, pool, at_s, 0)
    assert len(set(seen.values())) > 10
    assert {at_s: cumulative(world.view, NAMES, pool.address, at_s) for at_s in seen} == seen
    first, last = min(seen), max(seen)
    before, after = seen[first], seen[last]
    assert before is not None
    assert after is not None
    assert mean_tick(world.view, NAMES, pool.address, last, last - first) == (after - before) // (last - first)


async def test_the_depth_is_what_swaps_to_two_percent_off_pay_out(world: World) -> None:
    """Of an exact-input swap far too large, stopped by its price limit at the same tick."""
    compared = 0
    for pool in world.pools:
        heard = world.venue.testimony(world.view, pool, (await world.reader.head()).timestamp_s + 3000, 60)
        tick = world.cell("tick", pool.address)
        if heard is None or abs(tick) > MAX_TICK - 2 * NEAR_TICKS:
            continue
        for down, paid in ((False, heard.depth0), (True, heard.depth1)):
            limit = sqrt_ratio_at_tick(tick - NEAR_TICKS if down else tick + NEAR_TICKS)
            token = pool.token0 if down else pool.token1
            data = "0x" + calldata("swap(address,bool,int256,uint160,bytes)", world.actor, down, 2**120, limit, _owed(token)).hex()
            swap = {"from": world.actor, "to": pool.address, "data": data}
            amounts = world.net.contract("pool").decode("swap", 5, bytes.fromhex((await world.net.request("eth_call", swap))[2:]))
            theirs = -int(amounts[1 if down else 0])
            assert theirs - 500 <= paid <= theirs + 500, (pool, down)
            compared += theirs > 10**6
    assert compared > len(world.pools) // 2


def _owed(token: Address) -> bytes:
    return int(token, 16).to_bytes(32)


# --- by itself ----------------------------------------------------------------------------------------------------

EVENTS = st.lists(st.tuples(st.sampled_from((0, 0, 1, 12, 12, 500, 2000)), st.integers(-MAX_TICK, MAX_TICK)), min_size=1, max_size=60)


@given(EVENTS, st.sampled_from(WINDOWS_S), st.sampled_from((0, 1, 12, 4000)))
def test_the_mean_is_that_of_every_second(events: list[tuple[int, int]], window_s: int, later_s: int) -> None:
    view, now_s, second_by_second = Tables(), 1_000_000, dict[int, int]()
    start_s = now_s
    for wait_s, tick in events:
        now_s += wait_s
        view.write(ticked(view, NAMES, POOL, tick, now_s))
        second_by_second[now_s] = tick
    at_s = now_s + later_s
    mean = mean_tick(view, NAMES, POOL, at_s, window_s)
    if at_s - window_s < start_s + events[0][0]:
        assert mean is None
        return
    if later_s + window_s > MEMORY_S:
        return
    tick, total = 0, 0
    for second in range(start_s, at_s):
        tick = second_by_second.get(second, tick)
        total += tick if second >= at_s - window_s else 0
    assert mean == total // window_s


def test_what_is_remembered_is_bounded_by_the_memory() -> None:
    view = Tables()
    for second in range(0, 20_000, 2):
        view.write(ticked(view, NAMES, POOL, second % 1000 + 1, 1_000_000 + second))
    assert sum(1 for _ in view.keys(NAMES.knot)) <= MEMORY_S / 2 + 3
    assert mean_tick(view, NAMES, POOL, 1_019_998, MEMORY_S) is not None


def test_a_block_takes_one_knot_however_often_its_swaps_move_the_tick() -> None:
    view = Tables()
    for tick in range(100):
        view.write(ticked(view, NAMES, POOL, tick, 100))
    assert sum(1 for _ in view.keys(NAMES.knot)) == 1
    assert cumulative(view, NAMES, POOL, 110) == 990


def test_an_event_that_leaves_the_tick_writes_nothing() -> None:
    view = Tables()
    view.write(ticked(view, NAMES, POOL, 5, 100))
    assert ticked(view, NAMES, POOL, 5, 160) == []


@pytest.mark.parametrize("window_s", WINDOWS_S)
def test_a_pool_that_was_never_priced_has_no_mean(window_s: int) -> None:
    assert mean_tick(Tables(), NAMES, POOL, 5_000, window_s) is None
