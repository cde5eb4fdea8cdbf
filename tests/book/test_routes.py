"""What a book has looked up of its sources is never older than the state it holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.book.book import Book
from keeper.book.state import Overlay
from keeper.chain.wire import log_of
from keeper.testing.traffic import Traffic
from keeper.types import Block, Write
from tests.book.test_book import ROOT, Announcer, address, apply, head, log, new_book

Step = tuple[int, int | None]
"""(child, what it is told; None: the root announces it)"""

steps = st.lists(st.tuples(st.integers(7, 9), st.one_of(st.none(), st.integers(1, 9))), max_size=4)


def block_of(number: int, steps: list[Step]) -> Block:
    emitted = [(ROOT, "announce", child) if told is None else (address(child), "add", told) for child, told in steps]
    return Block(head(number), tuple(log(number, index, *one) for index, one in enumerate(emitted)))


def counted(blocks: list[list[Step]]) -> set[Write]:
    """What each child was told from the block of its first announcement on."""
    known: set[int] = set()
    sums: dict[int, int] = {}
    for steps in blocks:
        known |= {child for child, told in steps if told is None}
        for child, told in steps:
            if told is not None and child in known:
                sums[child] = sums.get(child, 0) + told
    return {("sum", (address(child),), total) for child, total in sums.items()}


def sums(book: Book) -> set[Write]:
    return {cell for cell in book.tables.cells() if cell[0] == "sum"}


@given(st.lists(st.one_of(steps, st.integers(1, 3)), max_size=20))
def test_only_what_was_announced_on_this_branch_counts_whatever_was_undone(moves: list[list[Step] | int]) -> None:
    """An integer takes so many blocks back."""
    book, branch = new_book(), list[list[Step]]()
    for move in moves:
        if isinstance(move, int):
            for entry in list(reversed(book.journal))[:move]:
                book.undo(entry.head)
                branch.pop()
        else:
            branch.append(move)
            apply(book, block_of(len(branch), move))
        assert sums(book) == counted(branch)
        assert set(book.filters()) == set(book.filters(Overlay(book.tables)))


def test_a_contract_found_by_a_read_is_asked_for_with_the_next_block() -> None:
    book = new_book()
    apply(book, block_of(1, []))
    apply(book, block_of(2, []))
    book.amend([("child", (address(7),), 2 + 1)])
    assert [f.address for f in book.filters()] == [ROOT, address(7)]
    block = block_of(3, [(7, 5)])
    for _ in range(2):
        assert [f.address for _, f in book.stage(block).news] == [address(7)]
    apply(book, block)
    assert sums(book) == {("sum", (address(7),), 5)}


def test_a_block_that_was_staged_but_not_committed_leaves_no_trace() -> None:
    book = new_book()
    apply(book, block_of(1, []))
    book.stage(block_of(2, [(7, None), (7, 4)]), [(Announcer(), book.filters()[0])])
    apply(book, block_of(2, [(7, 4)]))
    assert sums(book) == set()


def test_a_busy_chain_is_undone_to_the_cell() -> None:
    traffic = Traffic(accounts=50, reserves=6, pools=8)
    book = traffic.book()
    before = set(book.tables.cells())
    for at, raw in traffic.blocks(600, per_block=30):
        staged = book.stage(Block(at, tuple(log_of(entry, at.timestamp_s) for entry in raw)))
        assert not staged.news
        book.commit(staged)
    assert len(set(book.tables.cells()) - before) > 100
    for entry in reversed(tuple(book.journal)):
        book.undo(entry.head)
    assert set(book.tables.cells()) == before


def test_the_same_seed_gives_the_same_traffic() -> None:
    one, same, other = (list(Traffic(accounts=20, seed=seed).blocks(100)) for seed in (1, 1, 2))
    assert one == same != other
