"""The life of each position of ours, from the block that had it first to the one that had none of it any more, and what it came to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from keeper.ledger.holdings import Had
from keeper.types import Address, Entry


@dataclass
class Life:
    """`until`: None while it is held. `most`: its largest |value|, and `money` what it earned by kind of entry, with 18 decimals of the
    token. `target`: "" for what is no position's."""

    market: str
    account: Address
    target: str
    token: Address
    since: int
    until: int | None = None
    most: int = 0
    money: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.money.values())


def lives(had: Sequence[Had], entries: Iterable[Entry]) -> list[Life]:
    """In the order in which they began; every entry counts in one of them. Both oldest first."""
    found: dict[tuple[str, Address, str], list[Life]] = defaultdict(list)
    for one in had:
        for target in _targets(one, found):
            _grow(found[one.market, one.standing.account, target], one, target)
    for entry in entries:
        life = _of(found[entry.market, entry.account, entry.target], entry)
        life.money[entry.kind] = life.money.get(entry.kind, 0) + entry.amount
    return sorted((life for group in found.values() for life in group), key=lambda life: life.since)


def _targets(one: Had, found: Iterable[tuple[str, Address, str]]) -> Iterator[str]:
    known = [target for market, account, target in found if target and (market, account) == (one.market, one.standing.account)]
    yield from dict.fromkeys([*known, *(held.target for held in one.standing.holdings)])


def _grow(group: list[Life], one: Had, target: str) -> None:
    held = one.standing.holding(target)
    alive = group[-1] if group and group[-1].until is None else None
    if held.size and alive is None:
        alive = Life(one.market, one.standing.account, target, one.standing.token, one.block)
        group.append(alive)
    if alive:
        alive.most = max(alive.most, abs(held.value))
        alive.until = None if held.size else one.block


def _of(group: list[Life], entry: Entry) -> Life:
    """The one it falls into; one of its own where a position came and went within a block."""
    for life in group:
        if life.since <= entry.block and (life.until is None or entry.block <= life.until):
            return life
    group.append(Life(entry.market, entry.account, entry.target, entry.token, entry.block, entry.block if entry.target else None))
    return group[-1]
