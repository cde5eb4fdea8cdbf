"""What waits is taken in a builder's order: the highest tip first, but never before its sender's own lower nonce."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.lookahead import block_order
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
