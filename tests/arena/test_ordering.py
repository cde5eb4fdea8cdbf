"""The builder's rules, as properties over random pools."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.arena.mempool import Bundle, Mempool, Refused, Tx
from keeper.arena.ordering import Unit, arrange
from keeper.types import Address, Hash

BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS = 100, 1000, 12_000
SENDERS = [Address(f"0x{i:040x}") for i in range(1, 5)]


def tx(sender: int, nonce: int, tip: int, max_fee: int = 10_000, gas: int = 100, arrived_ms: int = 0, private: bool = False) -> Tx:
    name = Hash(f"0x{hash((sender, nonce, tip, max_fee, gas, arrived_ms)) % 2**256:064x}")
    return Tx(name, SENDERS[sender], nonce, max_fee, tip, gas, "0x", b"", f"p{sender}", private, arrived_ms)


TXS = st.builds(
    tx,
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 60),
    st.integers(80, 200),
    st.integers(50, 500),
    st.integers(0, 13_000),
)
POOLS = st.lists(TXS, max_size=16, unique_by=lambda one: (one.sender, one.nonce))
BUNDLES = st.lists(
    st.builds(lambda txs: Bundle(tuple(txs), 1, 3, txs[0].owner), st.lists(TXS, min_size=1, max_size=3, unique_by=lambda one: one.nonce)),
    max_size=3,
)


@settings(max_examples=200, deadline=None)
@given(POOLS, BUNDLES)
def test_a_block_keeps_nonce_order_the_gas_limit_the_base_fee_and_the_deadline(pool: list[Tx], bundles: list[Bundle]) -> None:
    units = arrange(pool, bundles, {}, BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS)
    flat = [one for unit in units for one in unit.txs]
    seen: dict[Address, list[int]] = defaultdict(list)
    for one in flat:
        seen[one.sender].append(one.nonce)
    assert all(nonces == list(range(len(nonces))) for nonces in seen.values())
    assert sum(one.gas_limit for one in flat) <= GAS_LIMIT
    assert all(one.tip_wei(BASE_FEE_WEI) >= 0 for one in flat)
    alone = [unit.txs[0] for unit in units if len(unit.txs) == 1 and unit.txs[0] in pool]
    assert all(one.arrived_ms <= DEADLINE_MS for one in alone if not any(one in bundle.txs for bundle in bundles))


@settings(max_examples=200, deadline=None)
@given(POOLS, BUNDLES)
def test_a_bundle_is_whole_and_in_order_or_not_there(pool: list[Tx], bundles: list[Bundle]) -> None:
    units = arrange(pool, bundles, {}, BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS)
    offered = {bundle.txs for bundle in bundles} | {(one,) for one in pool}
    assert all(unit.txs in offered for unit in units)


@settings(max_examples=200, deadline=None)
@given(POOLS)
def test_of_two_senders_first_transactions_the_higher_effective_tip_goes_first(pool: list[Tx]) -> None:
    order = [unit.txs[0] for unit in arrange(pool, (), {}, BASE_FEE_WEI, 10**9, DEADLINE_MS)]
    firsts = [one for one in order if one.nonce == 0]
    tips = [one.tip_wei(BASE_FEE_WEI) for one in firsts]
    assert tips == sorted(tips, reverse=True)


@settings(max_examples=100, deadline=None)
@given(POOLS, BUNDLES, st.randoms(use_true_random=False))
def test_the_order_of_arrival_in_memory_does_not_matter(pool: list[Tx], bundles: list[Bundle], random: object) -> None:
    shuffled = list(pool)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (arrange(one, bundles, {}, BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS) for one in (pool, shuffled))
    assert first == second


def test_of_gas_that_is_known_to_be_left_over_others_can_have_some_but_a_limit_must_always_fit() -> None:
    first, second, third = tx(0, 0, 9, gas=600), tx(1, 0, 8, gas=600), tx(2, 0, 7, gas=600)
    spent = {first.hash: 200, second.hash: 300}
    assert arrange([first, second, third], (), {}, BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS) == [Unit((first,))]
    assert arrange([first, second, third], (), {}, BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS, spent) == [Unit((first,)), Unit((second,))]


def test_at_the_same_tip_who_came_first_goes_first() -> None:
    late, early = tx(0, 0, 5, arrived_ms=300), tx(1, 0, 5, arrived_ms=50)
    assert arrange([late, early], (), {}, BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS) == [Unit((early,)), Unit((late,))]


def test_a_bundle_carries_a_public_transaction_along_and_only_the_best_one_does() -> None:
    oracle = Tx(Hash("0x" + "aa" * 32), SENDERS[0], 0, 10_000, 1, 100, "0x", b"")
    poor, rich = (Bundle((oracle, one), 1, 1, one.owner) for one in (tx(1, 0, 20), tx(2, 0, 30)))
    assert arrange([oracle], (poor, rich), {}, BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS) == [Unit(rich.txs, rich)]


def test_of_a_bundle_what_may_be_left_out_is_where_it_cannot_be() -> None:
    oracle = Tx(Hash("0x" + "aa" * 32), SENDERS[0], 0, 10_000, 1, 100, "0x", b"")
    poor, rich = (Bundle((oracle, one), 1, 1, one.owner, dropping=frozenset({oracle.hash})) for one in (tx(1, 0, 20), tx(2, 0, 30)))
    made = arrange([oracle], (poor, rich), {}, BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS)
    assert made == [Unit(rich.txs, rich), Unit(poor.txs[1:], poor)]


def test_of_several_bundles_of_the_same_only_one_is_in_a_block() -> None:
    first, second = tx(1, 0, 20), tx(1, 1, 20)
    either = [Bundle((first, second), 1, 1, "p1", reverting=frozenset({one.hash})) for one in (first, second)]
    assert arrange([], either, {}, BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS) == [Unit((first, second), either[0])]


def test_a_later_bundle_of_the_same_name_takes_the_place_of_the_one_before_it() -> None:
    pool = Mempool()
    first, second = (Bundle((tx(1, 0, tip),), 7, 7, "p1", name="one") for tip in (20, 30))
    pool.add_bundle(first)
    pool.add_bundle(second)
    pool.add_bundle(Bundle((tx(2, 0, 1),), 7, 7, "p2", name="one"))
    assert pool.bundles(7)[0] is second
    assert len(pool.bundles(7)) == 2


def test_a_replacement_offers_a_tenth_more_of_both_fees_or_is_refused() -> None:
    pool = Mempool()
    pool.add(tx(0, 0, 100, 1000))
    for tip, fee in ((109, 1100), (110, 1099), (100, 2000)):
        with pytest.raises(Refused, match="replacement transaction underpriced"):
            pool.add(tx(0, 0, tip, fee))
    pool.add(tx(0, 0, 110, 1100))
    with pytest.raises(Refused, match="already known"):
        pool.add(tx(0, 0, 110, 1100))
    assert [one.max_tip_wei for one in pool.txs()] == [110]


def test_a_private_transaction_is_seen_by_its_owner_alone() -> None:
    pool = Mempool()
    pool.add(hidden := tx(1, 0, 5, private=True))
    assert pool.public("p1") == (hidden,)
    assert pool.public("p2") == pool.public() == ()


def test_a_bundle_lives_for_its_blocks_and_a_used_nonce_leaves_the_pool() -> None:
    pool = Mempool()
    pool.add(tx(0, 0, 5))
    pool.add(waits := tx(0, 1, 5, arrived_ms=900))
    pool.add_bundle(bundle := Bundle((tx(1, 0, 5),), 7, 8))
    assert [pool.bundles(block) for block in (6, 7, 8, 9)] == [(), (bundle,), (bundle,), ()]
    assert pool.next_nonce(SENDERS[0], 0) == 2
    pool.settle({SENDERS[0]: 1}, 7)
    assert [(one.hash, one.arrived_ms) for one in pool.txs()] == [(waits.hash, 0)]
    pool.settle({}, 8)
    assert pool.bundles(8) == ()


def test_of_equal_bundles_behind_one_transaction_neither_who_sent_first_nor_the_transaction_decides() -> None:
    oracle = Tx(Hash("0x" + "00" * 32), SENDERS[0], 0, 10_000, 5, 100, "0x", b"")
    one, two = tx(1, 0, 20), tx(2, 0, 20)
    both = [Bundle((oracle, ours), 1, 1, ours.owner, dropping=frozenset({oracle.hash})) for ours in (one, two)]
    first = {arrange([], bundles, {}, BASE_FEE_WEI, GAS_LIMIT, DEADLINE_MS)[0].txs[-1].hash for bundles in (both, both[::-1])}
    assert first == {min(one.hash, two.hash)}
