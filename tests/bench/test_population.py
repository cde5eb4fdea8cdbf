"""The synthetic book is what it says it is."""

from __future__ import annotations

import numpy as np
import pytest

from keeper.bench.population import DOOMED, LOOP, ORDINARY, PLACES, Population, Spec, described, populate
from keeper.bench.reserves import COUNT, RESERVES, STAKED, TAIL

ACCOUNTS = 20_000


@pytest.fixture(scope="module")
def book() -> Population:
    return populate(Spec(ACCOUNTS, seed=7))


def arrays(book: Population) -> list[bytes]:
    found = (book.kind, book.health, book.reserve, book.side, book.low, book.high, book.flags, book.category)
    return [array.tobytes() for array in found]


def test_the_same_seed_gives_the_same_accounts_and_another_gives_others(book: Population) -> None:
    assert arrays(populate(Spec(ACCOUNTS, seed=7))) == arrays(book)
    assert arrays(populate(Spec(ACCOUNTS, seed=8))) != arrays(book)


def test_the_shares_it_states_are_exact(book: Population) -> None:
    assert (book.kind == LOOP).sum() == ACCOUNTS // 10
    assert (book.kind == DOOMED).sum() == ACCOUNTS // 100
    assert ((book.side > 0).sum(axis=1) == 1).sum() == ACCOUNTS * 6 // 10


def test_loops_owe_ether_against_a_staked_form_of_it(book: Population) -> None:
    loops = book.kind == LOOP
    assert set(book.reserve[loops, 0].tolist()) == set(STAKED.tolist())
    assert set(book.reserve[loops, 1].tolist()) == {0}
    assert set(book.category[loops].tolist()) == {1}
    assert set(book.category[~loops].tolist()) == {0}


def test_health_factors_are_in_the_ranges_it_states(book: Population) -> None:
    assert ((book.health[book.kind == LOOP] >= 1.01) & (book.health[book.kind == LOOP] <= 1.06)).all()
    assert ((book.health[book.kind == DOOMED] >= 0.5) & (book.health[book.kind == DOOMED] <= 0.98)).all()
    spare = np.log(book.health[book.kind == ORDINARY] - 1.0)
    assert spare.mean() == pytest.approx(np.log(0.5), abs=0.05)
    assert spare.std() == pytest.approx(1.0, abs=0.05)


def test_every_account_supplies_and_owes_in_four_places_at_most_and_holds_no_reserve_twice(book: Population) -> None:
    assert book.side.shape == (ACCOUNTS, PLACES)
    assert (book.side > 0).any(axis=1).all()
    assert (book.side < 0).any(axis=1).all()
    for reserve, side in zip(book.reserve.tolist(), book.side.tolist(), strict=True):
        held = [number for number, of in zip(reserve, side, strict=True) if of]
        assert len(set(held)) == len(held)


def test_positions_are_integers_above_zero_beyond_64_bits_where_they_need_be(book: Population) -> None:
    used = book.side != 0
    amounts = [low | high << 64 for low, high in zip(book.low[used].tolist(), book.high[used].tolist(), strict=True)]
    assert min(amounts) > 0
    assert max(amounts) > 2**64
    assert amounts[:1000] == [int(amount) for amount in book.scaled()[used][:1000].tolist()]
    assert not book.scaled()[~used].any()


def test_the_flags_say_which_reserves_are_owed_and_which_secure(book: Population) -> None:
    for number in range(200):
        expected = 0
        for reserve, side in zip(book.reserve[number].tolist(), book.side[number].tolist(), strict=True):
            expected |= 0 if not side else 1 << 2 * reserve + (side > 0)
        assert int(book.flags[number]) == expected


def test_reserve_use_falls_off_and_hardly_anybody_holds_the_last_one(book: Population) -> None:
    held = book.holders()
    assert held[0] == held.max()
    assert held[0] > 5 * np.median(held)
    assert 0.0 < held[TAIL] < 0.001


def test_the_description_prints_the_seed_and_every_reserves_share() -> None:
    text = described(Spec(2000, seed=3))
    assert text["seed"] == 3
    assert set(text["held_by"]) == {reserve.symbol for reserve in RESERVES}
    assert len(text["held_by"]) == COUNT
    assert text["staked_loops"] == "10% at health 1.01-1.06"


def test_a_book_can_be_small() -> None:
    assert len(populate(Spec(1))) == 1
