"""What waits for the next block: public and private transactions, and bundles. Pure: time is a number of declared milliseconds.

anvil's own pool neither orders by tip nor asks a replacement for more than a wei; this one holds to what nodes on a real network do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from keeper.errors import KeeperError
from keeper.types import Address, Hash

NOBODY: Mapping[Address, int] = MappingProxyType({})

BUMP_PERCENT = 110
"""A replacement offers so much of both fees (geth: --txpool.pricebump 10)."""


class Refused(KeeperError):
    """In the words of a node."""


@dataclass(frozen=True, slots=True)
class Tx:
    """`owner`: the participant who sent it, "" for the market. `private`: nobody else sees it. `arrived_ms`: since the last block.
    `request`: how to hand it to the node."""

    hash: Hash
    sender: Address
    nonce: int
    max_fee_wei: int
    max_tip_wei: int
    gas_limit: int
    to: str
    data: bytes = field(repr=False)
    owner: str = ""
    private: bool = False
    arrived_ms: int = 0
    request: tuple[str, Any] = field(default=("", None), repr=False, compare=False)

    def tip_wei(self, base_fee_wei: int) -> int:
        """What the builder gets per gas; negative: the base fee is not even covered."""
        return min(self.max_tip_wei, self.max_fee_wei - base_fee_wei)


@dataclass(frozen=True, slots=True)
class Bundle:
    """All or nothing, in this order, in one of these blocks; but for those that may be left out (`dropping`: where they cannot be, or can
    no more; `reverting`: then too, or they may fail). `name`: a later one of its owner's with the same takes its place."""

    txs: tuple[Tx, ...]
    first_block: int
    last_block: int
    owner: str = ""
    arrived_ms: int = 0
    dropping: frozenset[Hash] = frozenset()
    reverting: frozenset[Hash] = frozenset()
    name: str = ""

    def tip_wei(self, base_fee_wei: int, nonces: Mapping[Address, int] = NOBODY) -> int:
        """The mean per gas of its owner's transactions: what it carries along of others pays whoever takes it. `nonces`: what lies below
        them is in the block already."""
        left = [tx for tx in self.txs if tx.nonce >= nonces.get(tx.sender, 0)] or list(self.txs)
        own = [tx for tx in left if tx.owner == self.owner] or left
        gas = sum(tx.gas_limit for tx in own)
        return sum(tx.tip_wei(base_fee_wei) * tx.gas_limit for tx in own) // gas


class Mempool:
    """At most one transaction for each sender and nonce."""

    def __init__(self) -> None:
        self._txs: dict[tuple[Address, int], Tx] = {}
        self._bundles: list[Bundle] = []

    def add(self, tx: Tx) -> None:
        """Raises Refused for a replacement that offers less than 10 % more of both fees, and for one that is known."""
        held = self._txs.get((tx.sender, tx.nonce))
        if held is not None and held.hash == tx.hash:
            raise Refused("already known")
        if held is not None and not _outbids(tx, held):
            raise Refused("replacement transaction underpriced")
        self._txs[tx.sender, tx.nonce] = tx

    def add_bundle(self, bundle: Bundle) -> None:
        """Raises Refused for an empty one, or one whose blocks are none."""
        if not bundle.txs or bundle.last_block < bundle.first_block:
            raise Refused("invalid bundle")
        same = (bundle.owner, bundle.name, bundle.first_block)
        self._bundles = [held for held in self._bundles if not held.name or (held.owner, held.name, held.first_block) != same]
        self._bundles.append(bundle)

    def find(self, tx: Hash) -> Tx | None:
        return next((held for held in self._txs.values() if held.hash == tx), None)

    def txs(self) -> tuple[Tx, ...]:
        return tuple(self._txs.values())

    def public(self, owner: str = "") -> tuple[Tx, ...]:
        """What this participant sees: everything public, and its own."""
        return tuple(tx for tx in self._txs.values() if not tx.private or (owner and tx.owner == owner))

    def bundles(self, block: int) -> tuple[Bundle, ...]:
        return tuple(bundle for bundle in self._bundles if bundle.first_block <= block <= bundle.last_block)

    def next_nonce(self, sender: Address, landed: int) -> int:
        """After `landed` transactions on the chain, and those that wait without a gap."""
        while (sender, landed) in self._txs:
            landed += 1
        return landed

    def settle(self, landed: Mapping[Address, int], block: int) -> None:
        """After `block`: what is used up goes; what waits on was there before anything that comes now."""
        kept = [tx for tx in self._txs.values() if tx.nonce >= landed.get(tx.sender, 0)]
        self._txs = {(tx.sender, tx.nonce): replace(tx, arrived_ms=0) for tx in kept}
        self._bundles = [replace(bundle, arrived_ms=0) for bundle in self._bundles if bundle.last_block > block]


def _outbids(tx: Tx, held: Tx) -> bool:
    fees = ((tx.max_fee_wei, held.max_fee_wei), (tx.max_tip_wei, held.max_tip_wei))
    return all(offered * 100 >= paid * BUMP_PERCENT and offered > paid for offered, paid in fees)
