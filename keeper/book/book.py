"""The book: the tables, the journal that can undo each recent block, and the sources whose events change them.

A block is staged on an overlay first. If it announced contracts the logs were not fetched for, `stage` says which, and the caller comes
back with more logs; only a complete block is committed. What is followed is itself state, so an undone block un-follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from keeper.book.state import Overlay, Tables
from keeper.errors import Halt
from keeper.ports import LogSource, View
from keeper.types import Address, Block, Hash, Head, Log, LogFilter, Write

FOLLOWED = "followed"
"""Table of (source, address) whose logs the book has from their first block on; value: since_block + 1."""

TOKENS = "tokens"
"""Table of (token): every token that some market lists; venues follow the pools between them."""

Listing = Callable[[View], Iterable[Address]]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One applied block and the writes that undo it."""

    head: Head
    undo: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Staged:
    """A block's effect, not yet in the book. `news`: contracts announced for which logs are still missing. `routes`: those of the state
    after it; none while there is news."""

    head: Head
    overlay: Overlay
    news: tuple[Follow, ...]
    routes: Routes | None


Follow = tuple[LogSource, LogFilter]
"""A contract and the source that wants its logs."""


class Book:
    """All state of one chain at `head`."""

    def __init__(self, sources: Sequence[LogSource], journal_blocks: int = 256, listing: Listing = lambda view: ()) -> None:
        self.sources = tuple(sources)
        self._listing = listing
        self.tables = Tables({source.name: source.columns for source in sources})
        self.journal: deque[JournalEntry] = deque()
        self._journal_blocks = journal_blocks
        self._base: Head | None = None
        self._routes: Routes | None = None
        """Those of the head, with all of it followed; none when that has to be looked up again."""

    @property
    def head(self) -> Head | None:
        return self.journal[-1].head if self.journal else self._base

    def start(self, base: Head, journal: Iterable[JournalEntry] = (), cells: Iterable[Write] = ()) -> None:
        """Stand on `base` plus the journal's blocks, with these cells as the state at the newest of them."""
        self._base = base
        self.journal = deque(journal)
        self.tables.write(cells)
        self._routes = None

    # --- what to fetch

    def filters(self, view: View | None = None) -> tuple[LogFilter, ...]:
        """Every contract to follow now, each once with the union of its topics."""
        routes = self._routes if view is None else None
        return (routes or Routes(self.sources, view or self.tables)).filters

    # --- forward

    def stage(self, block: Block, follow: Sequence[Follow] = (), past: Sequence[Write] = ()) -> Staged:
        """Run a block's logs through the sources. `follow`: new contracts whose logs the block has been given too; `past`: what their
        logs of earlier blocks left."""
        overlay = Overlay(self.tables, past)
        known = None if follow or past else self._routes
        reshaped = (known or Routes(self.sources, overlay, follow)).apply(block.logs, overlay)
        if known and not reshaped:
            return Staged(block.head, overlay, (), known)
        overlay.write([*followed(follow), *self.listed(overlay)])
        routes = Routes(self.sources, overlay)
        news = routes.missing(overlay)
        return Staged(block.head, overlay, news, None if news else routes)

    def listed(self, view: View) -> list[Write]:
        """Tokens listed by a market since the state last knew."""
        return [(TOKENS, (token,), 1) for token in self._listing(view) if not view.get(TOKENS, (token,))]

    def commit(self, staged: Staged) -> list[Write]:
        """Make a staged block the head; returns the changed cells."""
        if self.head is not None and staged.head.parent_hash != self.head.hash:
            raise Halt(f"block {staged.head.number} does not follow the book's head {self.head.number}")
        self._routes = staged.routes
        writes = staged.overlay.writes()
        self.journal.append(JournalEntry(staged.head, tuple(self.tables.write(writes))))
        if len(self.journal) > self._journal_blocks:
            self._base = self.journal.popleft().head
        return writes

    def amend(self, writes: Sequence[Write]) -> list[Write]:
        """Add cells read at the head to the head's own block; returns those that changed."""
        changed = [(table, key, value) for table, key, value in writes if self.tables.get(table, key) != value]
        if changed and self.journal:
            last = self.journal.pop()
            self.journal.append(JournalEntry(last.head, (*self.tables.write(changed), *last.undo)))
        elif changed:
            self.tables.write(changed)
        self._look_again_if_reshaped(changed)
        return changed

    # --- backward

    def undo(self, head: Head) -> list[Write]:
        """Take back the newest block, which must be `head`; returns the cells as they are now."""
        if not self.journal or self.journal[-1].head.hash != head.hash:
            raise Halt(f"cannot undo block {head.number}: it is not the newest in the journal")
        entry = self.journal.pop()
        self.tables.write(entry.undo)
        self._look_again_if_reshaped(entry.undo)
        return [(table, key, self.tables.get(table, key)) for table, key, _ in entry.undo]

    def _look_again_if_reshaped(self, writes: Sequence[Write]) -> None:
        if any(source.reshapes(writes) for source in self.sources):
            self._routes = None

    def before(self, block: Hash) -> View | None:
        """The state just before a recent block; None when the journal does not reach it."""
        overlay = Overlay(self.tables)
        for entry in reversed(self.journal):
            overlay.write(entry.undo)
            if entry.head.hash == block:
                return overlay
        return None

    def ancestors(self) -> tuple[Head, ...]:
        """Recent heads, oldest first: what a reorg can go back to."""
        base = (self._base,) if self._base else ()
        return (*base, *(entry.head for entry in self.journal))


def merge_filters(filters: Iterable[LogFilter]) -> tuple[LogFilter, ...]:
    merged: dict[Address, LogFilter] = {}
    for f in filters:
        other = merged.get(f.address)
        merged[f.address] = f if other is None else _union(f, other)
    return tuple(merged.values())


def _union(a: LogFilter, b: LogFilter) -> LogFilter:
    return LogFilter(a.address, a.topics | b.topics, min(a.since_block, b.since_block))


def unfollowed(sources: Iterable[LogSource], view: View) -> tuple[Follow, ...]:
    """What a source wants but whose past logs are not in the state yet."""
    return Routes(sources, view).missing(view)


def followed(follow: Iterable[Follow]) -> list[Write]:
    return [(FOLLOWED, (source.name, f.address), f.since_block + 1) for source, f in follow]


def apply_logs(sources: Iterable[LogSource], logs: Iterable[Log], overlay: Overlay, follow: Iterable[Follow] = ()) -> None:
    """Each log, in order, by the sources that follow its contract; `follow` are followed from the start."""
    Routes(sources, overlay, follow).apply(logs, overlay)


class Routes:
    """Which source wants which log of which contract, looked up once for all states of one shape."""

    def __init__(self, sources: Iterable[LogSource], view: View, follow: Iterable[Follow] = ()) -> None:
        self.follows: tuple[Follow, ...] = tuple((source, f) for source in sources for f in source.filters(view))
        wanted = {(f.address, source.name): (source, f) for source, f in (*self.follows, *follow)}
        self._appliers = {
            source.name: source.applier(view) for source in {name: source for (_, name), (source, _) in wanted.items()}.values()
        }
        self._takers: dict[Address, dict[str, tuple[LogSource, ...]]] = {}
        for source, f in wanted.values():
            takers = self._takers.setdefault(f.address, {})
            takers.update((topic, (*takers.get(topic, ()), source)) for topic in f.topics)

    @cached_property
    def filters(self) -> tuple[LogFilter, ...]:
        """Every contract followed, each once with the union of its topics."""
        return merge_filters(f for _, f in self.follows)

    def missing(self, view: View) -> tuple[Follow, ...]:
        """What a source wants but whose past logs are not in the state yet."""
        return tuple((source, f) for source, f in self.follows if not view.get(FOLLOWED, (source.name, f.address)))

    def apply(self, logs: Iterable[Log], overlay: Overlay) -> bool:
        """Each log, in order, by those who want it; tells whether that has reshaped the state."""
        appliers, nobody = self._appliers, dict[str, tuple[LogSource, ...]]()
        for log in logs:
            for source in self._takers.get(log.address, nobody).get(log.topics[0] if log.topics else "", ()):
                writes = appliers[source.name](log, overlay)
                overlay.write(writes)
                if source.reshapes(writes):
                    appliers = {**appliers, source.name: source.applier(overlay)}
        return appliers is not self._appliers
