"""Which transactions a block gets, and in what order: by effective tip, each sender's by nonce, bundles whole. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from keeper.arena.mempool import Bundle, Tx
from keeper.types import Address, Hash


@dataclass(frozen=True, slots=True)
class Unit:
    """What goes into a block together: one transaction, or what there is room for of a bundle."""

    txs: tuple[Tx, ...]
    bundle: Bundle | None = None


NOTHING: Mapping[Hash, int] = MappingProxyType({})


@dataclass
class _Block:
    base_fee_wei: int
    gas_left: int
    nonces: dict[Address, int]
    spent: Mapping[Hash, int]

    def takes(self, txs: Iterable[Tx], spare: Collection[Hash] = ()) -> tuple[Tx, ...]:
        """Put them in if they fit: every nonce is its sender's next, every fee covers the base fee, the gas is there. Of the spare ones
        those that do; nothing if one of the others does not."""
        nonces, gas_left, taken = dict(self.nonces), self.gas_left, list[Tx]()
        for tx in txs:
            due = tx.nonce == nonces.get(tx.sender, 0)
            if not due or tx.tip_wei(self.base_fee_wei) < 0 or tx.gas_limit > gas_left:
                if tx.hash in spare:
                    continue
                return ()
            nonces[tx.sender] = tx.nonce + 1
            gas_left -= self.spent.get(tx.hash, tx.gas_limit)
            taken.append(tx)
        self.nonces, self.gas_left = nonces, gas_left
        return tuple(taken)


def arrange(
    txs: Iterable[Tx],
    bundles: Sequence[Bundle],
    nonces: Mapping[Address, int],
    base_fee_wei: int,
    gas_limit: int,
    deadline_ms: int,
    spent: Mapping[Hash, int] = NOTHING,
) -> list[Unit]:
    """The units of a block. `nonces`: how many transactions of each sender the chain has. Ties go to who came first, then by hash: of a
    bundle its last, which is its owner's own.

    `spent`: the gas a transaction uses, where that is known; else it is taken for its limit, which must always be left.
    A bundle with a transaction that is in the block already, or whose nonce is not due, is left out; what arrived after the deadline
    waits for the next block."""
    block = _Block(base_fee_wei, gas_limit, dict(nonces), spent)
    waiting = _by_sender(tx for tx in txs if tx.arrived_ms <= deadline_ms)
    offers = [bundle for bundle in bundles if bundle.arrived_ms <= deadline_ms]
    units: list[Unit] = []
    while True:
        heads: list[Tx | Bundle] = [queue[0] for queue in waiting.values() if queue]
        if not heads and not offers:
            return units
        best = min([*heads, *offers], key=lambda item: _rank(item, block))
        whole = best if isinstance(best, Bundle) else None
        if whole:
            offers.remove(whole)
        spare = whole.dropping | whole.reverting if whole else frozenset()
        if taken := block.takes(best.txs if isinstance(best, Bundle) else [best], spare):
            units.append(Unit(taken, whole))
            _drop_taken(waiting, block.nonces)
        elif isinstance(best, Tx):
            waiting[best.sender].clear()  # nor can what comes after it


def _by_sender(txs: Iterable[Tx]) -> dict[Address, list[Tx]]:
    queues: dict[Address, list[Tx]] = defaultdict(list)
    for tx in sorted(txs, key=lambda tx: tx.nonce):
        queues[tx.sender].append(tx)
    return queues


def _drop_taken(waiting: dict[Address, list[Tx]], nonces: Mapping[Address, int]) -> None:
    for sender, queue in waiting.items():
        while queue and queue[0].nonce < nonces.get(sender, 0):
            queue.pop(0)


def _rank(item: Tx | Bundle, block: _Block) -> tuple[int, int, str]:
    if isinstance(item, Bundle):
        return -item.tip_wei(block.base_fee_wei, block.nonces), item.arrived_ms, item.txs[-1].hash
    return -item.tip_wei(block.base_fee_wei), item.arrived_ms, item.hash
