"""The book applies, undoes and re-applies blocks exactly, and misses no contract announced within a block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.book.book import Book
from keeper.errors import Halt
from keeper.ports import Apply, View
from keeper.types import Address, Block, Hash, Head, Key, Log, LogFilter, Read, Write


def address(n: int) -> Address:
    return Address(f"0x{n:040x}")


def block_hash(n: int) -> Hash:
    return Hash(f"0x{n:064x}")


ROOT = address(1)


class Announcer:
    """A source: its root announces children, and every child sums what it is told."""

    name = "announcer"
    columns: tuple[str, ...] = ()
    first_block = 0

    def filters(self, view: View) -> tuple[LogFilter, ...]:
        children = (LogFilter(Address(str(key[0])), frozenset({"add"}), view.get("child", key) - 1) for key in view.keys("child"))
        return (LogFilter(ROOT, frozenset({"announce"}), 0), *children)

    def apply(self, log: Log, view: View) -> list[Write]:
        value = int.from_bytes(log.data, "big")
        if log.topics[0] == "announce":
            return [("child", (address(value),), log.block_number + 1)]
        key: Key = (log.address,)
        return [("sum", key, view.get("sum", key) + value)]

    def applier(self, view: View) -> Apply:
        return self.apply

    def reshapes(self, writes: Iterable[Write]) -> bool:
        return any(table == "child" for table, _, _ in writes)

    def reads(self, view: View) -> tuple[Read, ...]:
        return ()

    def absorb(self, replies: Sequence[bytes | None], view: View) -> list[Write]:
        return []


def head(number: int, fork: int = 0) -> Head:
    parent = block_hash(1000 * (number - 1) + (fork if number > 1 else 0))
    return Head(number, block_hash(1000 * number + fork), parent, number, 1, 1, 1)


def log(number: int, index: int, emitter: Address, topic: str, value: int) -> Log:
    return Log(emitter, (topic,), value.to_bytes(4, "big"), number, block_hash(number), number, block_hash(index), 0, index)


def new_book(journal_blocks: int = 256) -> Book:
    book = Book([Announcer()], journal_blocks)
    book.start(Head(0, block_hash(0), block_hash(9**9), 0, 1, 1, 1), (), [("followed", ("announcer", ROOT), 1)])
    return book


def apply(book: Book, block: Block) -> None:
    staged = book.stage(block)
    if staged.news:
        staged = book.stage(block, staged.news)
    assert not staged.news
    book.commit(staged)


def cells(book: Book) -> set[Write]:
    return set(book.tables.cells())


def blocks(values: list[list[int]], fork: int = 0) -> Iterator[Block]:
    for number, in_block in enumerate(values, start=1):
        logs = [log(number, 0, ROOT, "announce", 7)] if number == 1 else []
        logs += [log(number, i + 1, address(7), "add", value) for i, value in enumerate(in_block)]
        yield Block(head(number, fork), tuple(logs))


chains = st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=6)


def test_a_contract_announced_and_used_in_one_block_is_counted_once() -> None:
    book = new_book()
    block = next(blocks([[3, 4]]))
    staged = book.stage(block)
    assert [f.address for _, f in staged.news] == [address(7)]
    assert staged.overlay.get("sum", (address(7),)) == 0
    apply(book, block)
    assert book.tables.get("sum", (address(7),)) == 7


@given(chains, chains, st.data())
def test_undoing_any_suffix_and_applying_a_fork_equals_a_fresh_book(
    main: list[list[int]], other: list[list[int]], data: st.DataObject
) -> None:
    book = new_book()
    for block in blocks(main):
        apply(book, block)
    for entry in reversed(tuple(book.journal)):
        book.undo(entry.head)
    assert cells(book) == cells(new_book())
    fresh = new_book()
    for block in blocks(other, fork=1):
        apply(book, block)
        apply(fresh, block)
    assert cells(book) == cells(fresh)
    assert book.head == fresh.head


@given(chains)
def test_the_view_before_a_block_is_the_state_its_transactions_met(values: list[list[int]]) -> None:
    book = new_book()
    met = []
    for block in blocks(values):
        met.append((block.head.hash, cells(book)))
        apply(book, block)
    for at, truth in met:
        view = book.before(at)
        assert view is not None
        seen = {(t, key, view.get(t, key)) for t in ("child", "sum", "followed") for key in view.keys(t)}
        assert seen == truth


def test_a_block_that_does_not_follow_the_head_is_refused() -> None:
    book = new_book()
    with pytest.raises(Halt, match="does not follow"):
        book.commit(book.stage(Block(head(5), ())))


def test_only_the_newest_block_can_be_undone_and_only_within_the_journal() -> None:
    book = new_book(journal_blocks=2)
    for block in blocks([[1], [2], [3]]):
        apply(book, block)
    assert [h.number for h in book.ancestors()] == [1, 2, 3]
    with pytest.raises(Halt, match="not the newest"):
        book.undo(head(1))
    book.undo(head(3))
    book.undo(head(2))
    assert book.head == head(1)
    with pytest.raises(Halt):
        book.undo(head(1))


def test_cells_read_at_a_head_are_undone_with_its_block() -> None:
    book = new_book()
    apply(book, next(blocks([[1]])))
    assert book.amend([("price", ("x",), 5), ("price", ("y",), 0)]) == [("price", ("x",), 5)]
    assert book.tables.get("price", ("x",)) == 5
    book.undo(head(1))
    assert book.tables.get("price", ("x",)) == 0
