"""The accounts of one source, each with a dense number, its slot: thirty-six bytes an account, no Python object.

Linear hashing: every newcomer makes one more bucket and re-deals one old one, so that no account ever waits for a rehash of all. Python's
own hash of a string is keyed anew in each process, so nobody can mine addresses that meet in one bucket. What is looked at together lies
together: a look-up costs two cache misses, not six.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from keeper.errors import Halt
from keeper.types import Address

MOST_SLOTS = 1 << 24
"""Room that is reserved as address space; a page of it becomes memory with its first write."""

ADDRESS_BYTES = 20
RECORD = 8
"""Words of 32 bits for an account: tag, next of its bucket, first of its cells, address."""

TAG, NEXT, FIRST, ADDRESS = 0, 1, 2, 3
TAG_MASK = 0xFFFFFFFF
BATCH = 1 << 14
REMEMBERED = 1 << 12
"""Accounts found last; a slot is for good, so none of them is ever wrong."""

_unpack = Struct("=III20s").unpack_from


class Roll:
    """Accounts ↔ slots. Inside, an account is known by its slot + 1, so that 0 ends a chain.

    `records`, `raw`: for every account, RECORD words and the same as bytes; the word FIRST is the owner's to use."""

    def __init__(self) -> None:
        self.count = 0
        self._record: NDArray[np.uint32] = np.zeros((MOST_SLOTS + 1, RECORD), np.uint32)
        self._head: NDArray[np.uint32] = np.zeros(MOST_SLOTS + 1, np.uint32)
        self.raw = self._record.data.cast("B")
        self.records, self.heads = self.raw.cast("I"), self._head.data
        self.buckets, self.mask, self.half = 1, 0, 0
        self._found: dict[object, int] = {}

    @property
    def nbytes(self) -> int:
        """Memory in use."""
        return self.count * 4 * (RECORD + 1)

    @property
    def first(self) -> NDArray[np.uint32]:
        """The word FIRST of every account, by slot + 1."""
        return self._record[:, FIRST]

    def addresses(self, start: int, stop: int) -> NDArray[np.uint8]:
        """A copy of those of the slots start … stop - 1, uint8[n, 20]."""
        return np.ascontiguousarray(self._record[start + 1 : stop + 1, ADDRESS:]).view(np.uint8)

    def find(self, account: object) -> int:
        """The account's slot + 1, 0 when it has none."""
        if at := self._found.get(account, 0):
            return at
        tag = hash(account) & TAG_MASK
        bucket = tag & self.mask
        after = self.heads[bucket if bucket < self.buckets else bucket & self.half]
        while at := after:
            found, after, _, address = _unpack(self.raw, 32 * at)
            if found == tag and "0x" + address.hex() == account:
                self._remember(account, at)
                return at
        return 0

    def _remember(self, account: object, at: int) -> None:
        """Whoever is asked for once is asked for again and again while a block is applied."""
        if len(self._found) >= REMEMBERED:
            self._found.clear()
        self._found[account] = at

    def account(self, slot: int) -> Address:
        if not 0 <= slot < self.count:
            raise IndexError(f"slot must be below {self.count}, was {slot}")
        return Address("0x" + self.raw[32 * slot + 44 : 32 * slot + 64].hex())

    def add(self, account: object, raw: bytes) -> int:
        """Slot + 1 for an account that has none; `raw` is its address. Raises Halt when all are taken."""
        self._need(1)
        self.count += 1
        at, tag = self.count, hash(account) & TAG_MASK
        self.raw[32 * at + 12 : 32 * at + 32] = raw
        self.records[8 * at] = tag
        self._deal(at, tag)
        self._split()
        return at

    def extend(self, addresses: NDArray[np.uint8]) -> int:
        """Slots for many distinct accounts that have none, uint8[n, 20]; returns the first. Raises Halt."""
        first, count = self.count, len(addresses)
        self._need(count)
        fresh = self._record[first + 1 : first + count + 1]
        fresh[:, ADDRESS:] = np.ascontiguousarray(addresses).view(np.uint32)
        fresh[:, TAG] = np.fromiter(_tags(addresses), np.uint32, count)
        self.count += count
        self._deal_all()
        return first

    def _need(self, count: int) -> None:
        if self.count + count > MOST_SLOTS:
            raise Halt(f"a market has more than {MOST_SLOTS:,} accounts: the book has no room for more")

    def _deal(self, at: int, tag: int) -> None:
        bucket = tag & self.mask
        if bucket >= self.buckets:
            bucket &= self.half
        self.records[8 * at + NEXT] = self.heads[bucket]
        self.heads[bucket] = at

    def _split(self) -> None:
        """One more bucket, with its share of the accounts of the one it was part of."""
        self._spread(self.buckets + 1)
        old = (self.buckets - 1) & self.half
        at, self.heads[old] = self.heads[old], 0
        while at:
            after = self.records[8 * at + NEXT]
            self._deal(at, self.records[8 * at])
            at = after

    def _spread(self, buckets: int) -> None:
        self.buckets, self.mask = buckets, (1 << (buckets - 1).bit_length()) - 1
        self.half = self.mask >> 1

    def _deal_all(self) -> None:
        self._spread(self.count + 1)
        self._head[: self.buckets] = 0
        bucket = self._record[1 : self.count + 1, TAG] & np.uint32(self.mask)
        bucket = np.where(bucket >= self.buckets, bucket & np.uint32(self.half), bucket)
        chain(self._head, self._record[:, NEXT], bucket, 1)


def _tags(addresses: NDArray[np.uint8]) -> Iterator[int]:
    for start in range(0, len(addresses), BATCH):
        text = addresses[start : start + BATCH].tobytes().hex()
        for at in range(0, len(text), 2 * ADDRESS_BYTES):
            yield hash("0x" + text[at : at + 2 * ADDRESS_BYTES]) & TAG_MASK


def chain(heads: NDArray[np.uint32], following: NDArray[np.uint32], group: NDArray[np.integer], first: int) -> None:
    """Put the items first, first + 1, … at the front of the chains of their groups, all at once."""
    if not len(group):
        return
    item, owner = np.arange(first, first + len(group), dtype=np.uint32), group
    if np.any(group[1:] < group[:-1]):
        order = np.argsort(group, kind="stable")
        item, owner = item[order], group[order]
    opens = np.ones(len(item), bool)
    opens[1:] = owner[1:] != owner[:-1]
    following[item] = np.where(opens, heads[owner], np.roll(item, 1))
    closes = np.roll(opens, -1)
    heads[owner[closes]] = item[closes]


def raw_address(account: object) -> bytes | None:
    """The twenty bytes of a lower-case 0x-hex address, None for anything else."""
    try:
        raw = bytes.fromhex(account[2:])  # type: ignore[index]
    except (TypeError, ValueError):
        return None
    return raw if len(raw) == ADDRESS_BYTES and "0x" + raw.hex() == account else None
