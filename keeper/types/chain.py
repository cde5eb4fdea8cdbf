"""What the node says: heads, logs, and what is read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keeper.types.base import Address, Hash, Write


@dataclass(frozen=True, slots=True)
class Head:
    """A block header, as far as the keeper needs it."""

    number: int
    hash: Hash
    parent_hash: Hash
    timestamp_s: int
    base_fee_wei: int
    gas_limit: int
    gas_used: int


@dataclass(frozen=True, slots=True)
class Landing:
    """The block a transaction sent now would land in."""

    number: int
    timestamp_s: int
    base_fee_wei: int


@dataclass(frozen=True, slots=True)
class Log:
    """One event log. `topics` are lower-case 0x-hex, `data` is raw bytes, `timestamp_s` is its block's."""

    address: Address
    topics: tuple[str, ...]
    data: bytes
    block_number: int
    block_hash: Hash
    timestamp_s: int
    tx_hash: Hash
    tx_index: int
    log_index: int


@dataclass(frozen=True, slots=True)
class LogFilter:
    """One contract whose events a source follows. `topics`: the topic-0 values of interest. `since_block`: its first possible log."""

    address: Address
    topics: frozenset[str]
    since_block: int


@dataclass(frozen=True, slots=True)
class Read:
    """An eth_call whose reply no event tells."""

    target: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Audit:
    """A sampled reconciliation: the reply's 32-byte words at these positions must be these integers."""

    read: Read
    words: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Block:
    head: Head
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A transaction of others that no block holds yet. Fees are per gas."""

    tx: Hash
    sender: Address
    nonce: int
    to: Address
    gas: int
    value_wei: int
    data: bytes
    max_fee_wei: int
    priority_fee_wei: int
    told: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """As the node tells it."""

    def tip_wei(self, base_fee_wei: int) -> int:
        """What the builder gets per gas; below 0 where it cannot be in a block with this base fee."""
        return min(self.priority_fee_wei, self.max_fee_wei - base_fee_wei)


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What transactions that wait would change, in the block after the one with this hash. `before`: these, in the order of the block;
    `tip_wei`: the least that one of them pays per gas, so that less is behind all of them."""

    parent: Hash
    before: tuple[Waiting, ...]
    writes: tuple[Write, ...]
    tip_wei: int


@dataclass(frozen=True, slots=True)
class ChainUpdate:
    """One step of the chain: first undo these blocks (newest first), then apply those (oldest first). `newest`: this is where the chain
    stands; otherwise more steps follow at once."""

    undo: tuple[Head, ...]
    blocks: tuple[Block, ...]
    newest: bool = True
