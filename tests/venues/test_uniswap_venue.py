"""The venue as a log source and as an encoder: what it follows, what it skips, and the bytes it makes."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from keeper.errors import Skip
from keeper.types import ZERO_ADDRESS, Address, Callback, Hop, LogFilter
from keeper.venues.uniswap_v3 import events
from keeper.venues.uniswap_v3.pool import HIGHEST_PRICE, LOWEST_PRICE
from keeper.venues.uniswap_v3.venue import SWAP_GAS
from tests.venues.paper import FACTORY, Paper, log, token, topic

A, B, C = token(10), token(11), token(12)
EXECUTOR = Address("0x" + "ee" * 20)
FULL = (-887220, 887220, 10**18)


def test_topics_are_the_hashes_of_the_event_signatures() -> None:
    signatures = {
        "PoolCreated(address,address,uint24,int24,address)": events.POOL_CREATED,
        "OwnerChanged(address,address)": events.OWNER_CHANGED,
        "Initialize(uint160,int24)": events.INITIALIZE,
        "Mint(address,address,int24,int24,uint128,uint256,uint256)": events.MINT,
        "Burn(address,int24,int24,uint128,uint256,uint256)": events.BURN,
        "Swap(address,address,int256,int256,uint160,uint128,int24)": events.SWAP,
    }
    assert {signature: "0x" + keccak(text=signature).hex() for signature in signatures} == signatures


def test_only_pools_of_two_listed_tokens_are_followed_each_from_its_creation() -> None:
    paper = Paper([A, B])
    wanted = paper.create(A, B, 500, block=7)
    paper.create(A, C, 500, block=8)
    factory, *pools = paper.venue.filters(paper.view)
    assert factory == LogFilter(FACTORY, frozenset({events.POOL_CREATED}), 0)
    assert pools == [LogFilter(wanted.address, events.POOL_TOPICS, 7)]


def test_a_pool_is_followed_once_both_its_tokens_are_listed() -> None:
    paper = Paper([A, B])
    assert len(paper.venue.filters(paper.view)) == 1
    later = paper.create(A, C, 3000, block=5)
    assert len(paper.venue.filters(paper.view)) == 1
    paper.list([C])
    assert [f.address for f in paper.venue.filters(paper.view)] == [FACTORY, later.address]


def test_an_undone_creation_is_no_longer_followed() -> None:
    paper = Paper([A, B])
    before = {(table, key): value for table, key, value in paper.view.cells()}
    paper.create(A, B, 500)
    assert len(paper.venue.filters(paper.view)) == 2
    paper.view.write([(table, key, before.get((table, key), 0)) for table, key, _ in list(paper.view.cells())])
    assert len(paper.venue.filters(paper.view)) == 1


def test_a_pool_trades_once_it_has_a_price() -> None:
    paper = Paper([A, B])
    pool = paper.create(A, B, 500)
    assert paper.venue.pools(paper.view) == ()
    with pytest.raises(Skip, match="no_pool"):
        paper.venue.swap_in(paper.view, pool, A, 1)
    paper.price(pool, 0)
    assert paper.venue.pools(paper.view) == (pool,)


def test_a_pool_without_liquidity_is_illiquid() -> None:
    paper = Paper([A, B])
    pool = paper.pool(A, B, 500, 0)
    for swap in (paper.venue.swap_in, paper.venue.swap_out):
        with pytest.raises(Skip, match="illiquid"):
            swap(paper.view, pool, A, 1)


@pytest.mark.parametrize("amount", [0, -1, 2**255])
def test_amounts_a_pool_would_refuse_are_illiquid(amount: int) -> None:
    paper = Paper([A, B])
    pool = paper.pool(A, B, 3000, 0, FULL)
    with pytest.raises(Skip, match="illiquid"):
        paper.venue.swap_in(paper.view, pool, A, amount)


def test_a_pool_does_not_take_a_token_it_does_not_trade() -> None:
    paper = Paper([A, B, C])
    pool = paper.pool(A, B, 3000, 0, FULL)
    with pytest.raises(Skip, match="no_pool"):
        paper.venue.swap_in(paper.view, pool, C, 1)


def test_a_gap_without_liquidity_is_crossed_to_what_lies_beyond() -> None:
    paper = Paper([A, B])
    pool = paper.pool(A, B, 500, 0, (-20, 20, 10**18), (-600_000, -599_000, 10**18))
    edge = paper.venue.swap_in(paper.view, pool, A, 10**15)
    assert edge.crossings == 0
    beyond = paper.venue.swap_in(paper.view, pool, A, 10**25)
    assert beyond.crossings == 2
    assert -600_000 <= beyond.writes[1][2] < -599_000


def test_a_thin_pool_whose_every_word_would_have_to_be_walked_is_illiquid() -> None:
    paper = Paper([A, B])
    pool = paper.pool(A, B, 100, 0, (-887_272, 887_272, 10**6))
    near = paper.venue.swap_in(paper.view, pool, A, 10**8)
    assert 200 < near.words < 500
    with pytest.raises(Skip, match="illiquid"):
        paper.venue.swap_in(paper.view, pool, A, 10**12)


def test_a_position_is_active_from_its_lower_tick_to_just_below_its_upper() -> None:
    paper = Paper([A, B])
    pool = paper.create(A, B, 500)
    paper.price(pool, 20)
    for lower, upper, active in ((-20, 20, 0), (20, 40, 1), (30, 40, 1), (10, 30, 2)):
        paper.mint(pool, lower, upper, 1)
        assert paper.view.get("uni.liquidity", (pool.address,)) == active


def test_a_burnt_position_leaves_no_cells_behind() -> None:
    paper = Paper([A, B])
    pool = paper.pool(A, B, 500, 5)
    before = sorted(paper.view.cells(), key=repr)
    for lower, upper in ((-20, 20), (-2560 * 256, 2560 * 256), (10, 2550)):
        paper.mint(pool, lower, upper, 10**18)
    assert sorted(paper.view.cells(), key=repr) != before
    for lower, upper in ((-20, 20), (-2560 * 256, 2560 * 256), (10, 2550)):
        paper.burn(pool, lower, upper, 10**18)
    assert sorted(paper.view.cells(), key=repr) == before


def test_logs_of_others_and_other_logs_change_nothing() -> None:
    paper = Paper([A, B])
    pool = paper.pool(A, B, 500, 0)
    before = sorted(paper.view.cells(), key=repr)
    stray = log(token(99), (events.SWAP, topic("address", A), topic("address", B)), ["uint256"] * 5, [1, 2, 3, 4, 5])
    flash = log(
        pool.address, ("0x" + keccak(text="Flash(address,address,uint256,uint256,uint256,uint256)").hex(),), ["uint256"] * 4, [1] * 4
    )
    owner = log(FACTORY, (events.OWNER_CHANGED, topic("address", A), topic("address", B)), [], [])
    paper.apply(stray, flash, owner)
    assert sorted(paper.view.cells(), key=repr) == before


@pytest.mark.parametrize(("token_in", "down", "limit"), [(A, True, LOWEST_PRICE), (B, False, HIGHEST_PRICE)])
def test_the_call_is_the_abi_encoding_with_the_amount_where_the_step_says(token_in: Address, down: bool, limit: int) -> None:
    paper = Paper([A, B])
    pool = paper.pool(A, B, 3000, 0, FULL)
    hop = paper.venue.swap_in(paper.view, pool, token_in, 12345)
    step = paper.venue.encode(hop, EXECUTOR)
    assert (step.target, step.data + bytes(32)) == (pool.address, swap_call(down, 12345, limit))
    assert (step.amount_token, step.owed, step.callback) == (token_in, token_in, Callback.PUSH)
    assert int.from_bytes(step.data[step.amount_offset : step.amount_offset + 32], "big") == 12345


@pytest.mark.parametrize(("token_in", "down", "limit"), [(A, True, LOWEST_PRICE), (B, False, HIGHEST_PRICE)])
def test_a_flash_swap_asks_for_what_comes_out(token_in: Address, down: bool, limit: int) -> None:
    paper = Paper([A, B])
    pool = paper.pool(A, B, 3000, 0, FULL)
    hop = paper.venue.swap_out(paper.view, pool, token_in, 12345)
    assert paper.venue.encode_flash(hop, EXECUTOR) + bytes(32) == swap_call(down, -12345, limit)


def swap_call(down: bool, amount: int, limit: int) -> bytes:
    arguments = encode(["address", "bool", "int256", "uint160", "bytes"], [EXECUTOR, down, amount, limit, b""])
    return keccak(text="swap(address,bool,int256,uint160,bytes)")[:4] + arguments


def test_a_hop_from_elsewhere_is_taken_for_a_plain_swap() -> None:
    paper = Paper([A, B])
    pool = paper.pool(A, B, 3000, 0, FULL)
    assert paper.venue.gas(Hop(pool, A, B, 1, 1, ())) == SWAP_GAS


def test_there_is_nothing_to_read_from_the_node() -> None:
    paper = Paper([A])
    assert paper.venue.reads(paper.view) == ()
    assert paper.venue.absorb((), paper.view) == []
    assert ZERO_ADDRESS not in {f.address for f in paper.venue.filters(paper.view)}
