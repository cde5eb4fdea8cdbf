"""Which logs are wanted, as queries a node understands, and how many blocks to ask for at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keeper.chain.wire import addresses_param
from keeper.types import Address, Log, LogFilter

GROW_AFTER = 3
"""Successes in a row before the span doubles: a node at its limit should not fail every other request."""

MOST_PATIENCE = 96
"""Successes in a row asked for at most, where growing has failed again and again."""

QUICK_S, SLOW_S = 1.5, 5.0
"""Answers that take longer than the one are no reason to ask for more; than the other, one to ask for less before the node gives up."""


@dataclass(frozen=True, slots=True)
class Query:
    """Addresses asked for together because they want the same topics. `since_block`: the first block any of them may have a log in."""

    addresses: tuple[Address, ...]
    topics: tuple[str, ...]
    since_block: int

    def param(self, **where: str) -> dict[str, Any]:
        return {**where, "address": addresses_param(self.addresses), "topics": [list(self.topics)]}


class Wanted:
    """A set of filters: an address's log is wanted if any of its filters wants it."""

    def __init__(self, filters: Iterable[LogFilter]) -> None:
        self._since: dict[Address, dict[str, int]] = {}
        for f in filters:
            since = self._since.setdefault(f.address, {})
            for topic in f.topics:
                since[topic] = min(f.since_block, since.get(topic, f.since_block))

    def __contains__(self, log: Log) -> bool:
        since = self._since.get(log.address, {}).get(log.topics[0]) if log.topics else None
        return since is not None and log.block_number >= since

    def queries(self, until_block: int, max_addresses: int) -> list[Query]:
        """For ranges: one per set of topics, so that little is sent that is not wanted."""
        groups: dict[tuple[str, ...], list[Address]] = {}
        for address, since in self._since.items():
            if since and min(since.values()) <= until_block:
                groups.setdefault(tuple(sorted(since)), []).append(address)
        return [self._query(part, topics) for topics, group in groups.items() for part in _parts(sorted(group), max_addresses)]

    def query_of_block(self, number: int, max_addresses: int) -> list[Query]:
        """For one block: all addresses and topics together, since one more round of work costs more than a few unwanted logs."""
        addresses = sorted(address for address, since in self._since.items() if since and min(since.values()) <= number)
        topics = tuple(sorted({topic for address in addresses for topic in self._since[address]}))
        return [self._query(part, topics) for part in _parts(addresses, max_addresses)]

    def _query(self, addresses: Sequence[Address], topics: tuple[str, ...]) -> Query:
        return Query(tuple(addresses), topics, min(since for address in addresses for since in self._since[address].values()))


def _parts(items: Sequence[Address], size: int) -> Iterator[Sequence[Address]]:
    return (items[i : i + size] for i in range(0, len(items), size))


class Span:
    """How many blocks to ask for at once: learned from the node's refusals, remembered, grown back carefully."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self._ceiling = blocks
        self._successes = 0
        self._patience = GROW_AFTER
        self._grown = False

    def refused(self, blocks: int, for_good: bool) -> None:
        """`for_good`: the node said that its limit is a number of blocks, which will not change."""
        if self._grown:
            self._patience = min(2 * self._patience, MOST_PATIENCE)
        self._grown = False
        self._shrink(blocks)
        if for_good:
            self._ceiling = self.blocks

    def served(self, blocks: int, took_s: float = 0.0) -> None:
        if took_s > SLOW_S:
            self._shrink(blocks)
        if blocks < self.blocks or took_s > QUICK_S:
            return
        self._successes += 1
        if self._successes >= self._patience:
            self._grow()

    def _shrink(self, blocks: int) -> None:
        self.blocks = max(1, min(self.blocks, blocks // 2))
        self._successes = 0

    def _grow(self) -> None:
        """A size that was served for as long as it took to come to it is a good one."""
        if self._grown:
            self._patience = GROW_AFTER
        self._successes = 0
        self._grown = self.blocks < self._ceiling
        self.blocks = min(self._ceiling, self.blocks * 2)


def in_order(logs: Iterable[Log]) -> list[Log]:
    """By block and position, each once: overlapping queries give some twice."""
    unique: Mapping[tuple[int, int], Log] = {(log.block_number, log.log_index): log for log in logs}
    return [unique[place] for place in sorted(unique)]
