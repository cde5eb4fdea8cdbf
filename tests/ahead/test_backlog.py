"""What waits is taken in a builder's order, the highest tip first, but never before its sender's own lower nonce; and no spam hides it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from keeper.ahead.backlog import KEEP_BLOCKS, MOST, MOST_OF_A_STRANGER, Backlog, block_order
from keeper.types import Address, Hash, Waiting


def waiting(sender: int, nonce: int, tip_wei: int, most_wei: int = 1000) -> Waiting:
    who = Address(f"0x{sender:040x}")
    return Waiting(Hash(f"0x{sender:032x}{nonce:032x}"), who, nonce, who, 21_000, 0, b"", most_wei, tip_wei)


def test_a_higher_tip_does_not_overtake_its_senders_own_before_it() -> None:
    low, high, other = waiting(1, 4, 5), waiting(1, 5, 9), waiting(2, 7, 6)
    assert block_order([high, other, low], 100) == [other, low, high]


def test_what_cannot_be_in_the_block_keeps_its_senders_next_out_too() -> None:
    assert block_order([waiting(1, 4, 5, most_wei=50), waiting(1, 5, 9), waiting(2, 1, 0)], 100) == [waiting(2, 1, 0)]


@given(st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 4)), st.integers(0, 9), max_size=12))
def test_nonces_rise_and_of_all_that_could_be_next_the_dearest_is(tips: dict[tuple[int, int], int]) -> None:
    made = block_order([waiting(sender, nonce, tip) for (sender, nonce), tip in tips.items()], 10)
    assert len(made) == len(tips)
    for at, item in enumerate(made):
        assert all(item.nonce < later.nonce for later in made[at + 1 :] if later.sender == item.sender)
        nexts = {later.sender: later for later in reversed(made[at:])}
        assert item.priority_fee_wei == max(head.priority_fee_wei for head in nexts.values())


# --- what is thought of

ORACLE, OTHERS = True, False


def heard(*told: tuple[Waiting, bool], reporters: tuple[int, ...] = ()) -> Backlog:
    backlog = Backlog()
    backlog.reported(Address(f"0x{sender:040x}") for sender in reporters)
    for item, concerns in told:
        backlog.hear(item, 1, concerns)
    return backlog


def test_an_update_comes_with_what_waits_before_it_of_its_sender_and_not_with_what_comes_after() -> None:
    before, update, after = waiting(1, 4, 1), waiting(1, 5, 9), waiting(1, 6, 9)
    backlog = heard((update, ORACLE), (after, OTHERS), (before, OTHERS), reporters=(1,))
    assert backlog.ordered(100) == [before, update]


def test_of_a_sender_by_whom_no_oracle_has_spoken_only_what_names_one_is_kept() -> None:
    backlog = heard((waiting(1, 4, 1), OTHERS), (waiting(1, 5, 9), ORACLE))
    assert backlog.ordered(100) == [waiting(1, 5, 9)]


def test_a_replacement_takes_the_place_of_what_it_replaces() -> None:
    dearer = waiting(1, 5, 9)
    dearer = replace(dearer, tx=Hash("0x" + "ff" * 32), priority_fee_wei=20)
    backlog = heard((waiting(1, 5, 9), ORACLE), (dearer, ORACLE))
    assert backlog.ordered(100) == [dearer]
    backlog = heard((waiting(1, 5, 9), ORACLE), reporters=(1,))
    assert backlog.hear(dearer, 1, OTHERS)
    assert not backlog.ordered(100)


def test_the_same_transaction_is_news_once() -> None:
    backlog = Backlog()
    assert [backlog.hear(waiting(1, 5, 9), block, ORACLE) for block in (1, 1, 2)] == [True, False, False]
    assert not backlog.hear(waiting(2, 5, 9), 1, OTHERS)


@given(st.integers(0, 3 * MOST), st.integers(1, 3 * MOST), st.booleans())
def test_no_spam_hides_the_update_of_a_reporter(before: int, after: int, one_sender: bool) -> None:
    spam = [(waiting(2 if one_sender else 100 + number, number, 9), ORACLE) for number in range(before + after)]
    update = waiting(1, 0, 1)
    backlog = heard(*spam[:before], (update, ORACLE), *spam[before:], reporters=(1,))
    assert update in backlog.ordered(100)
    assert len(backlog.ordered(100)) <= (MOST_OF_A_STRANGER * (before + after) + 1 if one_sender else MOST)


def test_what_does_not_land_is_forgotten_in_time() -> None:
    backlog = heard((waiting(1, 5, 9), ORACLE))
    backlog.forget(KEEP_BLOCKS)
    assert backlog.ordered(100)
    backlog.forget(KEEP_BLOCKS + 1)
    assert not backlog.ordered(100)
